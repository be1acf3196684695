"""Pure: no I/O, no clock.  How soon to try again what is away: soon at first, and later in proportion."""

from __future__ import annotations

__all__ = ["doubled", "retry_pause"]

#: A pause is this part of the time that the peer has been away, so its return is noticed at most that much later.
PART = 0.1
#: Seconds of the shortest pause, before the random part.  Most outages are restarts, which take seconds.
SHORTEST = 0.5
#: A pause is at least this part of its maximum; the rest is random, so that many waiters do not retry at once.
LEAST = 0.4
#: Beyond this any pause is the longest; a float ends at 1,024.
_MOST_DOUBLINGS = 64


def retry_pause(away: float, chance: float, longest: float) -> float:
    """Return the seconds until the next attempt.

    It has been away for ``away`` seconds; ``chance`` is a random number from 0 to 1.  The pause is 0.2 to 0.5 s during
    the first 5 s, then grows, and is never more than ``longest``.
    """
    return min(longest, max(SHORTEST, PART * away)) * (LEAST + (1.0 - LEAST) * chance)


def doubled(first: float, times: int, longest: float) -> float:
    """Return seconds that double with each time: ``first`` at no time or fewer, and never more than ``longest``.

    ``times`` may be any number: what fails every minute has failed a thousand times within a day.
    """
    return min(longest, first * 2.0 ** min(max(0, times), _MOST_DOUBLINGS))
