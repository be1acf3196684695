"""Pure: no I/O, no clock.  Bounds how often something happens: log lines that others cause, say."""

from __future__ import annotations

from attrs import define

__all__ = ["RateLimit"]


@define(eq=False)
class RateLimit:
    """Lets so many things pass in each period; counts the rest."""

    amount: int
    seconds: float
    _since: float | None = None
    _passed: int = 0
    _suppressed: int = 0

    def passes(self, now: float) -> bool:
        """Tell whether one more may pass at that moment."""
        if self._since is None or now - self._since >= self.seconds:
            self._since, self._passed = now, 0
        if self._passed >= self.amount:
            self._suppressed += 1
            return False
        self._passed += 1
        return True

    def admit(self, now: float) -> int | None:
        """Return how many did not pass before this one; None if this one may not pass either."""
        return self.take_suppressed() if self.passes(now) else None

    def take_suppressed(self) -> int:
        """Return how many did not pass since this was last asked."""
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
