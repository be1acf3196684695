"""The real modules behind the stand-ins, imported when something of them is used."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

__all__ = ["Later", "attribute_of", "later", "real"]


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


class Later(type):
    """The class of classes that stand in for those of their module, by name, until something of them is used."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return attribute_of(cls.__module__, cls.__name__)(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(attribute_of(cls.__module__, cls.__name__), name)
