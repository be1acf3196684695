"""Writes the page of the WAMP interface from the code: procedures with their docstrings, records, roles, errors."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from icefarm import contract, errors
from icefarm.contract import PREFIX, REALM, Permission, Role, permissions
from icefarm.control.client_procedures import ClientProcedures
from icefarm.control.watching import WatchProcedures
from icefarm.control.worker_procedures import WorkerProcedures
from icefarm.kinds.registry import Kind, load_kinds

__all__ = ["page", "setup"]

#: Where the page is written, beside those that are written by hand; git ignores it.
PAGE = "wamp.md"
#: An annotation that was kept as text.
_QUOTED = re.compile(r"(: |-> )'([^']*)'")
_HEAD = f"""\
# The WAMP interface

Made from the code: `icefarm/contract.py`, the procedures of `icefarm/control`, and the device kinds. Realm `{REALM}`;
CBOR, MessagePack, or JSON over WebSocket. Names begin with `{PREFIX}`. Arguments may be given by position or by name,
and are checked strictly. A new optional field keeps the version.
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
        "## Procedures of boards\n\n"
        f"`{PREFIX}device.SERIAL.METHOD`, for the client of the reservation that is named as `reservation`.\n",
        *(text for kind in _kinds() for text in _kind(kind)),
        "## Records\n",
        *_records(),
        "## Roles\n\nWhat a role may do; `*` stands for all that begins so. All else is refused by the router.\n",
        *_roles(),
        "## Errors\n\nOne positional argument, the message; fields as keyword arguments.\n",
        *_errors(),
    ]
    return "\n".join(parts)


def _procedures(names: Iterable[str], roles: str, *classes: type, under: str = "") -> Iterator[str]:
    for name in names:
        (function,) = (getattr(cls, name) for cls in classes if hasattr(cls, name))
        # Without self and the caller, whom the router names.
        yield _entry(f"{PREFIX}control.{under}{name}", function, 2, f"Who may: {roles}.")


def _entry(uri: str, function: Callable[..., Any], skip: int, note: str = "") -> str:
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[skip:]
    shown = _plain(signature.replace(parameters=parameters))
    doc = inspect.getdoc(function) or ""
    return f"### `{uri}`\n\n```text\n{uri.rpartition('.')[2]}{shown}\n```\n\n{doc}\n\n{note}\n"


def _plain(signature: inspect.Signature) -> str:
    return _QUOTED.sub(r"\1\2", str(signature))


def _kinds() -> list[Kind]:
    return [kind for _, kind in sorted(load_kinds([], Logger()).by_name.items())]


def _kind(kind: Kind) -> Iterator[str]:
    yield f"### Kind `{kind.name}`\n\n{kind.summary}\n\nOptions of the reservation: {_fields(kind.options)}\n"
    for name, method in sorted(kind.methods.items()):
        doc = inspect.getdoc(method.function) or ""
        yield f"#### `{name}`\n\n```text\n{name}{_plain(method.signature)}\n```\n\n{doc}\n"


def _fields(cls: Any) -> str:
    shown = []
    for each in attrs.fields(cls):
        default = (
            "" if each.default is attrs.NOTHING or isinstance(each.default, attrs.Factory) else f" = {each.default}"
        )
        shown.append(f"`{each.name}: {getattr(each.type, '__name__', each.type)}{default}`")
    return ", ".join(shown) or "none"


def _records() -> Iterator[str]:
    for name, cls in inspect.getmembers(contract, attrs.has):
        if cls.__module__ == contract.__name__ and cls is not Permission:
            yield f"### {name}\n\n{inspect.getdoc(cls)}\n\n{_fields(cls)}\n"


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


def setup(app: Any) -> dict[str, bool]:
    """Write the page before Sphinx looks for pages."""
    path = Path(app.srcdir, PAGE)
    text = page()
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return {"parallel_read_safe": True}
