"""Pure: no I/O, no clock.  What ``--where`` says of results, in the language of `icefarm.selectors.language`.

A name is a column of a result, or one that is added on request, such as ``corrected``; ``label.NAME`` is a label of
the evaluation, and ``board.NAME`` one of the board.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen

from icefarm.cli.ui.suggestions import did_you_mean
from icefarm.contract import CORRECTED_FIELDS, RESULT_FIELDS
from icefarm.selectors.language import Selector, parse

__all__ = ["condition", "fits", "need_corrected"]

#: The column of labels that a prefix stands for.
_LABELS: Mapping[str, str] = {"label": "labels", "board": "board_labels"}
_COLUMNS = (*RESULT_FIELDS, *CORRECTED_FIELDS)


def condition(text: str) -> Selector:
    """Read such as ``number>1000 and circuit=a.bin`` or ``label.generation=3``.

    Raises `InvalidArgument`, and ValueError for a name that is no column.
    """
    selector = parse(text)
    for name in selector.names:
        prefix, dot, _ = name.partition(".")
        if name not in _COLUMNS and not (dot and prefix in _LABELS):
            hint = did_you_mean(name, _COLUMNS)
            raise ValueError(f"names no column: {name!r}{hint}; a label is written label.{name}")
    return selector


def need_corrected(conditions: Iterable[Selector]) -> bool:
    """Tell whether conditions name what the farm adds to results only on request: values without the deviation."""
    return any(name in CORRECTED_FIELDS for each in conditions for name in each.names)


def fits(row: Mapping[str, Any], conditions: Iterable[Selector]) -> bool:
    """Tell whether a result fulfils all conditions."""
    return all(each.holds(_Row(row).value) for each in conditions)


@frozen
class _Row:
    """The values of a result's names."""

    row: Mapping[str, Any]

    def value(self, name: str) -> Any:
        if name in _COLUMNS:
            return self.row.get(name)
        prefix, _, label = name.partition(".")
        return (self.row.get(_LABELS[prefix]) or {}).get(label)
