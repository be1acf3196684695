"""The verb ``console`` between a keyboard and a circuit that is slow, or talks much."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from icefarm.cli.commands.boards.console import ATTEMPTS, ESCAPE, Bridge
from icefarm.client import ClientEvent
from icefarm.errors import DeviceFailed

SERIAL = "A"


class Farm:
    """Its circuit takes as many bytes at a time as it is told to."""

    def __init__(self, *takes: int) -> None:
        self._takes = list(takes)
        self.taken = b""
        self.heard: Callable[[ClientEvent], None] = lambda _: None

    def listen(self, listener: Callable[[ClientEvent], None]) -> None:
        self.heard = listener

    def ask(self, _serial: str, method: str, **options: Any) -> Any:
        if method == "write":
            some = options["data"][: self._takes.pop(0) if self._takes else 1]
            self.taken += some
            return len(some)
        return {"open": 1, "read": {"position": 0, "data": b""}}[method]


class Pipes:
    """What is typed, and what the terminal shows."""

    def __init__(self) -> None:
        self.source, self.keyboard = os.pipe()
        self.shown, self.target = os.pipe()

    def close(self) -> None:
        for descriptor in (self.source, self.keyboard, self.shown, self.target):
            os.close(descriptor)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


def bridge_of(farm: Any, pipes: Pipes) -> Bridge:
    bridge = Bridge(farm, SERIAL, pipes.source, pipes.target)
    bridge.open({})
    return bridge


@pytest.mark.parametrize("length", [ATTEMPTS, 5 * ATTEMPTS])
def test_a_circuit_may_take_a_long_text_byte_by_byte(length: int, pipes: Pipes) -> None:
    farm = Farm()
    os.write(pipes.keyboard, b"x" * length + ESCAPE)
    bridge_of(farm, pipes).run()
    assert farm.taken == b"x" * length


def test_a_circuit_that_takes_nothing_any_more_ends_it(pipes: Pipes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("icefarm.cli.commands.boards.console.AGAIN", 0.0)
    farm = Farm(1, *[0] * ATTEMPTS)
    os.write(pipes.keyboard, b"xyz" + ESCAPE)
    with pytest.raises(DeviceFailed, match="takes no more"):
        bridge_of(farm, pipes).run()
    assert farm.taken == b"x"


def test_events_that_nobody_shows_yet_hold_up_nothing(pipes: Pipes) -> None:
    farm = Farm()
    bridge = bridge_of(farm, pipes)
    # More than a pipe takes, of which each may have a byte.
    for _ in range(70_000):
        farm.heard(ClientEvent("output", SERIAL, None, None, {"circuit": 2}))
    farm.heard(ClientEvent("output", SERIAL, None, None, {"circuit": 1, "position": 0, "data": b"last"}))
    os.write(pipes.keyboard, ESCAPE)
    bridge.run()
    assert os.read(pipes.shown, 100) == b"last"
