"""``icefarm console``: the serial port of a circuit at a terminal, and the terminal as it was afterwards."""

from __future__ import annotations

import os
import pty
import sys
import termios
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from icefarm.cli.commands.boards.console import ESCAPE, Bridge, raw_terminal
from icefarm.client.evaluation.payload import payload_of
from icefarm.testing.in_memory import FarmInMemory

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
CIRCUIT = str(EXAMPLES / "circuits" / "square_2khz.bin")
LIMIT = 60


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmInMemory]:
    sys.path.insert(0, str(EXAMPLES / "console_kind"))
    try:
        from icefarm_console.kind import Console

        with FarmInMemory(boards=1, kinds=[Console]) as farm:
            yield farm
    finally:
        sys.path.remove(str(EXAMPLES / "console_kind"))


class Typist:
    """Someone at the other end of a terminal."""

    def __init__(self, farm: FarmInMemory, source: int) -> None:
        farm.wait_until_available()
        self.client = farm.client("typist")
        boards = self.client.reserve(1, kind="console")
        reading, writing = os.pipe()
        self._shown, self._text = reading, b""
        self.bridge = Bridge(self.client, boards.serials[0], source, writing)
        self.bridge.open(payload_of(CIRCUIT))
        self._pool = ThreadPoolExecutor(1)
        self.running: Future[None] = self._pool.submit(self._run)

    def _run(self) -> None:
        with raw_terminal(self.bridge.source):
            self.bridge.run()

    def reads(self, end: bytes) -> bytes:
        while end not in self._text:
            self._text += os.read(self._shown, 4096)
        found, _, self._text = self._text.partition(end)
        return found + end

    def leaves(self) -> None:
        self.running.result(LIMIT)
        self.client.close()


def test_what_is_typed_reaches_the_circuit_and_its_answer_the_terminal(farm: FarmInMemory) -> None:
    keyboard, source = pty.openpty()
    before = termios.tcgetattr(source)
    typist = Typist(farm, source)
    assert typist.reads(b"> ").startswith(b"circuit ")
    os.write(keyboard, b"hello\r")
    assert typist.reads(b"> ") == b"hello\r\nHELLO\r\n> "
    assert termios.tcgetattr(source) != before
    os.write(keyboard, b"half" + ESCAPE)
    typist.leaves()
    assert termios.tcgetattr(source) == before


def test_ctrl_c_goes_to_the_circuit(farm: FarmInMemory) -> None:
    keyboard, source = pty.openpty()
    typist = Typist(farm, source)
    typist.reads(b"> ")
    os.write(keyboard, b"\x03")
    assert typist.reads(b"\x03") == b"\x03"
    os.write(keyboard, ESCAPE)
    typist.leaves()


def test_the_end_of_a_pipe_ends_it_when_the_circuit_has_answered(farm: FarmInMemory) -> None:
    source, writing = os.pipe()
    typist = Typist(farm, source)
    os.write(writing, b"hi\r")
    os.close(writing)
    assert typist.reads(b"HI\r\n> ").endswith(b"hi\r\nHI\r\n> ")
    typist.leaves()
