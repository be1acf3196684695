"""Two router nodes, one of which stands by: it serves from the moment on when the other ends.

A node takes seconds to start, on a busy machine half a minute, mostly for imports.  One that stands by has done all of
that; it waits for its turn (`icefarm.farm.router.turn`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger

from icefarm.farm.errors import CannotStart
from icefarm.farm.processes.process import ChildProcess, Program
from icefarm.farm.processes.supervisor import Ended
from icefarm.farm.router.node import STANDS_BY_OR_SERVES

__all__ = ["RouterPair"]

#: Seconds from the start of one node until the other is started: the farm's own start, or its recovery, comes first.
STANDBY_AFTER = 5.0
#: Seconds until a node that could not stand by, or ended, is started again.
AGAIN_AFTER = 60.0


@define(eq=False)
class RouterPair:
    """A part for a `icefarm.farm.processes.supervisor.Supervisor`: it ends when no node is left."""

    reactor: Any
    programs: tuple[Program, Program]
    #: Gets each line for the user.
    tell: Callable[[str], None]
    make_child: Callable[[Any, Program, Callable[[str], None]], ChildProcess] = ChildProcess
    _on_exit: Callable[[Ended], None] | None = None
    _serving: ChildProcess | None = None
    _standby: ChildProcess | None = None
    #: What the next node to stand by runs.
    _spare: Program = field(init=False)
    _timer: Any = None
    _starting: Deferred[None] | None = None
    _log: Logger = field(init=False, factory=partial(Logger, namespace="icefarm.farm"))

    @property
    def pid(self) -> int | None:
        """The process of the node that serves; None while none does."""
        return None if self._serving is None else self._serving.pid

    @property
    def stands_by(self) -> bool:
        """Whether the second node is ready to take over."""
        return self._standby is not None and self._starting is None

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        """Call ``callback`` whenever no node is left."""
        self._on_exit = callback

    async def start(self) -> None:
        """Start a node and wait until it serves; the other follows later.  Raises `CannotStart`."""
        program, self._spare = self.programs
        self._serving = serving = self._child(program)
        await serving.start()
        self._plan(STANDBY_AFTER)

    async def stop(self) -> None:
        """Stop both: first the one that would take over.  Harmless when they are not running."""
        self._unplan()
        standby, self._standby = self._standby, None
        serving, self._serving = self._serving, None
        for child in (standby, serving):
            if child is not None:
                await child.stop()

    def _child(self, program: Program) -> ChildProcess:
        child = self.make_child(self.reactor, program, self.tell)
        child.on_exit(partial(self._ended, child))
        return child

    def _ended(self, child: ChildProcess, ended: Ended) -> None:
        if child is self._standby:
            self._standby = None
            self._log.warn("the router that stood by {reason}", reason=ended.reason)
            self._plan(AGAIN_AFTER)
        elif child is self._serving:
            self._take_over(ended)

    def _take_over(self, ended: Ended) -> None:
        self._unplan()
        fallen, self._serving, self._standby = self._serving, self._standby, None
        if self._serving is not None:
            assert fallen is not None
            self._spare = self._other(self._serving.program)
            self.tell(f"{self._serving.program.name} {ended.reason}; the one that stood by takes over")
            self._plan(STANDBY_AFTER)
        elif self._on_exit is not None:
            self._on_exit(ended)

    def _other(self, program: Program) -> Program:
        return next(other for other in self.programs if other.directory != program.directory)

    def _plan(self, delay: float) -> None:
        self._unplan()
        self._timer = self.reactor.callLater(delay, self._start_standby)

    def _unplan(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def _start_standby(self) -> None:
        child = self._standby = self._child(evolve(self._spare, ready=STANDS_BY_OR_SERVES))
        self._starting = ensureDeferred(child.start())
        self._starting.addBoth(self._standby_started, child)
        self._starting.addErrback(lambda failure: self._log.failure("starting a router to stand by failed", failure))

    def _standby_started(self, outcome: Any, child: ChildProcess) -> None:
        self._starting = None
        if outcome is None:
            return
        outcome.trap(CannotStart)
        if child is self._serving:
            # Its turn came while it started.
            self._take_over(Ended(f"could not be started ({outcome.getErrorMessage()})"))
        elif child is self._standby:
            self._standby = None
            self._log.warn("no router stands by: {why}", why=outcome.getErrorMessage())
            self._plan(AGAIN_AFTER)
