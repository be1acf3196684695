"""Control's calls to workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import Factory, define

from icefarm.bus import Bus
from icefarm.contract import Assignment, ReferenceCircuit, ReservationRecord, to_wire, worker_procedure
from icefarm.control.sessions.tracker import Sessions
from icefarm.errors import LinkLost

__all__ = ["WorkerClient", "assignment"]

#: Seconds to make a board ready for its reservation: flashed, restarted, tested, with retries.
PREPARE_LIMIT = 60.0
#: Seconds to make a board usable after a reboot: as long, and once more if it fails at first.
REBOOT_LIMIT = 2 * PREPARE_LIMIT
#: Seconds for calls that a worker answers at once.
ANSWER_LIMIT = 10.0
#: Seconds for reference circuits: the board is flashed, and measures for twenty seconds or so.
REFERENCES_LIMIT = PREPARE_LIMIT + 60.0


def assignment(record: ReservationRecord) -> Assignment:
    """Return the assignment of a reservation for its worker."""
    return Assignment(record.id, record.client, record.kind, record.options, record.labels, record.calibration)


@define(eq=False)
class WorkerClient:
    """Calls procedures of workers.  All raise what `Bus.call` raises, and `LinkLost` while there is no bus."""

    sessions: Sessions
    bus: Bus | None = None
    #: Pending calls to prepare or release each board.
    _settling: Counter[str] = Factory(Counter)

    def is_settling(self, serial: str) -> bool:
        """Tell whether a call to prepare or release a board is pending, so that its worker's view may be older."""
        return serial in self._settling

    async def prepare(self, record: ReservationRecord) -> None:
        """Make a board ready for its reservation; resolves when it is usable.

        Raises also `DeviceFailed`, `UnknownDevice`, `UnknownKind`, `InvalidArgument`, `ReservationEnded`.
        """
        with self._settle(record.serial):
            # No preparation overtakes the answer to a hello, which lists all boards to prepare.
            await self.sessions.until_greeted(record.worker)
            await self._call(record.worker, "prepare", PREPARE_LIMIT, record.serial, to_wire(assignment(record)))

    async def relabel(self, worker: str, serial: str, labels: Mapping[str, str]) -> None:
        """Tell a worker that a board has other labels."""
        await self._call(worker, "relabel", ANSWER_LIMIT, serial, labels)

    async def release(self, record: ReservationRecord) -> None:
        """Take a board back."""
        await self.release_id(record.worker, record.serial, record.id, record.end_reason or "ended")

    async def release_id(self, worker: str, serial: str, reservation: str, reason: str) -> None:
        """Release a board from a reservation; harmless if the board does not serve it."""
        with self._settle(serial):
            await self._call(worker, "release", ANSWER_LIMIT, serial, reservation, reason)

    async def reboot(self, worker: str, serial: str) -> None:
        """Restart and flash a board; its reservation stays. Resolves when the board is usable again."""
        await self._call(worker, "reboot", REBOOT_LIMIT, serial)

    async def retest(self, worker: str, serial: str) -> None:
        """Test a broken board again now."""
        await self._call(worker, "retest", ANSWER_LIMIT, serial)

    async def delete(self, worker: str, serial: str) -> None:
        """Forget a board."""
        await self._call(worker, "delete", ANSWER_LIMIT, serial)

    async def plug_in(self, worker: str, amount: int) -> None:
        """Plug in so many more virtual boards."""
        await self._call(worker, "plug_in", ANSWER_LIMIT, amount)

    async def retire(self, worker: str, serials: list[str]) -> None:
        """Unplug virtual boards that are not needed."""
        await self._call(worker, "retire", ANSWER_LIMIT, serials)

    async def measure_references(
        self, worker: str, serial: str, id: str, window: float, circuits: Sequence[ReferenceCircuit]
    ) -> list[dict[str, Any]]:
        """Have a free board measure reference circuits; returns what it measured.  Raises also `Unavailable`."""
        wanted = [to_wire(circuit) for circuit in circuits]
        measured = await self._call(worker, "measure_references", REFERENCES_LIMIT, serial, id, window, wanted)
        return list(measured)

    async def drain(self, worker: str) -> None:
        """Tell a worker that it is drained."""
        await self._call(worker, "drain", ANSWER_LIMIT)

    async def resume(self, worker: str) -> None:
        """Tell a worker that it is no longer drained."""
        await self._call(worker, "resume", ANSWER_LIMIT)

    async def leave(self, worker: str) -> None:
        """Tell a worker to exit as soon as its boards are idle."""
        await self._call(worker, "leave", ANSWER_LIMIT)

    @contextmanager
    def _settle(self, serial: str) -> Iterator[None]:
        self._settling[serial] += 1
        try:
            yield
        finally:
            self._settling[serial] -= 1
            if not self._settling[serial]:
                del self._settling[serial]

    async def _call(
        self,
        worker: str,
        method: str,
        limit: float,
        *args: str | float | list[str] | list[dict[str, Any]] | Mapping[str, Any],
    ) -> Any:
        if self.bus is None:
            raise LinkLost("control has no connection to the router just now")
        return await self.bus.call(worker_procedure(worker, method), args, timeout=limit)
