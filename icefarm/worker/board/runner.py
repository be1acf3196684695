"""Runs the life of a board: events in order; each state has one timer and one procedure, which end with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.contract import DeviceStatus
from icefarm.errors import IcefarmError
from icefarm.worker.board import events as e
from icefarm.worker.board.state_machine import Life, status_of, step, time_limit
from icefarm.worker.board.states import State
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.flash.hub_power import PowerFailed
from icefarm.worker.flash.images import NoImage
from icefarm.worker.protocol.pipeline import BoardUnusable

__all__ = ["Procedure", "Runner"]

#: A state's procedure; its result is an event of that state.
Procedure = Coroutine[Deferred[Any], Any, e.Event] | Coroutine[Deferred[Any], Any, None]

#: Expected failures of boards and ports; others are bugs, and logged as such.
_EXPECTED = (BoardUnusable, FlashFailed, PowerFailed, NoImage, OSError, IcefarmError)


@define(eq=False)
class Runner(ABC):
    """A life, and the running procedure of its state.  `icefarm.worker.board.managed_board.ManagedBoard` is one.

    What is one gives it its first life (`begin`), and carries out the effects.
    """

    #: Its state, and what it keeps between states.
    life: Life = field(init=False)
    #: The state in one word, and its reason or purpose, for users.
    _status: tuple[DeviceStatus, str | None] = field(init=False)
    _life_clock: Clock = field(init=False)
    _events: deque[tuple[e.Event, State | None]] = field(init=False, factory=deque)
    _deciding: bool = field(init=False, default=False)
    _timer: Any = field(init=False, default=None)
    _procedure: Deferred[None] | None = field(init=False, default=None)
    _log: Logger = field(init=False, factory=partial(Logger, namespace="icefarm.worker.protocol.board_client"))

    def begin(self, life: Life, clock: Clock) -> None:
        """Begin a life, before the first event."""
        self.life, self._status, self._life_clock = life, status_of(life), clock

    @abstractmethod
    def carry_out(self, effect: e.Effect) -> Procedure | None:
        """Carry out an effect; return the procedure of the state, where it begins one."""

    @abstractmethod
    def entered(self, before: Life) -> None:
        """The state has changed, and the effects have been carried out."""

    @abstractmethod
    def settled(self) -> None:
        """All events so far are handled."""

    def post(self, event: e.Event, state: State | None = None) -> None:
        """Handle an event, after earlier ones; drop it if its ``state`` has been left."""
        self._events.append((event, state))
        if self._deciding:
            return
        self._deciding = True
        try:
            while self._events:
                event, state = self._events.popleft()
                if state is None or state is self.life.state:
                    self._decide(event)
        finally:
            self._deciding = False
        self.settled()

    def _decide(self, event: e.Event) -> None:
        before = self.life
        self.life, effects = step(before, event)
        self._status, state = status_of(self.life), self.life.state
        entered = state is not before.state
        if entered:
            # The timer and the procedure are those of a state, and end with it.
            limit = time_limit(self.life)
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            timed_out = e.TimedOutWaiting()
            self._timer = None if limit is None else self._life_clock.callLater(limit, self.post, timed_out, state)
            procedure, self._procedure = self._procedure, None
            if procedure is not None:
                procedure.cancel()
        for effect in effects:
            begun = self.carry_out(effect)
            if begun is not None:
                # Its result is an event, and its failure another.
                running = Deferred.fromCoroutine(begun)
                self._procedure = running.addCallbacks(self._done, self._failed, (state,), {}, (state,))
        if entered:
            self.entered(before)

    def _done(self, event: e.Event | None, state: State) -> None:
        if event is not None:
            self.post(event, state)

    def _failed(self, failure: Failure, state: State) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(*_EXPECTED):
            self._log.failure("a procedure failed in {state}", failure, state=state)
        self.post(e.Failed(failure.getErrorMessage()), state)
