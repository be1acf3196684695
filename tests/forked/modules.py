"""Modules of this package as programs."""

from __future__ import annotations

import sys
from pathlib import Path

__all__ = ["module_command"]

_TESTS = str(Path(__file__).parents[1])


def module_command(module: str, *arguments: str, python: str = sys.executable) -> list[str]:
    """Return a command that calls ``run`` of a module of this package, and has the import path of an installed one."""
    text = f"import sys; sys.path.insert(0, {_TESTS!r}); from forked import {module} as it; del sys.path[0]"
    return [python, "-P", "-c", f"{text}; it.run()", *arguments]
