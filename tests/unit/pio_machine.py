"""State machines of the RP2350's PIO, cycle by cycle, from the text of .pio files: as much of them as the firmware's
programs use (RP2350 datasheet, chapter 11).

Time is the system clock's cycle.  Within one, flags and pins are those from before it: all state machines go at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from attrs import Factory, define, field, frozen

__all__ = ["Machine", "Program", "programs"]

_ONES = 0xFFFF_FFFF
_LINE = re.compile(
    r"(?P<operation>[a-z]+)(?:\s+(?!side )(?P<operands>[^\[]*?))?(?:\s+side (?P<side>[01]))?\s*(?:\[(?P<delay>\d+)\])?"
)


@frozen
class Instruction:
    operation: str
    operands: tuple[str, ...]
    side: int | None
    delay: int


@frozen
class Program:
    """A program: its instructions, the labels in it, where it wraps, and which flag is its status."""

    code: tuple[Instruction, ...]
    labels: dict[str, int]
    wrap_target: int
    wrap: int
    status_flag: int | None


def programs(path: Path) -> dict[str, Program]:
    """Return the programs of a file by name."""
    found = {}
    for part in re.split(r"^\.program ", path.read_text(), flags=re.MULTILINE)[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = _program(body)
    return found


def _program(body: str) -> Program:
    code: list[Instruction] = []
    labels: dict[str, int] = {}
    marks: dict[str, int] = {}
    flag = None
    for raw in body.splitlines():
        line = raw.partition(";")[0].strip()
        if line.startswith(".mov_status irq set "):
            flag = int(line.split()[-1])
        elif line.startswith("."):
            marks[line] = len(code)
        elif line.endswith(":"):
            labels[line[:-1]] = len(code)
        elif line:
            match = _LINE.fullmatch(line)
            assert match is not None, line
            operands = tuple((match["operands"] or "").replace(",", " ").split())
            side = None if match["side"] is None else int(match["side"])
            code.append(Instruction(match["operation"], operands, side, int(match["delay"] or 0)))
    return Program(tuple(code), labels, marks.get(".wrap_target", 0), marks.get(".wrap", len(code)) - 1, flag)


@define
class Machine:
    """One state machine.  ``flags`` are its PIO's, shared with its neighbours; ``pin`` gives its input's level."""

    program: Program
    flags: set[int] = Factory(set)
    pin: Callable[[], int] = lambda: 0
    divider: int = 1
    #: Bits of an automatic pull, out of the top of a word; None: it has none.
    autopull: int | None = None
    x: int = 0
    y: int = 0
    tx: list[int] = Factory(list)
    rx: list[int] = Factory(list)
    rx_room: int = 4
    out_pin: int = 0
    side: int | None = None
    #: Whether the pin of ``set`` is an output.
    drives: bool = True
    osr: int = 0
    isr: int = 0
    counter: int = 0
    _left: int = 0
    _delay: int = 0
    _cycle: int = 0
    #: What the flags become at the end of this cycle.
    effects: list[tuple[str, int]] = field(factory=list)

    def step(self) -> None:
        """Go on by one cycle of the system clock."""
        self._cycle += 1
        if (self._cycle - 1) % self.divider:
            return
        if self._delay:
            self._delay -= 1
            return
        instruction = self.program.code[self.counter]
        if instruction.side is not None:
            self.side = instruction.side  # also by one that stalls
        at = self.counter
        if not getattr(self, "_" + instruction.operation)(*instruction.operands):
            return
        self._delay = instruction.delay
        if self.counter == at:
            self.counter = self.program.wrap_target if at == self.program.wrap else at + 1
        elif self.counter < 0:
            self.counter = at  # a jump to itself

    def settle(self) -> None:
        """Let the others see what this one did to the flags."""
        for what, flag in self.effects:
            (self.flags.add if what == "set" else self.flags.discard)(flag)
        self.effects.clear()

    def _goto(self, label: str) -> None:
        target = self.program.labels[label]
        self.counter = -1 if target == self.counter else target

    def _jmp(self, *operands: str) -> bool:
        condition, label = operands if len(operands) == 2 else ("", operands[0])
        taken = {"": True, "!y": self.y == 0, "x--": self.x != 0}[condition]
        if condition == "x--":
            self.x = (self.x - 1) & _ONES
        if taken:
            self._goto(label)
        return True

    def _wait(self, level: str, source: str, number: str) -> bool:
        assert (source, number) == ("pin", "0")
        return self.pin() == int(level)

    def _mov(self, target: str, source: str) -> bool:
        status = _ONES if self.program.status_flag in self.flags else 0
        value = {"osr": self.osr, "x": self.x, "y": self.y, "status": status}[source]
        if target == "pins":
            self.out_pin = value & 1
        else:
            setattr(self, target, value)
        return True

    def _set(self, target: str, value: str) -> bool:
        assert target == "pindirs"
        self.drives = value == "1"
        return True

    def _nop(self) -> bool:
        return True

    def _irq(self, *operands: str) -> bool:
        what, flag = operands
        self.effects.append((what, int(flag)))
        return True

    def _pull(self, block: str) -> bool:
        assert block == "block"
        if not self.tx:
            return False
        self.osr = self.tx.pop(0)
        return True

    def _push(self, block: str) -> bool:
        assert block == "block"
        if len(self.rx) == self.rx_room:
            return False
        self.rx.append(self.isr)
        self.isr = 0
        return True

    def _out(self, target: str, bits: str) -> bool:
        assert (target, bits) == ("x", "1")
        assert self.autopull is not None
        if self._left == 0:
            if not self.tx:
                return False
            self.osr, self._left = self.tx.pop(0), self.autopull
        self.x, self.osr, self._left = self.osr >> 31, (self.osr << 1) & _ONES, self._left - 1
        return True
