"""Pure: no I/O, no clock.  Endpoints to read the archive: experiments, runs, use, readings of reference circuits."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from icefarm.control.http.endpoints.endpoint import Asked, Endpoint
from icefarm.errors import Unavailable, UnknownExperiment, UnknownRun

__all__ = ["ENDPOINTS", "ResultsQuery", "RunFileQuery"]

_EXPERIMENT = {"description": "The name of the experiment.", "minLength": 1, "maxLength": 100}
_ACCOUNT = {"description": "Of this account; needed if several that you may read have an experiment of that name."}
_AFTER = {"description": "Continue after an earlier answer, which gave this as next."}
_RUN = {"description": "Its id, its number, or the first 8 or more digits of one.", "minLength": 8, "maxLength": 64}
_REFERENCE = {"description": "The reference circuit: oscillator, crystal or ring."}


@frozen
class ExperimentsQuery(Asked):
    """The query for a list of experiments."""

    account: str | None = field(default=None, metadata={"description": "Only those of this account."})
    since: float | None = field(
        default=None, metadata={"description": "Only those active since then; seconds since 1970."}
    )
    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=100, metadata={"description": "How many at most.", "minimum": 1, "maximum": 1000})


@frozen
class ExperimentQuery(Asked):
    """The query about one experiment."""

    experiment: str = field(metadata=_EXPERIMENT)
    account: str | None = field(default=None, metadata=_ACCOUNT)

    def arguments(self) -> dict[str, Any]:
        """See `Asked`: the procedure calls the experiment's name ``name``."""
        arguments = super().arguments()
        return {"name": arguments.pop("experiment"), **arguments}


@frozen
class FiguresQuery(ExperimentQuery):
    """The query for an experiment's figures."""

    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=1000, metadata={"description": "How many at most.", "minimum": 1, "maximum": 5000})


@frozen
class ResultsQuery(ExperimentQuery):
    """The query for an experiment's results."""

    format: str = field(
        default="csv", metadata={"description": "The form of the file.", "enum": ["csv", "jsonl", "parquet"]}
    )
    serial: str | None = field(default=None, metadata={"description": "Only of this board."})
    since: float | None = field(default=None, metadata={"description": "Ended then or later; seconds since 1970."})
    until: float | None = field(default=None, metadata={"description": "Ended before then; seconds since 1970."})
    failed: bool | None = field(default=None, metadata={"description": "Only failures (true), or only values (false)."})
    kind: str | None = field(default=None, metadata={"description": "Only of this device kind."})
    after: str | None = field(default=None, metadata={"description": "Only what arrived after this seq."})
    corrected: bool = field(
        default=False,
        metadata={"description": "Add each value as a board without any deviation would have measured it."},
    )

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        arguments = super().arguments()
        del arguments["format"]
        serial = arguments.pop("serial")
        return {**arguments, "serials": None if serial is None else [serial]}


@frozen
class RunsQuery(ExperimentQuery):
    """The query for an experiment's runs."""

    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=100, metadata={"description": "How many at most.", "minimum": 1, "maximum": 1000})


@frozen
class RunQuery(Asked):
    """The query about one run."""

    run: str = field(metadata=_RUN)

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        return {"id": self.run}


@frozen
class RunFileQuery(RunQuery):
    """The query for a run as a file."""


@frozen
class UsageOf(Asked):
    """The query for usage."""

    by: str = field(default="account", metadata={"description": "account, board or experiment; several with commas."})
    since: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: 7 days ago."})
    until: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: now."})
    account: str | None = field(default=None, metadata={"description": "Only of this account (operator)."})


@frozen
class CalibrationsQuery(Asked):
    """The query for calibrations."""

    reference: str | None = field(default=None, metadata=_REFERENCE)
    serials: str | None = field(default=None, metadata={"description": "Of these boards; several with commas."})

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        serials = None if self.serials is None else self.serials.split(",")
        return {"reference": self.reference, "serials": serials}


@frozen
class ReadingsQuery(Asked):
    """The query for readings of a reference circuit."""

    serial: str = field(metadata={"description": "The board's serial."})
    reference: str = field(default="oscillator", metadata=_REFERENCE)
    since: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: 90 days ago."})


ENDPOINTS = (
    Endpoint(
        "/experiments", "GET", "List the experiments that you may read, the most recently active first.",
        ExperimentsQuery, "experiments", "experiments", (Unavailable,), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}", "GET", "Return an experiment: counts, rate, boards, failures.",
        ExperimentQuery, "experiment", "experiment", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/figures", "GET", "List the figures that the owner reported of an experiment.",
        FiguresQuery, "experiment_figures", "figures", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/results", "GET", "Download an experiment's results, in the order of their arrival.",
        ResultsQuery, "experiment_file", "results", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/runs", "GET", "List the runs of an experiment, the newest first.",
        RunsQuery, "experiment_runs", "runs", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/runs/{run}", "GET", "Return a run; its id is the SHA-256 of its manifest, which is text.",
        RunQuery, "run", "run", (UnknownRun, Unavailable), old=False,
    ),
    Endpoint(
        "/runs/{run}/file", "GET", "Download a run: a zip with its manifest and its results.",
        RunFileQuery, "run_results", "file", (UnknownRun, Unavailable), old=False,
    ),
    Endpoint(
        "/usage", "GET", "Return who used which boards, for how long and for what; operators see all accounts.",
        UsageOf, "usage", "usage", (Unavailable,), old=False,
    ),
    Endpoint(
        "/calibrations", "GET", "Return how boards deviate: their present calibrations, and which boards are suspect.",
        CalibrationsQuery, "calibrations", "calibrations", old=False,
    ),
    Endpoint(
        "/readings", "GET", "List a board's readings of a reference circuit, the oldest first.",
        ReadingsQuery, "reference_readings", "readings", old=False,
    ),
)  # fmt: skip
