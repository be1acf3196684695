"""Events of a board's life, one after the other: `icefarm.worker.board.runner`."""

from __future__ import annotations

from attrs import Factory, define
from twisted.internet.task import Clock

from icefarm.usb.usb_events import TtyAdded, TtyRemoved
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.runner import Procedure, Runner
from icefarm.worker.board.state_machine import Life

DEFAULT = s.Firmware("default", "1.0")


@define(eq=False)
class Board(Runner):
    """Notes the effects; its procedures never end."""

    clock: Clock = Factory(Clock)
    effects: list[e.Effect] = Factory(list)
    entered_from: list[s.State] = Factory(list)
    #: Posted, with the state that it is about, as soon as an effect is carried out.
    next: tuple[e.Event, s.State] | None = None

    def __attrs_post_init__(self) -> None:
        self.begin(Life(DEFAULT), self.clock)

    def carry_out(self, effect: e.Effect) -> Procedure | None:
        self.effects.append(effect)
        if self.next is not None:
            event, state = self.next
            self.next = None
            self.post(event, state)
        return None

    def entered(self, before: Life) -> None:
        self.entered_from.append(before.state)

    def settled(self) -> None:
        """Nothing follows."""


def test_what_happened_in_a_state_that_was_left_changes_nothing() -> None:
    board = Board()
    board.post(TtyAdded("A", "/dev/ttyACM0", "00", "1-2"))
    left = board.life.state
    board.post(TtyRemoved("A", "/dev/ttyACM0"))
    board.post(TtyAdded("A", "/dev/ttyACM1", "00", "1-2"))
    seen = board.life
    assert isinstance(seen.state, s.Seen)
    board.post(e.Failed("does not answer"), left)
    assert board.life is seen


def test_what_happens_while_an_effect_is_carried_out_waits_and_is_dropped_where_its_state_is_left_by_then() -> None:
    board = Board()
    board.next = (e.Failed("does not answer"), board.life.state)
    board.post(TtyAdded("A", "/dev/ttyACM0", "00", "1-2"))
    assert isinstance(board.life.state, s.Seen)
    assert board.life.tries == 0


def test_a_state_that_is_left_in_time_does_not_time_out() -> None:
    board = Board()
    board.post(TtyAdded("A", "/dev/ttyACM0", "00", "1-2"))
    board.clock.advance(s.HELLO_LIMIT / 2)
    board.post(e.Greeted(DEFAULT), board.life.state)
    assert isinstance(board.life.state, s.Testing)
    board.clock.advance(s.HELLO_LIMIT / 2)
    assert isinstance(board.life.state, s.Testing)
    assert board.life.tries == 0
