"""Has workers plug in virtual boards while requests wait for some, and unplug them when nobody uses them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Coalesced, Tasks
from icefarm.contract import DeviceRecord
from icefarm.control.scheduling.on_demand import Pool, possible, present, surplus, unplugged, wanted
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.interface import State, Store
from icefarm.control.telemetry.events import BoardsDeleted, Event, WorkerIntroduced, WorkerLost
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import IcefarmError

__all__ = ["IDLE", "VirtualPools"]

#: Seconds for which a worker has more boards than are wanted before some are unplugged.
IDLE = 60.0
#: Seconds for boards that were ordered to be there.
COMING = 10.0
#: Seconds after which no report of a board that was unplugged is on its way.
LATE = 2.0


@define(eq=False)
class VirtualPools:
    """The virtual boards of all workers that plug them in on demand.  A control that begins learns them by hellos."""

    store: Store
    worker_client: WorkerClient
    publisher: Publisher
    clock: Clock
    _pools: dict[str, Pool] = Factory(dict)
    #: Requests that wait, by their ids.
    _waiting: dict[str, ReservationRequest] = Factory(dict)
    #: How many boards a worker was ordered to have, and until when they may still arrive.
    _told: dict[str, tuple[int, float]] = Factory(dict)
    #: Since when each worker has had more boards than are wanted.
    _idle_since: dict[str, float] = Factory(dict)
    _tasks: Tasks = Factory(Tasks)
    _looks: Coalesced = field(init=False)
    _log: Logger = Factory(Logger)

    def __attrs_post_init__(self) -> None:
        self._looks = Coalesced("virtual boards on demand", self._look, self._tasks)

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    def heard(self, event: Event) -> None:
        """Learn of workers, and look whether boards are needed or idle."""
        match event:
            case WorkerIntroduced(hello):
                self._pools.pop(hello.name, None)
                if hello.pool is not None:
                    self._pools[hello.name] = Pool(hello.name, hello.pool.least, hello.pool.most, hello.pool.model)
            case WorkerLost(name):
                self._pools.pop(name, None)
                self._told.pop(name, None)
        self._poke()

    def possible(self, state: State, requests: Iterable[ReservationRequest]) -> list[DeviceRecord]:
        """Return the boards that could be plugged in for these requests."""
        # A booking counts on boards that are there.
        if not self._pools or state.calendar:
            return []
        workers = {worker.name: worker for worker in state.workers}
        return possible(self._pools.values(), state.devices, workers, list(requests))

    def ask(self, requests: Mapping[str, ReservationRequest]) -> None:
        """Note the requests that wait, by their ids."""
        if self._pools and dict(requests) != self._waiting:
            self._waiting = dict(requests)
            self._poke()

    def forget(self, id: str) -> None:
        """A request waits no longer."""
        if self._waiting.pop(id, None) is not None:
            self._poke()

    def _poke(self) -> None:
        if self._pools:
            self._looks.poke()

    async def _look(self) -> None:
        try:
            state = await self.store.state()
            workers = {worker.name: worker for worker in state.workers}
            pools = list(self._pools.values())
            for pool in pools:
                await self._clear(unplugged(pool, state.devices))
            for name, count in wanted(pools, state.devices, workers, self._waiting.values()).items():
                await self._settle(self._pools[name], state.devices, count)
        except IcefarmError as error:
            # The next change, or the next hello of the worker, starts another look.
            self._log.debug("virtual boards on demand: {error}", error=error)

    async def _settle(self, pool: Pool, devices: Iterable[DeviceRecord], count: int) -> None:
        """Bring a worker to a number of boards: at once to more, after a while to fewer."""
        now, there = self.clock.seconds(), len(present(pool, devices))
        told, until = self._told.get(pool.worker, (0, 0.0))
        if count > there:
            self._idle_since.pop(pool.worker, None)
            coming = max(there, told if now < until else 0)
            if count > coming:
                self._told[pool.worker] = count, now + COMING
                self._log.info("{worker} plugs in {n} virtual boards", worker=pool.worker, n=count - coming)
                await self.worker_client.plug_in(pool.worker, count - coming)
                self.clock.callLater(COMING, self._poke)
            return
        if count == there:
            self._idle_since.pop(pool.worker, None)
            return
        since = self._idle_since.setdefault(pool.worker, now)
        if now - since < IDLE:
            self.clock.callLater(IDLE - (now - since), self._poke)
        else:
            del self._idle_since[pool.worker]
            await self._retire(pool, surplus(pool, devices, count))

    async def _retire(self, pool: Pool, serials: list[str]) -> None:
        """Forget boards that are free, so that nobody gets them, and have them unplugged."""
        retired = await self.store.retire(serials)
        if not retired:
            return
        self._log.info("{worker} unplugs {n} virtual boards", worker=pool.worker, n=len(retired))
        self._told.pop(pool.worker, None)
        self.publisher.publish(BoardsDeleted(retired))
        await self.worker_client.retire(pool.worker, retired)
        # A report that was on its way may have brought one back.
        self.clock.callLater(LATE, self._poke)

    async def _clear(self, serials: list[str]) -> None:
        """Forget boards that are not plugged in."""
        cleared = await self.store.retire(serials) if serials else []
        if cleared:
            self.publisher.publish(BoardsDeleted(cleared))
