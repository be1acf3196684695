"""Runs the life of a board: events in order; each state has one timer and one procedure, which end with it."""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.errors import IcefarmError
from icefarm.worker.board import events as e
from icefarm.worker.board.state_machine import step
from icefarm.worker.board.states import Life, State, time_limit
from icefarm.worker.flash.drive_writer import FlashFailed
from icefarm.worker.flash.hub_power import PowerFailed
from icefarm.worker.flash.images import NoImage
from icefarm.worker.protocol.pipeline import BoardUnusable

if TYPE_CHECKING:
    from icefarm.worker.board.managed_board import ManagedBoard

__all__ = ["Procedure", "Runner"]

#: A state's procedure; its result is an event of that state.
Procedure = Coroutine[Deferred[Any], Any, e.Event] | Coroutine[Deferred[Any], Any, None]

#: Expected failures of boards and ports; others are bugs, and logged as such.
_EXPECTED = (BoardUnusable, FlashFailed, PowerFailed, NoImage, OSError, IcefarmError)


@define(eq=False)
class Runner:
    """A life, and the running procedure of its state."""

    life: Life
    _clock: Clock
    #: Carries out the effects.
    _board: ManagedBoard
    _events: deque[tuple[e.Event, State | None]] = Factory(deque)
    _deciding: bool = False
    _timer: Any = None
    _procedure: Deferred[None] | None = None
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker.protocol.board_client"))

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
        self._board.settled()

    def _decide(self, event: e.Event) -> None:
        before = self.life
        self.life, effects = step(before, event)
        state = self.life.state
        entered = state is not before.state
        if entered:
            # The timer and the procedure are those of a state, and end with it.
            limit = time_limit(self.life)
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            self._timer = None if limit is None else self._clock.callLater(limit, self.post, e.TimedOutWaiting(), state)
            procedure, self._procedure = self._procedure, None
            if procedure is not None:
                procedure.cancel()
        for effect in effects:
            begun = self._board.carry_out(effect)
            if begun is not None:
                # Its result is an event, and its failure another.
                running = Deferred.fromCoroutine(begun)
                self._procedure = running.addCallbacks(self._done, self._failed, (state,), {}, (state,))
        if entered:
            self._board.entered(before)

    def _done(self, event: e.Event | None, state: State) -> None:
        if event is not None:
            self.post(event, state)

    def _failed(self, failure: Failure, state: State) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(*_EXPECTED):
            self._log.failure("a procedure failed in {state}", failure, state=state)
        self.post(e.Failed(failure.getErrorMessage()), state)
