"""Tests with every supported Python, and with the oldest packages that are allowed.

``make pythons`` runs the tests with each Python, ``make pythons PYTHONS=3.13 SUITES=unit`` one suite with one.
Packages come from the lock files of requirements/, by the installer that make uses (build_backend/install.py).
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import nox

ROOT = Path(__file__).resolve().parent
_CLASSIFIER = "Programming Language :: Python :: 3."
#: Those that pyproject.toml says are supported.
PYTHONS = [
    each.rpartition(" ")[2]
    for each in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    if each.startswith(_CLASSIFIER)
]

nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True
# With a Python that is not on this machine nothing is tested: its session fails, and the last lines name it.
nox.options.error_on_missing_interpreters = True
nox.options.download_python = "never"
nox.options.envdir = "build/nox"


def _run(session: nox.Session, what: str) -> None:
    """Install what a lock file has, and run suites of the Makefile: unit and integration unless others are named."""
    # Within the tree: make would split a path with a space.
    place = Path(session.virtualenv.location).resolve().relative_to(ROOT)
    python = f"{place}/bin/python"
    session.run_install("python", "build_backend/install.py", str(place), what)
    for suite in session.posargs or ("unit", "integration"):
        session.run("make", suite, f"VENV={place}", f"PYTHON={python}", external=True)


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """With the newest packages."""
    _run(session, "tests")


@nox.session
def oldest(session: nox.Session) -> None:
    """With the oldest packages that are allowed, on the Python that nox runs on."""
    _run(session, "oldest")
