"""Ctrl-C in a place from which Python can't raise it."""

from __future__ import annotations

import signal
import weakref
from threading import Event

import pytest

from icefarm.cli.ui.terminal.sigint import interrupts_kept

#: Seconds for an interrupt to come again, far above what it takes.
LIMIT = 10.0


class Garbage:
    """Something that goes away."""


def interrupted_in_a_callback(_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_in_a_callback_of_the_collector_is_not_lost() -> None:
    garbage = Garbage()
    kept = weakref.ref(garbage, interrupted_in_a_callback)
    with interrupts_kept():
        del garbage
        assert kept() is None
        with pytest.raises(KeyboardInterrupt):
            Event().wait(LIMIT)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_else_cannot_be_raised_goes_the_usual_way() -> None:
    def fails(_: object) -> None:
        raise ValueError

    garbage = Garbage()
    kept = weakref.ref(garbage, fails)
    with interrupts_kept():
        del garbage
    assert kept() is None
