"""Pure: no I/O, no clock.  Text from outside, as it may be in a line that people read."""

from __future__ import annotations

import unicodedata

__all__ = ["one_line", "one_line_or_none"]

#: Categories of Unicode characters that may control a terminal, end a line, or can't be encoded.
_UNSAFE = ("Cc", "Cf", "Cs", "Zl", "Zp")


def one_line(text: str, longest: int | None = None) -> str:
    """Return text that stays on its line and is safe on a terminal, cut off after ``longest`` characters.

    Names and reasons come from outside.  What is unsafe is marked.
    """
    if longest is not None:
        text = text[:longest]
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(each) in _UNSAFE else each for each in text)


def one_line_or_none(text: str | None, longest: int | None = None) -> str | None:
    """Return `one_line` of a text, or None if there is none."""
    return None if text is None else one_line(text, longest)
