"""Asks groups of boards for some of them, and gives them more: what `icefarm.control.scheduling.elastic` decided.

Theory of operation
-------------------
A board that a group is asked for stays its client's until the client gives it back: it sends no more evaluations
there, lets those on their way end, and ends the reservation.  So nothing is lost and nothing is carried out twice.

    ask ──> ASKED ── every ASK_AGAIN s: the client is asked again (its link may have been down)
              │
              ├── the client ends the reservation ──> free
              └── LONGEST s later ──> ended without it: the client is of an earlier version, or out of reach

What is asked for is known to this process only: after a restart the queue is walked again, and asks for it again.

A group that gets a board has it on probation while the board is made ready; then its client is told of it
(`BoardJoined`).  One that misses the message sees the board in the answer to its next heartbeat.  A group without
boards has ended: what still comes for it is given back, here or by the client.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import ReservationRecord, account_of
from icefarm.control.reservations.calls import UnansweredCalls
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.elastic import GROWS, Group
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.placement import ReservationRequest, Terms
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import (
    BoardJoined,
    BoardWanted,
    Event,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsStarted,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import PREPARE_LIMIT, WorkerClient
from icefarm.errors import IcefarmError, ReservationEnded
from icefarm.selectors.boards import parse_boards

__all__ = ["ASK_AGAIN", "LONGEST", "Groups"]

#: Seconds until a client is asked for a board again.
ASK_AGAIN = 10.0
#: Seconds that a client has to finish its evaluations in flight.
LONGEST = 600.0
#: Seconds for which a board that did not get ready is not given to a group.
AVOIDED = 60.0


@define(eq=False)
class _Asked:
    record: ReservationRecord
    reason: str
    until: float
    timer: Any = None


@define(eq=False)
class Groups:
    """A subscriber.  The queue asks it for boards, and has it give boards to groups."""

    store: Store
    worker_client: WorkerClient
    termination: Termination
    unanswered: UnansweredCalls
    publisher: Publisher
    sessions: Sessions
    limits: FarmLimits
    clock: Clock
    #: Seconds of a reservation that its client says nothing about.
    seconds: float
    #: By the id of the reservation.
    _asked: dict[str, _Asked] = Factory(dict)
    #: Boards that did not get ready, and until when they are avoided.
    _bad: dict[str, float] = Factory(dict)
    #: Boards that clients returned unasked, by request, which does not get them again.
    _returned: dict[str, set[str]] = Factory(dict)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def heard(self, event: Event) -> None:
        """Reservations ended: their boards are not asked for any more."""
        if isinstance(event, ReservationsEnded):
            for record in event.records:
                self._forget(record.id)

    def stop(self) -> None:
        """Ask for nothing more."""
        self._tasks.stop()
        for id in list(self._asked):
            self._forget(id)

    # ------------------------------------------------------------------------------------------------- fewer boards

    def leaving(self) -> set[str]:
        """Return the serials of the boards that were asked for."""
        return {asked.record.serial for asked in self._asked.values()}

    def asked(self) -> set[str]:
        """Return the ids of the reservations whose boards were asked for."""
        return set(self._asked)

    def ask(self, records: Iterable[ReservationRecord], reason: str) -> None:
        """Ask the holders of these boards for them.  Harmless where they were asked before."""
        for record in records:
            if record.id not in self._asked:
                self._asked[record.id] = _Asked(record, reason, self.clock.seconds() + LONGEST)
                self._log.info(
                    "{client} is asked for board {serial}: {reason}",
                    client=record.client,
                    serial=record.serial,
                    reason=reason,
                )
                self._tell(record.id)

    def _tell(self, id: str) -> None:
        asked = self._asked[id]
        left = asked.until - self.clock.seconds()
        if left <= 0:
            self._forget(id)
            self.termination.schedule_end([id], f"{asked.reason}; its client did not give it back in time")
            return
        self.publisher.publish(BoardWanted(asked.record, asked.reason, left))
        asked.timer = self.clock.callLater(min(ASK_AGAIN, left), self._tell, id)

    def _forget(self, id: str) -> None:
        asked = self._asked.pop(id, None)
        if asked is not None and asked.timer is not None and asked.timer.active():
            asked.timer.cancel()

    # -------------------------------------------------------------------------------------------------- more boards

    def requests(
        self, groups: Iterable[Group], active: Sequence[ReservationRecord], access: AccessRules
    ) -> dict[str, tuple[QueuedRequest, Group]]:
        """Return the requests for more boards of groups that miss some, by their ids.

        A group whose client has no answer yet gets none: its first boards are being replaced where they fail.
        """
        now = self.clock.seconds()
        self._bad = {serial: until for serial, until in self._bad.items() if until > now}
        groups = list(groups)
        present = {group.id for group in groups}
        self._returned = {id: serials for id, serials in self._returned.items() if id in present}
        found = {}
        # What its groups ask for counts for an account at once: together they get no more than it may hold.
        held = Counter(account_of(record.client) for record in active)
        for group in groups:
            account = account_of(group.client)
            missing = min(group.missing, int(self.limits.of(account).boards) - held[account])
            if missing > 0 and self._is_answered(group) and self.sessions.state.client_is_here(group.client):
                held[account] += missing
                first = group.records[0]
                where = None if first.where is None else parse_boards(first.where)
                allowance = access.of(group.client).lasting(self._seconds_of(group))
                request = ReservationRequest(
                    first.kind,
                    missing,
                    None,
                    first.options,
                    at_least=1,
                    avoid=self._bad.keys() | self._returned.get(group.id, set()),
                    where=where,
                    allowance=allowance,
                )
                id = f"{GROWS}{group.client} {group.id}"
                began = min(record.created_at for record in group.records)
                queued = QueuedRequest(id, group.client, request, since=began, priority=group.priority, grows=True)
                found[id] = (queued, group)
        return found

    def returned(self, request: str, serials: Iterable[str]) -> None:
        """Do not give these boards to a request again: its client returned them unasked."""
        self._returned.setdefault(request, set()).update(serials)

    def avoid(self, serials: Iterable[str]) -> None:
        """Give no group these boards for a while: they did not get ready."""
        until = self.clock.seconds() + AVOIDED
        self._bad.update(dict.fromkeys(serials, until))

    async def grow(self, group: Group, serials: Sequence[str]) -> None:
        """Give these boards to a group; they are made ready in the background.  Raises what `Store.reserve` does."""
        first = group.records[0]
        records = await self.store.reserve(
            group.client,
            ReservationRequest(first.kind, serials=serials, options=first.options),
            PREPARE_LIMIT + 30.0,
            request_id=group.id,
            grace=first.grace,
            more=True,
            terms=Terms(group.priority, group.wanted, group.at_least, first.where),
        )
        self.unanswered.hold(records)
        self.publisher.publish(ReservationsStarted(records))
        self._tasks.start("boards for a group", partial(self._make_ready, group, records))

    def _is_answered(self, group: Group) -> bool:
        return not all(self.unanswered.is_unconfirmed(record.id) for record in group.records)

    def _seconds_of(self, group: Group) -> float:
        """Return how long its new boards are reserved for."""
        return min(self.seconds, self.limits.of(group.client).seconds)

    async def _make_ready(self, group: Group, records: Sequence[ReservationRecord]) -> None:
        try:
            await self._prepare(group, records)
        finally:
            self.unanswered.let_go(records)

    async def _prepare(self, group: Group, records: Sequence[ReservationRecord]) -> None:
        failed = await self.worker_client.prepare_all(records)
        self.avoid(record.serial for record in records if record.id in failed)
        self.termination.schedule_end(failed, "the board did not get ready")
        ready = [record.serial for record in records if record.id not in failed]
        if not ready:
            return
        try:
            await self._check_lasts(group, records)
            confirmed = await self.store.extend(group.client, ready, self._seconds_of(group))
        except IcefarmError as error:
            self.termination.schedule_end([record.id for record in records], f"the board did not get ready: {error}")
            return
        self.publisher.publish(ReservationsExtended(confirmed))
        for record in confirmed:
            self.publisher.publish(BoardJoined(record))

    async def _check_lasts(self, group: Group, came: Sequence[ReservationRecord]) -> None:
        """Raise `ReservationEnded` if a group has lost its other boards: its client no longer expects these."""
        new = {record.id for record in came}
        if all(record.id in new for record in await self.store.answered(group.client, group.id)):
            raise ReservationEnded("the others of its group were given back")
