"""Pure: no I/O, no clock.  A board's counters and reliability.

`Health` looks at its last evaluations: how many had to be repeated, or failed.  `Tally` adds up everything since the
worker started.

One bad moment is no reason to set a board aside, and one good evaluation does not make up for many bad ones.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Protocol

from attrs import Factory, define, evolve, frozen

from icefarm.contract import BoardHealth, BoardReading
from icefarm.errors import DeviceFailed
from icefarm.kinds.handle import Answer

__all__ = ["RUN", "SHARE", "WINDOW", "Health", "Outcome", "Tally", "TallyListener"]

#: How many of a board's last outcomes count: results, time-outs, retries, and failures.
WINDOW = 60
#: The fraction that may go wrong. With an intact link it is close to zero; at this one, each result takes two attempts.
SHARE = 0.5
#: Results in a row, each at the first attempt, after which a board that was set aside counts as repaired.
RUN = 20


class Outcome(Enum):
    """How an attempt to evaluate ended."""

    GOOD = auto()
    #: The board was silent.
    TIMEOUT = auto()
    #: It was damaged on the way, refused, or interrupted, and is repeated.
    RETRY = auto()
    #: No attempt gave a result. Perhaps the circuit is to blame; if it is the board, the earlier retries show that.
    FAILURE = auto()


@frozen
class Health:
    """A board's last outcomes, in order."""

    outcomes: tuple[Outcome, ...] = ()
    #: Outcomes since the last remedy, `WINDOW` at most; and how many of the most recent ones in a row were good.
    fresh: int = 0
    run: int = 0

    def after(self, outcome: Outcome) -> Health:
        """Return the health after one more outcome."""
        run = self.run + 1 if outcome is Outcome.GOOD else 0
        return Health((*self.outcomes, outcome)[-WINDOW:], min(self.fresh + 1, WINDOW), run)

    def judged(self) -> Health:
        """Return the health after a remedy: only later outcomes count."""
        return evolve(self, fresh=0, run=0)

    @property
    def mended(self) -> bool:
        """Whether enough consecutive first attempts succeeded to forget the past."""
        return self.run >= RUN

    @property
    def sound(self) -> bool:
        """Whether all of its last outcomes were results at the first attempt."""
        return self.run >= WINDOW

    @property
    def verdict(self) -> str | None:
        """Why the board is unreliable, as the end of a sentence that begins "the board"; None if it is not."""
        if self.fresh < WINDOW:
            return None
        bad = self.outcomes.count(Outcome.TIMEOUT) + self.outcomes.count(Outcome.RETRY)
        if bad <= SHARE * WINDOW:
            return None
        return f"is unreliable: {bad} of its last {WINDOW} attempts failed"

    def shown(self, set_aside: int) -> BoardHealth:
        """Return it for the wire; ``set_aside`` is how often the board was set aside since it last worked."""
        count = self.outcomes.count
        return BoardHealth(
            len(self.outcomes), count(Outcome.TIMEOUT), count(Outcome.RETRY), count(Outcome.FAILURE), set_aside
        )


class TallyListener(Protocol):
    """Acts on a board's tally."""

    def did_well(self) -> None:
        """A board on trial gave a result."""

    def did_badly(self, why: str, again: bool) -> None:
        """The board needs too many attempts; ``again``: even after it was flashed for that."""


@define(eq=False)
class Tally:
    """One board's counters since the worker started, and its reliability."""

    _judge: TallyListener
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    health: Health = Factory(Health)
    #: Whether `TallyListener.did_well` is called: the board failed, and has not proved itself since.
    on_trial: bool = False
    #: It was flashed because it was unreliable, and has not yet shown that this helped.
    _doubted: bool = False
    _flashes: int = 0
    _flash_s: float = 0.0
    _measured: int = 0
    _load_s: float = 0.0
    _window_s: float = 0.0
    _measured_s: float = 0.0
    _temperature_c: float | None = None

    def flashed(self, seconds: float) -> None:
        """It runs a new image, so many seconds after the first block."""
        self._flashes += 1
        self._flash_s += seconds

    def measured(self, answer: Answer) -> None:
        """It answered an evaluation."""
        self._measured += 1
        self._load_s += answer.load_us / 1e6
        self._window_s += answer.window_us / 1e6
        self._measured_s += max(0.0, answer.ended_at - answer.started_at)
        if answer.temperature_c is not None:
            self._temperature_c = answer.temperature_c

    def evaluated(self, error: BaseException | None) -> None:
        """An evaluation ended: with a result, or with an error."""
        if error is None:
            self.evaluations += 1
            self._take(Outcome.GOOD)
            if self.on_trial:
                self._judge.did_well()
        elif isinstance(error, DeviceFailed):
            self.failures += 1
            self._take(Outcome.FAILURE)

    def went_wrong(self, outcome: Outcome) -> None:
        """An attempt failed: it is repeated, or the board is silent."""
        if outcome is Outcome.RETRY:
            self.retries += 1
        self._take(outcome)

    def judged(self) -> None:
        """The board got a remedy: only later outcomes count."""
        self.health = self.health.judged()

    def reading(self, serial: str, kind: str | None) -> BoardReading:
        """Return all of it for the report to control."""
        return BoardReading(
            serial, kind, self.evaluations, self.failures, self.retries, self._flashes, self._flash_s,
            self._measured, self._load_s, self._window_s, self._measured_s, self._temperature_c,
        )  # fmt: skip

    def _take(self, outcome: Outcome) -> None:
        """Flash a board that needs too many attempts; set it aside if that does not help."""
        self.health = self.health.after(outcome)
        if self.health.sound:
            self._doubted = False
        verdict = self.health.verdict
        if verdict is not None:
            again, self._doubted, self.health = self._doubted, not self._doubted, self.health.judged()
            self._judge.did_badly(verdict, again)
