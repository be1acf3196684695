"""What ``evaluate`` is asked, and what is left of it where results go to a file that has some already."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import evolve, frozen

from icefarm.cli.results_file import ResultsFile

__all__ = ["Remaining", "Request", "everything", "remaining", "resumed"]


@frozen
class Request:
    """What is to be evaluated, where and how."""

    files: Sequence[str]
    each: bool
    devices: int | None
    serials: Sequence[str] | None
    kind: str
    #: Options of the reservation and of each evaluation.
    options: Mapping[str, Any]
    evaluation_options: Mapping[str, Any]
    wait: bool
    timeout: float | None = None

    @property
    def wording(self) -> str:
        """What tells these evaluations from others in a file of results."""
        asked = {"kind": self.kind, **self.options, **self.evaluation_options}
        return json.dumps(asked, sort_keys=True, default=str)


@frozen
class Remaining:
    """Files to evaluate, each with the boards that it is for (None: any)."""

    files: Sequence[tuple[str, tuple[str, ...] | None]]

    @property
    def evaluations(self) -> int:
        return sum(1 if serials is None else len(serials) for _, serials in self.files)


def resumed(asked: Request, digests: Mapping[str, str], saved: ResultsFile) -> Request:
    """Return the request without what is in the file; for each of N boards, those that have measured before."""
    if not asked.each:
        left = remaining(asked.files, digests, None, saved, asked.wording)
        return evolve(asked, files=[file for file, _ in left.files])
    serials = asked.serials
    before = saved.serials(asked.wording)
    if serials is None and len(before) == asked.devices:
        serials, asked = tuple(before), evolve(asked, devices=None, serials=tuple(before))
    if serials is None:
        return asked
    left = remaining(asked.files, digests, tuple(serials), saved, asked.wording)
    return evolve(asked, files=[file for file, _ in left.files])


def everything(files: Sequence[str], serials: tuple[str, ...] | None) -> Remaining:
    """Return all files, each for those boards."""
    return Remaining([(file, serials) for file in files])


def remaining(
    files: Sequence[str],
    digests: Mapping[str, str],
    serials: tuple[str, ...] | None,
    saved: ResultsFile,
    asked: str,
) -> Remaining:
    """Return what of `everything` the file has not; ``digests`` are SHA-256 by file."""
    left: list[tuple[str, tuple[str, ...] | None]] = []
    for file in files:
        if serials is None:
            if not saved.has(file, digests[file], asked):
                left.append((file, None))
            continue
        missing = tuple(serial for serial in serials if not saved.has(file, digests[file], asked, serial))
        if missing:
            left.append((file, missing))
    return Remaining(left)
