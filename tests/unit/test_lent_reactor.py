"""A script's thread turns the client's reactor itself where it calls again and again."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from threading import Event, Thread, get_ident
from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from icefarm.client.api.reactor_thread import LENT, Engine
from icefarm.errors import Unavailable, WrongThread

#: Seconds for what happens within milliseconds.
LIMIT = 20.0
#: Calls of which one surely comes in time to borrow the reactor, also on a busy machine.
CALLS = 2000


@pytest.fixture(name="own", scope="module")
def own_engine() -> Iterator[Engine]:
    """An engine for these tests alone: what another test has left under way would keep its reactor from being lent."""
    engine = Engine()
    yield engine
    engine.reactor.callFromThread(engine.reactor.stop)
    engine._thread.join(LIMIT)
    assert not engine._thread.is_alive()


def later(own: Engine) -> Deferred[int]:
    """Return the thread that handles the next event."""
    answer: Deferred[int] = Deferred()
    own.reactor.callLater(0, lambda: answer.callback(get_ident()))
    return answer


def here(own: Engine, function: Callable[[], Deferred[Any]]) -> Any:
    """Call it in this thread: nothing may begin in the reactor's own."""
    elsewhere, caller = object(), get_ident()

    def call() -> Deferred[Any]:
        return function() if get_ident() == caller else succeed(elsewhere)

    results = (own.run_shortly(call) for _ in range(CALLS))
    return next(result for result in results if result is not elsewhere)


def test_a_caller_that_comes_again_does_all_in_its_own_thread(own: Engine) -> None:
    assert here(own, lambda: later(own)) == get_ident()


def test_other_calls_are_carried_out_by_the_reactors_own_thread(own: Engine) -> None:
    here(own, lambda: succeed(None))
    assert own.run(later, own) != get_ident()


def test_what_fails_here_is_raised(own: Engine) -> None:
    with pytest.raises(Unavailable, match="all in use"):
        here(own, lambda: fail(Unavailable("all in use")))
    assert here(own, lambda: succeed(5)) == 5


def test_timers_run_while_nobody_calls(own: Engine) -> None:
    rang = Event()

    def soon() -> Deferred[None]:
        own.reactor.callLater(0.03, rang.set)
        return succeed(None)

    here(own, soon)
    assert rang.wait(LIMIT)


def test_timers_run_while_calls_that_need_no_turn_follow_each_other(own: Engine) -> None:
    rang = Event()

    def at_once() -> Deferred[None]:
        own.reactor.callLater(0, rang.set)
        return succeed(None)

    here(own, at_once)
    assert rang.is_set()


def test_a_long_call_does_not_end_the_loan(own: Engine) -> None:
    def long() -> Deferred[None]:
        answer: Deferred[None] = Deferred()
        own.reactor.callLater(3 * LENT, answer.callback, None)
        return answer

    def follows_a_long_one() -> bool:
        here(own, long)
        return own.run_shortly(later, own) == get_ident()

    # Not each time, on a busy machine.
    assert any(follows_a_long_one() for _ in range(50))


def test_another_threads_calls_are_carried_out_while_one_has_the_reactor(own: Engine) -> None:
    answers: list[int] = []

    def waits() -> Deferred[int]:
        answer: Deferred[int] = Deferred()

        def other() -> None:
            answers.append(own.run(later, own))
            own.post(answer.callback, 7)

        Thread(target=other, daemon=True).start()
        return answer

    assert here(own, waits) == 7
    assert answers == [get_ident()]


def test_a_caller_waits_as_before_while_another_one_has_the_reactor(own: Engine) -> None:
    def waits() -> Deferred[int]:
        answer: Deferred[int] = Deferred()

        def other() -> None:
            thread = own.run_shortly(later, own)
            own.post(answer.callback, thread)

        Thread(target=other, daemon=True).start()
        return answer

    assert here(own, waits) == get_ident()


def test_what_is_under_way_keeps_the_reactor_in_its_own_thread(own: Engine) -> None:
    # Others may wait for what only a turn brings.
    answer: Deferred[None] = Deferred()
    waiting = own.begin(lambda: answer)
    threads = {own.run_shortly(later, own) for _ in range(100)}
    own.post(answer.callback, None)
    waiting.wait()
    assert get_ident() not in threads


def test_a_listener_that_calls_is_told_off_here_too(own: Engine) -> None:
    def calls() -> Deferred[None]:
        own.run(later, own)
        raise AssertionError

    with pytest.raises(WrongThread, match="event listener"):
        here(own, calls)
    assert here(own, lambda: later(own)) == get_ident()


def test_what_is_posted_where_the_reactor_is_turned_is_carried_out(own: Engine) -> None:
    def posts() -> Deferred[int]:
        answer: Deferred[int] = Deferred()
        own.post(answer.callback, 3)
        return answer

    assert here(own, posts) == 3


class Interrupted(BaseException):
    """The handler of the signal."""


@pytest.fixture(name="interrupting")
def handler_that_interrupts() -> Iterator[None]:
    def interrupt(*_: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    assert signal.signal(signal.SIGUSR1, before) is interrupt


def until_all_is_carried_out(own: Engine) -> None:
    own.run(lambda: succeed(None))


@pytest.mark.usefixtures("interrupting")
def test_an_interrupt_waits_until_this_thread_waits_for_events(own: Engine) -> None:
    steps: list[str] = []

    def interrupted() -> Deferred[None]:
        signal.raise_signal(signal.SIGUSR1)
        steps.append("whole")
        return Deferred(lambda _: steps.append("cancelled"))

    with pytest.raises(Interrupted):
        here(own, interrupted)
    until_all_is_carried_out(own)
    assert steps == ["whole", "cancelled"]
    assert here(own, lambda: later(own)) == get_ident()


@pytest.mark.usefixtures("interrupting")
def test_an_interrupt_ends_the_wait(own: Engine) -> None:
    cancelled: list[str] = []

    def waits() -> Deferred[None]:
        Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1), daemon=True).start()
        return Deferred(lambda _: cancelled.append("it"))

    with pytest.raises(Interrupted):
        here(own, waits)
    until_all_is_carried_out(own)
    assert cancelled == ["it"]
    assert here(own, lambda: later(own)) == get_ident()


def test_a_handler_may_call_and_the_wait_goes_on_after_it(own: Engine) -> None:
    answer: Deferred[int] = Deferred()
    threads = list[int]()

    def calls(*_: object) -> None:
        threads.append(own.run(later, own))
        own.post(answer.callback, 8)

    def waits() -> Deferred[int]:
        Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1), daemon=True).start()
        return answer

    before = signal.signal(signal.SIGUSR1, calls)
    try:
        assert here(own, waits) == 8
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert get_ident() not in threads
    assert len(threads) == 1
