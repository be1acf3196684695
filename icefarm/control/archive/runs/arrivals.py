"""Pure: no I/O, no clock.  Runs are summed up while their rows arrive, so that they need not be read back.

Theory of operation
===================
The lines of a run are digested in the order of its evaluations, and rows arrive nearly in that order::

    batch that was stored --> note --> the last WINDOW rows wait, sorted --> those before them: Summary
                                                 run ends --> take --> the rest --> Summary

This is a short cut, and never the authority.  Rows of another control, of a batch that was stored twice, or of one that
came later than `WINDOW` others are missing here.  So `take` gives a summary only if it has as many rows as the database
has of the run, each of another evaluation and of its first attempt: then they are the same rows.  Otherwise the run is
read back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from operator import itemgetter, lt
from typing import Any

from attrs import Factory, define

from icefarm.contract import account_of
from icefarm.control.archive.interface import Stored
from icefarm.control.archive.rows import ArchiveRow, each_once
from icefarm.runs.manifest import Columns, Summary
from icefarm.runs.numbers import index_of, indices_of
from icefarm.text.outside_json import parse_json

__all__ = ["MOST_ROWS", "MOST_RUNS", "WINDOW", "Arrivals", "RunSoFar"]

#: Rows of a run that wait for earlier ones: of 1,000 a second, workers deliver each within a few seconds.
WINDOW = 4096
#: Rows that are summed up at once when more wait: they take about 2 ms.
STEP = 512
#: Rows of all runs that wait, at about 1 kB each, and runs that are known.
MOST_ROWS, MOST_RUNS = 32_768, 4096

#: A row as it waits, with its worker.  The garbage collector passes over plain tuples, of which thousands may wait.
Waiting = tuple[Any, ...]
_FIELDS = (*ArchiveRow._fields, "worker")
_id_of = itemgetter(ArchiveRow._fields.index("evaluation_id"))


@define(eq=False)
class RunSoFar:
    """The rows of a run that have arrived."""

    #: How many.
    rows: int = 0
    _summary: Summary = Factory(Summary)
    _waiting: list[Waiting] = Factory(list)
    #: The evaluation that was summed up last.
    _last: str = ""
    #: A row came too late, or twice, or its id is not one of a run.
    _wrong: bool = False

    @property
    def waiting(self) -> int:
        """Rows that are not summed up yet."""
        return len(self._waiting)

    def add(self, worker: str, rows: Sequence[ArchiveRow]) -> None:
        """Add rows, and sum up those that have waited for long enough."""
        self.rows += len(rows)
        self._waiting += [(*row, worker) for row in rows]
        while len(self._waiting) >= WINDOW + STEP:
            self._waiting.sort(key=_id_of)
            self._sum_up(STEP)

    def rest(self) -> Iterator[None]:
        """Sum up everything, with pauses."""
        self._waiting.sort(key=_id_of)
        while self._waiting:
            self._sum_up(STEP)
            yield

    @property
    def summary(self) -> Summary | None:
        """The summary of what is summed up; None if that is not the run's rows in order."""
        return None if self._wrong else self._summary

    def _sum_up(self, count: int) -> None:
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        results = _results(some)
        ids = results["evaluation_id"]
        # In order, none twice.
        self._wrong = self._wrong or not all(map(lt, (self._last, *ids), ids)) or None in indices_of(ids)
        self._last = ids[-1]
        if not self._wrong:
            self._summary.add(results)


def _results(rows: Sequence[Waiting]) -> Columns:
    """Return rows as the database gives them back, by columns."""
    columns: dict[str, Sequence[Any]] = dict(zip(_FIELDS, zip(*rows, strict=True), strict=True))
    return {
        **columns,
        "value": list(map(_value, columns["value"])),
        "board_labels": each_once(_labels, columns["board_labels"]),
    }


def _labels(text: str | None) -> Any:
    return None if text is None else parse_json(text)


def _value(text: str | None) -> Any:
    # Nearly all values are counts.
    return None if text is None else int(text) if text.isdigit() else parse_json(text)


@define(eq=False)
class Arrivals:
    """The runs of which rows have arrived lately, by account and number.  None: one that has to be read back."""

    _runs: OrderedDict[tuple[str, str], RunSoFar | None] = Factory(OrderedDict)

    @property
    def waiting(self) -> int:
        """Rows that wait."""
        return sum(run.waiting for run in self._runs.values() if run is not None)

    def note(self, worker: str, stored: Stored) -> None:
        """Note a batch that was stored."""
        whole = sum(stored.new.values()) == len(stored.rows)
        runs: dict[tuple[str, str], list[ArchiveRow]] = {}
        for row, client, _ in stored.rows:
            runs.setdefault((client, row.evaluation_id[:32]), []).append(row)
        for (client, number), rows in runs.items():
            if any(index_of(row.evaluation_id) is not None for row in rows):
                run = self._run_of((account_of(client), number), rows, whole=whole)
                if run is not None:
                    run.add(worker, rows)
        self._forget_some()

    def _run_of(self, key: tuple[str, str], rows: Sequence[ArchiveRow], *, whole: bool) -> RunSoFar | None:
        """Return the run that rows are added to; None: it has to be read back."""
        run = self._touched(key)
        if run is not None and not (whole and all(row.attempt == 1 for row in rows)):
            run = self._runs[key] = None
        return run

    def lacks(self, account: str, number: str, rows: int) -> bool:
        """Tell whether fewer rows of a run have arrived here; what another control had is not known."""
        run = self._runs.get((account, number))
        return run is not None and run.rows < rows

    def take(self, account: str, number: str, rows: int) -> RunSoFar | None:
        """Forget a run that ends, and return it if so many rows of it have arrived; their order is still to be seen."""
        run = self._runs.pop((account, number), None)
        return run if run is not None and run.rows == rows else None

    def _touched(self, key: tuple[str, str]) -> RunSoFar | None:
        if key in self._runs:
            self._runs.move_to_end(key)
        else:
            self._runs[key] = RunSoFar()
        return self._runs[key]

    def _forget_some(self) -> None:
        """Read back those that had nothing for the longest time, where too much waits."""
        while len(self._runs) > MOST_RUNS:
            self._runs.popitem(last=False)
        waiting = self.waiting
        for key, run in self._runs.items():
            if waiting <= MOST_ROWS:
                break
            if run is not None and run.waiting:
                waiting -= run.waiting
                self._runs[key] = None
