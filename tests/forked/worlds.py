"""Modules of another environment, imported beside those of this process, which knows nothing of them until it enters.

Both have Twisted and Autobahn, in versions of their own.  Modules of the standard library are the same for both.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from attrs import frozen

__all__ = ["SAME", "World"]

#: What each environment has to have in this version: zope.interface writes into classes of the standard library.
SAME = "zope"
#: What belongs to no environment; the package of this module forks for all of them.
_SHARED = frozenset({*sys.stdlib_module_names, "__main__", "forked", SAME})


def _put_aside() -> dict[str, ModuleType]:
    """Take the modules of the present environment out of `sys.modules`, and return them."""
    own = {name: module for name, module in sys.modules.items() if name.partition(".")[0] not in _SHARED}
    for name in own:
        del sys.modules[name]
    return own


@frozen(eq=False)
class World:
    """What an interpreter of the other environment has at hand."""

    #: Its program.
    python: str
    _path: list[str]
    _modules: dict[str, ModuleType]
    #: Packages add their own to `sys.meta_path`.
    _finders: list[Any]

    @classmethod
    def imported(cls, python: str, path: Sequence[str], import_all: Callable[[], None]) -> World:
        """Import what the function imports, found in these directories, and leave no trace in `sys`."""
        before = sys.path[:], sys.meta_path[:], _put_aside()
        sys.path[:] = path
        try:
            import_all()
            world = cls(python, list(path), _put_aside(), sys.meta_path[:])
        finally:
            _put_aside()
            sys.path[:], sys.meta_path[:] = before[0], before[1]
            sys.modules.update(before[2])
        # A process that ends leaves it alone; to take it apart would copy its memory, which forks share.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(world))
        return world

    def enter(self, *first: str) -> None:
        """Be an interpreter of that environment, with these directories on its path before all others."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(_put_aside()))
        sys.modules.update(self._modules)
        sys.meta_path[:] = self._finders
        sys.path[:] = list(dict.fromkeys([*first, *self._path]))
        sys.executable = self.python
