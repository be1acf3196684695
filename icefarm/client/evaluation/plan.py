"""Pure: no I/O, no clock.  How a run of evaluations is carried out, as its caller wants it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, frozen

from icefarm.client.evaluation.scheduler import DEPTH, LOOK_AHEAD

__all__ = ["CHUNK", "RunPlan"]

#: Items prepared before the boards get them: enough to save work, few enough that no board waits for long.
CHUNK = 8


@frozen
class RunPlan:
    """How evaluations are carried out."""

    #: The participating boards.
    serials: Sequence[str]
    #: Options of each evaluation, such as ``{"repeats": 3}``.
    options: Mapping[str, Any] = Factory(dict)
    #: Evaluations in flight per board, 1 and up.
    depth: int = DEPTH
    #: Boards that each item is for; 1 if any will do.
    fan_out: int = 1
    #: Items that may wait for slower boards.
    look_ahead: int = LOOK_AHEAD
    #: Seconds for each attempt of an evaluation; None leaves it to the window.
    limit: float | None = None
    #: For the archive: the experiment (None: the session's), labels, and whether measurements are kept at all.
    experiment: str | None = None
    labels: Mapping[str, Any] = Factory(dict)
    archive: bool = True
    #: Take from the archive the values that the experiment already has.
    resume: bool = False
    #: Have the farm keep the bitstreams too.
    keep_circuits: bool = False
    #: The request whose boards it is on, where any board will do and these become fewer and more.
    group: str | None = None
    #: How boards are chosen, as the run's manifest says it: the placement's name, its seed.
    placement: Mapping[str, Any] = Factory(dict)
