"""Corrects results of the archive by the calibrations that they name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from attrs import Factory, define, make_class

from icefarm.calibration.correcting import correction
from icefarm.calibration.records import Calibration
from icefarm.contract import RESULT_FIELDS
from icefarm.control.inventory.calibration.interface import CalibrationStore

__all__ = ["Corrections"]

#: Calibrations that are kept at hand: a few of each board.
MOST_KNOWN = 4096

_Result: Any = make_class("Result", RESULT_FIELDS, slots=True)


@define(eq=False)
class Corrections:
    """Corrects results; what cannot be corrected has nothing in its place."""

    store: CalibrationStore
    _known: OrderedDict[str, Calibration] = Factory(OrderedDict)

    async def of(self, rows: Sequence[Sequence[Any]]) -> list[tuple[float | None, float | None]]:
        """Return the corrected value and its standard uncertainty of each row.

        A row has the fields of `icefarm.contract.RESULT_FIELDS`.  Raises `Busy`.
        """
        results = [_Result(*row) for row in rows]
        await self._learn({result.calibration for result in results if result.calibration is not None})
        return [self._corrected(result) for result in results]

    async def _learn(self, ids: set[str]) -> None:
        new = ids.difference(self._known)
        if new:
            self._known.update((each.id, each) for each in await self.store.calibrations(sorted(new)))
        for id in ids.intersection(self._known):
            self._known.move_to_end(id)
        while len(self._known) > max(MOST_KNOWN, len(ids)):
            self._known.popitem(last=False)

    def _corrected(self, result: Any) -> tuple[float | None, float | None]:
        if result.error is not None:
            return None, None
        found = correction(result, self._known.get(result.calibration or "")).corrected
        return (None, None) if found is None else (found.value, found.standard_uncertainty)
