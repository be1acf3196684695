"""Calls to the boards that a client has reserved: under their reservations, again where the connection was lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import attrs
from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from icefarm.bus import Bus
from icefarm.client.connection.absences import Absences
from icefarm.client.connection.leases import Lease, Leases
from icefarm.client.connection.link import FarmLink, Retries, client_log
from icefarm.client.evaluation.sent import Sent, is_difference
from icefarm.client.evaluation.tasks import Attempts
from icefarm.client.evaluation.worker_lists import Alone, WorkerLists
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import Measurement, from_wire
from icefarm.errors import (
    Busy,
    IcefarmError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    ReservationEnded,
    TimedOut,
    Unavailable,
    UnknownBitstream,
)

__all__ = ["BoardCalls", "BoardUser"]

#: Seconds for a worker's answer to what is withdrawn.
WITHDRAW_LIMIT = 10.0

_log = client_log("boards")
#: How a worker refuses an argument that it does not know.
_NOTE_REFUSED = "unexpected keyword argument 'note'"
_FIELDS = frozenset(attribute.name for attribute in attrs.fields(Measurement))


class BoardUser(Protocol):
    """Evaluates on boards; `icefarm.client.evaluation.run.EvaluationRun` is one."""

    def lose_board(self, serial: str, error: IcefarmError) -> None:
        """The board is no longer reserved."""

    def add_board(self, serial: str, group: str) -> None:
        """A board came to those of a request."""

    def retire_board(self, serial: str) -> None:
        """The board is to be given back."""

    def withdrawable(self, serial: str) -> list[str]:
        """Return the ids of evaluations on their way to the board that others may carry out."""

    def uses(self, serial: str) -> bool:
        """Tell whether something for the board is on its way, or waits for it."""

    def board_away(self, serial: str) -> None:
        """Nobody serves the board now: its worker is away."""

    def board_back(self, serial: str) -> None:
        """The board is served again."""

    def stop(self) -> None:
        """No board is."""


@define(eq=False)
class BoardCalls:
    """What runs of evaluations need of a client's connection and of its reservations."""

    _clock: Clock
    _link: FarmLink
    leases: Leases = Factory(Leases)
    _sent: Sent = Factory(Sent)
    #: The workers of its boards, by name, as the present session reaches them.
    _workers: dict[str, WorkerLists] = Factory(dict)
    #: Workers that take no note of an evaluation: they are older than the archive.
    _noteless: set[str] = Factory(set)
    _users: list[BoardUser] = Factory(list)
    #: Calls that are on their way to each board.
    _calls: Counter[str] = Factory(Counter)
    #: Boards that are to be given back, and what fires when nothing is on its way to them.
    retiring: dict[str, Deferred[None]] = Factory(dict)
    _tasks: Tasks = Factory(Tasks)
    _absences: Absences = Factory(
        lambda self: Absences(self._clock, self._link, self.leases, self, self._link.patience.board), takes_self=True
    )

    def holds(self, serial: str, reservation: str) -> bool:
        """Tell whether that reservation still stands, as far as is known here."""
        lease = self.leases.by_serial.get(serial)
        return lease is not None and lease.record.id == reservation

    async def evaluate(
        self, serial: str, arguments: Mapping[str, Any], attempts: Attempts, limit: float | None
    ) -> Measurement:
        """Evaluate on a board; ``attempts`` numbers the calls, each of which may take ``limit`` seconds.

        While the board's worker is away it waits, for as long as the board is reserved: that time does not count.
        Raises `ReservationEnded`, and what the board's kind and the connection raise.
        """
        lease = self.leases.by_serial.get(serial)
        if lease is None:
            raise ReservationEnded(f"board {serial} is no longer reserved by you", serial=serial)
        self._calls[serial] += 1
        try:
            answer = await self._answered(lease, arguments, attempts, limit)
        finally:
            self._call_ended(serial)
        return _measurement(answer, serial)

    async def _answered(
        self, lease: Lease, arguments: Mapping[str, Any], attempts: Attempts, limit: float | None
    ) -> Any:
        """Repeat a call to a board while the error is a passing one or its worker is away."""
        retries = Retries(self._link_to(lease))
        while True:
            while self._is_cut_off(retries.link):
                await self._absences.wait(lease)
                retries = Retries(self._link_to(lease))
            bus = retries.link.bus or await retries.session(anywhere=retries.link.is_lost)
            if bus is not retries.link.bus:
                # One at another router, which may say that the board is elsewhere now.
                continue
            attempts.made += 1
            try:
                return await self._attempt(bus, lease, {**arguments, "attempt": attempts.made}, limit)
            except (Busy, LinkLost, NoSuchProcedure, TimedOut, Unavailable) as error:
                retries = await self._wait_out(error, lease, bus, retries)

    async def _wait_out(self, error: IcefarmError, lease: Lease, bus: Bus, retries: Retries) -> Retries:
        """Wait until a board may be called again; returns what counts the attempts from then on.

        Raises the error where that is for the caller.
        """
        if isinstance(error, Busy):
            await retries.pause(error)
            return retries
        if isinstance(error, Unavailable):
            if not self.leases.redirected(lease, error, self._link.router_urls):
                raise error
        elif isinstance(error, TimedOut):
            if await self._absences.is_served(lease):
                raise error
            await self._absences.wait(lease)
        else:
            # Calls fail before the link hears that its own connection is lost.
            await deferLater(self._clock, 0)  # type: ignore[arg-type]
            if retries.link.bus is not bus and not self._is_cut_off(retries.link):
                await retries.pause(error)
                return retries
            await self._absences.wait(lease)
        return Retries(self._link_to(lease))

    def _link_to(self, lease: Lease) -> FarmLink:
        """Return the link to the router of a board: the client's only one where the farm names none."""
        held = self.leases.by_serial.get(lease.record.serial, lease)
        return self._link if held.record.router is None else self._link.at(held.record.router)

    def _is_cut_off(self, link: FarmLink) -> bool:
        """Tell whether a board's router is lost, and another one is in reach that says where the board is."""
        return link.bus is None and link.is_lost and self._link.any_bus is not None

    async def _attempt(self, bus: Bus, lease: Lease, call: Mapping[str, Any], limit: float | None) -> Any:
        """Call a board once: with as little of its bitstream as its worker needs, or all of it."""
        record = lease.record
        if not self.holds(record.serial, record.id):
            raise ReservationEnded(f"the reservation of board {record.serial} has ended", serial=record.serial)
        worker = self._known(bus, lease)
        whole = brief = call["bitstream"]
        if call["attempt"] == 1:
            brief = self._sent.briefly(record.worker, whole, bool(worker.takes_lists and worker.takes_deltas))
        told = {**call, "bitstream": brief, "reservation": record.id}
        try:
            return await self._called(worker, lease, told, limit)
        except UnknownBitstream:
            self._sent.missed(record.worker, whole, brief)
        return await self._called(self._known(bus, lease), lease, {**told, "bitstream": whole}, limit)

    def _known(self, bus: Bus, lease: Lease) -> WorkerLists:
        """Return a board's worker, as a session reaches it; one that is not known is asked what it takes."""
        worker = self._workers.get(lease.record.worker)
        if worker is None or worker.bus is not bus:
            worker = self._workers[lease.record.worker] = WorkerLists(self._clock, bus, _log)
        if worker.takes_lists is None:
            worker.ask(lease)
        return worker

    async def _called(self, worker: WorkerLists, lease: Lease, call: Mapping[str, Any], limit: float | None) -> Any:
        """Call a board's ``evaluate``, in a list where the worker takes lists."""
        if worker.takes_lists:
            try:
                return await worker.evaluate(lease, call, limit)
            except Alone:
                if is_difference(call["bitstream"]):
                    # Perhaps it is another worker now, of an earlier version.
                    raise UnknownBitstream from None
        return await self._called_alone(worker.bus, lease, call, limit)

    async def _called_alone(self, bus: Bus, lease: Lease, call: Mapping[str, Any], limit: float | None) -> Any:
        """Call a board's ``evaluate``.  A worker that is older than the archive takes no note, and gets none."""
        worker, procedure = lease.record.worker, lease.prefix + "evaluate"
        if worker not in self._noteless:
            try:
                return await bus.call(procedure, (), call, timeout=limit)
            except InvalidArgument as error:
                if _NOTE_REFUSED not in error.message:
                    raise
                if worker not in self._noteless:
                    text = "worker {worker} is older than the archive: what its boards measure is not kept"
                    _log.warn(text, worker=worker)
                self._noteless.add(worker)
        return await bus.call(procedure, (), {n: v for n, v in call.items() if n != "note"}, timeout=limit)

    async def ask(self, serial: str, method: str, arguments: Mapping[str, Any], limit: float | None) -> Any:
        """Call another method of a board's kind, once."""
        lease = self.leases.by_serial.get(serial)
        if lease is None:
            raise ReservationEnded(f"board {serial} is not reserved by you", serial=serial)
        call = {**arguments, "reservation": lease.record.id}
        self._calls[serial] += 1
        try:
            try:
                return await self._asked(lease, method, call, limit)
            except Unavailable as error:
                if not self.leases.redirected(lease, error, self._link.router_urls):
                    raise
                return await self._asked(lease, method, call, limit)
        except IcefarmError as error:
            about = {"board": serial, "reservation": lease.record.id, "evaluation": arguments.get("evaluation_id")}
            _log.debug("{method} on board {board} failed: {error}", method=method, error=error, **about)
            raise
        finally:
            self._call_ended(serial)

    async def _asked(self, lease: Lease, method: str, call: Mapping[str, Any], limit: float | None) -> Any:
        link = self._link_to(lease)
        bus = link.bus or await link.session(link.patience.retry)
        return await bus.call(lease.prefix + method, (), call, timeout=limit)

    # ------------------------------------------------------------------------------------------------- the users

    def follow(self, user: BoardUser) -> list[str]:
        """Tell ``user`` from now on what happens to boards; return those whose worker is away now."""
        self._users.append(user)
        return [serial for serial in self.leases.by_serial if serial in self._absences.away]

    def unfollow(self, user: BoardUser) -> None:
        """Tell ``user`` nothing any more."""
        self._users.remove(user)
        for serial in self.retiring:
            self._clock.callLater(0, self._look_at, serial)

    def joined(self, serial: str, group: str) -> None:
        """A board came to those of a request."""
        for user in list(self._users):
            user.add_board(serial, group)

    def retire(self, serial: str) -> Deferred[None]:
        """Send nothing more to a board; the answer fires when nothing is on its way to it any more.

        What its worker has not begun, and another board may carry out, is withdrawn there.
        """
        idle = self.retiring.setdefault(serial, Deferred())
        withdrawable: list[str] = []
        for user in list(self._users):
            user.retire_board(serial)
            withdrawable += user.withdrawable(serial)
        lease = self.leases.by_serial.get(serial)
        if withdrawable and lease is not None:
            what = f"evaluations on board {serial} are withdrawn"
            self._tasks.start(what, partial(self._withdraw, lease, withdrawable))
        self._clock.callLater(0, self._look_at, serial)
        return idle

    async def _withdraw(self, lease: Lease, ids: Sequence[str]) -> None:
        """Have a board begin none of these evaluations; the answers to their own calls say which it had not begun.

        A worker that is older than this knows nothing of it: they are carried out then.
        """
        call = {"reservation": lease.record.id, "evaluations": list(ids)}

        async def once(bus: Bus) -> None:
            if self.holds(lease.record.serial, lease.record.id):
                await bus.call(lease.prefix + "withdraw", (), call, timeout=WITHDRAW_LIMIT)

        try:
            await self._link_to(lease).retried(once)
        except IcefarmError as error:
            _log.debug("board {board} carries out what it has: {error}", board=lease.record.serial, error=error)

    def flush(self) -> None:
        """Send what was to be sent to workers in this turn: nothing is added to it."""
        for worker in self._workers.values():
            worker.flush()

    def _call_ended(self, serial: str) -> None:
        self._calls[serial] -= 1
        if serial in self.retiring:
            # Once its user has the answer, and has sent what waits for this very board.
            self._clock.callLater(0, self._look_at, serial)

    def _look_at(self, serial: str) -> None:
        idle = self.retiring.get(serial)
        if idle is None or idle.called or self._calls[serial] or any(user.uses(serial) for user in self._users):
            return
        idle.callback(None)

    def lost(self, serial: str, error: IcefarmError) -> None:
        """A board is no longer reserved."""
        idle = self.retiring.pop(serial, None)
        for user in list(self._users):
            user.lose_board(serial, error)
        if idle is not None and not idle.called:
            idle.callback(None)

    def board_away(self, serial: str) -> None:
        """Nobody serves the board now."""
        for user in list(self._users):
            user.board_away(serial)

    def board_back(self, serial: str) -> None:
        """The board is served again, perhaps by a worker of another version."""
        if serial in self.leases.by_serial:
            worker = self.leases.by_serial[serial].record.worker
            self._noteless.discard(worker)
            if worker in self._workers:
                self._workers[worker].takes_lists = None
        for user in list(self._users):
            user.board_back(serial)

    def stop(self) -> None:
        """The client gives up all boards."""
        self._absences.stop()
        self._tasks.stop()
        for user in list(self._users):
            user.stop()


def _measurement(answer: Any, serial: str) -> Measurement:
    """Check an answer that arrived; fields that a newer farm adds are left out.  Raises `InvalidArgument`."""
    if isinstance(answer, dict) and not answer.keys() <= _FIELDS:
        answer = {name: value for name, value in answer.items() if name in _FIELDS}
    return from_wire(answer, Measurement, f"the answer of board {serial}")
