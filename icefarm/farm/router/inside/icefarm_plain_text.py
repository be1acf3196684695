"""Spares the router the text of debug lines that it does not log.

Crossbar.io 26.10 colours the parts of such lines, and prints the permission, for each call, whether or not debug lines
are wanted: 3 to 5 % of its time.  Here those parts become what they are made of, which takes no time; a router that
does log debug lines logs the same without colours.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

__all__ = ["SPARED", "plain", "spare"]

#: By module: the functions that make such parts.
SPARED: Mapping[str, tuple[str, ...]] = {
    "crossbar.router.dealer": ("hlflag", "hlid", "hltype"),
    "crossbar.router.router": ("hltype", "hlval", "pformat"),
}


def plain(value: object, *_: object, **__: object) -> object:
    """Return what is to be shown, as it is; a log makes text of it only if it is logged."""
    return value


def spare(modules: Mapping[str, ModuleType]) -> None:
    """Replace these functions in the modules that are there and have them."""
    for name, functions in SPARED.items():
        module = modules.get(name)
        for function in functions:
            if hasattr(module, function):
                setattr(module, function, plain)
