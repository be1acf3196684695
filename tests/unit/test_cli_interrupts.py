"""Ctrl-C in a place from which Python can't raise it."""

from __future__ import annotations

import signal
import sys
import weakref
from collections.abc import Iterator
from threading import Event

import pytest

from icefarm.cli.ui.terminal.sigint import interrupts_kept

#: Seconds for an interrupt to come again, far above what it takes.
LIMIT = 10.0


@pytest.fixture(autouse=True)
def interrupt_raises() -> Iterator[None]:
    """Have Ctrl-C raise KeyboardInterrupt, as it does for a user; that of a run of tests ends the run later."""
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, former)


class Garbage:
    """Something that goes away."""


def drop(garbage: list[Garbage]) -> None:
    """Let it go away, and wait: the interrupt comes again a moment later, which may be at once."""
    with interrupts_kept():
        garbage.clear()
        Event().wait(LIMIT)


def interrupted_in_a_callback(_: object) -> None:
    signal.raise_signal(signal.SIGINT)


def test_an_interrupt_in_a_callback_of_the_collector_is_not_lost() -> None:
    garbage = [Garbage()]
    kept = weakref.ref(garbage[0], interrupted_in_a_callback)
    with pytest.raises(KeyboardInterrupt):
        drop(garbage)
    assert kept() is None


def test_an_exit_on_a_signal_in_such_a_callback_is_not_lost() -> None:
    former = signal.signal(signal.SIGUSR1, lambda *_: sys.exit(143))
    garbage = [Garbage()]
    kept = weakref.ref(garbage[0], lambda _: signal.raise_signal(signal.SIGUSR1))
    try:
        with pytest.raises(SystemExit, match="143"):
            drop(garbage)
        assert kept() is None
    finally:
        signal.signal(signal.SIGUSR1, former)


def test_an_interrupt_that_comes_again_while_the_first_one_is_noted_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    setitimer = signal.setitimer

    def slow(which: int, seconds: float) -> tuple[float, float]:
        found = setitimer(which, seconds)
        if seconds and "hook" in sys._getframe(1).f_code.co_name:
            signal.raise_signal(signal.SIGALRM)
        return found

    monkeypatch.setattr(signal, "setitimer", slow)
    test_an_interrupt_in_a_callback_of_the_collector_is_not_lost()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_else_cannot_be_raised_goes_the_usual_way() -> None:
    def fails(_: object) -> None:
        raise ValueError

    garbage = Garbage()
    kept = weakref.ref(garbage, fails)
    with interrupts_kept():
        del garbage
    assert kept() is None
