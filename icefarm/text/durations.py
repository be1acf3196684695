"""Pure: no I/O, no clock.  Lengths of time in words."""

from __future__ import annotations

from itertools import pairwise

__all__ = ["in_words"]

_UNITS = ((365 * 86400, "year", "years"), (86400, "day", "days"), (3600, "h", "h"), (60, "min", "min"), (1, "s", "s"))


def in_words(seconds: float) -> str:
    """Return a length of time such as ``30 days``, ``1 h 30 min`` or ``0.5 s``: two units at most."""
    if seconds < 0:
        return f"minus {in_words(-seconds)}"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    for (size, one, many), (smaller, _, _) in pairwise(_UNITS):
        if whole >= size:
            count, rest = divmod(whole, size)
            words = f"{count:,} {one if count == 1 else many}"
            rest -= rest % smaller
            return f"{words} {in_words(rest)}" if rest else words
    raise AssertionError(seconds)
