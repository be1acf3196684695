"""Pure: no I/O, no clock.  Decides when the results of one client leave, so that many of them share a message.

A result waits only while its board has work for so long that the client's next evaluation comes in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from icefarm.contract import LIST_BYTES, LIST_MOST

__all__ = ["LONGEST", "MANY", "SPARE", "Collector", "patience"]

#: Evaluations of the client in progress on this worker, from which on results wait for each other.
MANY = 4
#: Evaluations that the board still has when its result waits: one that it measures, and one that it has received.
SPARE = 2
#: Part of the time that the board took for the last evaluation, and the longest wait, in seconds.
PART, LONGEST = 1 / 16, 0.05
#: Results kept for a client that does not ask for them; it gets older ones by repeating the evaluation.
KEPT = 4096
#: Bytes of a measurement beside its value, at most, and of each number of the value.
MEASUREMENT_BYTES, NUMBER_BYTES = 2048, 9


def patience(left: int, running: int, took: float) -> float:
    """Return for how many seconds a result may wait.

    ``left`` is what its board still has to do for the client, ``running`` what all boards of this worker have, ``took``
    the seconds that the board needed.
    """
    if running < MANY or left < SPARE:
        return 0.0
    return min(LONGEST, max(0.0, took) * PART)


@define(eq=False)
class Collector:
    """Results that have not left yet, in order."""

    #: When the present list leaves; None while there is nothing.
    due: float | None = None
    _waiting: deque[tuple[Any, int]] = Factory(deque)
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def collect(self, result: Mapping[str, Any], now: float, left: int, running: int) -> None:
        """Take a result; see `patience` for ``left`` and ``running``."""
        self.add(result, _size(result), now + patience(left, running, _duration(result)))

    def add(self, result: Any, size: int, due: float) -> None:
        """Take a result of so many bytes, which is to leave at ``due``."""
        self._waiting.append((result, size))
        self._bytes += size
        if len(self._waiting) >= LIST_MOST or self._bytes >= LIST_BYTES:
            due = float("-inf")
        self.due = due if self.due is None else min(self.due, due)
        if len(self._waiting) > KEPT:
            self._drop()

    def take(self) -> list[Any]:
        """Return the next list: as many as fit into a message, and one at least.  What is left is due at once."""
        results: list[Any] = []
        size = 0
        while self._waiting and len(results) < LIST_MOST:
            if results and size + self._waiting[0][1] > LIST_BYTES:
                break
            size += self._waiting[0][1]
            results.append(self._drop())
        self.due = float("-inf") if self._waiting else None
        return results

    def _drop(self) -> Any:
        result, size = self._waiting.popleft()
        self._bytes -= size
        return result


def _size(result: Mapping[str, Any]) -> int:
    """Return how many bytes a result takes, at most; a guess for values that only third-party kinds return."""
    measured = result.get("measurement")
    value = measured.get("value") if isinstance(measured, Mapping) else measured
    if value is None or isinstance(value, int | float):
        return MEASUREMENT_BYTES
    if isinstance(value, list | tuple):
        return MEASUREMENT_BYTES + NUMBER_BYTES * sum(len(each) if isinstance(each, list) else 1 for each in value)
    return MEASUREMENT_BYTES + len(repr(value))


def _duration(result: Mapping[str, Any]) -> float:
    """Return how many seconds a board took for a result; 0 for an error."""
    measured = result.get("measurement")
    try:
        return float(measured["ended_at"] - measured["started_at"])  # type: ignore[index]
    except (KeyError, TypeError):
        # A third-party kind may answer with anything.
        return 0.0
