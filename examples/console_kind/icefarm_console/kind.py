"""The device kind ``console``: bytes to and from the serial port of the circuit on a board.

Runs on the firmware ``console``, whose messages are in icefarm's docs/protocol.md.
"""

from __future__ import annotations

import struct
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, le
from twisted.internet.defer import DeferredLock

from icefarm.errors import InvalidArgument
from icefarm.kinds import DeviceHandle, Packed, register, reservable

#: Types of the firmware's messages, and how many bytes one of them holds beside its position.
WRITE, OUTPUT = 0x40, 0xC1
CHUNK = 1020
#: Bytes of output kept for clients that missed some.
KEPT = 65_536

_U32 = struct.Struct("<I")


@reservable("console", firmware="console")
class Console:
    """Carries bytes between a client and the circuit's serial port, both ways."""

    @frozen
    class Options:
        """Options of the reservation."""

        baud: int = field(default=115_200, validator=and_(ge(300), le(3_000_000)))

    def __init__(self, device: DeviceHandle, options: Options) -> None:
        self._device = device
        self._options = options
        #: Number of the last opened circuit; 0 before the first.
        self._opened = 0
        self._open = False
        #: Bytes that the circuit has accepted; None if it must be asked.
        self._taken: int | None = 0
        self._writing = DeferredLock()
        #: The circuit's last output, and how many bytes it has sent in total.
        self._output = b""
        self._sent = 0

    @register("open")
    async def open(self, bitstream: Packed | bytes) -> int:
        """Load a circuit and connect to its serial port; return the number in its events."""
        circuit = self._device.admit(bitstream)
        self._open = False
        await self._device.measure(circuit, _U32.pack(self._options.baud), window=0.0, overlap=False)
        self._open, self._opened = True, self._opened + 1
        self._taken, self._output, self._sent = 0, b"", 0
        return self._opened

    @register("write")
    async def write(self, data: bytes) -> int:
        """Send bytes to the circuit; return how many it accepted."""
        if not self._open:
            raise InvalidArgument("no circuit is open; call open first")
        await self._writing.acquire()
        try:
            return await self._write(data)
        finally:
            self._writing.release()

    @register("read")
    async def read(self, position: int) -> dict[str, Any]:
        """Return the circuit's output from a position on, as far as it is kept: position and bytes."""
        first = max(position, self._sent - len(self._output))
        return {"position": first, "data": self._output[len(self._output) - max(0, self._sent - first) :]}

    def message(self, type_: int, payload: bytes) -> None:
        """Handle an unsolicited message of the firmware."""
        if type_ != OUTPUT or not self._open:
            return
        (position,) = _U32.unpack_from(payload)
        data = payload[_U32.size :]
        missing = (position - self._sent) % 2**32
        if missing:
            self._device.log.warn("{missing} bytes of the circuit's output were lost", missing=missing)
            self._output, self._sent = b"", self._sent + missing
        self._device.emit("output", circuit=self._opened, position=self._sent, data=data)
        self._output = (self._output + data)[-KEPT:]
        self._sent += len(data)

    def board_lost(self) -> None:
        """The board was restarted or unplugged: the circuit is gone."""
        if self._open:
            self._open = False
            self._device.emit("closed", circuit=self._opened)

    async def _write(self, data: bytes) -> int:
        # A cancelled call may still have arrived; a message without bytes asks for the circuit's position.
        taken = await self._send(0, b"") if self._taken is None else self._taken
        begin = taken
        for start in range(0, len(data), CHUNK):
            chunk = data[start : start + CHUNK]
            self._taken = None
            now = await self._send(taken, chunk)
            if now == taken:
                break
            taken = now
            if taken < begin + start + len(chunk):
                break
        self._taken = taken
        return taken - begin

    async def _send(self, position: int, data: bytes) -> int:
        (taken,) = _U32.unpack(await self._device.ask(WRITE, _U32.pack(position) + data))
        return int(taken)
