"""Writes the page of the WAMP interface from the code: procedures, events, records, roles, errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attrs
from twisted.logger import Logger

from icefarm import contract, errors
from icefarm.contract import EVENT_TOPICS, PREFIX, READING_TOPIC, REALM, Permission, Role, event_topic, permissions
from icefarm.control.rpc.client_api import ClientProcedures
from icefarm.control.rpc.history_api import WatchProcedures
from icefarm.control.rpc.worker_api import WorkerProcedures
from icefarm.control.telemetry import events
from icefarm.control.telemetry.topics import OWN_EVENTS
from icefarm.kinds.registry import Kind, load_kinds
from icefarm.worker.control_link.rpc import ControlProcedures

__all__ = ["page"]

#: An annotation that was kept as text.
_QUOTED = re.compile(r"(: |-> )'([^']*)'")
#: A field of a class in its source, with the comment that is above it or behind it.
_COMMENT = re.compile(r"((?:^    #: ?.*\n)+)    (\w+):", re.M)
_BEHIND = re.compile(r"^    (\w+): .*?  # (.*)$", re.M)
#: By topic: its fields, and the changes in the farm that are published there.
_TOPICS: dict[str, tuple[Any, ...]] = {
    "device": ("[DeviceRecord](#devicerecord)", events.BoardsChanged),
    "reservation": (
        "[ReservationRecord](#reservationrecord)",
        events.ReservationsStarted,
        events.ReservationsExtended,
        events.ReservationsEnded,
    ),
    "worker": ("[WorkerRecord](#workerrecord)", events.WorkerChanged),
    "queue": ("[QueueRecord](#queuerecord)", events.QueueChanged),
    "available": ("`amount`, `serials`", events.BoardsAvailable),
    "log": ("`time`, `worker`, `level`, `message`, `serial`", events.WorkerLogged),
    "deleted": ("`serials`", events.BoardsDeleted),
}
_HEAD = f"""\
# The WAMP interface

Generated from the code: `icefarm/contract.py`, the procedures of `icefarm/control`, and the device kinds. The realm is
`{REALM}`; CBOR, MessagePack, or JSON over WebSocket. Names begin with `{PREFIX}`. Arguments may be given by position or
by name, and are checked strictly. A new optional field keeps the version.
"""


def page() -> str:
    """Return the text of the page."""
    parts = [
        _HEAD,
        "## Procedures of control\n\nFor clients and operators.\n",
        *_procedures(contract.CONTROL_PROCEDURES, "client, operator", ClientProcedures, WatchProcedures),
        *_procedures(contract.OPERATOR_PROCEDURES, "operator", ClientProcedures, WatchProcedures),
        "## Procedures of control for workers\n",
        *_procedures(contract.WORKER_PROCEDURES, "worker", WorkerProcedures, under="worker."),
        f"## Procedures of workers\n\n`{PREFIX}worker.NAME.METHOD`, for control alone.\n",
        *_orders(),
        "## Procedures of boards\n\n"
        f"`{PREFIX}device.SERIAL.METHOD`, for the client of the reservation that is named as `reservation`.\n",
        *(text for kind in _kinds() for text in _kind(kind)),
        "## Events\n\nFields are keyword arguments. Events without a subscriber are lost: ask for a `snapshot`.\n",
        *_events(),
        "## Records\n",
        *_records(),
        "## Roles\n\nPermissions of each role; `*` stands for any URI with that prefix. The router refuses all else.\n",
        *_roles(),
        "## Errors\n\nOne positional argument, the message; fields as keyword arguments.\n",
        *_errors(),
    ]
    return "\n".join(parts)


def _procedures(names: Iterable[str], roles: str, *classes: type, under: str = "") -> Iterator[str]:
    for name in names:
        (function,) = (getattr(cls, name) for cls in classes if hasattr(cls, name))
        # Without self and the caller, whom the router names.
        yield _entry(f"{PREFIX}control.{under}{name}", function, 2, f"Permitted roles: {roles}.")


def _entry(uri: str, function: Callable[..., Any], skip: int, note: str = "") -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[skip:]
    shown = _plain(signature.replace(parameters=parameters))
    doc = inspect.getdoc(function) or ""
    return f"### `{uri}`\n\n```text\n{uri.rpartition('.')[2]}{shown}\n```\n\n{doc}\n\n{note}\n"


def _plain(signature: inspect.Signature) -> str:
    return _QUOTED.sub(r"\1\2", str(signature))


def _orders() -> Iterator[str]:
    for name, function in vars(ControlProcedures).items():
        if inspect.iscoroutinefunction(function) and name != "handle":
            yield _entry(f"{PREFIX}worker.NAME.{name}", function, 1)


def _events() -> Iterator[str]:
    yield "| topic | fields | |\n|---|---|---|"
    for name in EVENT_TOPICS:
        fields, *changes = _TOPICS[name]
        yield f"| `{event_topic(name)}` | {fields} | {' '.join(inspect.getdoc(each) or '' for each in changes)} |"
    readings = "`time`, and `boards`: by serial, `rate`, `load_ms`, `window_ms`, `temperature_c`, ..."
    yield f"| `{READING_TOPIC}` | {readings} | {inspect.getdoc(events.RatesChanged)} |"
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
        doc = inspect.getdoc(method.function) or ""
        yield f"#### `{name}`\n\n```text\n{name}{_plain(method.signature)}\n```\n\n{doc}\n"


def _fields(cls: Any) -> str:
    return ", ".join(f"`{_field(each)}`" for each in attrs.fields(cls)) or "none"


def _field(each: Any) -> str:
    plain = each.default is attrs.NOTHING or isinstance(each.default, attrs.Factory)
    return f"{each.name}: {getattr(each.type, '__name__', each.type)}{'' if plain else f' = {each.default}'}"


def _records() -> Iterator[str]:
    for name, cls in inspect.getmembers(contract, attrs.has):
        if cls.__module__ == contract.__name__ and cls is not Permission:
            yield f"### {name}\n\n{inspect.getdoc(cls)}\n\n| field | |\n|---|---|"
            comments = _comments(cls)
            for each in attrs.fields(cls):
                # A bar would end the cell.
                yield f"| `{_field(each)}` | {comments.get(each.name, '')} |".replace(" | None", r" \| None")
            yield ""


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
    yield "| URI | |\n|---|---|"
    found = [getattr(errors, name) for name in errors.__all__]
    for cls in sorted((each for each in found if inspect.isclass(each)), key=lambda each: each.name):
        yield f"| `{errors.error_uri(cls)}` | {(inspect.getdoc(cls) or '').splitlines()[0]} |"
    yield ""
