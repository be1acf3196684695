"""Many boards in one process: workers of this icefarm whose boards answer from memory.

``python -m bench.shelf URL,... BOARDS WORKERS SECONDS`` runs until it is ended; the workers are at these routers in
turn.  The boards answer at once; from SIGUSR1 to SIGUSR2, each evaluation takes so many seconds.
Everything but the boards is real: each worker has its own session, its boards' lives, its reports.  So thousands of
boards fit beside a farm on two cores.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from attrs import Factory, define
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm import __version__
from icefarm.contract import Role
from icefarm.kinds.builtin import BUILTIN
from icefarm.kinds.registry import Kinds, load_kinds
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware, memory_images
from icefarm.usb.usb_events import UsbEvent
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link
from icefarm.worker.control_link.link import WorkerIdentity
from icefarm.worker.flash.images import Images
from icefarm.worker.service import Worker

__all__ = ["main"]

reactor: Any = the_reactor


@define(eq=False)
class ShelfHardware(MemoryHardware):
    """Finds a board by its path at once, among thousands."""

    by_path: dict[str, MemoryBoard] = Factory(dict)

    def of(self, path: str) -> MemoryHardware:
        """Return the hardware of the one board with that path."""
        return MemoryHardware([self.by_path[path]])

    def open(self, path: str, protocol: Any) -> None:
        self.of(path).open(path, protocol)

    def start_loader(self, path: str, serial: str, has_left: Callable[[], bool]) -> Deferred[None]:
        return self.of(path).start_loader(path, serial, has_left)

    def write(self, path: str, blocks: bytes, serial: str) -> Deferred[None]:
        return self.of(path).write(path, blocks, serial)


@define(eq=False)
class Shelf:
    """Boards of one worker (`icefarm.worker.sources.Source`)."""

    hardware: ShelfHardware
    worker: int
    amount: int

    async def images(self, kinds: Kinds) -> Images:
        return memory_images("default", *sorted({kind.firmware for kind in kinds.by_name.values()}))

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        for number in range(self.amount):
            board = MemoryBoard(reactor, f"{self.worker:08X}{number:08X}", tell)
            self.hardware.boards.append(board)
            self.hardware.by_path |= {board.tty_path: board, board.drive_path: board}
            board.plug()

    def take(self, seconds: float) -> None:
        """From now on, each evaluation takes so long."""
        for board in self.hardware.boards:
            board.takes = seconds

    async def stop(self) -> None:
        """There is nothing to stop."""


class _Process:
    """An `icefarm.worker.control_link.shutdown.WorkerProcess`."""

    def failed(self, failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        reactor.callWhenRunning(reactor.stop)

    def left(self) -> None:
        """Nobody lets these leave."""


def _worker(url: str, shelf: Shelf) -> Worker:
    name = f"shelf-{shelf.worker}"
    kinds = load_kinds(BUILTIN, Logger(namespace="bench"))

    def make_link(joined: Any, refused: Any) -> Link:
        return Link(reactor, url, Credentials(name, Role.WORKER, name, ""), joined, refused)

    identity = WorkerIdentity(name, name, "bench", __version__)
    return Worker(identity, reactor, shelf.hardware, kinds, [shelf], make_link, _Process())


def _take(shelves: Sequence[Shelf], seconds: float) -> None:
    for shelf in shelves:
        shelf.take(seconds)


def main() -> None:
    """Run the workers."""
    urls, boards, workers = sys.argv[1].split(","), int(sys.argv[2]), int(sys.argv[3])
    shelves = [
        Shelf(ShelfHardware(), number, boards // workers + (number < boards % workers)) for number in range(workers)
    ]
    for shelf in shelves:
        reactor.callWhenRunning(_worker(urls[shelf.worker % len(urls)], shelf).startService)
    for number, takes in ((signal.SIGUSR1, float(sys.argv[4])), (signal.SIGUSR2, 0.0)):
        signal.signal(number, lambda *_, takes=takes: reactor.callFromThread(_take, shelves, takes))
    reactor.run()


if __name__ == "__main__":
    main()
