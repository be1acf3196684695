"""The procedures ``icefarm.v1.control.*`` about calibrations of boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from attrs import define

from icefarm.bus import Caller
from icefarm.calibration.estimation import DAY, WINDOW_DAYS
from icefarm.concurrency.clock import Clock
from icefarm.contract import Role, valid_name
from icefarm.control.inventory.calibration.references import MAIN, REFERENCES
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import FarmMirror
from icefarm.errors import InvalidArgument

__all__ = ["CalibrationProcedures"]

#: Readings of one answer, and what is asked for by name, at most.
MOST_READINGS, MOST_NAMED = 5000, 10_000


def _checked(reference: str) -> str:
    if reference not in REFERENCES:
        raise InvalidArgument(f"reference must be one of {', '.join(REFERENCES)}, not {reference!a:.80}")
    return reference


@define(eq=False)
class CalibrationProcedures:
    """What everybody may know of boards: how they deviate."""

    store: Store
    mirror: FarmMirror
    clock: Clock

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        methods = (self.calibrations, self.reference_readings)
        return {method.__name__: (method, (Role.CLIENT, Role.OPERATOR)) for method in methods}

    async def calibrations(
        self,
        _: Caller,
        reference: str | None = None,
        serials: list[str] | None = None,
        ids: list[str] | None = None,
    ) -> dict[str, Any]:
        """Return the present calibrations of boards, or those with these ids, and why boards are suspect.

        ``reference`` and ``serials`` select among them.  ``time`` is the farm's.
        """
        for name, named in (("ids", ids), ("serials", serials)):
            if named is not None and (len(named) > MOST_NAMED or not all(map(valid_name, named))):
                raise InvalidArgument(f"{name} must be at most {MOST_NAMED:,}, each 1 to 100 printable characters")
        if reference is not None:
            _checked(reference)
        wanted = None if serials is None else set(serials)
        found = [
            each
            for each in await self.store.calibrations(ids)
            if reference in (None, each.reference) and (wanted is None or each.serial in wanted)
        ]
        suspects = {
            board.serial: board.calibration.suspect
            for board in (await self.mirror.read()).devices
            if board.calibration is not None and board.calibration.suspect is not None
        }
        shown = {each.serial for each in found}
        return {
            "calibrations": [attrs.asdict(each) for each in found],
            "suspects": {serial: why for serial, why in suspects.items() if serial in shown},
            "time": self.clock.seconds(),
        }

    async def reference_readings(
        self, _: Caller, serial: str, reference: str = MAIN, since: float | None = None
    ) -> dict[str, Any]:
        """Return a board's readings of a reference circuit, by default of the last 90 days; the oldest first."""
        if since is not None and not 0 <= since <= 1e11:
            raise InvalidArgument(f"since must be a time in seconds since the epoch, not {since!r}")
        if not valid_name(serial):
            raise InvalidArgument(f"serial must be that of a board, not {serial!a:.120}")
        begin = self.clock.seconds() - WINDOW_DAYS * DAY if since is None else since
        found = await self.store.reference_readings(serial, _checked(reference), begin, MOST_READINGS)
        return {"readings": [attrs.asdict(each) for each in found], "time": self.clock.seconds()}
