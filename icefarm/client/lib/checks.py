"""Arguments of the original API, checked by the client's own rules.

Scripts give numbers as int, float or text, and one serial in the place of several.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from icefarm.client.api.arguments import RULES

__all__ = ["count", "given", "listed", "seconds"]


def given(name: str, value: Any, rule: str | None = None) -> Any:
    """Return an argument as its rule has it; ``rule`` is what the client calls it.  Raises `InvalidArgument`."""
    return RULES[rule or name].apply(name, value)


def count(name: str, value: Any) -> int:
    """Return a number of boards.  Raises `InvalidArgument`."""
    number = _number(value)
    whole = int(number) if isinstance(number, float) and number.is_integer() else number
    return int(given(name, value if isinstance(whole, str) else whole, "amount"))


def seconds(name: str, value: Any, rule: str) -> float | None:
    """Return a number of seconds, or None for None.  Raises `InvalidArgument`."""
    return None if value is None else float(given(name, _number(value), rule))


def listed(serials: Iterable[str]) -> list[str]:
    """Return serials as a list; one that is given as text is one serial.  Raises `InvalidArgument`."""
    chosen: list[str] = given("serials", [serials] if isinstance(serials, str) else serials)
    return chosen


def _number(value: Any) -> Any:
    """Return the number that a text says; anything else as it is."""
    if isinstance(value, str):
        for read in (int, float):
            with suppress(ValueError):
                return read(value)
    return value
