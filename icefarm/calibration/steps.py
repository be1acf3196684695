"""Pure: no I/O, no clock.  Finds steps: a board changed abruptly, because it was repaired, moved or damaged.

A calibration is a line through months of readings, so after a step it would be wrong for weeks.  Two sessions in a row
beyond the limit of `icefarm.calibration.suspects.against_history`, to the same side, are a step: the calibration
restarts there.  One such session is not a step; it may have been a draught.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from icefarm.calibration.estimation import sessions_of
from icefarm.calibration.records import Calibration, Reading
from icefarm.calibration.suspects import is_beyond, session_deviation

__all__ = ["begin_of_line"]


def begin_of_line(before: Calibration | None, readings: Iterable[Reading]) -> float | None:
    """Return the time since which readings describe the board's present state; None: all do.

    ``before`` is the calibration that there was when the last session began, ``readings`` are those of its board and
    reference with that session.  A step that was found once stays: a calibration does not reach back beyond the one
    before it.
    """
    if before is None:
        return None
    last = sessions_of(sorted(readings, key=lambda reading: reading.time))[-2:]
    if len(last) == 2 and last[0][0].time > before.first_time and _is_step(before, last):
        return last[0][0].time
    return before.first_time


def _is_step(before: Calibration, sessions: Sequence[Sequence[Reading]]) -> bool:
    deviations = [session_deviation(before, session) for session in sessions]
    to_one_side = len({deviation.ppm > 0 for deviation in deviations}) == 1
    return to_one_side and all(map(is_beyond, deviations))
