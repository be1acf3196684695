"""The worker: a service that finds boards, has them as control wants them, and lets clients at those they reserved."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.contract import KindRecord
from icefarm.errors import IcefarmError
from icefarm.kinds.circuit import Admission
from icefarm.kinds.registry import Kinds
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.hardware import Hardware
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.link import ControlLink, WorkerIdentity
from icefarm.worker.control_link.shutdown import Departure
from icefarm.worker.flash.images import Images
from icefarm.worker.sources import Source

__all__ = ["Worker", "kind_records"]

#: Makes the service that keeps a session: (joined, refused) as `icefarm.wamp.Link` takes them.
MakeLink = Callable[[Callable[[Bus], Awaitable[None]], Callable[[IcefarmError], bool]], Service]


def kind_records(kinds: Kinds, images: Sequence[Images]) -> list[KindRecord]:
    """Return the kinds that can be offered: those for whose firmware there is an image."""
    records = []
    for kind in kinds.by_name.values():
        image = next((found for some in images if (found := some.by_name.get(kind.firmware)) is not None), None)
        if image is not None:
            version = image.firmware.version
            methods = sorted(kind.methods)
            records.append(KindRecord(kind.name, kind.summary, kind.firmware, version, methods, kind.version))
    return records


@define(eq=False, slots=False)
class Worker(Service):
    """Boards from sources on one side, control and clients on the other."""

    identity: WorkerIdentity
    _reactor: Any
    _hardware: Hardware
    _kinds: Kinds
    _sources: Sequence[Source]
    _make_link: MakeLink
    #: Called where boards of a source can't be had at all, or the farm does not let the worker in, with the reason.
    _failed: Callable[[Failure], None]
    #: Called when it was drained for good and has nothing more to do.
    _left: Callable[[], None]
    #: Serials of the boards whose FPGA is loaded at half speed.
    _slow_load: Collection[str] = ()
    inventory: BoardRegistry = field(init=False)
    _uplink: ControlLink = field(init=False)
    _link: Service | None = None
    _starting: Deferred[None] | None = None
    _images: list[Images] = Factory(list)
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    def __attrs_post_init__(self) -> None:
        departure = Departure(self._reactor, lambda: self.inventory, self._left)
        self._uplink = ControlLink(
            self.identity,
            self._reactor,
            lambda: self.inventory,
            lambda: kind_records(self._kinds, self._images),
            departure,
            lambda error: self._failed(Failure(error)),
        )
        around = WorkerContext(
            self.identity.name, self._reactor, self._hardware, self._kinds, Admission(), self._uplink, self._slow_load
        )
        self.inventory = BoardRegistry(
            lambda serial, images: ManagedBoard(serial, images, around), self._uplink.added, self._uplink.removed
        )

    def startService(self) -> None:
        """Find the boards, and then tell control."""
        Service.startService(self)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._start_failed)

    def stopService(self) -> Deferred[None]:
        """Say goodbye, then let go of the boards."""
        Service.stopService(self)
        if self._starting is not None:
            self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _start(self) -> None:
        for source in self._sources:
            self._images.append(await source.images(self._kinds))
        for source, images in zip(self._sources, self._images, strict=True):
            await source.start(lambda event, images=images: self.inventory.usb(images, event))  # type: ignore[misc]
        self._link = self._make_link(self._uplink.joined, self._uplink.refused)
        self._link.startService()

    def _start_failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._failed(failure)

    async def _stop(self) -> None:
        if self._link is not None:
            await _finished(self._link.stopService())
        self.inventory.stop()
        await self._hardware.settled()
        for source in self._sources:
            await source.stop()


async def _finished(stopping: Any) -> None:
    """Wait for what a service's end may return: a Deferred, or nothing."""
    if stopping is not None:
        await stopping
