"""What a program has imported when it ends."""

from __future__ import annotations

import subprocess
import sys

__all__ = ["imported"]


def imported(program: str, packages: tuple[str, ...], python: str = sys.executable) -> list[str]:
    """Return which of these packages a program has imported when it ends."""
    ending = f"""
import atexit, sys
atexit.register(lambda: print(*(name for name in {packages!r} if sys.modules.get(name)), file=sys.stderr))
"""
    done = subprocess.run([python, "-c", ending + program], capture_output=True, text=True, check=True)
    return done.stderr.split()
