"""The verb ``console``: the serial port of the circuit on a board, at this terminal.

The kind carries the bytes: one with the methods ``open``, ``write`` and ``read`` and the event ``output``, as that of
examples/console_kind.  The protocol needs nothing else, so the verb works on any farm whose workers have such a kind.
"""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import click
from attrs import define, field

from icefarm.cli.completing import complete_kinds, complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reserving import Wanted, reserved
from icefarm.cli.verb import farm_of, opened_screen
from icefarm.errors import DeviceFailed

if TYPE_CHECKING:
    from icefarm.client import ClientEvent, Farm

__all__ = ["Bridge", "console", "raw_terminal"]

#: Ctrl-], as of telnet(1): what ends the console.
ESCAPE = b"\x1d"
#: Seconds between two attempts to write to a circuit that takes no more just now, and how many in vain end it.
AGAIN, ATTEMPTS = 0.1, 100
#: Seconds of silence after the end of an input that is no terminal, until the console ends.
SILENCE = 1.0


@define
class Bridge:
    """Carries bytes between two descriptors and the circuit on one board."""

    farm: Farm
    serial: str
    source: int
    target: int
    _events: SimpleQueue[ClientEvent] = field(init=False, factory=SimpleQueue)
    #: A byte in it wakes `run`, which waits for the keyboard.
    _woken: tuple[int, int] = field(init=False, factory=os.pipe)
    _circuit: int = field(init=False, default=0)
    _position: int = field(init=False, default=0)
    _escaped: bool = field(init=False, default=False)
    #: Why it is over.
    _over: str | None = field(init=False, default=None)

    def open(self, bitstream: dict[str, Any]) -> None:
        """Load a circuit, and connect to it."""
        os.set_blocking(self._woken[1], False)
        self.farm.listen(self._heard)
        self._circuit = self.farm.ask(self.serial, "open", bitstream=bitstream)

    def run(self) -> None:
        """Carry bytes until the escape key, or the end of the input.  Raises `DeviceFailed` if the circuit is gone."""
        self._fill_gap(0)
        listening = [self.source]
        while self._over is None:
            ready, _, _ = select.select([*listening, self._woken[0]], [], [], None if listening else SILENCE)
            if not ready:
                return
            if self._woken[0] in ready:
                os.read(self._woken[0], 4096)
                self._show_events()
            if self.source in ready and not self._typed(os.read(self.source, 1024)):
                if os.isatty(self.source) or self._escaped:
                    return
                listening = []
        raise DeviceFailed(self._over, serial=self.serial)

    def _typed(self, data: bytes) -> bool:
        """Send what was typed, and tell whether there may be more."""
        data, escape, _ = data.partition(ESCAPE)
        self._escaped = bool(escape)
        more, in_vain = bool(data), 0
        while data:
            taken = self.farm.ask(self.serial, "write", data=data)
            data = data[taken:]
            in_vain = in_vain + 1 if taken == 0 else 0
            if in_vain == ATTEMPTS:
                raise DeviceFailed(f"the circuit on {self.serial} takes no more", serial=self.serial)
            if in_vain:
                select.select([], [], [], AGAIN)
        return more and not self._escaped

    def _heard(self, event: ClientEvent) -> None:
        if event.serial == self.serial:
            self._events.put(event)
            # A full pipe wakes it as well, and the connection must not wait for a terminal that takes nothing.
            with suppress(BlockingIOError):
                os.write(self._woken[1], b".")

    def _show_events(self) -> None:
        while True:
            try:
                event = self._events.get_nowait()
            except Empty:
                return
            self._show(event)

    def _show(self, event: ClientEvent) -> None:
        fields = event.fields
        if event.name == "output" and fields.get("circuit") == self._circuit:
            self._fill_gap(fields["position"])
            self._print(fields["position"], fields["data"])
        elif event.name == "closed" and fields.get("circuit") == self._circuit:
            self._over = f"board {self.serial} was restarted: its circuit is gone"
        elif event.name == "ended":
            self._over = f"the reservation of board {self.serial} has ended: {event.reason}"

    def _fill_gap(self, position: int) -> None:
        """Read again what was missed before a position."""
        if self._position < position or position == 0:
            missed = self.farm.ask(self.serial, "read", position=self._position)
            self._print(missed["position"], missed["data"])

    def _print(self, position: int, data: bytes) -> None:
        fresh = data[max(0, self._position - position) :]
        self._position = max(self._position, position + len(data))
        while fresh:
            fresh = fresh[os.write(self.target, fresh) :]


@contextmanager
def raw_terminal(descriptor: int) -> Iterator[None]:
    """Let a terminal pass on each key, Ctrl-C too; it is as before afterwards, whatever happens."""
    if not os.isatty(descriptor):
        yield
        return
    before = termios.tcgetattr(descriptor)
    tty.setraw(descriptor, termios.TCSANOW)
    try:
        yield
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


@click.command()
@click.argument("serial", metavar="BOARD", shell_complete=complete_serials)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--kind",
    default="console",
    show_default=True,
    shell_complete=complete_kinds,
    help="A device kind that carries a serial port.",
)
@click.option("--baud", type=click.IntRange(300, 3_000_000), help="The speed of the port.  [default: the kind's own]")
@click.option("--wait", is_flag=True, help="Wait if the board is not free.")
@with_access(named=True)
def console(access: SignIn, serial: str, file: str, kind: str, baud: int | None, wait: bool) -> None:
    """Load the circuit in FILE into BOARD, and connect its serial port to this terminal.

    Ctrl-] ends it and returns the board. The board's worker needs a kind such as that of examples/console_kind.
    """
    from icefarm.client.evaluation.payload import payload_of

    payload = payload_of(file)
    options = {} if baud is None else {"baud": baud}
    wanted = Wanted(None, (serial,), kind, options, wait)
    with opened_screen() as screen, farm_of(access) as farm, reserved(farm, wanted, screen) as boards:
        (board,) = boards.serials
        bridge = Bridge(farm, board, sys.stdin.fileno(), sys.stdout.fileno())
        bridge.open(payload)
        screen.say(f"connected to {board}; Ctrl-] ends it")
        with raw_terminal(bridge.source):
            bridge.run()
        screen.say("disconnected")
