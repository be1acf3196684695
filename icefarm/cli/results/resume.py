"""What ``evaluate`` must do, and what is left of that if the file of results already has some."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import Factory, evolve, frozen

from icefarm.cli.results.results_file import ResultsFile
from icefarm.selectors.language import Selector

if TYPE_CHECKING:
    from icefarm.client.placement import Placement

__all__ = ["Remaining", "Request", "everything", "remaining", "resumed"]


@frozen
class Request:
    """What to evaluate, where and how."""

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
    #: For the archive: the experiment, labels of its evaluations, and how many to expect in all.
    experiment: str | None = None
    labels: Mapping[str, Any] = Factory(dict)
    total: int | None = None
    #: Which boards may be among the devices.
    where: Selector | None = None
    #: Answer from the archive what the experiment has values of.
    resume: bool = False
    #: Have the farm keep the bitstreams too.
    keep_circuits: bool = False
    #: How the devices are shared with others; None: as the farm is set.
    at_least: int | None = None
    preemptible: bool | None = None
    priority: float | None = None
    shared: bool = False

    @property
    def anywhere(self) -> bool:
        """Whether any board may take any file."""
        return self.placement.choose(0, "", ("",)) is None

    @property
    def wording(self) -> str:
        """What distinguishes these evaluations from others in a file of results."""
        asked = {"kind": self.kind, **self.options, **self.evaluation_options}
        return json.dumps(asked, sort_keys=True, default=str)


@frozen
class Remaining:
    """Files to evaluate: the index of each among all files given, and its boards (None: any)."""

    files: Sequence[tuple[int, str, tuple[str, ...] | None]]

    @property
    def evaluations(self) -> int:
        return sum(1 if serials is None else len(serials) for _, _, serials in self.files)


def everything(asked: Request, boards: Iterable[str]) -> Remaining:
    """Return all files, each with the boards that its placement chooses from these."""
    there = sorted(boards)
    # Counted among all, so that a resumed run places each file where it was placed before.
    return Remaining([(n, file, asked.placement.choose(n, file, there)) for n, file in enumerate(asked.files)])


def remaining(everything: Remaining, digests: Mapping[str, str], saved: ResultsFile, asked: str) -> Remaining:
    """Return what is missing in a file of results; ``digests`` are SHA-256 by file."""
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
    """Return what to reserve if some results exist already: the same boards; None if nothing is missing."""
    before = tuple(saved.serials(asked.wording))
    boards = asked.serials
    if not asked.anywhere and boards is None:
        if len(before) != asked.devices:
            return asked
        boards, asked = before, evolve(asked, devices=None, serials=before)
    left = remaining(everything(asked, boards or ()), digests, saved, asked.wording)
    return asked if left.files else None
