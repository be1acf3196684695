"""The reservations of a client: extended, dropped when they end, and evaluated on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.defer import ensureDeferred
from twisted.logger import Logger

from icefarm.bus import Bus, Progress
from icefarm.client.connection.board_calls import BoardCalls
from icefarm.client.connection.leases import Lease, Leases
from icefarm.client.connection.link import FarmLink, client_log
from icefarm.clock import Clock
from icefarm.contract import ReservationRecord, control_procedure, from_wire
from icefarm.errors import IcefarmError, ReservationEnded

__all__ = ["ClientEvent", "ClientReservations"]

#: Seconds for the answer to a request for boards, beyond the wait for them: they may have to be flashed.
RESERVE_LIMIT = 180.0
#: Seconds for ending the reservations when the session ends; past that, control's grace period does it.
END_LIMIT = 5.0


@frozen
class ClientEvent:
    """An event for this client: initialised, ending_soon, ended, failure, or an event of a device kind."""

    name: str
    serial: str | None
    reservation: str | None
    reason: str | None
    fields: Mapping[str, Any]


@define(eq=False)
class ClientReservations:
    """The reservations of one client.  Errors are those of the procedures of control."""

    _clock: Clock
    _link: FarmLink
    _boards: BoardCalls
    listeners: list[Callable[[ClientEvent], None]] = field(init=False, factory=list)
    _extension: Any = field(init=False, default=None)
    #: Boards whose automatic extension is in progress.
    _extending: set[str] = field(init=False, factory=set)
    _may_hold: bool = field(init=False, default=False)
    _log: Logger = field(init=False, factory=lambda: client_log("reservations"))

    @property
    def leases(self) -> Leases:
        return self._boards.leases

    async def reserve(
        self, asked: Sequence[Any], *, limit: float | None, keep: bool, progress: Progress | None
    ) -> list[ReservationRecord]:
        """Call reserve with the arguments ``asked``; ``limit`` is the longest wait for boards, None for no limit.

        They include the request's id, so that the call may be repeated: it keeps its place, and gets no boards twice.
        """
        # Positional arguments: one is named ``options``, which Autobahn would take for its own together with progress.
        timeout = None if limit is None else limit + RESERVE_LIMIT

        async def once(bus: Bus, _: int) -> Any:
            return await bus.call(control_procedure("reserve"), asked, timeout=timeout, progress=progress)

        self._may_hold = True
        answer = await self._link.retried(once)
        records = [from_wire(each, ReservationRecord, "the answer to reserve") for each in answer]
        for record in records:
            self.leases.add(Lease.of(record, self._clock.seconds(), keep=keep))
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
        self._plan_extension()

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

    async def close(self, *, end: bool) -> None:
        """End all reservations, in a bounded time, and stop the runs.  Raises nothing."""
        self._boards.stop()
        if self._extension is not None and self._extension.active():
            self._extension.cancel()
        bus = self._link.bus
        if end and bus is not None and self._may_hold:
            try:
                await bus.call(control_procedure("end"), timeout=END_LIMIT)
            except IcefarmError as error:
                self._log.warn("could not end the reservations; the farm will: {error}", error=error)
        self.leases.by_serial.clear()

    def heard(self, _: str, __: Sequence[Any], fields: Mapping[str, Any]) -> None:
        """Handle an event for this client."""
        serial, reservation, reason = (
            None if fields.get(name) is None else str(fields[name]) for name in ("serial", "reservation", "reason")
        )
        event = ClientEvent(str(fields.get("event")), serial, reservation, reason, fields)
        if event.name == "ended" and event.serial is not None:
            self._gone(event.serial, event.reservation, event.reason or "it has ended")
        elif event.name == "ending_soon" and event.serial is not None:
            lease = self.leases.by_serial.get(event.serial)
            if lease is not None and lease.ends_sooner_than_thought(self._clock.seconds()):
                self._extend_in_background({lease.length: [event.serial]})
        elif event.name == "failure":
            self._log.warn("board {serial}: {reason}", serial=event.serial, reason=event.reason)
        for listener in list(self.listeners):
            listener(event)

    def on_heartbeat_reply(self, answer: Mapping[str, Any], asked_at: float) -> None:
        """Handle control's answer to a heartbeat, which lists the active reservations."""
        for serial in self.leases.missing(answer["reservations"], asked_at):
            self._gone(serial, None, "it ended while the connection was lost")

    def _gone(self, serial: str, reservation: str | None, reason: str) -> None:
        lease = self.leases.remove(serial, reservation)
        if lease is not None:
            error = ReservationEnded(
                f"the reservation of board {serial} has ended: {reason}", serial=serial, reservation=lease.record.id
            )
            self._boards.lost(serial, error)

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
