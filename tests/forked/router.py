"""A router of tests: Crossbar.io, forked from a process that has imported it.

Crossbar.io has an environment of its own, with other versions of packages: a `World`.  A fork starts there as a router
does, by ``icefarm_start``, which finds nothing left to import.
"""

from __future__ import annotations

import importlib
import os
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

from attrs import frozen

from forked.nursery import show
from forked.worlds import SAME, World

__all__ = ["Installed", "import_world", "installed", "run"]


@frozen
class Installed:
    """A router that can be forked: how it starts, and where its interpreter finds its packages."""

    command: tuple[str, ...]
    path: tuple[str, ...]

    def can_fork(self, words: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Tell whether this starts a node of it that imports no more than is imported here."""
        starts = (*words[: len(self.command) + 1],) == (*self.command, "start")
        return starts and _stand_ins() in _python_path(environment)


@cache
def installed() -> Installed | None:
    """Return the router of tests if this process's interpreter is also its own."""
    from icefarm.farm.router.config import CrossbarMissing, find_crossbar
    from icefarm.farm.router.node import router_command

    try:
        command = router_command(find_crossbar(None))
    except CrossbarMissing:
        return None
    if len(command) == 1 or os.path.realpath(command[0]) != os.path.realpath(sys.executable):
        # It is no script, or for another version of Python.
        return None
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(command[0]).parents[1] / "lib" / version / "site-packages"
    if _zope(packages) != _zope(Path(sysconfig.get_path("purelib"))):
        return None
    library = [each for each in sys.path if each.startswith(sys.base_prefix) and "site-packages" not in each]
    return Installed(command, (*library, str(packages)))


def _zope(packages: Path) -> list[str]:
    return sorted(each.name for each in packages.glob(f"{SAME}*.dist-info"))


def _stand_ins() -> str:
    from icefarm.farm.router.node import STAND_INS

    return str(STAND_INS)


def _python_path(environment: Mapping[str, str]) -> list[str]:
    return [each for each in environment.get("PYTHONPATH", "").split(os.pathsep) if each]


def import_world(router: Installed) -> World:
    """Return what the router imports before it forks."""
    python, start, _ = router.command
    beside = str(Path(start).parent)
    return World.imported(python, (beside, _stand_ins(), *router.path), _import_most)


def _import_most() -> None:
    importlib.import_module("icefarm_start").import_most()


class _Titles(ModuleType):
    """Stands in for setproctitle, which looks for the arguments that this interpreter was started with."""

    @staticmethod
    def setproctitle(title: str) -> None:
        show([title])
        Path("/proc/self/comm").write_text(title)


def run(world: World, words: Sequence[str]) -> None:
    """Be the router that is started with these words."""
    world.enter(*_python_path(os.environ))
    sys.modules["setproctitle"] = _Titles("setproctitle")
    sys.argv[:] = words[1:]
    importlib.import_module("icefarm_start").main()
