"""The reservations of a client: extended, dropped when they end, and evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import CancelledError, TimeoutError, ensureDeferred
from twisted.logger import Logger

from icefarm.bus import Bus, Progress
from icefarm.client.connection.board_calls import BoardCalls
from icefarm.client.connection.events import BoardsChange, ClientEvent
from icefarm.client.connection.groups import BoardGroup
from icefarm.client.connection.leases import Lease, Leases
from icefarm.client.connection.link import FarmLink, client_log
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, started
from icefarm.contract import ReservationRecord, control_procedure, from_wire
from icefarm.errors import IcefarmError, ReservationEnded
from icefarm.text.durations import in_words
from icefarm.text.local_time import stay_until, utc

__all__ = ["FOR_OTHERS", "ClientReservations"]

#: Seconds for the answer to a request for boards, beyond the wait for them: they may have to be flashed.
RESERVE_LIMIT = 180.0
#: Seconds for returning boards on the way out of a block, of the farm or of the script; past that, the farm does it
#: by itself.  With the end of the interpreter every way out takes less than 5 s.
LEAVE_LIMIT = 2.0
#: Why a board left that others waited for.
FOR_OTHERS = "it was given back for others"


@define(eq=False)
class ClientReservations:
    """The reservations of one client.  Errors are those of the procedures of control."""

    _clock: Clock
    _link: FarmLink
    _boards: BoardCalls
    listeners: list[Callable[[ClientEvent], None]] = field(init=False, factory=list)
    #: Boards that were reserved together and become fewer and more, by their request.
    groups: dict[str, BoardGroup] = field(init=False, factory=dict)
    _extension: Any = field(init=False, default=None)
    #: Boards whose automatic extension is in progress.
    _extending: set[str] = field(init=False, factory=set)
    #: Boards that control counts as this client's and that it does not know.
    _unknown: set[str] = field(init=False, factory=set)
    #: Reservations that are given back when nothing is on its way to their boards.
    _leaving: set[str] = field(init=False, factory=set)
    _may_hold: bool = field(init=False, default=False)
    #: The farm did not take boards back in time: the next way out does not ask again, and waits for no goodbye.
    refused: bool = field(init=False, default=False)
    #: Reservations of which the user knows that they end for a booking.
    _limited: set[str] = field(init=False, factory=set)
    #: The caller did not even wait that long.
    hurried: bool = field(init=False, default=False)
    _tasks: Tasks = field(init=False, factory=Tasks)
    _log: Logger = field(init=False, factory=lambda: client_log("reservations"))

    @property
    def leases(self) -> Leases:
        return self._boards.leases

    async def reserve(
        self,
        asked: Sequence[Any],
        *,
        limit: float | None,
        keep: bool,
        progress: Progress | None,
        on_boards_changed: Callable[[BoardsChange], None] | None = None,
    ) -> list[ReservationRecord]:
        """Call reserve with the arguments ``asked``; ``limit`` is the longest wait for boards, None for no limit.

        They include the request's id, so that the call may be repeated: it keeps its place, and gets no boards twice.
        """
        # Positional arguments: one is named ``options``, which Autobahn would take for its own together with progress.
        timeout = None if limit is None else limit + RESERVE_LIMIT

        async def once(bus: Bus) -> tuple[Any, str | None]:
            answer = await bus.call(control_procedure("reserve"), asked, timeout=timeout, progress=progress)
            return answer, None if bus is self._link.bus else bus.router_url

        self._may_hold = True
        answer, router = await self._link.retried(once, anywhere=True)
        records = [from_wire(each, ReservationRecord, "the answer to reserve") for each in answer]
        if router is not None:
            # The first one is lost, and in the answer of another, None is that one.
            records = [evolve(record, router=record.router or router) for record in records]
        for record in records:
            self._boards.leases.add(Lease.of(record, self._clock.seconds(), keep=keep))
        self._group(records, keep=keep, listener=on_boards_changed)
        for why in sorted({record.limited_by for record in records if record.limited_by is not None}):
            self._say_when_limited([record for record in records if record.limited_by == why], why)
        self._plan_extension()
        return records

    def adopt(self, records: Sequence[ReservationRecord], farm_time: float, *, keep: bool) -> None:
        """Take over reservations that the farm already has under this name."""
        self._may_hold = True
        now = self._clock.seconds()
        for record in records:
            if not self._boards.holds(record.serial, record.id):
                lease = Lease.of(record, now, keep=keep)
                self.leases.add(lease.ending(now + record.expires_at - farm_time))
        self._group(records, keep=keep)
        self._plan_extension()

    def _group(
        self,
        records: Sequence[ReservationRecord],
        *,
        keep: bool,
        listener: Callable[[BoardsChange], None] | None = None,
    ) -> None:
        """Remember which boards were reserved together, where these become fewer and more."""
        for record in records:
            if record.request is not None and record.wanted is not None:
                group = self.groups.setdefault(record.request, BoardGroup(record.request, keep, listener))
                group.records[record.serial] = record

    async def extend(self, serials: Sequence[str] | None, seconds: float | None) -> list[str]:
        """Extend reservations, all by default, and return the serials."""
        chosen = None if serials is None else list(serials)
        answer = await self._link.call(control_procedure("extend"), {"serials": chosen, "seconds": seconds})
        done = [str(serial) for serial in answer]
        self.leases.extended(done, seconds, self._clock.seconds())
        self._plan_extension()
        return done

    async def end(self, serials: Sequence[str] | None) -> list[str]:
        """End reservations, all by default, and return the serials."""
        chosen = None if serials is None else list(serials)
        answer = await self._link.call(control_procedure("end"), {"serials": chosen})
        done = [str(serial) for serial in answer]
        for serial in [*done, *(list(self.leases.by_serial) if chosen is None else chosen)]:
            self._gone(serial, None, "you ended the reservation")
        return done

    async def leave(self, serials: Sequence[str]) -> list[str]:
        """Return boards at the end of their block, in at most `LEAVE_LIMIT` seconds.  Raises nothing.

        Returns the serials of those that the farm took back in time.  Where it is out of reach, the others follow in
        the background when it answers again.
        """
        held = [serial for serial in serials if serial in self.leases.by_serial]
        if self.refused or not held:
            return []
        if await self._return(held):
            return held
        self.leases.keep_no_longer(held)
        self._tasks.start("boards that were left", partial(self.end, held))
        return []

    async def close(self, *, end: bool) -> None:
        """End all reservations, in at most `LEAVE_LIMIT` seconds, and stop the runs.  Raises nothing."""
        self._boards.stop()
        self._tasks.stop()
        if self._extension is not None and self._extension.active():
            self._extension.cancel()
        if end and self._may_hold and not self.refused and self._link.any_bus is not None:
            await self._return(None)
        self.leases.by_serial.clear()

    async def _return(self, serials: list[str] | None) -> bool:
        """End reservations, all by default, and tell whether the farm said so in time."""
        ending = started(partial(self._end_once, serials))
        ending.addTimeout(LEAVE_LIMIT, self._clock)  # type: ignore[arg-type]
        try:
            await ending
        except (IcefarmError, TimeoutError) as error:
            self.refused = True
            self._say_what_stays(serials, error)
            return False
        except CancelledError:
            self.refused = self.hurried = True
            raise
        return True

    async def _end_once(self, serials: list[str] | None) -> None:
        bus = self._link.any_bus or await self._link.session(LEAVE_LIMIT)
        answer = await bus.call(control_procedure("end"), (), {"serials": serials}, timeout=LEAVE_LIMIT)
        for serial in {*answer, *(serials or ())}:
            self._gone(str(serial), None, "you ended the reservation")

    def _say_what_stays(self, serials: list[str] | None, error: Exception) -> None:
        left = [lease for serial, lease in self.leases.by_serial.items() if serials is None or serial in serials]
        if not left:
            return
        seconds = max(lease.expires for lease in left) - self._clock.seconds()
        self._log.warn(
            "could not return {serials} in time ({error}); the farm frees them when this client has been gone for its "
            "grace period, and in {seconds} at the latest",
            serials=", ".join(lease.record.serial for lease in left),
            error=str(error) or type(error).__name__,
            seconds=in_words(max(1.0, round(seconds))),
        )

    def _say_when_limited(self, records: Sequence[ReservationRecord], why: str) -> None:
        """Say that boards can be kept only until a booking begins."""
        self._limited.update(record.id for record in records)
        ends = utc(min(record.expires_at for record in records))
        self._log.warn("{kept}", kept=stay_until([record.serial for record in records], ends, why))

    def _warn_of_booking(self, serial: str, reservation: str | None, fields: Mapping[str, Any]) -> None:
        """A reservation ends soon since its board is booked: say so, unless that was said when it was made."""
        why, expires_at = fields.get("limited_by"), fields.get("expires_at")
        if reservation is None or reservation in self._limited or not isinstance(why, str):
            return
        self._limited.add(reservation)
        ends = utc(expires_at) if isinstance(expires_at, int | float) else "soon"
        self._log.warn("the reservation of {serial} ends at {ends}: {why}", serial=serial, ends=ends, why=why)

    def heard(self, _: str, __: Sequence[Any], fields: Mapping[str, Any]) -> None:
        """Handle an event for this client."""
        serial, reservation, reason = (
            None if fields.get(name) is None else str(fields[name]) for name in ("serial", "reservation", "reason")
        )
        event = ClientEvent(str(fields.get("event")), serial, reservation, reason, fields)
        self._act_on(event)
        for listener in list(self.listeners):
            listener(event)

    def _act_on(self, event: ClientEvent) -> None:
        fields, serial = event.fields, event.serial
        match event.name:
            case "ended" if serial is not None:
                # Of one that is given back, the farm may say so before it answers.
                given_back = event.reservation in self._leaving
                reason = FOR_OTHERS if given_back else event.reason or "it has ended"
                self._gone(serial, event.reservation, reason)
            case "ending_soon" if serial is not None:
                self._warn_of_booking(serial, event.reservation, fields)
                lease = self.leases.by_serial.get(serial)
                if lease is not None and lease.ends_sooner_than_thought(self._clock.seconds()):
                    self._extend_in_background({lease.length: [serial]})
            case "give_back" if serial is not None:
                self._give_back(serial, event.reservation, event.reason or "others wait for it")
            case "give_back_soon":
                self._log.warn(
                    "board {serial} is to be given back in {seconds}: {reason}; evaluations in flight finish first",
                    serial=serial,
                    seconds=in_words(round(float(fields.get("seconds", 0)))),
                    reason=event.reason,
                )
            case "joined":
                self._joined(from_wire(fields.get("record"), ReservationRecord, "the record of a board that joined"))
            case "failure":
                self._log.warn("board {serial}: {reason}", serial=serial, reason=event.reason)

    def on_heartbeat_reply(self, answer: Mapping[str, Any], asked_at: float) -> None:
        """Handle control's answer to a heartbeat, which lists the active reservations."""
        self.refused = False
        for serial in self.leases.missing(answer["reservations"], asked_at):
            self._gone(serial, None, "it ended while the connection was lost")
        unknown = set(answer["reservations"]) - self.leases.by_serial.keys()
        if unknown and self.groups and unknown == self._unknown:
            # Twice in a row: what came was not heard of, for the connection was lost.
            self._tasks.start("boards that came", self._find_joined)
        self._unknown = unknown

    def _give_back(self, serial: str, reservation: str | None, reason: str) -> None:
        """Give a board back as soon as nothing is on its way to it.  Harmless when it was told before."""
        lease = self.leases.by_serial.get(serial)
        if lease is None or lease.record.id != reservation or reservation in self._leaving:
            return
        self._leaving.add(reservation)
        self._log.info("board {serial} is given back: {reason}", serial=serial, reason=reason)
        self._tasks.start("a board that is given back", partial(self._end_when_idle, serial, reservation))

    async def _end_when_idle(self, serial: str, reservation: str) -> None:
        try:
            await self._boards.retire(serial)
            if self._boards.holds(serial, reservation):
                # By its id: the board may have come back before this answer, or before the call is made again.
                await self._link.call(control_procedure("end"), {"reservations": [reservation]})
                self._gone(serial, reservation, FOR_OTHERS)
        finally:
            self._leaving.discard(reservation)

    def _joined(self, record: ReservationRecord) -> None:
        """Take a board that the farm gave to a request of this client."""
        group = None if record.request is None else self.groups.get(record.request)
        if group is None or self._boards.holds(record.serial, record.id):
            return
        if not any(lease.record.request == record.request for lease in self.leases.by_serial.values()):
            # All others were given back while it was made ready.
            self._tasks.start("a board that came too late", partial(self.end, [record.serial]))
            return
        before = self._boards.leases.by_serial.get(record.serial)
        if before is not None:
            self._gone(record.serial, before.record.id, FOR_OTHERS)
        self._log.info("got board {serial}, which this client was waiting for", serial=record.serial)
        self.leases.add(Lease.of(record, self._clock.seconds(), keep=group.keep))
        group.records[record.serial] = record
        self._plan_extension()
        self._boards.joined(record.serial, group.id)
        group.tell(BoardsChange(came=(record.serial,)))

    async def _find_joined(self) -> None:
        found = await self._link.call(control_procedure("snapshot"))
        for each in found["reservations"]:
            record = from_wire(each, ReservationRecord, "a reservation")
            if record.client == self._link.identity and record.ended_at is None:
                self._joined(record)

    def _gone(self, serial: str, reservation: str | None, reason: str) -> None:
        lease = self.leases.remove(serial, reservation)
        if lease is not None:
            error = ReservationEnded(
                f"the reservation of board {serial} has ended: {reason}", serial=serial, reservation=lease.record.id
            )
            self._boards.lost(serial, error)
            group = self.groups.get(lease.record.request or "")
            if group is not None:
                group.tell(BoardsChange(left=(serial,), reason=reason))

    def _plan_extension(self) -> None:
        if self._extension is not None and self._extension.active():
            self._extension.cancel()
        due = self.leases.next_due()
        if due is not None:
            delay = max(0.0, due - self._clock.seconds())
            self._extension = self._clock.callLater(delay, self._extend_due)

    def _extend_due(self) -> None:
        self._extend_in_background(self.leases.take_due(self._clock.seconds()))
        self._plan_extension()

    def _extend_in_background(self, due: Mapping[float, Sequence[str]]) -> None:
        for seconds, serials in due.items():
            fresh = set(serials) - self._extending
            if fresh:
                self._extending |= fresh
                extending = ensureDeferred(self._keep(sorted(fresh), seconds))
                extending.addErrback(lambda failure: self._log.failure("extending the reservations failed", failure))

    async def _keep(self, serials: list[str], seconds: float) -> None:
        try:
            await self.extend(serials, seconds)
        except IcefarmError as error:
            if any(serial in self.leases.by_serial for serial in serials):
                self._log.warn("could not extend {serials}: {error}", serials=serials, error=error)
        finally:
            self._extending.difference_update(serials)
