"""Pure: no I/O, no clock.  Which columns of a table fit a terminal, and how wide each is.

Neither `rich` nor click chooses: columns stay by priority, as many as fit, and flexible ones share what is left.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

__all__ = ["GAP", "Extent", "fitted"]

#: Blanks between two columns.
GAP = 2


@frozen
class Extent:
    """How much room a column takes."""

    #: Its widest cell.
    natural: int
    #: What it can be shortened to; the natural width if its cells must stay whole.
    least: int
    #: Columns with lower numbers stay longer; 0 always stays.
    priority: int


def fitted(extents: Sequence[Extent], room: int) -> dict[int, int]:
    """Return the widths of the columns that fit, by their index, in their order."""
    order = sorted(range(len(extents)), key=lambda index: (extents[index].priority, index))
    widths: dict[int, int] = {}
    used = -GAP
    for index in order:
        needed = min(extents[index].least, extents[index].natural) + GAP
        if extents[index].priority > 0 and used + needed > room:
            break
        widths[index] = needed - GAP
        used += needed
    left = max(0, room - used)
    for index in [index for index in order if index in widths]:
        more = min(left, extents[index].natural - widths[index])
        widths[index] += more
        left -= more
    return dict(sorted(widths.items()))
