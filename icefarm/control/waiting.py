"""Requests for boards in the order in which they came, those that wait among them.

First come, first served, all or nothing: boards that a request could use are kept for it until it has all of them, so
a large request is not starved by small ones behind it; whoever can't take anything from those before is not held up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from icefarm.bus import Progress
from icefarm.clock import Clock
from icefarm.contract import QueueRecord, ReservationRecord
from icefarm.control.announcements import Announcements
from icefarm.control.concurrency import Tasks
from icefarm.control.policy import ReservationRequest
from icefarm.control.store import Store
from icefarm.errors import Busy, IcefarmError, InternalError, TimedOut, Unavailable

__all__ = ["WaitingLine"]

#: Seconds until the line is looked at again while the database is away.
AGAIN = 5.0


@define(eq=False)
class _Waiter:
    """A request, and whoever is to be told."""

    client: str
    request: ReservationRequest
    seconds: float
    patient: bool
    since: float
    progress: Progress | None
    answer: Deferred[list[ReservationRecord]]
    id: str = Factory(lambda: uuid4().hex)
    place: int = 0
    reason: str = ""
    #: The reason that its client heard last.
    told: str = ""

    def record(self) -> QueueRecord:
        serials = list(self.request.serials or ())
        amount = self.request.amount or len(serials)
        return QueueRecord(
            self.id, self.client, self.request.kind, amount, serials, self.since, self.place, self.reason
        )


@define(eq=False)
class WaitingLine:
    """Everybody who asked for boards and has no answer yet.  ``abandon`` ends reservations that nobody takes."""

    store: Store
    announcements: Announcements
    clock: Clock
    abandon: Callable[[list[ReservationRecord]], None]
    _line: list[_Waiter] = Factory(list)
    _walking: bool = False
    _again: bool = False
    _log: Logger = Factory(Logger)
    _tasks: Tasks = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._tasks = Tasks(self._log)

    def records(self) -> list[QueueRecord]:
        """Return those that wait, the next one first."""
        return [waiter.record() for waiter in self._line if waiter.patient]

    async def take(
        self,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        wait: bool = False,
        timeout: float | None = None,
        progress: Progress | None = None,
    ) -> list[ReservationRecord]:
        """Reserve what is asked for; with ``wait``, as soon as it can be had, for at most ``timeout`` seconds.

        Raises what `Store.reserve` does, and `TimedOut`.  Giving up leaves nothing behind.
        """
        waiter = _Waiter(client, request, seconds, wait, self.clock.seconds(), progress, Deferred())
        self._line.append(waiter)
        timer = self.clock.callLater(timeout, self._time_out, waiter, timeout) if wait and timeout is not None else None
        self.poke()
        served = False
        try:
            records = await waiter.answer
            served = True
            return records
        finally:
            if timer is not None and timer.active():
                timer.cancel()
            self._leave(waiter)
            if wait and not served:
                # What was kept for it is there for those behind.
                self.poke()

    def poke(self) -> None:
        """Something changed: see who can be served now."""
        self._again = True
        if self._line and not self._walking:
            self._walking = True
            self._tasks.start("the waiting line", self._walk)

    def stop(self) -> None:
        """Serve nobody any more."""
        self._tasks.stop()
        for waiter in list(self._line):
            self._finish(waiter, Busy("the farm is shutting down"))

    def _time_out(self, waiter: _Waiter, timeout: float) -> None:
        why = waiter.reason or "there was no answer"
        self._finish(waiter, TimedOut(f"waited {timeout:g} s in vain: {why}", place=waiter.place))

    def _leave(self, waiter: _Waiter) -> None:
        """Strike a waiter off the line."""
        if waiter in self._line:
            self._line.remove(waiter)
        if waiter.place:
            waiter.place, waiter.reason = 0, ""
            self.announcements.queue(waiter.record())
            self._tell_places()

    async def _walk(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._serve_all()
        finally:
            self._walking = False

    async def _serve_all(self) -> None:
        kept: set[str] = set()
        #: Kinds of which somebody waits for a number of boards, and why: whoever comes after waits too.
        scarce: dict[str, Unavailable] = {}
        for waiter in list(self._line):
            if waiter not in self._line:
                continue
            try:
                if waiter.request.serials is None and waiter.request.kind in scarce:
                    raise scarce[waiter.request.kind]
                await self._serve(waiter, kept)
            except Unavailable as error:
                if waiter.patient:
                    waiter.reason = error.message
                    kept |= await self._kept_for(waiter, scarce, error)
                else:
                    self._finish(waiter, error)
            except Busy as error:
                self._database_is_away(error)
                return
            except IcefarmError as error:
                self._finish(waiter, error)
            except Exception:
                # One request must not hold up the line, whatever is wrong with it.
                self._log.failure("a request of {client} failed", client=waiter.client)
                self._finish(waiter, InternalError())
        self._tell_places()

    async def _serve(self, waiter: _Waiter, kept: set[str]) -> None:
        """Reserve for one of the line, without what is kept for those before."""
        request = waiter.request
        taken = [serial for serial in request.serials or () if serial in kept]
        if taken:
            raise Unavailable(f"an earlier request waits for {', '.join(taken)}", serials=taken)
        request = evolve(request, avoid=request.avoid.union(kept))
        records = await self.store.reserve(waiter.client, request, waiter.seconds)
        if waiter in self._line:
            self._finish(waiter, records)
        else:
            self.abandon(records)

    async def _kept_for(self, waiter: _Waiter, scarce: dict[str, Unavailable], error: Unavailable) -> set[str]:
        """Return the boards that a waiter could use, free or not: one that is freed meanwhile is its own too."""
        if waiter.request.serials is not None:
            return set(waiter.request.serials)
        kind = waiter.request.kind
        if kind in scarce:
            return set()
        scarce[kind] = error
        try:
            workers = {worker.name for worker in await self.store.workers() if kind in worker.kinds}
            return {device.serial for device in await self.store.devices() if device.worker in workers}
        except IcefarmError:
            return set()

    def _database_is_away(self, error: Busy) -> None:
        for waiter in list(self._line):
            if not waiter.patient:
                self._finish(waiter, error)
        if self._line:
            self.clock.callLater(AGAIN, self.poke)

    def _finish(self, waiter: _Waiter, result: Any) -> None:
        """Answer one of the line: with its reservations, or an error."""
        if waiter in self._line:
            self._line.remove(waiter)
            if isinstance(result, IcefarmError):
                waiter.answer.errback(result)
            else:
                waiter.answer.callback(result)

    def _tell_places(self) -> None:
        """Tell those whose place or reason is another one than they heard last."""
        patient = [waiter for waiter in self._line if waiter.patient and waiter.reason]
        for place, waiter in enumerate(patient, start=1):
            told = (waiter.place, waiter.told) == (place, waiter.reason)
            waiter.place = place
            if not told:
                waiter.told = waiter.reason
                self.announcements.queue(waiter.record())
                if waiter.progress is not None:
                    waiter.progress({"place": place, "reason": waiter.reason})
