"""The router's own virtual environment: Crossbar.io pins old versions of packages that others need newer.

Only the standard library is needed here: ``make venv`` runs it before anything is installed.
"""

from __future__ import annotations

import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

from icefarm.farm.errors import CannotStart

__all__ = ["LOCKED", "RouterNotInstalled", "install_locked", "install_router", "router_directory", "router_program_in"]

#: The lock files that are part of icefarm.
LOCKED = Path(__file__).resolve().parents[2] / "data" / "requirements"
#: Seconds for pip.
LIMIT = 1200.0


class RouterNotInstalled(CannotStart):
    """The router could not be installed; the message says why."""


def router_directory(scripts: str) -> Path:
    """Return where the router's environment is: inside that whose programs are in ``scripts``."""
    return Path(scripts).parent / "router"


def router_program_in(directory: Path) -> Path:
    """Return the path that the router's program has, or would have, in its environment."""
    return directory / "bin" / "crossbar"


def install_router(directory: Path, locked: Path, python: str = sys.executable, options: Sequence[str] = ()) -> None:
    """Make the router's environment there, from the lock files in ``locked``, with the pip of ``python``.

    ``options`` are more options of pip.  Raises `RouterNotInstalled`.
    """
    try:
        venv.create(directory, clear=True, symlinks=True)
    except OSError as error:
        raise RouterNotInstalled(f"there can be no virtual environment in {directory}: {error}") from None
    pip = (python, "-m", "pip", "--python", str(directory / "bin" / "python"))
    # Packages that come as source are built with the first file's setuptools, and take nothing else from the network.
    for name in ("build", "router"):
        install_locked(pip, locked / f"{name}.txt", options)


def install_locked(pip: Sequence[str], file: Path, options: Sequence[str] = ()) -> None:
    """Install what a lock file names, and nothing else, with hashes.  Raises `RouterNotInstalled`."""
    command = [
        *pip, "install", "--quiet", "--disable-pip-version-check", "--no-input", "--require-hashes", "--no-deps",
        "--no-build-isolation", *options, "--requirement", str(file),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT)
    except subprocess.TimeoutExpired:
        raise RouterNotInstalled(f"pip has not installed {file.name} in {LIMIT:.0f} s") from None
    if done.returncode != 0:
        raise RouterNotInstalled(f"pip could not install {file.name}:\n{done.stderr.strip() or done.stdout.strip()}")
