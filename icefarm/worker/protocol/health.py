"""Pure: no I/O, no clock.  How reliable a board is: of its last evaluations, how much had to be done again or failed.

One bad moment is no reason to set a board aside, and neither does one good evaluation make up for many bad ones.
"""

from __future__ import annotations

from enum import Enum, auto

from attrs import evolve, frozen

from icefarm.contract import BoardHealth

__all__ = ["RUN", "SHARE", "WINDOW", "Health", "Outcome"]

#: What a board did last that counts: evaluations that gave a result, time-outs, retries, and failures.
WINDOW = 60
#: The part of it that may go wrong. On an intact link it is next to nothing; at this part, each result costs two tries.
SHARE = 0.5
#: Results in a row, each at the first attempt, after which a board that was set aside counts as mended.
RUN = 20


class Outcome(Enum):
    """How an attempt to evaluate ended."""

    GOOD = auto()
    #: The board was silent.
    TIMEOUT = auto()
    #: It was damaged on the way, refused, or interrupted, and is made again.
    RETRY = auto()
    #: No attempt gave a result. Perhaps the circuit is to blame; where it was the board, the retries before this tell.
    FAILURE = auto()


_BAD = (Outcome.TIMEOUT, Outcome.RETRY)


@frozen
class Health:
    """What a board did last, in order."""

    outcomes: tuple[Outcome, ...] = ()
    #: Outcomes since it was judged last, `WINDOW` at most; and how many of them, the last ones, were good.
    fresh: int = 0
    run: int = 0

    def after(self, outcome: Outcome) -> Health:
        """Return the health after one more outcome."""
        run = self.run + 1 if outcome is Outcome.GOOD else 0
        return Health((*self.outcomes, outcome)[-WINDOW:], min(self.fresh + 1, WINDOW), run)

    def judged(self) -> Health:
        """Return the health of a board for which something was done: only what it does from now on counts."""
        return evolve(self, fresh=0, run=0)

    @property
    def mended(self) -> bool:
        """Whether it did enough in a row at the first attempt for what was before to be forgotten."""
        return self.run >= RUN

    @property
    def sound(self) -> bool:
        """Whether it did all that it did last at the first attempt."""
        return self.run >= WINDOW

    @property
    def verdict(self) -> str | None:
        """Why the board is not to be trusted, as the end of a sentence that begins "the board"; None where it is."""
        bad = sum(outcome in _BAD for outcome in self.outcomes)
        if self.fresh < WINDOW or bad <= SHARE * WINDOW:
            return None
        return f"is unreliable: {bad} of its last {WINDOW} attempts failed"

    def shown(self, set_aside: int) -> BoardHealth:
        """Return it as others see it; ``set_aside`` is how often the board was that since it was last in order."""
        count = self.outcomes.count
        return BoardHealth(
            len(self.outcomes), count(Outcome.TIMEOUT), count(Outcome.RETRY), count(Outcome.FAILURE), set_aside
        )
