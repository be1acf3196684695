"""Requests over HTTP that wait for boards: each is a resource, which lives as long as somebody asks for it.

A router or proxy in front may keep a connection open whose caller is gone, so an open connection proves nothing.  A
request that nobody asks for is forgotten.  When its boards are ready they are reserved for a short time only, and a
call that arrives after that moment gets them for the time that was asked for.

    open ──> waiting ──> ready ──poll──> handed over
               │           │
               └───────────┴── nobody asks, or cancel ──> forgotten, its boards are free
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import uuid4

from attrs import Factory, define, evolve
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import to_wire
from icefarm.control.http.endpoints.boards import Waiting
from icefarm.control.storage.interface import Store
from icefarm.errors import IcefarmError, ReservationEnded, TimedOut, Unavailable

__all__ = ["BLOCKED", "FORGOTTEN", "HANDOVER", "LONGEST_POLL", "UNREAD", "WaitingRequests"]

#: Seconds after the last poll at which a request is forgotten.
FORGOTTEN = 30.0
#: Seconds between looks at whether somebody still asks.
LOOK = 1.0
#: Seconds that a poll waits at the most, less than the minute for which proxies let a connection be silent.
LONGEST_POLL = 25.0
#: Seconds that a request without polls waits before it becomes one with polls.
BLOCKED = 25.0
#: Seconds that boards are reserved for until a poll proves that the caller is there; one without polls is forgotten
#: before.
HANDOVER = 60.0
#: The same where the answer itself brought the boards: until a call proves that the caller has read it.
UNREAD = 30.0

#: Carries out a procedure of control by its name, for a caller.
Perform = Callable[[Caller, str, Mapping[str, Any]], Awaitable[Any]]


@define(eq=False)
class _Request:
    """One request, from its opening until it is handed over or forgotten."""

    id: str
    caller: Caller
    #: Seconds that the reservation is to last from the hand-over on; None: as the farm is set.
    seconds: float | None
    asked_at: float
    place: int | None = None
    reason: str = "waiting for boards"
    records: list[dict[str, Any]] | None = None
    error: IcefarmError | None = None
    running: Deferred[None] | None = None
    polls: list[Deferred[None]] = Factory(list)

    @property
    def settled(self) -> bool:
        """Whether it has its boards, or an error."""
        return self.records is not None or self.error is not None

    def note(self, progress: Mapping[str, Any]) -> None:
        """Take in what control says while the request waits."""
        self.place, self.reason = progress.get("place"), str(progress.get("reason") or self.reason)

    def view(self) -> Waiting:
        return Waiting(self.id, "ready" if self.settled else "waiting", self.place, self.reason)

    def wake(self) -> None:
        polls, self.polls = self.polls, []
        for poll in polls:
            poll.callback(None)


@define(eq=False)
class WaitingRequests:
    """All requests over HTTP that wait."""

    perform: Perform
    store: Store
    clock: Clock
    _requests: dict[str, _Request] = Factory(dict)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    async def open(
        self, caller: Caller, arguments: Mapping[str, Any], probation: float = HANDOVER
    ) -> list[dict[str, Any]] | Waiting:
        """Reserve boards at once where that can be, else begin to wait.  Raises what control's ``reserve`` raises."""
        try:
            records: list[dict[str, Any]] = await self.perform(caller, "reserve", _at_once(arguments))
        except Unavailable:
            return self._begin(caller, arguments, probation).view()
        return records

    async def poll(self, caller: Caller, id: str, seconds: float) -> list[dict[str, Any]] | Waiting:
        """Ask for a request, and wait up to ``seconds`` for a change.

        Returns the reservations if the boards were ready before; raises what the request failed with, or
        `ReservationEnded` for one that is not known (any more).
        """
        request = self._find(caller, id)
        request.asked_at = self.clock.seconds()
        if request.settled:
            return await self._hand_over(request)
        await self._settle(request, min(seconds, LONGEST_POLL))
        request.asked_at = self.clock.seconds()
        return request.view()

    async def cancel(self, caller: Caller, id: str) -> list[str]:
        """Forget a request; returns the serials of boards that were ready for it."""
        request = self._find(caller, id)
        serials = _serials(request)
        self._forget(request)
        return serials

    async def block(
        self, caller: Caller, arguments: Mapping[str, Any], timeout: float
    ) -> list[dict[str, Any]] | Waiting:
        """Reserve boards, and wait for them with the connection open; after `BLOCKED` seconds, polls must follow.

        Boards that were waited for are reserved for `UNREAD` seconds: extending them, or taking them over in a
        session, proves that the caller has read the answer.  Raises `TimedOut`, and what control's ``reserve`` raises.
        """
        opened = await self.open(caller, arguments, UNREAD)
        if not isinstance(opened, Waiting):
            return opened
        request = self._requests[opened.id]
        try:
            await self._settle(request, min(timeout, BLOCKED))
        except CancelledError:
            self._forget(request)
            raise
        if request.settled:
            del self._requests[request.id]
            return _result(request)
        if timeout > BLOCKED:
            request.asked_at = self.clock.seconds()
            return request.view()
        self._forget(request)
        raise TimedOut(f"no boards for {timeout:g} s: {request.reason}")

    def stop(self) -> None:
        """Give up all that wait."""
        for request in list(self._requests.values()):
            self._forget(request)
        self._tasks.stop()

    def _begin(self, caller: Caller, arguments: Mapping[str, Any], probation: float) -> _Request:
        request = _Request(uuid4().hex, caller, arguments.get("seconds"), self.clock.seconds())
        self._requests[request.id] = request
        probation = probation if request.seconds is None else min(probation, request.seconds)
        waiting = {**_at_once(arguments), "wait": True, "seconds": probation, "request": request.id}
        asking = evolve(caller, progress=request.note)
        request.running = ensureDeferred(self._wait(request, asking, waiting))
        request.running.addErrback(self._broke, request)
        self._watch(request)
        return request

    async def _wait(self, request: _Request, caller: Caller, arguments: Mapping[str, Any]) -> None:
        try:
            request.records = await self.perform(caller, "reserve", arguments)
        except IcefarmError as error:
            request.error = error
        request.wake()

    def _broke(self, failure: Failure, request: _Request) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("a request that waits failed", failure)
        self._requests.pop(request.id, None)
        request.wake()

    async def _settle(self, request: _Request, seconds: float) -> None:
        """Wait until the request has its boards or an error, or so many seconds."""
        if request.settled or seconds <= 0:
            return
        changed: Deferred[None] = Deferred()
        request.polls.append(changed)
        timer = self.clock.callLater(seconds, changed.callback, None)
        try:
            await changed
        finally:
            if timer.active():
                timer.cancel()
            if changed in request.polls:
                request.polls.remove(changed)

    async def _hand_over(self, request: _Request) -> list[dict[str, Any]]:
        if request.error is not None:
            del self._requests[request.id]
        records = _result(request)
        # An error of control's leaves the request as it is, for the next poll.
        await self.perform(request.caller, "extend", {"serials": _serials(request), "seconds": request.seconds})
        self._requests.pop(request.id, None)
        extended = [await self.store.reservation(record["id"]) for record in records]
        return [to_wire(record) for record in extended if record is not None]

    def _watch(self, request: _Request) -> None:
        """Forget the request if nobody has asked for it recently, else check again later."""
        if self._requests.get(request.id) is not request:
            return
        if not request.polls and self.clock.seconds() - request.asked_at >= FORGOTTEN:
            self._log.info("nobody asks for the request of {client} any more", client=request.caller.authid)
            self._forget(request)
        else:
            self.clock.callLater(LOOK, self._watch, request)

    def _forget(self, request: _Request) -> None:
        self._requests.pop(request.id, None)
        if request.running is not None and not request.running.called:
            request.running.cancel()
        serials = _serials(request)
        if serials:
            self._tasks.start("boards that nobody fetched", partial(self._give_back, request, serials))

    async def _give_back(self, request: _Request, serials: Sequence[str]) -> None:
        await self.perform(request.caller, "end", {"serials": list(serials)})

    def _find(self, caller: Caller, id: str) -> _Request:
        request = self._requests.get(id)
        if request is None or request.caller.authid != caller.authid:
            raise ReservationEnded(
                f"there is no such request: it was handed over or cancelled, or nobody asked for it for {FORGOTTEN:g} s"
            )
        return request


def _at_once(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name not in ("wait", "timeout")}


def _serials(request: _Request) -> list[str]:
    return [str(record["serial"]) for record in request.records or ()]


def _result(request: _Request) -> list[dict[str, Any]]:
    if request.error is not None:
        raise request.error
    return list(request.records or ())
