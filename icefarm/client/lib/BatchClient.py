# ruff: noqa: N999
"""Evaluations and their results, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.results import Result as FarmResult
from icefarm.client.evaluation.scheduler import DEPTH
from icefarm.client.evaluation.tasks import Item
from icefarm.client.lib.BaseClient import BaseClient
from icefarm.client.lib.checks import given, listed, seconds
from icefarm.errors import IcefarmError, InvalidArgument, InvalidBitstream, TimedOut

__all__ = ["BatchClient", "Evaluation", "EvaluationFailed", "Result"]

#: Evaluations that may wait for slower boards: scripts often list those of one board, then those of the next.
LOOK_AHEAD = 1024


class EvaluationFailed:
    """The value of a result when the evaluation failed; the class itself, not an instance."""


class Evaluation:
    """Something to evaluate on each of some boards; ``serials`` is one serial or several.

    A subclass that makes its own bitstream overrides `_toJson` to return ``{"files": {self.id: content}}``.
    Raises `InvalidArgument` if there is no serial.
    """

    def __init__(self, serials: str | Iterable[str], filepath: Any = None) -> None:
        self.id = str(uuid4())
        self.serials = frozenset(listed(serials))
        if not self.serials:
            raise InvalidArgument("an evaluation needs the serial of at least one board")
        #: The same object that was passed in.
        self.filepath = filepath

    def toJson(self, batch_id: str) -> dict[str, Any]:
        """Return what `BaseClient.requestBatchWorker` takes for the request ``evaluate``."""
        return {**self._toJson(), "batch_id": batch_id}

    def bitstream(self) -> Any:
        """Return what is sent: the file, else what `_toJson` makes.  Raises `InvalidBitstream` for nothing."""
        if self.filepath is not None:
            return self.filepath
        try:
            return next(iter(self._toJson()["files"].values()))
        except (NotImplementedError, AttributeError, KeyError, StopIteration):
            raise InvalidBitstream(f"{type(self).__name__} has neither a filepath nor files of its own") from None

    def _toJson(self) -> dict[str, Any]:
        if self.filepath is None:
            raise NotImplementedError
        content = self.filepath if isinstance(self.filepath, bytes) else Path(self.filepath).read_bytes()
        return {"files": {self.id: content}}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Evaluation) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.filepath} on {', '.join(sorted(self.serials))}>"


class Result:
    """The result of an evaluation on a board; unpacks as (serial, evaluation or path, value)."""

    __slots__ = ("_named", "error", "evaluation", "measurement", "serial", "value")

    def __init__(self, result: FarmResult, evaluation: Evaluation, named: Any, shaped: Callable[[Any], Any]) -> None:
        self.serial = result.serial
        self.evaluation = evaluation
        #: The measured value, or the class `EvaluationFailed`.
        self.value: Any = shaped(result.value) if result.ok else EvaluationFailed
        #: The value's provenance, None if it failed; and why it failed.
        self.measurement = result.measurement if result.ok else None
        self.error = result.error
        self._named = named

    @property
    def path(self) -> Any:
        """The bitstream, as it was given."""
        return self.evaluation.filepath

    def __iter__(self) -> Iterator[Any]:
        return iter((self.serial, self._named, self.value))

    def __getitem__(self, index: int) -> Any:
        return (self.serial, self._named, self.value)[index]

    def __len__(self) -> int:
        return 3

    def __repr__(self) -> str:
        return f"<Result {self.serial} {self._named} {self.value}>"


class BatchClient(BaseClient):
    """Evaluates.  (There are no batches any more; scripts import this name.)"""

    def evaluateEvaluations(
        self,
        evaluations: Iterable[Evaluation],
        result_timeout: Any = None,
        batch_size: Any = None,  # noqa: ARG002
        target_batches: Any = None,  # noqa: ARG002
    ) -> Iterator[Result]:
        """Yield a result for each evaluation and board, as they arrive.

        A failure has the value `EvaluationFailed`, and is logged.  ``result_timeout`` is the seconds that a board may
        take for one evaluation (default: by the window); a board that takes longer is rebooted, and its evaluation
        has failed.  Time in which the board's worker is away does not count.  ``batch_size`` and ``target_batches`` do
        nothing: boards stay busy without batches.
        """
        stall = seconds("result_timeout", result_timeout, "limit")
        return self._results(given("evaluations", evaluations, "bitstreams"), stall, lambda each: each)

    def _results(self, evaluations: Iterable[Evaluation], stall: float | None, naming: Any) -> Iterator[Result]:
        # An evaluation waits for those before it on the same board.
        limit = None if stall is None else stall * (DEPTH + 1)
        plan = RunPlan(self.getSerials(), look_ahead=LOOK_AHEAD, limit=limit)
        items = map(_item, evaluations)
        for result in self._farm.stream(plan, self._reservations, items, deserted_raises=False):
            if result.error is not None:
                self.logger.error("%s on %s failed: %s", result.source.filepath, result.serial, result.error)
            if isinstance(result.error, TimedOut) and result.serial is not None:
                self._reboot_in_background(result.serial)
            yield Result(result, result.source, naming(result.source), self._value)

    def _reboot_in_background(self, serial: str) -> None:
        """Reboot a board while results of the others go on."""
        if serial not in self._reboots or self._reboots[serial].done():
            self._reboots[serial] = self._farm.rebooting([serial])


def _item(evaluation: Evaluation) -> Item:
    if not hasattr(evaluation, "serials"):
        raise InvalidArgument(f"evaluations must be instances of Evaluation, not {evaluation!r:.80}")
    serials = tuple(sorted(evaluation.serials))
    try:
        return item_of(evaluation, serials, evaluation.bitstream())
    except IcefarmError as error:
        return Item(evaluation, None, serials, error)
