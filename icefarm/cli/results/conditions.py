"""Pure: no I/O, no clock.  What ``--where`` says of results."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from attrs import frozen

from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.contract import RESULT_FIELDS

__all__ = ["Condition", "condition", "fits"]

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*(label\.)?([\w.-]+?)\s*(!=|<=|>=|=|<|>)\s*(.*?)\s*", re.DOTALL)


@frozen
class Condition:
    """What a column of a result, or one of its labels, must be."""

    name: str
    #: It is the name of a label.
    labelled: bool
    sign: str
    #: As it was written, and as JSON if it is that.
    text: str
    wanted: Any

    def holds(self, row: Mapping[str, Any]) -> bool:
        """Tell whether it holds for a result: never where numbers and text would be compared by size."""
        value = (row.get("labels") or {}).get(self.name) if self.labelled else row.get(self.name)
        if self.sign in ("=", "!="):
            # Text that looks like a number, such as a serial, is meant as well.
            same = value in (self.wanted, self.text)
            return same == (self.sign == "=")
        numbers = isinstance(value, int | float) and isinstance(self.wanted, int | float)
        if value is None or not (numbers or (isinstance(value, str) and isinstance(self.wanted, str))):
            return False
        return _OPERATORS[self.sign](value, self.wanted)


def condition(text: str) -> Condition:
    """Read such as ``number>1000``, ``circuit=a.bin`` or ``label.generation=3``.  Raises ValueError."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError(f"must be such as number>1000, error=timed_out or label.generation=3, not {text!r}")
    label, name, sign, wanted = found.groups()
    if label is None and name not in RESULT_FIELDS:
        hint = did_you_mean(name, RESULT_FIELDS)
        raise ValueError(f"names no column: {name!r}{hint}; a label is written label.{name}")
    return Condition(name, label is not None, sign, wanted, _value(wanted))


def fits(row: Mapping[str, Any], conditions: Iterable[Condition]) -> bool:
    """Tell whether a result fulfils all conditions."""
    return all(each.holds(row) for each in conditions)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
