"""Takes commands for virtual boards from a Unix socket: faults and unplugging, as a person at the shelf causes them.

One command a line, as ``docs/virtual-boards.md`` lists them; the answer to each, in order, is the line ``done``, or
``refused`` and the reason.  Only the worker's own user may connect.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.protocol import Factory
from twisted.protocols.basic import LineReceiver

from icefarm.errors import InvalidArgument
from icefarm.virtual.images import BoardsFailed
from icefarm.virtual.usb_bus import VirtualBus

__all__ = ["CommandSocket"]

#: Maximum bytes of a command; the longest existing one takes 60.
LINE_LIMIT = 1024
#: Access to the socket: only its owner.
_MODE = 0o600


class _Commands(LineReceiver):
    """One connection; a command waits until the previous one has been answered."""

    delimiter = b"\n"
    MAX_LENGTH = LINE_LIMIT

    def __init__(self, bus: Callable[[], VirtualBus | None]) -> None:
        self._bus = bus

    def lineReceived(self, line: bytes) -> None:
        words = line.decode(errors="replace").split()
        if words:
            self.pauseProducing()
            Deferred.fromCoroutine(self._carry_out(words))

    async def _carry_out(self, words: list[str]) -> None:
        bus = self._bus()
        try:
            if bus is None:
                raise BoardsFailed("the virtual boards are not running")
            await bus.command(*words)
            answer = "done"
        except TimeoutError:
            answer = "refused no answer from the virtual boards"
        except (InvalidArgument, BoardsFailed) as error:
            answer = f"refused {' '.join(str(error).split())}"
        self.sendLine(answer.encode())
        self.resumeProducing()


@define(eq=False)
class CommandSocket:
    """A socket at ``path`` for the boards of the bus that ``bus`` returns at the time of each command."""

    _reactor: Any
    path: Path
    _bus: Callable[[], VirtualBus | None]
    _port: Any = None

    def start(self) -> None:
        """Listen, replacing a socket that a killed worker left behind.  Raises OSError, `CannotListenError`."""
        if self.path.is_socket():
            self.path.unlink()
        factory = Factory.forProtocol(lambda: _Commands(self._bus))
        factory.noisy = False
        self._port = self._reactor.listenUNIX(str(self.path), factory, mode=_MODE)

    async def stop(self) -> None:
        """Stop listening.  Harmless when it is not listening."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
