"""Pure: no I/O, no clock.  Numbers of things, in words."""

from __future__ import annotations

__all__ = ["counted"]


def counted(amount: int, thing: str) -> str:
    """Return how many there are: "1 board", "2 boards", "1 entry", "0 entries"."""
    if amount == 1:
        return f"1 {thing}"
    plural = f"{thing[:-1]}ies" if thing.endswith("y") and thing[-2:-1] not in "aeiou" else f"{thing}s"
    return f"{amount:,} {plural}"
