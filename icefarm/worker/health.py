"""Pure: no I/O, no clock.  How reliable a board is: of its last evaluations, how much had to be done again or failed.

One bad moment is no reason to set a board aside, and neither does one good evaluation make up for many bad ones.
"""

from __future__ import annotations

from attrs import evolve, frozen

__all__ = ["SHARE", "WINDOW", "Health"]

#: What a board did last that counts: evaluations that gave a result, retries, and failures.
WINDOW = 60
#: The part of it that may go wrong. On an intact link it is next to nothing; at this part, each result costs two tries.
SHARE = 0.5


@frozen
class Health:
    """What a board did last, in order."""

    #: False for what went wrong.
    outcomes: tuple[bool, ...] = ()

    def after(self, good: bool) -> Health:
        """Return the health after one more outcome."""
        return evolve(self, outcomes=(*self.outcomes, good)[-WINDOW:])

    @property
    def sound(self) -> bool:
        """Whether it did all that it did last at the first attempt."""
        return len(self.outcomes) == WINDOW and all(self.outcomes)

    @property
    def verdict(self) -> str | None:
        """Why the board is not to be trusted, as the end of a sentence that begins "the board"; None where it is."""
        bad = self.outcomes.count(False)
        if len(self.outcomes) < WINDOW or bad <= SHARE * WINDOW:
            return None
        return f"is unreliable: {bad} of its last {WINDOW} attempts failed"
