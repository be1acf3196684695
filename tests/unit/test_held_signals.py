"""Signals wait for code that must not be interrupted."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from threading import Thread

import pytest

from icefarm.system import held_signals
from icefarm.system.held_signals import HeldSignals


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


def test_a_signal_waits_until_signals_are_passed_on() -> None:
    with HeldSignals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(Interrupted):
            signals.pass_on()
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGUSR1)
        signals.hold()
        signals.pass_on()
        signals.hold()
        signal.raise_signal(signal.SIGUSR2)
        with pytest.raises(Interrupted):
            signals.pass_on()


def test_a_signal_that_comes_again_does_not_wait() -> None:
    with HeldSignals() as signals:
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(Interrupted):
            signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(Interrupted):
            signals.pass_on()


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
        with pytest.raises(Interrupted), HeldSignals() as signals:
            signals.pass_on()
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
    with HeldSignals() as signals:
        signals.pass_on()
        signal.raise_signal(signal.SIGUSR1)
    assert heard == [signal.SIGUSR1]
    signal.signal(signal.SIGUSR1, first)


def test_other_threads_change_no_handler() -> None:
    handlers = []

    def elsewhere() -> None:
        with HeldSignals() as signals:
            handlers.append(signal.getsignal(signal.SIGUSR1))
            signals.pass_on()
            signals.hold()

    before = signal.getsignal(signal.SIGUSR1)
    thread = Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert handlers == [before]
