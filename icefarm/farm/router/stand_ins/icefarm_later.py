"""The real modules behind the stand-ins, imported when something of them is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["attribute_of", "later", "real"]


def real(module: str) -> Any:
    """Import a module that has a stand-in here, in place of that, and return it."""
    package = module.partition(".")[0]
    for name in [each for each in sys.modules if each == package or each.startswith(f"{package}.")]:
        del sys.modules[name]
    before = sys.path[:]
    sys.path[:] = [each for each in before if each != os.path.dirname(__file__)]
    try:
        return importlib.import_module(module)
    finally:
        sys.path[:] = before


def later(module: str, *names: str) -> Callable[..., Any]:
    """Return a function that calls the real one, named by the attributes that lead to it."""

    def call(*args: Any, **kwargs: Any) -> Any:
        function = real(module)
        for name in names:
            function = getattr(function, name)
        return function(*args, **kwargs)

    return call


def attribute_of(module: str, name: str) -> Any:
    """Return what the real module has under a name that its stand-in lacks.  Raises AttributeError."""
    if name.startswith("__"):
        # Python itself asks modules for such.
        raise AttributeError(name)
    return getattr(real(module), name)
