"""Pure: no I/O, no clock.  What ``--where`` says of results, in the language of `icefarm.selectors.language`.

A name is a column of a result; ``label.NAME`` is a label of the evaluation, and ``board.NAME`` one of the board.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.contract import RESULT_FIELDS
from icefarm.selectors.language import Selector, parse

__all__ = ["condition", "fits"]

#: The column of labels that a prefix stands for.
_LABELS: Mapping[str, str] = {"label": "labels", "board": "board_labels"}


def condition(text: str) -> Selector:
    """Read such as ``number>1000 and circuit=a.bin`` or ``label.generation=3``.

    Raises `InvalidArgument`, and ValueError for a name that is no column.
    """
    selector = parse(text)
    for name in selector.names:
        prefix, dot, _ = name.partition(".")
        if name not in RESULT_FIELDS and not (dot and prefix in _LABELS):
            hint = did_you_mean(name, RESULT_FIELDS)
            raise ValueError(f"names no column: {name!r}{hint}; a label is written label.{name}")
    return selector


def fits(row: Mapping[str, Any], conditions: Iterable[Selector]) -> bool:
    """Tell whether a result fulfils all conditions."""
    return all(each.holds(_Row(row).value) for each in conditions)


@frozen
class _Row:
    """The values of a result's names."""

    row: Mapping[str, Any]

    def value(self, name: str) -> Any:
        if name in RESULT_FIELDS:
            return self.row.get(name)
        prefix, _, label = name.partition(".")
        return (self.row.get(_LABELS[prefix]) or {}).get(label)
