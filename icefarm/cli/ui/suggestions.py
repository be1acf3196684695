"""Pure: no I/O, no clock.  What a person meant who mistyped a name.

click suggests its own options; names of verbs that are imported late, and of boards, it does not know.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["did_you_mean", "list_of"]

#: How much of a name must agree (`difflib`): a letter or two may differ.
LIKENESS = 0.6
#: Names that are listed where none is alike.
MOST_LISTED = 12


def did_you_mean(given: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown name: those that are alike, else all if they are few."""
    from difflib import get_close_matches

    names = list(dict.fromkeys(known))
    by_lower = {name.lower(): name for name in names}
    close = [by_lower[name] for name in get_close_matches(given.lower(), by_lower, n=3, cutoff=LIKENESS)]
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return list_of(names) if len(names) <= MOST_LISTED else ""


def list_of(names: Sequence[str]) -> str:
    """Return the end of a sentence that lists names; none of them is no end."""
    return f"; there {'is' if len(names) == 1 else 'are'} {', '.join(names)}" if names else ""
