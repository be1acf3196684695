"""The worker's access to boards' ports and drives, the same for real and virtual boards: what a board needs of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

__all__ = ["Hardware"]


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
