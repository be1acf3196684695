"""Pure: no I/O, no clock.  Results as the archive returns them, and as columns of a table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, fields, frozen

from icefarm.client.api.notebook.shown import circuit_name, html_table, short_repr
from icefarm.contract import CORRECTED_FIELDS, RESULT_FIELDS, ExperimentBoard, ExperimentRecord
from icefarm.errors import InvalidArgument

if TYPE_CHECKING:
    # Most results are never corrected.
    from icefarm.calibration.correcting import Correction
    from icefarm.calibration.records import Calibration, Corrected

__all__ = ["ArchivedResult", "ExperimentInfo", "ResultPage", "page_of", "record_of", "results_html", "table_columns"]


@frozen(repr=False)
class ArchivedResult:
    """One evaluation of an experiment, as the farm's archive has it: a measurement, or an error."""

    #: The order of arrival in the archive.
    seq: int
    evaluation_id: str
    #: Who asked for it, and under which reservation.
    client: str
    reservation: str
    serial: str
    worker: str
    kind: str
    options: dict[str, Any]
    #: What the client was answered; None if it failed.
    value: Any
    #: The value as one number: of several repeats, their mean.
    number: float | None
    #: The name of the error, and the error in words; None if it did not fail.
    error: str | None
    message: str | None
    sha256: str | None
    #: The client's name for the circuit, and what else it noted.
    circuit: str | None
    labels: dict[str, Any] | None
    firmware: str | None
    firmware_version: str | None
    origin: str | None
    window_us: int | None
    load_us: int | None
    temperature_c: float | None
    sequence: int | None
    attempt: int
    started_at: float | None
    ended_at: float
    #: The labels that operators gave the board; None without any.
    board_labels: dict[str, str] | None = None
    #: The id of the board's calibration when it measured; the value is not corrected by it.
    calibration: str | None = None
    #: The calibrations that this client knows, by their ids.
    _calibrations: Mapping[str, Calibration] = field(factory=dict, repr=False, eq=False)

    @property
    def ok(self) -> bool:
        """Whether there is a value."""
        return self.error is None

    @property
    def corrected(self) -> Corrected | None:
        """The value that a board without any deviation would have measured, with its standard uncertainty.

        Like `icefarm.client.Result.corrected`, by the calibration that the board had when it measured.  None for a
        failure, or if it cannot be computed: `why_not_corrected` says why.
        """
        return self._correction().corrected

    @property
    def why_not_corrected(self) -> str | None:
        """Why there is no corrected value; None if there is one."""
        return self._correction().why_not

    def _correction(self) -> Correction:
        from icefarm.calibration.correcting import Correction, correction

        if self.error is not None:
            return Correction(why_not=f"the evaluation failed: {self.error}")
        return correction(self, self._calibrations.get(self.calibration or ""))

    def __repr__(self) -> str:
        outcome = f"value={short_repr(self.value)}" if self.ok else f"error={self.error!r}"
        return f"ArchivedResult(seq={self.seq}, {circuit_name(self.circuit)}, serial={self.serial!r}, {outcome})"

    def _repr_html_(self) -> str:
        return results_html([self])


@frozen
class ExperimentInfo:
    """An experiment, with what each board did for it, and its failures by the name of their error."""

    experiment: ExperimentRecord
    boards: list[ExperimentBoard]
    failures: dict[str, int]
    #: By the farm's clock, seconds since the epoch.
    time: float


@frozen
class ResultPage:
    """Some results, and where the next ones begin."""

    results: Sequence[ArchivedResult]
    next: str
    more: bool


_NAMES = tuple(attribute.name for attribute in fields(ArchivedResult) if not attribute.name.startswith("_"))
assert _NAMES == RESULT_FIELDS
#: Columns whose values have no one type: they are JSON in a table.
_AS_JSON = ("options", "value", "labels", "board_labels")
#: Fields that farms of earlier versions do not have.
_ADDED = ("board_labels", "calibration")


def page_of(answer: Mapping[str, Any], calibrations: Mapping[str, Calibration] | None = None) -> ResultPage:
    """Read an answer of the archive; fields that a newer farm adds are left out.  Raises `InvalidArgument`.

    Its results look up their calibrations in these, by id, when they are corrected.
    """
    names: Sequence[str] = answer["fields"]
    rows: Iterable[Sequence[Any]] = answer["results"]
    if tuple(names) != _NAMES:
        missing = [name for name in _NAMES if name not in (*names, *_ADDED)]
        if missing:
            raise InvalidArgument(f"the farm's results have no {', '.join(missing)}; use its version of icefarm")
        places = [list(names).index(name) if name in names else None for name in _NAMES]
        rows = ([None if place is None else row[place] for place in places] for row in rows)
    known: dict[str, Any] = {} if calibrations is None else {"calibrations": calibrations}
    return ResultPage([ArchivedResult(*row, **known) for row in rows], str(answer["next"]), bool(answer["more"]))


def results_html(results: Sequence[ArchivedResult], caption: str | None = None) -> str:
    """Return results as a small table of HTML."""
    heads = ("circuit", "board", "value", "labels", "error")
    rows = [(circuit_name(each.circuit), each.serial, each.value, each.labels or None, each.error) for each in results]
    return html_table(heads, rows, caption)


def record_of(result: ArchivedResult, *, corrected: bool = False) -> dict[str, Any]:
    """Return a result by the names of its fields; those of `CORRECTED_FIELDS` come last if they are asked for."""
    record = {name: getattr(result, name) for name in _NAMES}
    if corrected:
        found = result.corrected
        record["corrected"] = None if found is None else found.value
        record["standard_uncertainty"] = None if found is None else found.standard_uncertainty
    return record


def table_columns(
    results: Iterable[ArchivedResult | Mapping[str, Any]], *, corrected: bool = False
) -> dict[str, list[Any]]:
    """Return results as one list for each column; options, value and labels are JSON text.

    Those of `CORRECTED_FIELDS` come last if they are asked for.
    """
    names = (*_NAMES, *CORRECTED_FIELDS) if corrected else _NAMES
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for result in results:
        record = result if isinstance(result, Mapping) else record_of(result, corrected=corrected)
        for name, column in columns.items():
            value = record[name]
            column.append(json.dumps(value) if name in _AS_JSON and value is not None else value)
    return columns
