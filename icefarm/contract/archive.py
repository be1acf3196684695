"""Pure: the records of what was measured: results, experiments, runs and usage."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen

from icefarm.arguments import passes_over_unknown


@passes_over_unknown
@frozen
class Measurement:
    """What a board measured, and its provenance."""

    value: Any
    evaluation_id: str
    serial: str
    worker: str
    kind: str
    options: dict[str, Any]
    firmware: str
    firmware_version: str
    #: SHA-256 of the bitstream in its normal form, hexadecimal.
    sha256: str
    #: The window as the board measured it, microseconds.
    window_us: int
    #: Time to load the configuration into the FPGA, microseconds.
    load_us: int
    #: Bytes that arrived over USB while the window was open (0 if nothing overlapped); None in what the archive has.
    usb_bytes_in_window: int | None
    #: Of the board, degrees Celsius; None if it cannot tell.
    temperature_c: float | None
    #: Counts the board's evaluations since it started.
    sequence: int
    #: Which call of this evaluation was carried out; 1 for the first.
    attempt: int
    started_at: float
    ended_at: float
    #: How it came to be. "measured" by a real board; by a virtual one "simulated", "extrapolated" from the time that
    #: was simulated, or "landscape" (an invented frequency). None from a worker that does not say.
    origin: str | None = None
    #: The labels that operators gave the board.
    board_labels: dict[str, str] = Factory(dict)
    #: The id of the board's calibration; None: it had none.  The value is not corrected by it.
    calibration: str | None = None


@passes_over_unknown
@frozen
class ExperimentRecord:
    """An experiment: a name within an account, under which the archive keeps measurements.  Key: account and name."""

    account: str
    name: str
    #: Evaluations with a value, failed ones, and how many its client expects; None if it did not say.
    done: int
    failed: int
    total: int | None
    #: Boards that measured.
    boards: int
    first_at: float | None
    last_at: float | None
    #: Evaluations a second over the last minute; since it began or went on, if that is less.
    rate: float
    #: Whether other accounts may read it.
    shared: bool
    created_at: float


@passes_over_unknown
@frozen
class ExperimentBoard:
    """One board's part in an experiment."""

    serial: str
    done: int
    failed: int
    first_at: float
    last_at: float


@passes_over_unknown
@frozen
class ExperimentPart:
    """What one board did for an experiment of an account."""

    account: str
    name: str
    done: int
    failed: int
    first_at: float
    last_at: float


@passes_over_unknown
@frozen
class ExperimentFigures:
    """Figures that a client reported of its experiment."""

    id: int
    time: float
    figures: dict[str, float]


@passes_over_unknown
@frozen
class RunReport:
    """What a client says of one of its runs: when it begins, and again when it has ended."""

    #: 32 hexadecimal digits, with which the ids of the run's evaluations begin.
    number: str
    kind: str
    #: The boards' serials, each with its reservation.
    boards: dict[str, str]
    experiment: str | None = None
    #: Of the reservations, and of each evaluation.
    options: dict[str, Any] = Factory(dict)
    evaluation_options: dict[str, Any] = Factory(dict)
    #: How boards were chosen: the placement's name, its seed.
    placement: dict[str, Any] = Factory(dict)
    labels: dict[str, Any] = Factory(dict)
    #: The client's version of icefarm.
    version: str = ""
    #: It has ended, with so many results and failures.
    ended: bool = False
    results: int = 0
    failures: int = 0
    #: The last attempt of evaluations that took several, by their ids.
    retried: dict[str, int] = Factory(dict)


@passes_over_unknown
@frozen
class RunRecord:
    """A run of an experiment, as all displays show it.  Key: number."""

    #: The SHA-256 of its manifest, by which it is cited; None while it has none.
    id: str | None
    number: str
    account: str
    experiment: str
    client: str
    kind: str
    #: "running"; "ended", with results under way to the archive; "closed": it never changes.
    state: str
    labels: dict[str, Any]
    begun_at: float
    #: When its client said so; None if it has not.
    ended_at: float | None
    #: Once it is closed: evaluations with a value, and failed ones, and on how many boards.
    results: int
    failed: int
    boards: int
    #: When the archive began to drop its results.
    dropped_at: float | None


@passes_over_unknown
@frozen
class FailureRecord:
    """An evaluation that failed, as the archive has it."""

    client: str
    serial: str
    kind: str
    circuit: str | None
    #: The error's name, and its text for users.
    error: str
    message: str | None
    time: float


@passes_over_unknown
@frozen
class UsageRecord:
    """How much an account, a board or an experiment used, in a time.  Key: account, serial, experiment."""

    #: None where accounts, boards or experiments are not told apart.
    account: str | None
    serial: str | None
    experiment: str | None
    #: How many boards, and reservations; by experiment, 0 reservations.
    boards: int
    reservations: int
    #: For which boards were reserved; by experiment, from the first result of each day to the last, for each board.
    seconds: float
    #: With a value, and failed ones.
    evaluations: int
    failed: int
    #: None without such a time.
    first_at: float | None
    last_at: float | None
