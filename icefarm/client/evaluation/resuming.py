"""Resuming a run: what its experiment has values of in the farm's archive is answered from there.

Theory of operation
===================
::

    EvaluationRun.feed --> Resumption.add --> waiting --batch--> look_up --+--> answered: a measurement of the archive
                                                                 |
                                                                 +--> on to the boards: what the archive has not

One look-up is on its way at a time, for up to `TOGETHER` pairs of a circuit and a board; meanwhile the next items
gather.  So the memory that it takes does not depend on the length of the run.

An item for any board is answered with the newest value of any board.  One for named boards is answered for those boards
that have a value, and goes on to the others.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import attrs
from attrs import Factory, define, evolve, frozen

from icefarm.client.api.notebook.archived import ArchivedResult, page_of
from icefarm.client.evaluation.tasks import Item, TaskOutcome
from icefarm.contract import Measurement, ReservationRecord, from_wire, to_wire
from icefarm.errors import InvalidArgument, UnknownExperiment
from icefarm.kinds.builtin import BUILTIN
from icefarm.kinds.registry import load_kinds

__all__ = ["TOGETHER", "FarmArchive", "Question", "Resumption", "question_of", "split"]

#: Pairs of a circuit and a board that are looked up together.
TOGETHER = 256

#: Values by circuit (SHA-256) and board; by circuit and None for any board.
Known = Mapping[tuple[str, str | None], Measurement]

_FROM_ARCHIVE = tuple(
    each.name for each in attrs.fields(Measurement) if each.name in attrs.fields_dict(ArchivedResult)
)  # fmt: skip


class FarmArchive(Protocol):
    """Asks the farm; `icefarm.client.session.ClientSession` does."""

    def call(self, verb: str, **arguments: Any) -> Any:
        """Call a procedure of control."""


@frozen
class Question:
    """What has to be the same for a value of the archive to be an answer."""

    experiment: str
    account: str
    kind: str
    options: Mapping[str, Any]


def question_of(
    experiment: str | None, account: str, reservations: Iterable[ReservationRecord], options: Mapping[str, Any]
) -> Question:
    """Return what a run on reserved boards looks for, with these options of each evaluation.

    Raises `InvalidArgument` without an experiment, for boards that are reserved differently, and for a kind that is not
    installed here: nobody knows the defaults of its options then.
    """
    if experiment is None:
        raise InvalidArgument("resume needs the name of the experiment: experiment=..., here or to Farm")
    asked = {(record.kind, repr(sorted(record.options.items()))): record for record in reservations}
    if len(asked) != 1:
        raise InvalidArgument("resume needs boards that are all reserved with the same kind and options")
    (record,) = asked.values()
    return Question(experiment, account, record.kind, _whole_options(record, options))


def _whole_options(record: ReservationRecord, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as measurements have them: with the defaults of their kind."""
    from twisted.logger import Logger

    kind = load_kinds(BUILTIN, Logger(namespace="icefarm.client.resume")).by_name.get(record.kind)
    if kind is None:
        raise InvalidArgument(
            f"resume needs the package that has kind {record.kind!r}: install it here too, as on the worker"
        )
    whole: dict[str, Any] = to_wire(kind.check_options(record.options))
    if kind.evaluation_options is None:
        return {**whole, **options}
    chosen = to_wire(from_wire(options, kind.evaluation_options, "options"))
    return {**whole, **{name: value for name, value in chosen.items() if value is not None}}


def split(items: Iterable[Item], known: Known) -> tuple[list[TaskOutcome], list[Item]]:
    """Return the answers that are known, and what is left for the boards."""
    answers: list[TaskOutcome] = []
    left: list[Item] = []
    for item in items:
        digest = None if item.error is not None else item.payload["sha256"]
        found = {serial: known.get((digest, serial)) for serial in item.serials or (None,)} if digest else {}
        answers += [
            TaskOutcome(item, measured.serial, measured, archived=True)
            for measured in found.values()
            if measured is not None
        ]
        missing = tuple(serial for serial in item.serials or () if found.get(serial) is None)
        if not any(found.values()):
            left.append(item)
        elif missing:
            left.append(evolve(item, serials=missing))
    return answers, left


@define(eq=False)
class Resumption:
    """Items of a run on their way to the boards, by way of the archive."""

    farm: FarmArchive
    question: Question
    #: Boards that each item is for.
    fan_out: int = 1
    _waiting: deque[Item] = Factory(deque)
    _last: bool = False
    #: The experiment has nothing yet.
    _new: bool = False

    @property
    def drained(self) -> bool:
        """Whether no item waits, and no more come."""
        return self._last and not self._waiting

    @property
    def size(self) -> int:
        """How many items are looked up together."""
        return max(1, TOGETHER // self.fan_out)

    def wanted(self, by_boards: int) -> int:
        """Return how many more items it takes, where the boards take so many."""
        return 0 if self._last or by_boards == 0 else max(0, self.size - len(self._waiting))

    def add(self, items: Iterable[Item], last: bool) -> None:
        """Take items."""
        self._waiting.extend(items)
        self._last = self._last or last

    def batch(self) -> list[Item]:
        """Take what is looked up next; empty if nothing waits."""
        return [self._waiting.popleft() for _ in range(min(self.size, len(self._waiting)))]

    async def look_up(self, items: Sequence[Item]) -> Known:
        """Ask the archive.  Raises what the call raises; an experiment that there is not has no values."""
        digests = {item.payload["sha256"] for item in items if item.error is None}
        if self._new or not digests:
            return {}
        any_board = any(item.serials is None for item in items)
        serials = None if any_board else sorted({serial for item in items for serial in item.serials or ()})
        about = self.question
        known: dict[tuple[str, str | None], Measurement] = {}
        after, more = None, True
        while more:
            try:
                answer = await self.farm.call(
                    "experiment_known", name=about.experiment, account=about.account, kind=about.kind,
                    options=dict(about.options), sha256=sorted(digests), serials=serials, after=after,
                )  # fmt: skip
            except UnknownExperiment:
                self._new = True
                return {}
            for result in page_of({**answer, "next": ""}).results:
                measured = _measured(result)
                if measured is not None:
                    known[measured.sha256, None if any_board else measured.serial] = measured
            after, more = answer["next"], answer["more"]
        return known


def _measured(result: ArchivedResult) -> Measurement | None:
    """Return a result of the archive as the board's answer; None where the archive lacks some of it."""
    fields = {name: getattr(result, name) for name in _FROM_ARCHIVE}
    fields["board_labels"] = result.board_labels or {}
    try:
        return from_wire({**fields, "usb_bytes_in_window": None}, Measurement, "a result of the archive")
    except InvalidArgument:
        return None
