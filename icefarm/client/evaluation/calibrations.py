"""The calibrations to which a client's results refer."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from attrs import Factory, define

from icefarm.calibration.records import Calibration
from icefarm.contract import from_wire
from icefarm.errors import IcefarmError

__all__ = ["KnownCalibrations"]


@define(eq=False)
class KnownCalibrations:
    """Asks the farm once for each calibration; results look them up when their correction is asked for."""

    call: Callable[..., Coroutine[Any, Any, Any]]
    by_id: dict[str, Calibration] = Factory(dict)
    #: Asked for, and perhaps not there.
    _asked: set[str] = Factory(set)

    async def learn(self, ids: Iterable[str | None]) -> None:
        """Learn these, if they are new.  Without them nothing fails: their results have no correction."""
        new = sorted({id for id in ids if id is not None} - self._asked)
        if not new:
            return
        self._asked.update(new)
        try:
            answer = await self.call("calibrations", ids=new)
            found = [from_wire(each, Calibration, "a calibration") for each in answer["calibrations"]]
        except IcefarmError:
            self._asked.difference_update(new)
            return
        self.by_id.update((each.id, each) for each in found)

    def learn_later(self, id: str | None) -> None:
        """Learn one in the background: a board joined, or was measured by another client before."""
        if id is not None and id not in self._asked:
            from icefarm.concurrency.deferreds import started

            started(lambda: self.learn([id]))
