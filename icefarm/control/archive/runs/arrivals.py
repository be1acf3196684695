"""Pure: no I/O, no clock.  Runs are summed up while their rows arrive, so that they need not be read back.

Theory of operation
===================
The lines of a run are digested in the order of its evaluations, and rows arrive nearly in that order::

    batch that was stored --> note --> its lines are written, as long as it is in columns
                                         +--> the last WINDOW lines wait, sorted --> those before them: Summary
                                                              run ends --> take --> the rest --> Summary

This is a short cut, and never the authority.  Rows of another control, of a batch that was stored twice, or of one that
came later than `WINDOW` others are missing here.  So `take` gives a summary only if it has as many rows as the database
has of the run, each of another evaluation and of its first attempt: then they are the same rows.  Otherwise the run is
read back.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from operator import itemgetter
from typing import Any

from attrs import Factory, define

from icefarm.contract import account_of
from icefarm.control.archive.interface import Stored
from icefarm.control.archive.rows import OwnedRows, each_once
from icefarm.runs.manifest import Columns, Summary, written_lines
from icefarm.runs.numbers import indices_of
from icefarm.text.outside_json import parse_json

__all__ = ["MOST_ROWS", "MOST_RUNS", "WINDOW", "Arrivals", "RunSoFar"]

#: Rows of a run that wait for earlier ones: of 1,000 a second, workers deliver each within a few seconds.
WINDOW = 4096
#: Lines that are digested at once when more wait: they take less than 1 ms.
STEP = 512
#: Lines of all runs that wait, at about 1 kB each, and runs that are known.
MOST_ROWS, MOST_RUNS = 32_768, 4096

#: A line as it waits: the evaluation's id, its index in the run, the circuit's digest, the line.  The garbage collector
#: passes over plain tuples, of which thousands may wait.
Waiting = tuple[str, int | None, str | None, str]
_id_of = itemgetter(0)
#: Digits of a whole number that every reader takes exactly.
_DIGITS = 15
#: What a line has of a row, but for the row's worker.
_FIELDS = (
    *("attempt", "circuit", "ended_at", "error", "evaluation_id", "firmware", "firmware_version", "load_us"),
    *("message", "origin", "sequence", "serial", "sha256", "started_at", "temperature_c", "window_us"),
)


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
        """Rows whose lines are not digested yet."""
        return len(self._waiting)

    def add(self, worker: str, rows: OwnedRows, indices: Sequence[int | None]) -> None:
        """Add rows, of evaluations with these indices, and digest lines that have waited for long enough."""
        self.rows += len(rows)
        if self._wrong:
            self._waiting.clear()
            return
        ids = rows.column("evaluation_id")
        self._wrong = None in indices
        results = _results(worker, rows)
        self._summary.count(results)
        lines = written_lines(results, indices, _written(rows))
        self._waiting += zip(ids, indices, results["sha256"], lines, strict=True)
        while len(self._waiting) >= WINDOW + STEP:
            self._waiting.sort(key=_id_of)
            self._digest(STEP)

    def rest(self) -> Iterator[None]:
        """Digest everything, with pauses."""
        self._waiting.sort(key=_id_of)
        while self._waiting:
            self._digest(STEP)
            yield

    @property
    def summary(self) -> Summary | None:
        """The summary of what is digested; None if that is not the run's rows in order."""
        return None if self._wrong else self._summary

    def _digest(self, count: int) -> None:
        some, self._waiting = self._waiting[:count], self._waiting[count:]
        ids, indices, digests, lines = zip(*some, strict=True)
        # In order, none twice.
        self._wrong = self._wrong or not all(before < after for before, after in pairwise((self._last, *ids)))
        self._last = ids[-1]
        if not self._wrong:
            self._summary.digest_lines(indices, digests, lines)


def _results(worker: str, rows: OwnedRows) -> Columns:
    """Return rows as the database gives them back, by columns."""
    columns = {name: rows.column(name) for name in _FIELDS}
    labels = each_once(_labels, rows.column("board_labels"))
    values = rows.column("value")
    if not _are_counts(values):
        values = each_once(_value, values)
    return {**columns, "value": values, "board_labels": labels, "worker": [worker] * len(rows)}


def _written(rows: OwnedRows) -> dict[str, Sequence[str]]:
    """Return what is here as a line has it: counts, and times."""
    values = rows.column("value")
    written: dict[str, Sequence[str]] = {"value": values} if _are_counts(values) else {}
    for name, times in (("started", rows.started), ("ended", rows.ended)):
        if None not in times:
            written[name] = [f'"{time}"' for time in times]
    return written


def _labels(text: str | None) -> Any:
    return None if text is None else parse_json(text)


def _value(text: str | None) -> Any:
    return None if text is None else int(text) if text.isdigit() else parse_json(text)


def _are_counts(values: Sequence[Any]) -> bool:
    """Tell whether all values are counts, as nearly all are, whose canonical form is that of the archive."""
    try:
        return max(map(len, values)) <= _DIGITS and "".join(values).isdigit()
    except TypeError:
        # Some have failed.
        return False


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
        for (client, number), rows in _by_run(stored.rows):
            indices = indices_of(rows.column("evaluation_id"))
            if set(indices) != {None}:
                run = self._run_of((account_of(client), number), rows, whole=whole)
                if run is not None:
                    run.add(worker, rows, indices)
        self._forget_some()

    def _run_of(self, key: tuple[str, str], rows: OwnedRows, *, whole: bool) -> RunSoFar | None:
        """Return the run that rows are added to; None: it has to be read back."""
        run = self._touched(key)
        if run is not None and not (whole and set(rows.column("attempt")) == {1}):
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


def _by_run(rows: OwnedRows) -> Iterator[tuple[tuple[str, str], OwnedRows]]:
    """Yield rows by their client, and what may be the number of their run."""
    clients = [owner.client for owner in rows.owners]
    runs = list(zip(clients, [id[:32] for id in rows.column("evaluation_id")], strict=True))
    places: dict[tuple[str, str], list[int]] = {}
    for place, run in enumerate(runs):
        places.setdefault(run, []).append(place)
    for run, some in places.items():
        yield run, rows if len(some) == len(rows) else rows.taken(some)
