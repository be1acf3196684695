"""Pure: the names on the wire, of procedures, topics and identities, and the bounds of what crosses the router."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

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
    if not 0 < len(name) <= LONGEST_NAME or name != name.strip():
        return False
    if name.isascii():
        return name.isprintable()
    return normal_name(name) == name and all(
        character == " " or unicodedata.category(character)[0] not in "CZ" for character in name
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
