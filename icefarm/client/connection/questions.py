"""What a client asks the farm beyond its own boards: records, history, bookings, access."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

import attrs
from attrs import define, frozen

from icefarm.arguments import passes_over_unknown
from icefarm.calibration.records import Calibration, Reading
from icefarm.client.api.arguments import checked
from icefarm.contract import (
    AccessRule,
    BookingRecord,
    DeviceRecord,
    ExperimentRecord,
    QueueRecord,
    ReservationRecord,
    ShareRecord,
    UsageRecord,
    WorkerRecord,
    from_wire,
)

__all__ = ["Access", "FarmCalls", "FarmQuestions", "Snapshot"]


@frozen
class Snapshot:
    """The farm at one moment."""

    workers: list[WorkerRecord]
    devices: list[DeviceRecord]
    reservations: list[ReservationRecord]
    queue: list[QueueRecord]
    #: By the farm's clock, seconds since the epoch.
    time: float
    #: The farm's version and settings.
    farm: dict[str, Any]
    #: What accounts have used lately, the largest share first; empty if the farm does not say.
    shares: list[ShareRecord] = attrs.Factory(list)
    #: Those that have not ended, the first to begin first; empty if the farm does not say.
    bookings: list[BookingRecord] = attrs.Factory(list)


@passes_over_unknown
@frozen
class Access:
    """What an account may have: everything, if it has no rules."""

    account: str
    #: None: it is in none.
    group: str | None
    rules: list[AccessRule]


@define(eq=False)
class FarmCalls:
    """Makes calls; `icefarm.client.session.ClientSession` is one."""

    def call(self, verb: str, **arguments: Any) -> Coroutine[Any, Any, Any]:
        """Call one of control's procedures, which may be carried out twice."""
        raise NotImplementedError


@define(eq=False)
class FarmQuestions(FarmCalls):
    """The verbs that every client has beside those for its boards."""

    @checked
    async def available(self, kind: str | None = None, *, where: str | None = None, shared: bool = False) -> list[str]:
        """Return the serials of the boards that can be reserved now; with ``where``, of those that it selects.

        With ``shared``, of those that have a place for one more client that shares them as that kind.
        """
        # Left out where they are not used, for farms that do not know them.
        more = {name: value for name, value in {"where": where, "shared": shared or None}.items() if value is not None}
        answer = await self.call("available", kind=kind, **more)
        return [str(serial) for serial in answer["serials"]]

    async def snapshot(self) -> Snapshot:
        """Return the farm's state: all records."""
        answer = await self.call("snapshot")
        known = {each.name: answer.get(each.name) for each in attrs.fields(Snapshot) if each.name in answer}
        return from_wire(known, Snapshot, "the answer to snapshot")

    @checked
    async def board_history(self, serial: str) -> dict[str, Any]:
        """Return a board's last day: its states, measurements by the minute, and lines of its worker's log."""
        return dict(await self.call("device_history", serial=serial))

    async def journal(self) -> dict[str, Any]:
        """Return recent changes of boards and reservations, and lines of workers' logs."""
        return dict(await self.call("journal"))

    @checked
    async def experiments(self, *, account: str | None = None, since: float | None = None) -> list[ExperimentRecord]:
        """Return the experiments that this client may read, the last active one first.

        They are those of one ``account``, or of all; and active ``since`` then, in seconds since the epoch.
        """
        found: list[ExperimentRecord] = []
        after = None
        while True:
            answer = await self.call("experiments", account=account, since=since, after=after, limit=1000)
            found += [from_wire(each, ExperimentRecord) for each in answer["experiments"]]
            after = answer["next"]
            if after is None:
                return found

    @checked
    async def usage(
        self, by: str = "account", *, since: float | None = None, until: float | None = None, account: str | None = None
    ) -> list[UsageRecord]:
        """Return how much was used, the longest time first: ``by`` account, board or experiment; several with commas.

        It is that of the last seven days, or between ``since`` and ``until`` (seconds since the epoch): of the client's
        own account; for an operator of all, or of one ``account``.
        """
        answer = await self.call("usage", by=by, since=since, until=until, account=account)
        return [from_wire(each, UsageRecord) for each in answer["usage"]]

    @checked
    async def calibration(
        self, reference: str | None = None, *, serials: Sequence[str] | None = None
    ) -> list[Calibration]:
        """Return the present calibrations of boards, by serial and reference (docs/calibration.md).

        They are of one ``reference`` (oscillator, crystal or ring) or all, and of the boards in ``serials`` or all.
        """
        answer = await self.call("calibrations", reference=reference, serials=serials)
        return [from_wire(each, Calibration, "a calibration") for each in answer["calibrations"]]

    @checked
    async def readings(
        self, serial: str, reference: str = "oscillator", *, since: float | None = None
    ) -> list[Reading]:
        """Return what a board measured of a reference circuit, the oldest first.

        It is that of the last 90 days, or ``since`` a time in seconds since the epoch.
        """
        answer = await self.call("reference_readings", serial=serial, reference=reference, since=since)
        return [from_wire(each, Reading, "a reading") for each in answer["readings"]]

    async def devices(self) -> list[DeviceRecord]:
        """Return all boards that the farm knows."""
        return (await self.snapshot()).devices

    async def workers(self) -> list[WorkerRecord]:
        """Return all workers that the farm knows."""
        return (await self.snapshot()).workers

    async def reservations(self) -> list[ReservationRecord]:
        """Return everybody's reservations."""
        return (await self.snapshot()).reservations

    async def queue(self) -> list[QueueRecord]:
        """Return the requests that wait for boards, the next one first."""
        return (await self.snapshot()).queue

    @checked
    async def book(
        self,
        amount: int | None = None,
        *,
        at: datetime | float,
        seconds: float,
        serials: Sequence[str] | None = None,
        account: str | None = None,
        kind: str | None = None,
        where: str | None = None,
    ) -> BookingRecord:
        """Book ``amount`` boards, or those in ``serials``, from ``at`` on for so many seconds.

        ``at`` is a datetime with a time zone, or seconds since the epoch.  The boards are kept for this client's
        account, or for another ``account`` or group (operator); with ``kind`` those that can be of that kind, and with
        ``where`` those that it selects.
        During the booking, requests for boards get them as usual, before all others.

        Raises `Unavailable` if there are too few boards at some moment of it, `UnknownDevice`, `LimitReached`.
        """
        moment = at.timestamp() if isinstance(at, datetime) else at
        asked = {"starts_at": moment, "seconds": seconds, "amount": amount, "serials": serials}
        answer = await self.call("book", **asked, account=account, kind=kind, where=where)
        return from_wire(answer, BookingRecord, "the answer to book")

    @checked
    async def bookings(self, *, since: float | None = None) -> list[BookingRecord]:
        """Return the bookings of all accounts that have not ended, the first to begin first.

        With ``since``, in seconds since the epoch, also those that were not over then.
        """
        return [from_wire(each, BookingRecord) for each in await self.call("bookings", since=since)]

    @checked
    async def cancel_bookings(self, ids: Sequence[str]) -> list[str]:
        """Cancel bookings of this client's account (operators: any), and return the ids of those that it cancelled.

        Boards that are reserved already stay so.  Raises `NotYours`.
        """
        return [str(id) for id in await self.call("cancel_bookings", ids=ids)]

    @checked
    async def access(self, account: str | None = None) -> Access:
        """Return the rules of access that the client's account has, and its group; an operator may name another.

        An account without rules may have every board.
        """
        return from_wire(await self.call("access", account=account), Access, "the answer to access")
