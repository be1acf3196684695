"""Where boards come from: the USB bus of this host, and virtual boards."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from icefarm.kinds.registry import Kinds
from icefarm.usb.usb_events import UsbEvent
from icefarm.virtual.commands import CommandSocket
from icefarm.virtual.images import BoardsFailed, MissingBoards, firmware_version, image
from icefarm.virtual.models import MODELS
from icefarm.virtual.usb_bus import VirtualBus, VirtualBusOptions
from icefarm.worker.board.states import Firmware
from icefarm.worker.flash.images import DEFAULT, FirmwareImage, Images, images_in
from icefarm.worker.usb_monitor import UsbMonitor

__all__ = ["RealBoards", "Source", "VirtualBoards", "model_of"]

#: The name of any third-party model; only its path is known.
OTHER_MODEL = "other"

#: Seconds until virtual boards are restarted after their process ended: the first time, and the longest. After one that
#: has run for that long, it is the first again.
RESTART_FIRST = 1.0
RESTART_LONGEST = 30.0


class Source(Protocol):
    """Boards on one bus, and the firmware for them."""

    async def images(self, kinds: Kinds) -> Images:
        """Return the firmware images for these boards, if any."""

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        """Report events of the bus, starting with the boards already present."""

    async def stop(self) -> None:
        """Stop reporting."""


@define(eq=False)
class RealBoards:
    """Boards that are plugged in; images come from a directory, if one is given."""

    _reactor: Any
    _directory: Path | None
    _monitor: UsbMonitor | None = None
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    async def images(self, _: Kinds) -> Images:
        """Raises `NoImage` for a file that is not an image."""
        if self._directory is None:
            return Images("real boards")
        found = images_in(self._directory, "real boards")
        shipped = await self._shipped()
        for firmware in (each.firmware for each in found.by_name.values()):
            if shipped not in (None, firmware.version):
                self._log.warn(
                    "firmware {firmware} for real boards is not that of this icefarm, {shipped}: icefarm firmware list",
                    firmware=firmware, shipped=shipped,
                )  # fmt: skip
        return found

    async def _shipped(self) -> str | None:
        """Return the version of the firmware that comes with this icefarm; None if unknown."""
        try:
            return await firmware_version(self._reactor)
        except (MissingBoards, BoardsFailed):
            return None

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        try:
            from pyudev import Context
        except ImportError as error:
            # Containers may lack libudev; virtual boards do not need it.
            self._log.warn("boards on USB cannot be found on this host: {error}", error=error)
            return
        self._monitor = UsbMonitor(self._reactor, Context(), tell)
        self._monitor.start()

    async def stop(self) -> None:
        if self._monitor is not None:
            self._monitor.stop()
            self._monitor = None


def model_of(options: VirtualBusOptions) -> str:
    """Return what virtual boards are said to do with a circuit (`icefarm.contract.DeviceReport.model`)."""
    return options.model if isinstance(options.model, str) and options.model in MODELS else OTHER_MODEL


@define(eq=False)
class VirtualBoards:
    """Virtual boards in a separate process, which is restarted if it ends."""

    _reactor: Any
    options: VirtualBusOptions
    #: Where commands for the boards are taken; None: nowhere.
    commands: Path | None = None
    bus: VirtualBus | None = None
    #: Boards that were plugged in or unplugged on demand, and whether they are plugged in: also after a restart.
    _on_demand: dict[str, bool] = Factory(dict)
    _socket: CommandSocket | None = None
    _tell: Callable[[UsbEvent], None] | None = None
    _timer: Any = None
    _delay: float = RESTART_FIRST
    _started_at: float = 0.0
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    async def images(self, kinds: Kinds) -> Images:
        """Ask the program for its images.  Raises `MissingBoards`, `BoardsFailed`."""
        version = await firmware_version(self._reactor)
        found = {}
        for name in {DEFAULT, *(kind.firmware for kind in kinds.by_name.values())}:
            try:
                blocks = await image(self._reactor, name)
            except BoardsFailed:
                # A third-party kind may need a firmware that only real boards have.
                self._log.warn("there is no firmware {name} for virtual boards", name=name)
                continue
            found[name] = FirmwareImage(Firmware(name, version), blocks)
        return Images("virtual boards", found, model_of(self.options))

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        """Raises `MissingBoards`, `BoardsFailed`, and OSError or `CannotListenError` for the commands' socket."""
        if self.commands is not None and self._socket is None:
            self._socket = CommandSocket(self._reactor, self.commands, lambda: self.bus)
            self._socket.start()
        self._tell = tell
        self.bus = VirtualBus(self._reactor, self.options)
        self.bus.subscribe(tell)
        await self.bus.start()
        self._started_at = self._reactor.seconds()
        self.bus.when_ended().addCallback(self._ended)
        await self._plug_as_before(self.bus)

    async def _plug_as_before(self, bus: VirtualBus) -> None:
        # If their process ends again meanwhile, it is started again (see `_ended`), and this is done then.
        with suppress(BoardsFailed):
            for serial, plugged in list(self._on_demand.items()):
                if plugged and serial in bus.spare:
                    await bus.plug(serial)
                elif not plugged and serial not in bus.spare:
                    await bus.unplug(serial)

    @property
    def spare(self) -> list[str]:
        """Serials of boards that are not plugged in."""
        return [] if self.bus is None else list(self.bus.spare)

    async def plug(self, serial: str) -> None:
        """Plug in a board on demand.  Raises `BoardsFailed`."""
        if self.bus is None:
            raise BoardsFailed("the virtual boards are not running")
        self._on_demand[serial] = True
        await self.bus.plug(serial)

    async def unplug(self, serial: str) -> None:
        """Unplug a board that is not needed.  Raises `BoardsFailed`."""
        if self.bus is None:
            raise BoardsFailed("the virtual boards are not running")
        self._on_demand[serial] = False
        await self.bus.unplug(serial)

    async def stop(self) -> None:
        self._tell = None
        if self._socket is not None:
            await self._socket.stop()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self.bus is not None:
            await self.bus.stop()

    def _ended(self, why: str) -> None:
        if self._tell is None:
            return
        if self._reactor.seconds() - self._started_at >= RESTART_LONGEST:
            self._delay = RESTART_FIRST
        self._log.error(
            "the virtual boards ended ({why}); they are started again in {delay} s", why=why, delay=self._delay
        )
        self._timer = self._reactor.callLater(self._delay, self._restart)
        self._delay = min(2 * self._delay, RESTART_LONGEST)

    def _restart(self) -> None:
        if self._tell is not None:
            Deferred.fromCoroutine(self.start(self._tell)).addErrback(lambda failure: self._ended(str(failure.value)))
