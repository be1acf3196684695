"""The line of requests that wait for boards: places, the store's copy of them, and serving those that are next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from attrs import Factory, define, evolve
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import QueueRecord, ReservationRecord, account_of
from icefarm.control.inventory.pools import VirtualPools
from icefarm.control.reservations.calls import Allocator, ReserveCall
from icefarm.control.reservations.sharing.groups import Groups
from icefarm.control.reservations.sharing.long_holds import LongHolds
from icefarm.control.reservations.sharing.shares import Shares
from icefarm.control.reservations.waiter import Outlook, Waiter
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.elastic import Group, groups
from icefarm.control.scheduling.estimates import outlooks
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict, decide
from icefarm.control.scheduling.fair_share import Standing
from icefarm.control.storage.interface import State, Store
from icefarm.control.storage.shared import Shared
from icefarm.control.telemetry.events import QueueChanged
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import Busy, IcefarmError, InternalError, Unavailable, UnknownDevice

__all__ = ["Line"]


@define(eq=False)
class Line:
    """The waiting requests, in order of arrival."""

    store: Store
    allocator: Allocator
    publisher: Publisher
    clock: Clock
    shares: Shares
    groups: Groups
    long_holds: LongHolds
    access: Shared[AccessRules]
    pools: VirtualPools
    waiters: list[Waiter] = Factory(list)
    #: There may be groups of boards that become fewer and more; `serve` finds out.
    has_groups: bool = True
    #: How many times some began.
    _groups_begun: int = 0
    #: Requests removed while the store is asked which ones wait, for its answer may be older; None: it is not asked.
    _removed: set[str] | None = None
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def __iter__(self) -> Iterator[Waiter]:
        return iter(list(self.waiters))

    def __len__(self) -> int:
        return len(self.waiters)

    def __contains__(self, waiter: Waiter) -> bool:
        return waiter in self.waiters

    def records(self) -> list[QueueRecord]:
        """Return the waiting requests, the next one first."""
        return [waiter.record() for waiter in sorted(self.waiters, key=lambda waiter: waiter.place) if waiter.place]

    def count(self, account: str) -> int:
        """Return how many requests of an account are kept in the queue."""
        return sum(waiter.kept and account_of(waiter.queued.client) == account for waiter in self.waiters)

    def find(self, id: str) -> Waiter | None:
        """Return the waiter with that request."""
        return next((waiter for waiter in self.waiters if waiter.queued.id == id), None)

    async def enqueue(self, call: ReserveCall) -> QueuedRequest:
        """Store a call's request, after all others; an already stored one stays unchanged.

        Raises what `Store.enqueue` does.
        """
        queued = await self.store.enqueue(
            call.client, call.request, call.id, call.timeout, since=call.since, priority=call.terms.priority
        )
        # The store keeps no boards to avoid.
        return evolve(queued, request=call.request)

    def add(self, waiter: Waiter) -> Waiter:
        """Append one."""
        self.waiters.append(waiter)
        return waiter

    def group_began(self) -> None:
        """Look for groups when the line is served."""
        self.has_groups, self._groups_begun = True, self._groups_begun + 1

    async def restore(self) -> list[Waiter]:
        """Add the store's requests that are missing here; return them.  Raises `Busy`."""
        settled: set[str] = set()
        self._removed = self.allocator.served = settled
        try:
            stored = await self.store.waiting()
        finally:
            self._removed = self.allocator.served = None
        missing = [queued for queued in stored if queued.id not in settled and self.find(queued.id) is None]
        return [self.add(Waiter(queued, kept=True)) for queued in missing]

    def remove(self, waiter: Waiter, *, served: bool = False) -> None:
        """Remove one; the store has already removed a served one."""
        if waiter not in self.waiters:
            return
        self.waiters.remove(waiter)
        if self._removed is not None:
            self._removed.add(waiter.queued.id)
        self.pools.forget(waiter.queued.id)
        waiter.stop_timers()
        self.hide(waiter)
        if waiter.kept and not served:
            dequeue = partial(self._dequeue, waiter.queued.id)
            self._tasks.persist(self.clock, "a request is struck off", dequeue)

    def finish(self, waiter: Waiter, result: list[ReservationRecord] | IcefarmError) -> None:
        """Answer a waiter: with its reservations, or an error."""
        self.remove(waiter, served=not isinstance(result, IcefarmError))
        waiter.reply(result)

    def hide(self, waiter: Waiter) -> None:
        """Publish that a request does not wait; it appears again if its client reconnects."""
        if waiter.place:
            waiter.place, waiter.reason, waiter.told, waiter.outlook = 0, "", ("", ()), Outlook()
            self.publisher.publish(QueueChanged(waiter.record()))

    def close(self, error: IcefarmError) -> None:
        """Answer all with an error.  They keep their places in the store, for the next control."""
        self._tasks.stop()
        waiters, self.waiters = self.waiters, []
        for waiter in waiters:
            waiter.stop_timers()
            waiter.reply(error)

    # ----------------------------------------------------------------------------------------------------- serving

    async def serve(self) -> bool:
        """Serve the requests whose turn it is, and send the others their places.

        Returns whether boards were gone before they could be reserved, so that another look is worthwhile.  Raises
        `Busy`.
        """
        access, begun = await self.access.get(), self._groups_begun
        state, active = await self.store.state(), await self.store.active()
        waiters = {waiter.queued.id: waiter for waiter in self.waiters if not waiter.passed}
        standing, lenders = self.shares.standing(active, state.now), groups(active)
        # One that has begun since the store was asked may be missing there.
        self.has_groups = bool(lenders) or self._groups_begun != begun
        growing = self.groups.requests(lenders, active, access)
        for waiter in waiters.values():
            waiter.apply(access)
        queue = [*(waiter.queued for waiter in waiters.values()), *(queued for queued, _ in growing.values())]
        leaving = self.groups.leaving()
        possible = self.pools.possible(state, [queued.request for queued in queue])
        devices = [*state.devices, *possible]
        verdicts = decide(queue, devices, state.workers, state.now, standing, state.calendar, lenders, leaving)
        requests = {queued.id: queued.request for queued in queue}
        self.pools.ask({each.id: requests[each.id] for each in verdicts if isinstance(each.error, Unavailable)})
        self._ask(verdicts, waiters, active)
        gone = await self._grow([verdict for verdict in verdicts if verdict.id in growing], growing)
        verdicts = [verdict for verdict in verdicts if verdict.id in waiters]
        self._look_out(verdicts, waiters, state, active, standing)
        for verdict in verdicts:
            waiter = waiters[verdict.id]
            if waiter not in self.waiters:
                continue
            try:
                gone |= not await self._carry_out(waiter, verdict)
            except Busy:
                raise
            except IcefarmError as error:
                self.finish(waiter, error)
            except Exception:
                # One faulty request must not hold up the queue.
                self._log.failure("a request of {client} failed", client=waiter.queued.client)
                self.finish(waiter, InternalError())
        self._tell_places([waiters[verdict.id] for verdict in verdicts])
        return gone

    def _ask(
        self, verdicts: Sequence[Verdict], waiters: Mapping[str, Waiter], active: Sequence[ReservationRecord]
    ) -> None:
        """Ask groups for boards that other requests get."""
        by_serial = {record.serial: record for record in active}
        for verdict in verdicts:
            who = f"{waiters[verdict.id].queued.client} waits for it" if verdict.id in waiters else "others have fewer"
            self.groups.ask([by_serial[serial] for serial in verdict.asks], who)

    async def _grow(self, verdicts: Sequence[Verdict], growing: Mapping[str, tuple[QueuedRequest, Group]]) -> bool:
        """Give groups more boards.  Returns whether boards were gone."""
        gone = False
        for verdict in verdicts:
            if verdict.serials:
                try:
                    await self.groups.grow(growing[verdict.id][1], verdict.serials)
                except (Unavailable, UnknownDevice):
                    gone = True
        return gone

    async def _carry_out(self, waiter: Waiter, verdict: Verdict) -> bool:
        """Return False if boards were gone."""
        if verdict.error is not None:
            may_wait = waiter.kept or (verdict.soon and self.clock.seconds() < waiter.until)
            if not isinstance(verdict.error, Unavailable) or not may_wait:
                raise verdict.error
            waiter.reason = verdict.error.message
        elif waiter.call is not None:
            return await self._serve(waiter, waiter.call, verdict.serials)
        else:
            waiter.reason = "it is its turn, and its client is away"
        return True

    async def _serve(self, waiter: Waiter, call: ReserveCall, serials: Sequence[str]) -> bool:
        try:
            these = evolve(
                call.request,
                amount=None,
                at_least=None,
                serials=serials,
                avoid=(),
                where=None,
                allowance=waiter.queued.request.allowance,
            )
            records = await self.allocator.reserve(call, these)
        except (Unavailable, UnknownDevice) as error:
            # A board has changed since the state was read, or is no longer there.
            waiter.reason = error.message
            return False
        if waiter in self.waiters and waiter.call is not None:
            self.finish(waiter, records)
        else:
            # Its wait ended meanwhile.  A client that was lost finds them when it asks again.
            self.remove(waiter, served=True)
            self.allocator.abandon(call, records)
        return True

    def _tell_places(self, ordered: Sequence[Waiter]) -> None:
        """Send progress to the clients whose place or reason has changed."""
        waiting = [each for each in ordered if each.kept and each.reason and each in self.waiters and not each.passed]
        for place, waiter in enumerate(waiting, start=1):
            news = waiter.reason, waiter.outlook.behind
            told = (waiter.place, waiter.told) == (place, news)
            waiter.place, waiter.told = place, news
            if not told:
                self.publisher.publish(QueueChanged(waiter.record()))
                if waiter.call is not None and waiter.call.caller.progress is not None:
                    waiter.call.caller.progress(waiter.progress())

    def _look_out(
        self,
        verdicts: Sequence[Verdict],
        waiters: Mapping[str, Waiter],
        state: State,
        active: Sequence[ReservationRecord],
        standing: Standing,
    ) -> None:
        """Record for each waiting request which ones are ahead, and when it is likely to be served."""
        pending = [(verdict, waiters[verdict.id].queued) for verdict in verdicts if verdict.reach]
        self.long_holds.look(pending, active, state.now)
        ranges = outlooks(pending, active, self.shares.times(active, state.now), state.now) if pending else {}
        for verdict, queued in pending:
            found = ranges[verdict.id]
            waiters[verdict.id].outlook = Outlook(
                standing.used.get(account_of(queued.client), 0.0),
                tuple(dict.fromkeys(waiters[id].queued.client for id in verdict.behind)),
                None if found.low is None else state.now + found.low,
                None if found.high is None else state.now + found.high,
            )

    async def _dequeue(self, id: str) -> None:
        # While the database was away, its client may have repeated the call under this id.
        if self.find(id) is None:
            await self.store.dequeue([id])
