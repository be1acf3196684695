"""Writes the parts of docs/wamp.md that are made from the code and from the examples, in their places.

``python docs/_ext/wamp_page.py`` does it; so does ``make docs``.  A test fails while the page differs.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
from twisted.logger import Logger

from icefarm import contract, errors
from icefarm.contract import (
    EVENT_TOPICS,
    PREFIX,
    READING_TOPIC,
    DeviceStatus,
    Permission,
    Role,
    event_topic,
    permissions,
)
from icefarm.control.rpc import client_api
from icefarm.control.rpc.archive_api import ArchiveProcedures
from icefarm.control.rpc.booking_api import BookingProcedures
from icefarm.control.rpc.calibration_api import CalibrationProcedures
from icefarm.control.rpc.client_api import ClientProcedures
from icefarm.control.rpc.history_api import WatchProcedures
from icefarm.control.rpc.operators.access_api import AccessProcedures
from icefarm.control.rpc.operators.account_api import AccountProcedures
from icefarm.control.rpc.operators.board_api import OperatorProcedures
from icefarm.control.rpc.runs_api import RunProcedures
from icefarm.control.rpc.worker_api import WorkerProcedures
from icefarm.control.scheduling.placement import MAX_BOARDS, MAX_OPTIONS
from icefarm.control.sessions.limits import AccountLimits
from icefarm.control.sessions.liveness import SILENCE
from icefarm.control.sessions.sign_in.authenticator import MAX_TEXT
from icefarm.control.telemetry import events
from icefarm.control.telemetry.topics import OWN_EVENTS
from icefarm.farm.router.config import MESSAGE_LIMIT
from icefarm.kinds.registry import Kind, load_kinds
from icefarm.worker.control_link.rpc import ControlProcedures
from icefarm.worker.reservation import idempotency

__all__ = ["page", "write"]

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "wamp.md"

#: An annotation that was kept as text.
_QUOTED = re.compile(r"(: |-> )'([^']*)'")
#: A field of a class in its source, with the comment that is above it or behind it.
_COMMENT = re.compile(r"((?:^    #: ?.*\n)+)    (\w+):", re.M)
_LITERAL = re.compile(r"``([^`]+)``")
_BEHIND = re.compile(r"^    (\w+): .*?  # (.*)$", re.M)
#: By topic: its fields, and the changes in the farm that are published there.
_TOPICS: dict[str, tuple[Any, ...]] = {
    "device": ("[DeviceRecord](#devicerecord)", events.BoardsChanged),
    "reservation": (
        "[ReservationRecord](#reservationrecord)",
        events.ReservationsStarted,
        events.ReservationsExtended,
        events.ReservationsShortened,
        events.ReservationsEnded,
    ),
    "worker": ("[WorkerRecord](#workerrecord)", events.WorkerChanged),
    "queue": ("[QueueRecord](#queuerecord)", events.QueueChanged),
    "booking": ("[BookingRecord](#bookingrecord)", events.BookingsChanged),
    "available": ("`amount`, `serials`", events.BoardsAvailable),
    "log": ("`time`, `worker`, `level`, `message`, `serial`", events.WorkerLogged),
    "deleted": ("`serials`", events.BoardsDeleted),
}
#: What procedures return, where their docstrings do not say it.
_RETURNS = {
    "available": "`amount` and `serials`",
    "reserve": "list of [ReservationRecord](#reservationrecord)",
    "extend": "serials",
    "end": "serials of the boards that this call freed",
    "snapshot": "a mapping, see [snapshot](#a-snapshot)",
    "reboot": "serials",
    "heartbeat": "a mapping, see [heartbeats](#heartbeats)",
    "renew": "nothing",
    "book": "the [BookingRecord](#bookingrecord)",
    "bookings": "list of [BookingRecord](#bookingrecord)",
    "cancel_bookings": "ids",
    "calibrations": "`calibrations` (list of [Calibration](calibration.md#how-it-is-computed)), `suspects` (why, by "
    "serial), `time`",
    "reference_readings": "`readings` (a list), `time`",
    "account_groups": "a mapping of accounts to groups",
    "recent_failures": "list of [FailureRecord](#failurerecord)",
    "end_accounts": "serials",
    "history": "`step`, `until`, and a list for each figure: `time`, `rate`, `failures`, `waiting`, `longest_wait`; "
    "`states` is such a mapping, too",
    "device_history": "`since`, `time`, `states` and `log` (lists of mappings), `samples` (a list for each figure)",
    "journal": "`states`, `reservations`, `log`: lists of mappings",
    "experiments": "`experiments` (list of [ExperimentRecord](#experimentrecord)), and `next`",
    "experiment": "`experiment` (an [ExperimentRecord](#experimentrecord)), `boards` (list of "
    "[ExperimentBoard](#experimentboard)), `failures` (a number by the name of an error), `time` (by the farm's clock)",
    "experiment_results": "`fields` (names), `results` (a list of values for each), `next`, `more`",
    "experiment_file": "`data` (bytes), `fields` (names), `rows` (how many), `next`, `more`",
    "experiment_known": "as `experiment_results`; `next` is nothing at the end",
    "experiment_figures": "`figures` (list of [ExperimentFigures](#experimentfigures)), `next`, `more`",
    "experiment_series": "`step`, `board_step` (seconds), `together` and, by serial, `boards` (a list for "
    "each figure: `time`, `done`, `failed`, `numbers`, `sum`, `least`, `most`), `next`",
    "usage": "`since`, `until`, and `usage`: list of [UsageRecord](#usagerecord), the longest time first",
    "experiment_log": "nothing",
    "experiment_announce": "nothing",
    "experiment_runs": "`runs` (list of [RunRecord](#runrecord)), and `next`",
    "run": "`run` (a [RunRecord](#runrecord)), and `manifest`, as text ([runs.md](runs.md))",
    "run_results": "`lines`, as text ([runs.md](runs.md)), and `next`",
    "run_report": "nothing",
    "circuit_keep": "whether it is kept",
    "run_circuit": "`block` and `length`",
    "audit": "list of mappings",
    "delete": "serials",
    "delete_worker": "serials of its boards",
    "end_any": "serials",
    "drain": "the [WorkerRecord](#workerrecord), or a list of them",
    "resume": "the [WorkerRecord](#workerrecord), or a list of them",
    "retest": "serials",
    "set_limits": "`account`, `limits`, `has`, as `limits` does",
    "dismiss": "ids of the requests that this call removed",
}
#: Errors that the Python client raises by itself; no message has them.
_LOCAL = ("error", "link_lost", "no_such_procedure", "transport", "untrusted", "wrong_protocol", "wrong_thread")
#: A part of the page that is made: its name, or a file and the name of a part of it.
_MADE = re.compile(r"<!-- from (the code|\S+): (\S+) -->\n.*?<!-- end of \2 -->\n", re.S)
_LANGUAGES = {".js": "js", ".py": "python"}


def page() -> str:
    """Return the text of the page: as it is, with those parts that are made from the code and the examples."""
    return _MADE.sub(_remade, PAGE.read_text(encoding="utf-8"))


def write() -> None:
    """Write the page if it differs."""
    text = page()
    if PAGE.read_text(encoding="utf-8") != text:
        PAGE.write_text(text, encoding="utf-8")


def _remade(found: re.Match[str]) -> str:
    source, name = found.groups()
    text = "\n".join(_PARTS[name]()) if source == "the code" else _excerpt(ROOT / source, name)
    return f"<!-- from {source}: {name} -->\n\n{text.strip()}\n\n<!-- end of {name} -->\n"


def _excerpt(path: Path, name: str) -> str:
    """Return the lines of an example between ``[name]`` and ``[/name]`` as a block."""
    lines = path.read_text(encoding="utf-8").splitlines()
    first, last = (next(i for i, line in enumerate(lines) if f" [{mark}{name}]" in line) for mark in ("", "/"))
    text = dedent("\n".join(lines[first + 1 : last])).strip()
    return f"```{_LANGUAGES[path.suffix]}\n{text}\n```"


def _control() -> Iterator[str]:
    classes = (
        *(ClientProcedures, OperatorProcedures, BookingProcedures, AccessProcedures, AccountProcedures),
        *(WatchProcedures, ArchiveProcedures, RunProcedures, CalibrationProcedures),
    )
    yield from _procedures(contract.CONTROL_PROCEDURES, *classes)


def _operators() -> Iterator[str]:
    classes = (ClientProcedures, OperatorProcedures, AccessProcedures, AccountProcedures, WatchProcedures)
    yield from _procedures(contract.OPERATOR_PROCEDURES, *classes)


def _workers() -> Iterator[str]:
    yield from _procedures(contract.WORKER_PROCEDURES, WorkerProcedures, under="worker.")
    yield f"\n### `{PREFIX}worker.NAME.METHOD`\n\nFor control alone.\n"
    yield from _orders()


def _boards() -> Iterator[str]:
    for kind in _kinds():
        yield from _kind(kind)


def _procedures(names: Iterable[str], *classes: type, under: str = "") -> Iterator[str]:
    for name in names:
        (function,) = (getattr(cls, name) for cls in classes if hasattr(cls, name))
        # Without self and the caller, whom the router names.
        yield _entry(
            f"{PREFIX}control.{under}{name}",
            function,
            2,
            f"Returns {_RETURNS[name]}." if name in _RETURNS and not under else "",
        )


def _entry(uri: str, function: Callable[..., Any], skip: int, returns: str = "") -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[skip:]
    empty = inspect.Signature.empty
    shown = _plain(signature.replace(parameters=parameters, return_annotation=empty))
    doc = _said(function)
    words = "\n\n".join(filter(None, (doc, returns)))
    return f"### `{uri}`\n\n```text\n{uri.rpartition('.')[2]}{shown}\n```\n\n{words}\n"


def _said(what: Any) -> str:
    return _plainly(inspect.getdoc(what) or "")


def _plainly(text: str) -> str:
    """Return a docstring's text in the form of a page: one backquote."""
    return _LITERAL.sub(r"`\1`", text)


def _plain(signature: inspect.Signature) -> str:
    return _QUOTED.sub(r"\1\2", str(signature))


def _orders() -> Iterator[str]:
    for name, function in vars(ControlProcedures).items():
        if inspect.iscoroutinefunction(function) and name != "handle" and not name.startswith("_"):
            yield _entry(f"{PREFIX}worker.NAME.{name}", function, 1)


def _events() -> Iterator[str]:
    yield "| topic | fields | |\n|---|---|---|"
    for name in EVENT_TOPICS:
        fields, *changes = _TOPICS[name]
        yield f"| `{event_topic(name)}` | {fields} | {' '.join(map(_said, changes))} |"
    readings = "`time`, and `boards`: by serial, `rate`, `load_ms`, `window_ms`, `temperature_c`, ..."
    yield f"| `{READING_TOPIC}` | {readings} | {_said(events.RatesChanged)} |"
    yield (
        f"| `{PREFIX}client.NAME` | `event`: {', '.join(f'`{name}`' for name in OWN_EVENTS)}, or one of a device kind "
        "| Only to that client's sessions. |"
    )
    yield ""


def _kinds() -> list[Kind]:
    return [kind for _, kind in sorted(load_kinds([], Logger()).by_name.items())]


def _kind(kind: Kind) -> Iterator[str]:
    yield f"### Kind `{kind.name}`, version {kind.version}\n\n{kind.summary}\n"
    yield f"Options of the reservation: {_fields(kind.options)}\n"
    for name, method in sorted(kind.methods.items()):
        doc = _said(method.function)
        shown = _plain(method.signature).replace("(", "(reservation: str, ", 1)
        yield f"#### `{name}`\n\n```text\n{name}{shown}\n```\n\n{doc}\n"


def _fields(cls: Any) -> str:
    return ", ".join(f"`{_field(each)}`" for each in attrs.fields(cls)) or "none"


def _field(each: Any) -> str:
    plain = each.default is attrs.NOTHING or isinstance(each.default, attrs.Factory)
    return f"{each.name}: {getattr(each.type, '__name__', each.type)}{'' if plain else f' = {each.default}'}"


def _records() -> Iterator[str]:
    for name, cls in inspect.getmembers(contract, attrs.has):
        if cls.__module__.startswith(f"{contract.__name__}.") and cls is not Permission:
            yield f"### {name}\n\n{_said(cls)}\n\n| field | |\n|---|---|"
            comments = _comments(cls)
            for each in attrs.fields(cls):
                # A bar would end the cell.
                shown = _field(each).replace("|", r"\|")
                yield f"| `{shown}` | {_plainly(comments.get(each.name, ''))} |"
            yield ""
    yield "### DeviceStatus\n\nOne of " + ", ".join(f"`{status}`" for status in DeviceStatus) + ".\n"


def _comments(cls: type) -> dict[str, str]:
    """Return what the source says of a class's fields."""
    source = inspect.getsource(cls)
    above = {name: re.sub(r"\s*#: ?", " ", text).strip() for text, name in _COMMENT.findall(source)}
    return {**above, **dict(_BEHIND.findall(source))}


def _roles() -> Iterator[str]:
    for role, granted in permissions().items():
        yield f"### {Role(role).value}\n"
        for each in granted:
            may = [action for action in ("call", "register", "publish", "subscribe") if getattr(each, action)]
            yield f"- `{each.uri}{'*' if each.prefix else ''}`: {', '.join(may)}"
        yield ""


def _errors() -> Iterator[str]:
    found = (getattr(errors, name) for name in errors.__all__)
    classes = sorted((each for each in found if inspect.isclass(each)), key=lambda each: each.name)
    yield "| URI | |\n|---|---|"
    for cls in classes:
        if cls.name not in _LOCAL:
            yield f"| `{errors.error_uri(cls)}` | {_said(cls).splitlines()[0]} |"
    local = ", ".join(f"`{errors.error_uri(cls)}`" for cls in classes if cls.name in _LOCAL)
    yield f"\nReserved for what clients find out by themselves: {local}."


def _limits() -> Iterator[str]:
    yield "| | at most |\n|---|---|"
    yield f"| a message | {MESSAGE_LIMIT >> 20} MiB |"
    yield f"| a name | {contract.LONGEST_NAME} characters |"
    yield f"| an id of a request; of an evaluation | {client_api.LONGEST_ID} characters; {idempotency.LONGEST_ID} |"
    yield f"| `authextra.instance` | {MAX_TEXT} characters |"
    yield f"| sessions of an account | {AccountLimits().sessions:g}, unless an operator sets another limit |"
    yield f"| boards in one call | {MAX_BOARDS:,} |"
    yield f"| options of a reservation | {MAX_OPTIONS:,} characters as JSON |"
    yield f"| `seconds`, `timeout`, `grace` | {contract.MAX_SECONDS / 86400:g} days |"
    yield f"| silence of a session that has reserved | {SILENCE:g} seconds |"
    yield f"| results that a worker remembers by their ids | {idempotency.KEPT} for a reservation |"


#: By its name, each part that is made from the code.
_PARTS: Mapping[str, Callable[[], Iterator[str]]] = {
    "control": _control,
    "operators": _operators,
    "boards": _boards,
    "workers": _workers,
    "events": _events,
    "records": _records,
    "roles": _roles,
    "errors": _errors,
    "limits": _limits,
}

if __name__ == "__main__":
    write()
