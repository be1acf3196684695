"""Pure: no I/O, no clock.  The wire contract, version 1: every name and shape that crosses the router, and no other.

A new optional field keeps the version; anything else registers v2 beside v1.  Times are seconds since the epoch, UTC,
as floats.  Records travel as plain mappings (`to_wire`) and are read back with `from_wire`, which checks every
field that it knows and ignores those of a newer version.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from attrs import Factory, frozen

from icefarm.arguments import from_wire, passes_over_unknown, to_wire

__all__ = [
    "ARCHIVE_FIELDS",
    "AUTHENTICATOR",
    "AUTHORIZER",
    "BASE_DIGITS",
    "BOARDS",
    "CONTROL_PROCEDURES",
    "EVALUATE_LIST",
    "EVENT_PREFIX",
    "EVENT_TOPICS",
    "EXPERIMENT_PROCEDURES",
    "FARM_ACCOUNT",
    "LIST_BYTES",
    "LIST_MOST",
    "LONGEST_NAME",
    "MAX_BOARD_LABELS",
    "MAX_CIRCUIT_NAME",
    "MAX_FIGURES",
    "MAX_LABELS",
    "MAX_SECONDS",
    "NAME_RULE",
    "OPERATOR_PROCEDURES",
    "PREFIX",
    "PROTOCOL_VERSION",
    "READING_TOPIC",
    "REALM",
    "RESULT_FIELDS",
    "WORKER_PROCEDURES",
    "AccessRule",
    "Assignment",
    "BoardCalibration",
    "BoardHealth",
    "BoardReading",
    "BookingRecord",
    "DeviceRecord",
    "DeviceReport",
    "DeviceStatus",
    "ExperimentBoard",
    "ExperimentFigures",
    "ExperimentPart",
    "ExperimentRecord",
    "FailureRecord",
    "KindRecord",
    "Measurement",
    "Permission",
    "PoolRecord",
    "QueueRecord",
    "ReferenceCircuit",
    "ReservationRecord",
    "Role",
    "RunRecord",
    "RunReport",
    "ShareRecord",
    "UsageRecord",
    "WorkerHello",
    "WorkerRecord",
    "account_of",
    "as_asked",
    "client_topic",
    "control_procedure",
    "control_worker_procedure",
    "default_experiment",
    "device_prefix",
    "device_procedure",
    "event_topic",
    "forwarding_path",
    "from_wire",
    "identity_of",
    "method_of",
    "normal_name",
    "permissions",
    "to_wire",
    "valid_account",
    "valid_name",
    "without_asked",
    "worker_prefix",
    "worker_procedure",
]

#: Longest reservation, extension, wait for boards and grace, in seconds: 30 days.
MAX_SECONDS = 30 * 86400.0

REALM = "icefarm"
#: The account under which the farm itself measures.
FARM_ACCOUNT = "icefarm"
PROTOCOL_VERSION = 1
PREFIX = "icefarm.v1."
EVENT_PREFIX = PREFIX + "event."
#: Control's procedure that the router asks at each sign-in: (realm, authid, details) -> {"role": ..., "extra": ...}.
AUTHENTICATOR = PREFIX + "control.authenticate"
#: Control's procedure that the router asks before a worker registers or calls: (details, uri, action, options) ->
#: {"allow": ...}.
AUTHORIZER = PREFIX + "control.authorize"
#: The prefix of the procedures of all boards.
BOARDS = PREFIX + "device."

#: Topics of ``icefarm.v1.event.``: each event is one whole record, replacing the one with the same key.
EVENT_TOPICS = ("device", "reservation", "worker", "queue", "booking", "available", "log", "deleted")
#: The boards' figures, every few seconds: {"time": ..., "boards": {serial: {...}}}; for displays.
READING_TOPIC = PREFIX + "reading"

#: ``icefarm.v1.control.<name>`` for the archive: reading, and what the owner of an experiment says of it.
EXPERIMENT_PROCEDURES = (
    *("experiment_runs", "run", "run_results", "run_report"),
    *("circuit_keep", "run_circuit"),
    *("experiments", "experiment", "experiment_results", "experiment_file", "experiment_known"),
    *("experiment_figures", "experiment_series", "board_experiments", "usage", "experiment_log", "experiment_announce"),
)
#: ``icefarm.v1.control.<name>`` that clients may call; they act on the caller's own reservations only.
CONTROL_PROCEDURES = (
    *("available", "reserve", "extend", "end", "snapshot", "reboot", "heartbeat", "renew"),
    *("history", "device_history", "journal", "limits", "access"),
    *("book", "bookings", "cancel_bookings", "account_groups", "recent_failures"),
    *("calibrations", "reference_readings"),
    *EXPERIMENT_PROCEDURES,
)
#: ``icefarm.v1.control.<name>`` that only operators may call.
OPERATOR_PROCEDURES = (
    *("audit", "delete", "delete_worker", "end_any", "drain", "resume", "retest", "dismiss"),
    *("set_limits", "label", "access_list", "access_add", "access_remove", "access_group"),
    "end_accounts",
)
#: A board's method that takes evaluations in lists, for any boards of its worker.  A worker that has it says so in its
#: answer to ``ping``: ``{"lists": True}``; ``deltas`` says that it takes bitstreams as differences, ``brief`` that its
#: results leave out what the client has said.
EVALUATE_LIST = "evaluate_list"
#: Digits of a SHA-256 that name the base of a difference: no two bitstreams of a farm have the same.
BASE_DIGITS = 24
#: Evaluations of one list, and bytes of its bitstreams, or of its results.  A message has at most 2 MiB.
LIST_MOST, LIST_BYTES = 64, 512 * 1024
#: ``icefarm.v1.control.worker.<name>`` that only workers may call.
WORKER_PROCEDURES = ("hello", "report", "reports", "heartbeat", "log", "event", "archive")

#: The longest name that a client gives a circuit, in characters; and labels of an evaluation, and figures of one
#: report of an experiment.
MAX_CIRCUIT_NAME, MAX_LABELS, MAX_FIGURES = 200, 20, 50
#: Most labels that operators give one board or worker.
MAX_BOARD_LABELS = 20

#: The row of an evaluation, as workers send it to the archive: a JSON array of these.  ``circuit``, ``experiment`` and
#: ``labels`` are the client's; what a failure has no value for is null.
ARCHIVE_FIELDS = (
    *("evaluation_id", "reservation", "serial", "kind", "options", "value", "error", "message", "sha256"),
    *("circuit", "experiment", "labels", "firmware", "firmware_version", "origin", "window_us", "load_us"),
    *("temperature_c", "sequence", "attempt", "started_at", "ended_at", "board_labels", "calibration"),
)
#: The row of a result, as readers of the archive get it.
RESULT_FIELDS = (
    *("seq", "evaluation_id", "client", "reservation", "serial", "worker", "kind", "options", "value", "number"),
    *("error", "message", "sha256", "circuit", "labels", "firmware", "firmware_version", "origin", "window_us"),
    *("load_us", "temperature_c", "sequence", "attempt", "started_at", "ended_at", "board_labels", "calibration"),
)

#: What follows these where a reader asks for it: the value as a board without any deviation would have measured it, and
#: its standard uncertainty (docs/calibration.md); null where that is not known.
CORRECTED_FIELDS = ("corrected", "standard_uncertainty")

#: Longest name of a client, worker, board or account, in characters.
LONGEST_NAME = 100
#: What a name is, for the error that says so.
NAME_RULE = f"1 to {LONGEST_NAME} printable characters in their usual form (NFKC), no blanks at the ends"


class Role(StrEnum):
    """What a session may do; control assigns it at sign-in."""

    CLIENT = "client"
    WORKER = "worker"
    OPERATOR = "operator"
    CONTROL = "control"


class DeviceStatus(StrEnum):
    """The state of a board in one word, as the ``device`` table and all displays show it."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    FLASHING = "flashing"
    TESTING = "testing"
    BROKEN = "broken"
    OFFLINE = "offline"


def forwarding_path(ticket: str) -> str:
    """Return the path at which the router forwards HTTP to control; it is secret, derived from control's ticket."""
    return "/" + hashlib.sha256(f"icefarm forwards {ticket}".encode()).hexdigest()


def valid_name(name: str) -> bool:
    """Tell whether a client or worker may be called so (`NAME_RULE`).

    Names are shown to people and become part of a URI. So two that look alike are one: characters without a shape (zero
    width, direction of text) are not allowed, and of several forms of a character only the usual one.
    """
    return (
        0 < len(name) <= LONGEST_NAME
        and name == name.strip()
        and all(character == " " or unicodedata.category(character)[0] not in "CZ" for character in name)
        and normal_name(name) == name
    )


def normal_name(name: str) -> str:
    """Return a name in the form in which the farm takes it (Unicode NFKC)."""
    return unicodedata.normalize("NFKC", name)


def valid_account(name: str) -> bool:
    """Tell whether an account may be called so: a name without '/', which separates it from names inside it."""
    return valid_name(name) and "/" not in name


def identity_of(account: str, name: str) -> str:
    """Return the identity that a session has when it signs in under a name with a token of an account.

    That is the account itself where the name is the account's, else ``account/name``.  A name that is written as an
    identity of the account already stays as it is.
    """
    return name if account_of(name) == account else f"{account}/{name}"


#: Names whose account, procedures and topics are worked out once: more than a farm has at a time.
REMEMBERED_NAMES = 4096


@lru_cache(maxsize=REMEMBERED_NAMES)
def account_of(identity: str) -> str:
    """Return the account of an identity: what is before the first '/'."""
    return identity.partition("/")[0]


def default_experiment(client: str, day: date) -> str:
    """Return the experiment of evaluations that name none: their client, without its account, and the day (UTC)."""
    own = client.removeprefix(account_of(client) + "/") or client
    return f"{own[: LONGEST_NAME - 11].rstrip()} {day}"


def _component(name: str) -> str:
    """Escape a name so that it is one component of a URI (no dot, blank or '#'; RFC 3986 percent-encoding)."""
    return quote(name, safe="").replace(".", "%2E")


@lru_cache(maxsize=REMEMBERED_NAMES)
def control_procedure(name: str) -> str:
    return f"{PREFIX}control.{name}"


@lru_cache(maxsize=REMEMBERED_NAMES)
def control_worker_procedure(name: str) -> str:
    return f"{PREFIX}control.worker.{name}"


@lru_cache(maxsize=REMEMBERED_NAMES)
def device_prefix(serial: str) -> str:
    return f"{PREFIX}device.{_component(serial)}."


def device_procedure(serial: str, method: str) -> str:
    return device_prefix(serial) + method


def worker_prefix(worker: str) -> str:
    return f"{PREFIX}worker.{_component(worker)}."


@lru_cache(maxsize=REMEMBERED_NAMES)
def worker_procedure(worker: str, method: str) -> str:
    return worker_prefix(worker) + method


@lru_cache(maxsize=REMEMBERED_NAMES)
def method_of(procedure: str) -> tuple[str, str]:
    """Split the URI of a device's or worker's procedure into (serial or worker name, method)."""
    component, _, method = procedure.removeprefix(PREFIX).partition(".")[2].rpartition(".")
    return unquote(component), method


def as_asked(evaluation: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a measurement repeats of an evaluation in a list: its id, the board, and the bitstream's SHA-256."""
    said = {"evaluation_id": evaluation.get("evaluation_id"), "serial": evaluation.get("serial")}
    bitstream = evaluation.get("bitstream")
    return {**said, "sha256": bitstream.get("sha256")} if isinstance(bitstream, Mapping) else said


def without_asked(measurement: Any, evaluation: Mapping[str, Any]) -> Any:
    """Return a measurement without what its evaluation says as well; a brief result leaves it out."""
    if not isinstance(measurement, Mapping):
        return measurement
    said = as_asked(evaluation)
    return {name: value for name, value in measurement.items() if name not in said or said[name] != value}


def event_topic(name: str) -> str:
    return EVENT_PREFIX + name


@lru_cache(maxsize=REMEMBERED_NAMES)
def client_topic(client: str) -> str:
    return f"{PREFIX}client.{_component(client)}"


# ---------------------------------------------------------------------------------------------------- records


@passes_over_unknown
@frozen
class KindRecord:
    """A device kind that a worker offers."""

    name: str
    #: One line for users.
    summary: str
    #: The firmware it runs on, and that firmware's version.
    firmware: str
    firmware_version: str
    #: Methods that clients call.
    methods: list[str]
    #: The kind's own version; empty where its worker does not say.
    version: str = ""
    #: The worker can let several clients share a board of this kind.
    shareable: bool = False


@passes_over_unknown
@frozen
class Assignment:
    """Control's order for a board: the reservation that it must serve."""

    reservation: str
    client: str
    kind: str
    options: dict[str, Any] = Factory(dict)
    #: The board's labels, for the provenance of what it measures.
    labels: dict[str, str] = Factory(dict)
    #: The id of the board's calibration, for the same.
    calibration: str | None = None
    #: The farm's own reservation of the board, which this client shares with others; None: it has the board for itself.
    within: str | None = None
    #: How much of the board's time its account gets, beside others that share it.
    weight: float = 1.0


@passes_over_unknown
@frozen
class ReferenceCircuit:
    """A reference circuit that an idle board is to measure."""

    name: str
    bitstream: bytes
    #: How often; it is loaded each time.
    times: int = 1


@passes_over_unknown
@frozen
class BoardCalibration:
    """How a board deviates, from its readings of one reference circuit (docs/calibration.md)."""

    #: Of the calibration, which each result of the board names.
    id: str
    reference: str
    #: When it was last measured, and the board's temperature then.
    measured_at: float
    temperature_c: float | None
    #: Its deviation, the standard deviation of single windows, the change with time and with temperature; the
    #: uncertainties are standard ones.
    offset_ppm: float
    offset_uncertainty_ppm: float
    noise_ppm: float
    drift_ppm_per_day: float
    drift_uncertainty: float
    ppm_per_kelvin: float
    kelvin_uncertainty: float
    #: How many readings it is made of.
    readings: int
    #: Why the board is suspect, with figures; None: it is not.
    suspect: str | None = None
    #: The operator's rule for suspects: "avoid" gives them out last, "set-aside" not at all, "ignore" like all others.
    rule: str = "avoid"


@passes_over_unknown
@frozen
class BoardHealth:
    """A board's recent health: how many of its last ``attempts`` to evaluate (60 at most) did not go well."""

    attempts: int = 0
    #: The board was silent; the attempt was made again; no attempt gave a result.
    timeouts: int = 0
    retries: int = 0
    failures: int = 0
    #: How often it was set aside since it last worked well for a while.
    set_aside: int = 0


@passes_over_unknown
@frozen
class DeviceReport:
    """A worker's report on one of its boards; replaces the previous report."""

    serial: str
    status: DeviceStatus
    #: Why it is broken or offline, or what it is doing; for users.
    reason: str | None = None
    #: The reservation that the worker holds for it, prepared or in preparation.
    reservation: str | None = None
    kind: str | None = None
    firmware: str | None = None
    firmware_version: str | None = None
    usb_path: str | None = None
    #: Since the worker started: evaluations answered with a result, failed ones, the board's own retries.
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    health: BoardHealth = BoardHealth()
    #: What a virtual board does with a circuit: "simulated", "landscape", "simulated,landscape" or "other"; None: it is
    #: a real board, or its worker is of an earlier version.
    model: str | None = None
    #: Where several clients share it: their reservations, which are within the one that the worker holds for it.
    shares: list[str] = Factory(list)


@passes_over_unknown
@frozen
class BoardReading:
    """A worker's counters for one of its boards, sent with its heartbeats; sums since the worker started."""

    serial: str
    #: The kind that it serves as; None while it is not reserved.
    kind: str | None = None
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    #: Images written to it, and how many seconds that took.
    flashes: int = 0
    flash_s: float = 0.0
    #: Measurements (an evaluation may have several); the seconds of loading, of their windows, and in total.
    measured: int = 0
    load_s: float = 0.0
    window_s: float = 0.0
    measured_s: float = 0.0
    #: As last reported, degrees Celsius.
    temperature_c: float | None = None


@passes_over_unknown
@frozen
class PoolRecord:
    """Virtual boards that a worker plugs in on demand: how many at least and at most, and their model."""

    least: int
    most: int
    model: str


@passes_over_unknown
@frozen
class WorkerHello:
    """A worker's hello: sent when its session begins, and again whenever control asks for it."""

    name: str
    #: A new one at each start of the process.
    instance: str
    host: str
    version: str
    kinds: list[KindRecord]
    devices: list[DeviceReport]
    #: None: all of its boards are always there.
    pool: PoolRecord | None = None
    #: Whether it measures reference circuits on idle boards when control asks for that.
    references: bool = False
    #: It takes orders for many boards at once: ``prepare_all``, ``release_all``.
    lists: bool = False


@passes_over_unknown
@frozen
class WorkerRecord:
    """A worker, as all displays show it."""

    name: str
    status: str  # "online" or "offline"
    draining: bool
    host: str
    version: str
    kinds: list[str]
    devices: int
    last_seen: float
    #: Its process exits when none of its boards is reserved any more; it is draining then. If offline, it has left.
    leaving: bool = False
    #: The versions of its kinds, by name.
    kind_versions: dict[str, str] = Factory(dict)
    #: What operators note of it; its boards have these labels too.
    labels: dict[str, str] = Factory(dict)
    #: Those of its kinds whose boards several clients can share.
    shared_kinds: list[str] = Factory(list)


@passes_over_unknown
@frozen
class DeviceRecord:
    """A board, as all displays show it.  Key: serial."""

    serial: str
    worker: str
    status: DeviceStatus
    reason: str | None
    client: str | None
    reservation: str | None
    kind: str | None
    firmware: str | None
    firmware_version: str | None
    usb_path: str | None
    evaluations: int
    failures: int
    retries: int
    expires_at: float | None
    changed_at: float
    health: BoardHealth = BoardHealth()
    #: When its reservation was made; None while it is not reserved.
    reserved_at: float | None = None
    #: See `DeviceReport`.
    model: str | None = None
    #: What operators note of it and of its worker; of two with one name, its own.
    labels: dict[str, str] = Factory(dict)
    #: From the reference circuit of the FPGA's oscillator; None: it is not calibrated.
    calibration: BoardCalibration | None = None
    #: Who shares it: clients by reservation, the first to come first; its ``client`` is the first, and its
    #: ``reservation`` the farm's own.  Empty: nobody does.
    shares: dict[str, str] = Factory(dict)


@passes_over_unknown
@frozen
class ReservationRecord:
    """A reservation of one board.  Key: id."""

    id: str
    serial: str
    worker: str
    client: str
    kind: str
    options: dict[str, Any]
    created_at: float
    expires_at: float
    #: None while it is active.
    ended_at: float | None = None
    end_reason: str | None = None
    #: Seconds that its client may be away before it ends; None: the farm's setting.
    grace: float | None = None
    #: The board's labels.
    labels: dict[str, str] = Factory(dict)
    #: Why it cannot be extended beyond its end: the booking that needs its board then, in words; None: it can.
    limited_by: str | None = None
    #: The id of the request that it was made for.
    request: str | None = None
    #: Of that request; higher ones are served first.
    priority: float = 50.0
    #: How many boards that request would like to have, and how many it keeps when others ask for boards; None: all that
    #: it has got.
    wanted: int | None = None
    at_least: int | None = None
    #: The selector of the boards that it would like to have; None: any.
    where: str | None = None
    #: The id of the board's calibration.
    calibration: str | None = None
    #: The farm's own reservation of the board, which its client shares with others; None: it has the board for itself.
    within: str | None = None
    #: The part of the board's time that counts as its own: 1, or less where it shares the board.
    part: float = 1.0
    #: In the answer to ``reserve``: the URL of the router at which the board is reached; None: the one that was asked.
    router: str | None = None


@passes_over_unknown
@frozen
class QueueRecord:
    """A request that waits for boards.  Key: id."""

    id: str
    client: str
    kind: str
    amount: int
    serials: list[str]
    since: float
    place: int
    reason: str
    #: Of the client's account: board-seconds that it has used lately, those of boards that it holds among them.
    used: float = 0.0
    #: The clients of the first requests that go before it and wait for boards that it could use, too.
    behind: list[str] = Factory(list)
    #: When it is likely to be served, from how long boards were held lately: not before, not after; None: unknown.
    earliest: float | None = None
    latest: float | None = None
    #: The selector of the boards that it may have, if it gave one.
    where: str | None = None
    #: It would share boards with others.
    shared: bool = False


@passes_over_unknown
@frozen
class ShareRecord:
    """What an account has used of the boards lately, which decides who is served next.  Key: account."""

    account: str
    #: Board-seconds, which count half after each half-life; those of boards that it holds among them.
    used: float
    #: Its part of what all accounts used, from 0 to 1.
    share: float
    #: What its usage is divided by, for the order in the queue.
    weight: float
    #: Boards that it holds, and requests of it that wait.
    held: int
    waiting: int


@passes_over_unknown
@frozen
class AccessRule:
    """What accounts may have: one account, those of a group, or all that have no rules of their own.  Key: id."""

    id: int
    account: str | None = None
    group: str | None = None
    #: The selector of the boards that it allows; None: all.
    where: str | None = None
    #: How long a reservation may last with all of its extensions; None: as long as the limits allow.
    seconds: float | None = None
    #: The device kinds that it allows; None: all.
    kinds: list[str] | None = None


@passes_over_unknown
@frozen
class BookingRecord:
    """Boards that are kept for an account, or for a group of accounts, for a time.  Key: id."""

    id: str
    #: The account, or the group, that gets them.
    account: str
    amount: int
    #: These boards; empty: any.
    serials: list[str]
    #: Boards that can be of this kind; None: of any.
    kind: str | None
    starts_at: float
    ends_at: float
    #: How many boards it still keeps: it releases those that nobody takes.
    kept: int
    booked_by: str
    created_at: float
    #: None until it is over, cancelled, or has released all of its boards.
    ended_at: float | None = None
    end_reason: str | None = None
    #: A selector of the boards; None: any, and no virtual ones where there are real ones.
    where: str | None = None


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
    #: Evaluations a second over the last minute.
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


# ------------------------------------------------------------------------------------------------ permissions


@frozen
class Permission:
    """What a role may do under a URI; the router's configuration is made of these."""

    uri: str
    prefix: bool = False
    call: bool = False
    register: bool = False
    publish: bool = False
    subscribe: bool = False


def permissions() -> Mapping[Role, tuple[Permission, ...]]:
    """Return what each role may do.  The router refuses everything else."""
    client = (
        *(Permission(control_procedure(name), call=True) for name in CONTROL_PROCEDURES),
        Permission(BOARDS, prefix=True, call=True),
        Permission(EVENT_PREFIX, prefix=True, subscribe=True),
        Permission(READING_TOPIC, subscribe=True),
        # Everybody may subscribe; control publishes to the named client's sessions only.
        Permission(PREFIX + "client.", prefix=True, subscribe=True),
    )
    return {
        Role.CLIENT: client,
        Role.OPERATOR: (*client, *(Permission(control_procedure(name), call=True) for name in OPERATOR_PROCEDURES)),
        Role.WORKER: (
            Permission(PREFIX + "control.worker.", prefix=True, call=True),
            Permission(BOARDS, prefix=True, register=True),
            Permission(PREFIX + "worker.", prefix=True, register=True),
        ),
        Role.CONTROL: (
            Permission(PREFIX, prefix=True, call=True, register=True, publish=True, subscribe=True),
            Permission("wamp.", prefix=True, call=True, subscribe=True),
        ),
    }
