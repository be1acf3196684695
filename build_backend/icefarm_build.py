"""The build backend: setuptools', with the dashboard's page built first (PEP 517, PEP 660).

The page is made by npm and Vite from ``frontend/``. Nothing is done where it is there already (a second install, or an
sdist, which carries it), nor with ``ICEFARM_DASHBOARD=skip`` in the environment. Node.js comes from PyPI where the
machine has none that is new enough.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import Any

from frontend_tools import FRONTEND, NODE_PACKAGE, Failed, fetch_node, install, machine_builds, node_for_build, run
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

BUILT = FRONTEND.parent / "icefarm" / "dashboard" / "static"
#: Says from which sources the page was built.
STAMP = BUILT / "sources.sha256"
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
    try:
        node = node_for_build()
        install(node, tools=False)
        vite = str(FRONTEND / "node_modules" / "vite" / "bin" / "vite.js")
        run(node, [node.node, vite, "build", "--logLevel", "warn"], "Vite failed")
    except Failed as error:
        raise DashboardNotBuilt(_HOW_TO_SKIP.format(why=str(error)[:1200])) from None
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
    needed = not _skipped() and _needed() and not machine_builds()
    return [NODE_PACKAGE] if needed else []


if __name__ == "__main__":
    if not _skipped():
        try:
            fetch_node()
        except Failed as error:
            sys.exit(f"icefarm: {error}")
    build_dashboard()
