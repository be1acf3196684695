"""Packages that a plain installation of icefarm does not have: those of control, and of a whole farm."""

from __future__ import annotations

from importlib.util import find_spec

__all__ = ["CONTROL_PACKAGES", "MissingPackages", "require_control_packages"]

#: What control needs beyond client and worker, by the names that are imported (pyproject.toml has the extras).
CONTROL_PACKAGES = ("psycopg2", "txpostgres", "prometheus_client", "jwt")


class MissingPackages(Exception):
    """Packages are not installed; the message is one line that says how to install them."""


def require_control_packages(what: str) -> None:
    """Check that everything is installed that ``what`` needs beyond a plain installation.  Raises `MissingPackages`."""
    missing = [name for name in CONTROL_PACKAGES if not _is_installed(name)]
    if missing:
        raise MissingPackages(
            f"{what} needs packages that are not installed ({', '.join(missing)}): pip install 'icefarm[farm]'"
        )


def _is_installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
