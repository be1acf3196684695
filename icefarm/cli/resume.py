"""What ``evaluate`` is asked, and what is left of it where results go to a file that has some already."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from icefarm.cli.results_file import ResultsFile

if TYPE_CHECKING:
    from icefarm.client.placement import Placement

__all__ = ["Remaining", "Request", "everything", "remaining", "resumed"]


@frozen
class Request:
    """What is to be evaluated, where and how."""

    files: Sequence[str]
    placement: Placement
    devices: int | None
    serials: Sequence[str] | None
    kind: str
    #: Options of the reservation and of each evaluation.
    options: Mapping[str, Any]
    evaluation_options: Mapping[str, Any]
    wait: bool
    timeout: float | None = None

    @property
    def anywhere(self) -> bool:
        """Whether any board will do."""
        return self.placement.choose(0, "", ("",)) is None

    @property
    def wording(self) -> str:
        """What tells these evaluations from others in a file of results."""
        asked = {"kind": self.kind, **self.options, **self.evaluation_options}
        return json.dumps(asked, sort_keys=True, default=str)


@frozen
class Remaining:
    """Files to evaluate: the place of each among all that were asked for, and its boards (None: any)."""

    files: Sequence[tuple[int, str, tuple[str, ...] | None]]

    @property
    def evaluations(self) -> int:
        return sum(1 if serials is None else len(serials) for _, _, serials in self.files)


def everything(asked: Request, boards: Iterable[str]) -> Remaining:
    """Return all files, each for the boards that its placement chooses from these."""
    there = sorted(boards)
    # Counted among all, so that a run that is carried on places each file where it was placed before.
    return Remaining([(n, file, asked.placement.choose(n, file, there)) for n, file in enumerate(asked.files)])


def remaining(everything: Remaining, digests: Mapping[str, str], saved: ResultsFile, asked: str) -> Remaining:
    """Return what a file of results has not; ``digests`` are SHA-256 by file."""
    left: list[tuple[int, str, tuple[str, ...] | None]] = []
    for number, file, serials in everything.files:
        if serials is None:
            if not saved.has(file, digests[file], asked):
                left.append((number, file, None))
            continue
        missing = tuple(serial for serial in serials if not saved.has(file, digests[file], asked, serial))
        if missing:
            left.append((number, file, missing))
    return Remaining(left)


def resumed(asked: Request, digests: Mapping[str, str], saved: ResultsFile) -> Request | None:
    """Return what to ask for where some results are there already: the same boards; None where nothing is missing."""
    before = tuple(saved.serials(asked.wording))
    boards = asked.serials
    if not asked.anywhere and boards is None:
        if len(before) != asked.devices:
            return asked
        boards, asked = before, evolve(asked, devices=None, serials=before)
    left = remaining(everything(asked, boards or ()), digests, saved, asked.wording)
    return asked if left.files else None
