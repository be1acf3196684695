"""The blocking face of the client, for scripts and notebooks: reserved boards."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from icefarm.client.dispatch import DEPTH
from icefarm.client.payload import Placing
from icefarm.client.placement import AnyBoard, EachBoard, Given, Placement
from icefarm.client.results import Result
from icefarm.client.session import RunPlan
from icefarm.contract import ReservationRecord
from icefarm.errors import IcefarmError

if TYPE_CHECKING:
    from icefarm.client.blocking import Farm

__all__ = ["Boards"]

_log = logging.getLogger("icefarm.client.boards")


class Boards:
    """Reserved boards; made by `Farm.reserve`.  Leaving the ``with`` block ends their reservations."""

    def __init__(self, farm: Farm, records: Sequence[ReservationRecord]) -> None:
        self._farm = farm
        self._records = {record.serial: record for record in records}

    @property
    def reservations(self) -> list[ReservationRecord]:
        """The reservations as they were made."""
        return list(self._records.values())

    @property
    def serials(self) -> list[str]:
        """The serials of the boards that are still reserved."""
        return [serial for serial, record in self._records.items() if self._farm.holds(serial, record.id)]

    def __iter__(self) -> Iterator[str]:
        return iter(self.serials)

    def __len__(self) -> int:
        return len(self.serials)

    def evaluate(
        self,
        bitstreams: Iterable[Any],
        *,
        placement: Placement | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
    ) -> Iterator[Result]:
        """Evaluate bitstreams, each once on any board, or as ``placement`` says; yield results as they arrive.

        ``bitstreams`` are paths (.bin, .asc), bytes or `icefarm.bitstream.Bitstream`, pulled as boards need them.
        Placements are in `icefarm.client.placement`.
        ``options`` go with each evaluation (pulsecount: ``{"repeats": n}``).  ``depth`` evaluations are on their way
        to each board, so that it never waits.  ``limit`` is in seconds for each attempt; by default the window decides.

        What goes wrong with one bitstream is in its result: reading `Result.value` raises it.  Raises
        `ReservationEnded` where no board is left.
        """
        placing = Placing(placement or AnyBoard(), self.serials)
        plan = RunPlan(self.serials, options or {}, depth, fan_out=placing.fan_out, limit=limit)
        return self._farm.stream(plan, self._records, map(placing.item, bitstreams))

    def evaluate_each(
        self,
        bitstreams: Iterable[Any],
        *,
        serials: Sequence[str] | None = None,
        options: Mapping[str, Any] | None = None,
        depth: int = DEPTH,
        limit: float | None = None,
    ) -> Iterator[Result]:
        """Evaluate each bitstream on each board (of ``serials``, where given); otherwise as `evaluate`."""
        placement = EachBoard() if serials is None else Given(serials)
        return self.evaluate(bitstreams, placement=placement, options=options, depth=depth, limit=limit)

    def extend(self, seconds: float | None = None) -> list[str]:
        """Extend the reservations (they are extended automatically too, unless ``keep=False``)."""
        return self._farm.extend(self.serials, seconds)

    def end(self) -> list[str]:
        """End the reservations; harmless when they have ended."""
        serials = self.serials
        return self._farm.end(serials) if serials else []

    def __enter__(self) -> Boards:
        return self

    def __exit__(self, *_: object) -> None:
        if self._farm.closed:
            return
        try:
            self.end()
        except IcefarmError as error:
            # Not to hide what happened in the block; the farm's end, or the grace period, ends them too.
            _log.warning("could not end the reservations: %s", error)

    def __repr__(self) -> str:
        return f"<Boards {', '.join(self.serials) or 'none'}>"
