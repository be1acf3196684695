"""The worker's access to boards' ports and drives, the same for real and virtual boards."""

from __future__ import annotations

import termios
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Protocol

from attrs import define, field
from serial import SerialException
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionDone
from twisted.internet.serialport import SerialPort
from twisted.python.failure import Failure

from icefarm.concurrency.prompt.icefarm_prompt import rest_of
from icefarm.worker.flash.flasher import Loading
from icefarm.worker.flash.hub_power import HubPower

__all__ = ["Hardware", "SerialHardware"]

#: Meaningless on USB, except that 1200 is the touch.
BAUD = 115_200


class Hardware(Protocol):
    """Ports and drives, by path."""

    def open(self, path: str, protocol: Any) -> None:
        """Open a serial port for a protocol.  Raises OSError."""

    def start_loader(self, port: str, serial: str, has_left: Callable[[], bool]) -> Awaitable[None]:
        """Ask the board at a port, which is not open, to start its boot loader.

        ``has_left`` tells whether the port is gone.  Fails with `FlashFailed`.
        """

    def write(self, drive: str, blocks: bytes, serial: str) -> Awaitable[None]:
        """Write UF2 blocks to the board with a boot drive.  Fails with `FlashFailed`."""

    @property
    def switches_power(self) -> bool:
        """Whether this host can cycle the power of hub ports."""

    def cycle_power(self, place: str, serial: str) -> Awaitable[None]:
        """Cycle the power of the port where a board was last plugged in.  Fails with `PowerFailed`."""

    async def settled(self) -> None:
        """Wait until no port is without power."""


class _OpenPort(SerialPort):
    """A serial port that writes at once, and closes at once, in whatever state the other end is."""

    _gone = False

    def write(self, data: bytes) -> None:
        """Write what the port takes; the rest follows when it takes more."""
        super().write(rest_of(self, data))

    def loseConnection(self, _connDone: Any = None) -> None:
        """Close without waiting for unwritten data: a board that does not read would block that forever."""
        if self._gone:
            return
        with suppress(termios.error, OSError, SerialException):
            self._serial.reset_output_buffer()
        self.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure) -> None:
        # The reactor may report the end of a descriptor that was closed while it was being read.
        if self._gone:
            return
        FileDescriptor.connectionLost(self, reason)
        # Only now: the reactor finds the descriptor to forget by its number.
        self._gone = True
        self._serial.close()
        # What a reactor takes for a descriptor that is closed; pyserial leaves None, which none takes.
        self._serial.fd = -1
        self.protocol.connectionLost(reason)


@define(eq=False)
class SerialHardware(Loading, Hardware):
    """Real and virtual boards: Twisted's serial ports, drives that are written in all ways of `Loading`, hub ports."""

    #: None: never touch the power of hub ports.
    _power: HubPower | None = field(default=None, kw_only=True)

    def open(self, path: str, protocol: Any) -> None:
        _OpenPort(protocol, path, self._reactor, baudrate=BAUD)

    @property
    def switches_power(self) -> bool:
        return self._power is not None

    def cycle_power(self, place: str, serial: str) -> Awaitable[None]:
        assert self._power is not None
        return self._power.cycle(place, serial)

    async def settled(self) -> None:
        if self._power is not None:
            await self._power.settled()
