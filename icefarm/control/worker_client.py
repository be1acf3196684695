"""Control's calls to workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import Factory, define

from icefarm.concurrency.deferreds import failures, outcomes
from icefarm.contract import Assignment, ReferenceCircuit, ReservationRecord, to_wire, worker_procedure
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.routers import Routers
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.telemetry.events import Event, WorkerIntroduced
from icefarm.errors import IcefarmError, error_in_answer

__all__ = ["WorkerClient", "assignment", "by_worker"]

#: Seconds to make a board ready for its reservation: flashed, restarted, tested, with retries.
PREPARE_LIMIT = 60.0
#: Seconds to make a board usable after a reboot: as long, and once more if it fails at first.
REBOOT_LIMIT = 2 * PREPARE_LIMIT
#: Seconds for calls that a worker answers at once.
ANSWER_LIMIT = 10.0
#: Seconds for reference circuits: the board is flashed, and measures for twenty seconds or so.
REFERENCES_LIMIT = PREPARE_LIMIT + 60.0
#: Boards in one call to a worker, and such calls at the same time, for each worker; calls for single boards, over all
#: workers.
BOARDS_AT_ONCE, LISTS_AT_ONCE, SINGLY_AT_ONCE = 250, 4, 256


def assignment(record: ReservationRecord, limits: FarmLimits) -> Assignment:
    """Return the assignment of a reservation for its worker."""
    # As the order in the queue: in units of the weight that all others have.
    weight = limits.of(record.client).weight / limits.farm.weight
    about = (record.kind, record.options, record.labels, record.calibration)
    return Assignment(record.id, record.client, *about, within=record.within, weight=weight)


@define(eq=False)
class WorkerClient:
    """Calls procedures of workers.  All raise what `Bus.call` raises, and `LinkLost` while their router is away."""

    sessions: Sessions
    limits: FarmLimits
    routers: Routers
    #: Workers that take orders for many boards at once.
    _take_lists: set[str] = Factory(set)
    #: Pending calls to prepare or release each board.
    _settling: Counter[str] = Factory(Counter)
    #: Those of them that have reported since that they serve their reservations.
    _settled: set[str] = Factory(set)

    def heard(self, event: Event) -> None:
        """Note what a worker can do."""
        if isinstance(event, WorkerIntroduced):
            known = self._take_lists.add if event.hello.lists else self._take_lists.discard
            known(event.hello.name)

    def is_settling(self, serial: str) -> bool:
        """Tell whether a call to prepare or release a board is pending, so that its worker's view may be older."""
        return serial in self._settling and serial not in self._settled

    def settled(self, serial: str) -> None:
        """Note that a board serves its reservation, whether or not others of the same call do."""
        if serial in self._settling:
            self._settled.add(serial)

    async def prepare(self, record: ReservationRecord) -> None:
        """Make a board ready for its reservation; resolves when it is usable.

        Raises also `DeviceFailed`, `UnknownDevice`, `UnknownKind`, `InvalidArgument`, `ReservationEnded`.
        """
        with self._settle([record.serial]):
            # No preparation overtakes the answer to a hello, which lists all boards to prepare.
            await self.sessions.until_greeted(record.worker)
            order = to_wire(assignment(record, self.limits))
            await self._call(record.worker, "prepare", PREPARE_LIMIT, record.serial, order)

    async def prepare_all(self, records: Sequence[ReservationRecord]) -> dict[str, IcefarmError]:
        """Make boards ready for their reservations; returns, by reservation, why some are not."""
        failed: dict[str, IcefarmError] = {}
        orders, singly, workers = [], [], by_worker(records)
        for worker, some in workers:
            if worker in self._take_lists:
                lists = [some[start : start + BOARDS_AT_ONCE] for start in range(0, len(some), BOARDS_AT_ONCE)]
                orders += [partial(self._prepare_list, worker, each, failed) for each in lists]
            else:
                singly += some
        if singly:
            orders.append(partial(self._prepare_singly, singly, failed))
        await outcomes(orders, LISTS_AT_ONCE * max(1, len(workers)))
        return failed

    async def _prepare_singly(self, records: Sequence[ReservationRecord], failed: dict[str, IcefarmError]) -> None:
        failed.update(await failures({each.id: partial(self.prepare, each) for each in records}, SINGLY_AT_ONCE))

    async def _prepare_list(
        self, worker: str, records: Sequence[ReservationRecord], failed: dict[str, IcefarmError]
    ) -> None:
        with self._settle([record.serial for record in records]):
            try:
                await self.sessions.until_greeted(worker)
                wanted = {record.serial: to_wire(assignment(record, self.limits)) for record in records}
                answer = await self._call(worker, "prepare_all", PREPARE_LIMIT + ANSWER_LIMIT, wanted, PREPARE_LIMIT)
            except IcefarmError as error:
                failed.update({record.id: error for record in records})
            else:
                failed.update(_failures(records, answer))

    async def relabel(self, worker: str, serial: str, labels: Mapping[str, str]) -> None:
        """Tell a worker that a board has other labels."""
        await self._call(worker, "relabel", ANSWER_LIMIT, serial, labels)

    async def release_all(self, records: Sequence[ReservationRecord]) -> dict[str, IcefarmError]:
        """Take boards of one worker back, whose reservations have ended; returns, by reservation, why some are not."""
        worker = records[0].worker
        # Lists have one reservation of each board.
        alone = [record for record in records if worker in self._take_lists and record.within is None]
        singly = {record.id: partial(self._release_one, record) for record in records if record not in alone}
        failed = await failures(singly, SINGLY_AT_ONCE) if singly else {}
        for reason in dict.fromkeys(record.end_reason or "ended" for record in alone):
            some = [record for record in alone if (record.end_reason or "ended") == reason]
            failed.update(await self._release_list(worker, some, reason))
        return failed

    async def _release_one(self, record: ReservationRecord) -> None:
        await self.release_id(record.worker, record.serial, record.id, record.end_reason or "ended")

    async def _release_list(
        self, worker: str, records: Sequence[ReservationRecord], reason: str
    ) -> dict[str, IcefarmError]:
        with self._settle([record.serial for record in records]):
            try:
                ended = {record.serial: record.id for record in records}
                answer = await self._call(worker, "release_all", ANSWER_LIMIT, ended, reason)
            except IcefarmError as error:
                return {record.id: error for record in records}
        return _failures(records, answer)

    async def release_id(self, worker: str, serial: str, reservation: str, reason: str) -> None:
        """Release a board from a reservation; harmless if the board does not serve it."""
        with self._settle([serial]):
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
    def _settle(self, serials: Iterable[str]) -> Iterator[None]:
        counted = Counter(serials)
        self._settling += counted
        self._settled -= counted.keys()
        try:
            yield
        finally:
            # This drops those that have come to nothing.
            self._settling -= counted
            self._settled -= counted.keys()

    async def _call(
        self,
        worker: str,
        method: str,
        limit: float,
        *args: str | float | list[str] | list[dict[str, Any]] | Mapping[str, Any],
    ) -> Any:
        bus = self.routers.bus_of(worker)
        return await bus.call(worker_procedure(worker, method), args, timeout=limit)


def by_worker(records: Iterable[ReservationRecord]) -> list[tuple[str, list[ReservationRecord]]]:
    """Return the reservations of each worker's boards."""
    found: dict[str, list[ReservationRecord]] = {}
    for record in records:
        found.setdefault(record.worker, []).append(record)
    return list(found.items())


def _failures(records: Iterable[ReservationRecord], answer: Mapping[str, Any]) -> dict[str, IcefarmError]:
    """Read a worker's answer: why some boards failed, by reservation."""
    told: Mapping[str, Mapping[str, object]] = answer["failed"]
    return {record.id: error_in_answer(told[record.serial]) for record in records if record.serial in told}
