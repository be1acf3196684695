"""The worker as a service: finds boards, assigns them as control wants, and carries out clients' calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.errors import IcefarmError
from icefarm.kinds.circuit import Admission
from icefarm.kinds.registry import Kinds
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.archive.spool import MemorySpool, Spool
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.hardware import Hardware
from icefarm.worker.board.pool import BoardPool
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.alive import AliveFile
from icefarm.worker.control_link.kind_offer import KindOffer
from icefarm.worker.control_link.link import ControlLink, WorkerIdentity
from icefarm.worker.control_link.shutdown import Departure, WorkerProcess
from icefarm.worker.sources import Source, VirtualBoards, model_of

__all__ = ["Worker"]

#: Makes the service that keeps a session: (joined, refused) as `icefarm.wamp.Link` takes them.
MakeLink = Callable[[Callable[[Bus], Awaitable[None]], Callable[[IcefarmError], bool]], Service]


@define(eq=False, slots=False)
class Worker(Service):
    """Boards from sources on one side, control and clients on the other."""

    identity: WorkerIdentity
    _reactor: Any
    _hardware: Hardware
    _kinds: Kinds
    _sources: Sequence[Source]
    _make_link: MakeLink
    _process: WorkerProcess
    #: Serials of the boards whose FPGA is loaded at half speed.
    _slow_load: Collection[str] = ()
    #: Where measurements wait for the archive.
    _spool: Spool = Factory(MemorySpool)
    _follows_evaluations: bool = False
    _alive: AliveFile = Factory(AliveFile)
    boards: BoardRegistry = field(init=False)
    _control: ControlLink = field(init=False)
    _context: WorkerContext = field(init=False)
    _offer: KindOffer = field(init=False)
    _link: Service | None = None
    _starting: Deferred[None] | None = None
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def __attrs_post_init__(self) -> None:
        self._context = WorkerContext(
            self.identity.name,
            self._reactor,
            self._hardware,
            self._kinds,
            Admission(),
            slow_load=self._slow_load,
            archive=Recorder(self._reactor, self._spool),
            follows_evaluations=self._follows_evaluations,
        )
        self.boards = BoardRegistry(self._context)
        self._offer = KindOffer(self._kinds)
        departure = Departure(self._reactor, self.boards, self._process)
        self._control = ControlLink(
            self.identity,
            self._reactor,
            self.boards,
            self._offer,
            departure,
            self._process,
            self._context.archive,
            next((pool for pool in map(self._pool_of, self._sources) if pool is not None), None),
            self._alive,
        )
        self._context.observer = self._control.reports

    def _pool_of(self, source: Source) -> BoardPool | None:
        """Return the boards that a source plugs in on demand; None if it has none."""
        if not isinstance(source, VirtualBoards) or source.options.plugged is None:
            return None
        least, most = source.options.plugged, source.options.boards
        return BoardPool(self.boards, source, least, most, model_of(source.options))

    def startService(self) -> None:
        """Find the boards, and then tell control."""
        Service.startService(self)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._start_failed)

    def stopService(self) -> Deferred[None]:
        """Say goodbye, then release the boards."""
        Service.stopService(self)
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        images = [await source.images(self._kinds) for source in self._sources]
        for source, its in zip(self._sources, images, strict=True):
            self._offer.add(its)
            await source.start(partial(self.boards.usb, its))
        self._link = self._make_link(self._joined, self._control.refused)
        self._link.startService()

    async def _joined(self, bus: Bus) -> None:
        """Begin a session under the name that the farm gave this worker."""
        self._context.worker = bus.authid
        await self._control.joined(bus)

    def _start_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._process.failed(failure)

    async def _stop(self) -> None:
        if self._link is not None:
            await _finished(self._link.stopService())
        self.boards.stop()
        self._context.archive.stop()
        await self._hardware.settled()
        for source in self._sources:
            await source.stop()


async def _finished(stopping: Any) -> None:
    """Await the result of stopping a service: a Deferred, or nothing."""
    if stopping is not None:
        await stopping
