"""Signals wait for code that must not be interrupted."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from threading import Thread

import pytest

from icefarm.system import held_signals
from icefarm.system.held_signals import HeldSignals, SignalHeard


class Interrupted(Exception):
    """The handler of the signal."""


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = [(number, signal.signal(number, interrupt)) for number in (signal.SIGUSR1, signal.SIGUSR2)]
    yield
    for number, had in before:
        assert signal.signal(number, had) is interrupt


def test_a_signal_waits_for_the_end_of_the_block() -> None:
    steps = []

    def interrupted() -> None:
        with HeldSignals():
            signal.raise_signal(signal.SIGUSR1)
            steps.append("whole")

    with pytest.raises(Interrupted):
        interrupted()
    assert steps == ["whole"]


def told(signals: HeldSignals) -> None:
    signals.tell()
    signal.raise_signal(signal.SIGUSR1)


def test_code_that_waits_is_told_of_a_signal_once_and_its_handler_is_called_at_the_end() -> None:
    steps = []

    def waits() -> None:
        with HeldSignals() as signals:
            with pytest.raises(SignalHeard):
                told(signals)
            # The code ends then, and must not be interrupted either.
            signal.raise_signal(signal.SIGUSR2)
            steps.append("whole")

    with pytest.raises(Interrupted):
        waits()
    assert steps == ["whole"]


def test_code_is_told_of_a_signal_that_came_before_it_waits_and_of_none_after_it() -> None:
    steps = []

    def waits() -> None:
        with HeldSignals() as signals:
            signals.tell()
            signals.hold()
            signal.raise_signal(signal.SIGUSR1)
            steps.append("whole")
            with pytest.raises(SignalHeard):
                signals.tell()
            steps.append("told")

    with pytest.raises(Interrupted):
        waits()
    assert steps == ["whole", "told"]


def test_a_signal_that_comes_again_waits_too_unless_the_code_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    now, steps = [100.0], []
    monkeypatch.setattr(held_signals, "monotonic", lambda: now[0])

    def hangs() -> None:
        with HeldSignals():
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGUSR1)
            now[0] += held_signals.HANGS
            steps.append("hangs")
            with pytest.raises(Interrupted):
                signal.raise_signal(signal.SIGUSR1)

    with pytest.raises(Interrupted):
        hangs()
    assert steps == ["hangs"]


def test_a_child_that_another_thread_forks_handles_signals_as_usual() -> None:
    statuses = []

    def forks() -> None:
        child = os.fork()
        if child == 0:
            try:
                signal.raise_signal(signal.SIGUSR1)
            except Interrupted:
                os._exit(3)
            finally:
                os._exit(4)
        statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    with HeldSignals():
        thread = Thread(target=forks)
        thread.start()
        thread.join()
    assert statuses == [3]


def test_a_signal_that_comes_while_handlers_are_replaced_or_put_back_leaves_none_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = [signal.getsignal(number) for number in held_signals.SIGNALS]
    changes, replace = 2 * sum(map(callable, before)), held_signals.set_handler
    left = 0

    def replaced(number: int, handler: object) -> None:
        nonlocal left
        replace(number, handler)
        left -= 1
        if left == 0:
            signal.raise_signal(signal.SIGUSR1)

    monkeypatch.setattr(held_signals, "set_handler", replaced)
    for change in range(1, changes + 1):
        left = change
        with pytest.raises(Interrupted), HeldSignals():
            pass
        assert [signal.getsignal(number) for number in held_signals.SIGNALS] == before


def test_a_handler_that_is_set_meanwhile_stays() -> None:
    heard = []

    def other(number: int, _: object) -> None:
        heard.append(number)

    def replaces(number: int, _: object) -> None:
        signal.signal(number, other)

    first = signal.signal(signal.SIGUSR1, replaces)
    with HeldSignals():
        signal.raise_signal(signal.SIGUSR1)
    assert signal.getsignal(signal.SIGUSR1) is other
    with HeldSignals():
        signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]
    signal.signal(signal.SIGUSR1, first)


def test_other_threads_change_no_handler() -> None:
    handlers = []

    def elsewhere() -> None:
        with HeldSignals() as signals:
            handlers.append(signal.getsignal(signal.SIGUSR1))
            signals.tell()
            signals.hold()

    before = signal.getsignal(signal.SIGUSR1)
    thread = Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [before]
