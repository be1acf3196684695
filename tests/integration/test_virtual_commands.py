"""Commands for virtual boards from outside their worker, over a Unix socket."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_twisted
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.protocol import connectionDone
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure

from icefarm.usb.usb_events import TtyAdded, TtyRemoved, UsbEvent
from icefarm.virtual.commands import LINE_LIMIT
from icefarm.virtual.usb_bus import VirtualBusOptions
from icefarm.worker.sources import VirtualBoards

pytestmark = pytest.mark.integration

#: Seconds for each answer.
LIMIT = 10.0


class Console(LineReceiver):
    """Somebody at the socket."""

    delimiter = b"\n"

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.waiting: Deferred[None] = Deferred()
        self.closed: Deferred[None] = Deferred()

    def lineReceived(self, line: bytes) -> None:
        self.answers.append(line.decode())
        waiting, self.waiting = self.waiting, Deferred()
        waiting.callback(None)

    def connectionLost(self, _: Failure = connectionDone) -> None:
        self.closed.callback(None)

    async def answered(self, amount: int) -> list[str]:
        """Wait until there are so many answers."""
        while len(self.answers) < amount:
            await self.waiting.addTimeout(LIMIT, reactor)  # type: ignore[arg-type]
        return self.answers


class Shelf:
    """Virtual boards with a socket for commands, and what they told."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "boards.sock"
        self.told: list[UsbEvent] = []
        self.boards = VirtualBoards(reactor, VirtualBusOptions(boards=2, speed="instant"), self.socket)

    @property
    def serials(self) -> list[str]:
        return [event.serial for event in self.told if isinstance(event, TtyAdded)]

    async def console(self) -> Console:
        return await connectProtocol(UNIXClientEndpoint(reactor, str(self.socket)), Console())


@pytest_twisted.async_yield_fixture
async def shelf(tmp_path: Path) -> AsyncIterator[Shelf]:
    shelf = Shelf(tmp_path)
    await shelf.boards.start(shelf.told.append)
    yield shelf
    await shelf.boards.stop()
    assert not shelf.socket.exists()


@ensureDeferred
async def test_a_board_is_unplugged_by_a_line_and_the_next_line_says_done(shelf: Shelf) -> None:
    console = await shelf.console()
    console.sendLine(f"unplug {shelf.serials[0]}".encode())
    assert await console.answered(1) == ["done"]
    assert isinstance(shelf.told[-1], TtyRemoved)
    assert shelf.told[-1].serial == shelf.serials[0]


@ensureDeferred
async def test_commands_given_at_once_are_answered_in_their_order(shelf: Shelf) -> None:
    console = await shelf.console()
    one, other = shelf.serials[:2]
    for command in (f"fault {one} silent on", "unplug nobody", "", f"fault {other} garbled on 3", "plug"):
        console.sendLine(command.encode())
    answers = await console.answered(4)
    assert [answer.partition(" ")[0] for answer in answers] == ["done", "refused", "done", "refused"]
    assert all(answer == "done" or len(answer) > len("refused ") for answer in answers)


@ensureDeferred
@pytest.mark.parametrize("line", [b"\xff\xfe\x00", b"fault", b"fault \x00 silent on", b"unplug a b c d e f"])
async def test_what_is_no_command_is_refused_and_the_boards_stay(shelf: Shelf, line: bytes) -> None:
    console = await shelf.console()
    console.sendLine(line)
    (answer,) = await console.answered(1)
    assert answer.startswith("refused ")
    console.sendLine(f"unplug {shelf.serials[0]}".encode())
    assert (await console.answered(2))[1] == "done"


@ensureDeferred
async def test_a_line_without_end_closes_its_connection_and_no_other(shelf: Shelf) -> None:
    rude, other = await shelf.console(), await shelf.console()
    rude.transport.write(b"x" * (2 * LINE_LIMIT))  # type: ignore[call-arg, union-attr]
    await rude.closed.addTimeout(LIMIT, reactor)  # type: ignore[arg-type]
    other.sendLine(f"unplug {shelf.serials[0]}".encode())
    assert await other.answered(1) == ["done"]


@ensureDeferred
async def test_the_socket_is_for_its_owner_alone(shelf: Shelf) -> None:
    assert shelf.socket.stat().st_mode & 0o777 == 0o600


@ensureDeferred
async def test_a_socket_that_a_killed_worker_left_is_replaced(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(shelf.socket))
    await shelf.boards.start(shelf.told.append)
    try:
        console = await shelf.console()
        console.sendLine(f"unplug {shelf.serials[0]}".encode())
        assert await console.answered(1) == ["done"]
    finally:
        await shelf.boards.stop()
