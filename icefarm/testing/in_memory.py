"""A whole farm in one process, for tests of experiments and of device kinds, without hardware and network.

Control, worker and client are the real ones; the boards are virtual and run the firmware's own core.  Only the router
and the database are in-memory stand-ins.  It starts in a fraction of a second, and runs in the client's own thread
(`icefarm.client.api.reactor_thread`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Self

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm import __version__
from icefarm.client import aio, blocking
from icefarm.client.api.process_engine import engine
from icefarm.contract import DeviceStatus
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import TimedOut
from icefarm.kinds.builtin import BUILTIN
from icefarm.kinds.registry import load_kinds
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.history import MemoryHistory
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.store import MemoryStore
from icefarm.testing.memory.wamp import MemoryRouter
from icefarm.testing.processes.exit_watcher import ThreadedProcesses
from icefarm.virtual.usb_bus import VirtualBus, VirtualBusOptions
from icefarm.worker.board.serial_hardware import SerialHardware
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.sources import VirtualBoards

__all__ = ["FarmInMemory"]

#: Seconds for the boards to appear, and to become available again.
START_LIMIT = 20.0
#: Seconds from one look at the boards to the next.
PAUSE = 0.01
#: Seconds for which a disconnected client keeps its boards.
GRACE = 2.0
#: The URL given to the client; nothing listens there.
URL = "http://127.0.0.1:8080"


class FarmInMemory:
    """A farm of virtual boards; ``with FarmInMemory(boards=2) as farm: farm.client().reserve(2)``."""

    def __init__(
        self,
        boards: int = 2,
        *,
        kinds: Iterable[type] = (),
        seed: str = "test",
        speed: str = "instant",
        offset_ppm: float = 0.0,
        noise_ppm: float = 0.0,
        drift_ppm_per_day: float = 0.0,
        ppm_per_kelvin: float = 0.0,
        model: str | Path = "simulated,landscape",
        grace: float = GRACE,
    ) -> None:
        """Make a farm of ``boards`` virtual boards, whose serials derive from ``seed``.

        ``kinds`` are classes of device kinds beside the installed ones.  The others are those of ``icefarm-worker``
        (docs/virtual-boards.md): ``speed`` is ``instant``, ``real`` or a factor, ``model`` is what the FPGA does
        (by default it runs the bitstream, and has an invented frequency for one that can't be run); ``grace`` is in
        seconds.
        """
        self._engine = engine()
        options = VirtualBusOptions(
            boards=boards,
            seed=seed,
            speed=speed,
            offset_ppm=offset_ppm,
            noise_ppm=noise_ppm,
            drift_ppm_per_day=drift_ppm_per_day,
            ppm_per_kelvin=ppm_per_kelvin,
            model=model,
        )
        reactor = ThreadedProcesses(self._engine.reactor)
        self._source = VirtualBoards(reactor, options)
        self._router = MemoryRouter(reactor)
        self._process = MemoryProcess(self._router, reactor)
        self._store = MemoryStore(reactor)
        self._control = self._process.control(
            self._store,
            MemoryHistory(),
            ControlSettings(grace=grace, calibration=False),
            archive=MemoryArchive(reactor, self._store),
        )
        self._worker = self._process.worker(
            WorkerIdentity("in-memory", "in-memory", "in-memory", __version__),
            SerialHardware(reactor),
            load_kinds([*BUILTIN, *kinds], Logger(namespace="icefarm.testing")),
            self._source,
            failed=self._failed,
            left=self._left,
        )
        self._client_process = MemoryProcess(self._router, self._engine.reactor)
        #: What ended the worker; whoever waits for its boards gets it.
        self._failure: Failure | None = None
        #: Fires when the worker has left.
        self._departure: Deferred[None] | None = None
        self._clients: list[blocking.Farm] = []

    def start(self) -> Self:
        """Start it; then all boards are available.  Raises `MissingBoards` if they were not compiled."""
        try:
            self._engine.run(self._start)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Stop it, and the clients that it made."""
        for client in self._clients:
            client.close()
        self._engine.run(self._stop)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def serials(self) -> list[str]:
        """The serials of all boards."""

        async def devices() -> list[str]:
            return sorted(device.serial for device in await self._store.devices())

        return self._engine.run(devices)

    @property
    def client_class(self) -> type[blocking.Farm]:
        """`icefarm.client.Farm`, but for this farm, with any URL."""
        return type("Farm", (blocking.Farm,), {"_connect": staticmethod(self._client_process.connect)})

    @property
    def async_client_class(self) -> type[aio.Farm]:
        """`icefarm.client.aio.Farm`, but for this farm."""
        return type("Farm", (aio.Farm,), {"_connect": staticmethod(self._client_process.connect)})

    def existing_client(self, cls: type) -> type:
        """Return a class of existing scripts, such as `PulseCountClient`, but for this farm."""
        return type(cls.__name__, (cls,), {"_open": self.client_class})

    def client(self, name: str = "test", **options: Any) -> blocking.Farm:
        """Sign a client in; it is closed when the farm stops."""
        client = self.client_class(URL, name, **options)
        self._clients.append(client)
        return client

    def wait_until_available(self) -> None:
        """Wait until all boards are available.  Raises `TimedOut`."""
        self._engine.run(self._available)

    def fault(self, serial: str, name: str, on: bool = True, value: float | None = None) -> None:
        """Switch a fault of a board on or off; see `icefarm.virtual.usb_bus.VirtualBus.fault`."""
        self._engine.run(self._bus.fault, serial, name, on, value)

    def unplug(self, serial: str, after: int | None = None) -> None:
        """Unplug a board, now or once it has received ``after`` more bytes."""
        self._engine.run(self._bus.unplug, serial, after)

    def plug(self, serial: str) -> None:
        """Plug a board in again."""
        self._engine.run(self._bus.plug, serial)

    @property
    def _bus(self) -> VirtualBus:
        assert self._source.bus is not None, "the farm is not started"
        return self._source.bus

    async def _start(self) -> None:
        self._control.startService()
        self._process.link.startService()
        self._worker.startService()
        await self._available()

    async def _available(self) -> None:
        reactor: Any = self._engine.reactor
        end = reactor.seconds() + START_LIMIT
        while not await self._all_available():
            if self._failure is not None:
                self._failure.raiseException()
            if reactor.seconds() > end:
                raise TimedOut(f"the virtual boards were not available within {START_LIMIT:g} s")
            await deferLater(reactor, PAUSE)

    async def _all_available(self) -> bool:
        # A worker gathers its reports: control may not have heard yet of a reservation that has just ended again.
        there = all(board.report().status is DeviceStatus.AVAILABLE for board in self._worker.boards)
        return there and len(await self._store.available()) == self._source.options.boards

    def _failed(self, failure: Failure) -> None:
        self._failure = failure

    def _left(self) -> None:
        self._departure = self._worker.stopService()

    async def _stop(self) -> None:
        if self._departure is not None:
            await self._departure
        services: list[Callable[[], Any]] = [self._worker.stopService] if self._departure is None else []
        services += [link.stopService for link in self._process.links if link.running]
        services += [self._control.stopService] if self._control.running else []
        for stop in services:
            stopping = stop()
            if stopping is not None:
                await stopping
        for bus in list(self._router.sessions.values()):
            bus.drop("the farm stopped")
