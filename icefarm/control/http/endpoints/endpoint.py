"""Pure: no I/O, no clock.  What an endpoint of the HTTP API is, and how a request to it is read and checked."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints
from urllib.parse import unquote

from attrs import asdict, frozen

from icefarm.arguments import from_wire
from icefarm.errors import Busy, IcefarmError, InternalError, InvalidArgument, NameInUse, NotAuthorized
from icefarm.text.outside_json import NotJson, parse_strict_json

__all__ = ["AMOUNT", "MAX_BODY", "NAME", "SERIALS", "WHERE", "Asked", "Endpoint", "NoQuery", "read"]

T = TypeVar("T")

#: Bytes of the longest body: the serials of every board of a large farm.
MAX_BODY = 1024 * 1024

#: Fields of several requests.
NAME = {
    "description": "The client. Needed if the farm admits names without tokens; with a token, the token names it, "
    "and an operator's may name any client.",
    "minLength": 1,
    "maxLength": 100,
}
SERIALS = {"description": "Serials of boards.", "minItems": 1, "maxItems": 10_000}
WHERE = {"description": "A selector of boards, such as lab=3 and healthy.", "minLength": 1, "maxLength": 1000}
AMOUNT = {"description": "How many boards, all or none.", "minimum": 1, "maximum": 10_000}

_ALWAYS = (InvalidArgument, NotAuthorized, Busy, InternalError)


@frozen
class Asked:
    """The body (JSON) of a request, or its query.  A field ``name`` is the client for whom it is asked."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the procedure: the fields, unless a class says otherwise."""
        return {name: value for name, value in asdict(self, recurse=False).items() if name != "name"}


@frozen
class NoQuery(Asked):
    """The query of a read that takes none."""


def _same(answer: Any) -> Any:
    return answer


@frozen
class Endpoint:
    """One endpoint, carried out by a procedure of ``icefarm.v1.control``."""

    path: str
    method: str
    summary: str
    body: type[Asked]
    procedure: str
    #: The shape of the answer, for the description: "serials", "reservations", "available", "object", "objects",
    #: "experiments", "experiment", "figures", "usage", "limits", "access", "access_rules", "access_rule", "bookings",
    #: "booking", "ids", "numbers", "calibrations", "readings"; "results" and "file": a file.
    answers: str
    errors: tuple[type[IcefarmError], ...] = ()
    #: It may answer 202: the request waits.
    may_wait: bool = False
    #: Only an operator may ask.
    operating: bool = False
    #: It was there, at its path without `icefarm.control.http.routes.BASE`, in icefarm 0.1.x.
    old: bool = True
    #: The answer of the procedure's.
    answer: Callable[[Any], Any] = _same

    @property
    def parameters(self) -> list[str]:
        """The names of the parts of the path that the caller chooses."""
        return re.findall(r"\{(\w+)\}", self.path)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the chosen parts of a path; None if it is not this endpoint's."""
        pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path)
        found = re.fullmatch(pattern, path)
        return None if found is None else {name: unquote(text) for name, text in found.groupdict().items()}

    @property
    def reading(self) -> bool:
        """Whether it changes nothing."""
        return self.method == "GET"

    @property
    def all_errors(self) -> tuple[type[IcefarmError], ...]:
        """The errors that it may answer with."""
        return (*_ALWAYS, *(() if self.reading else (NameInUse,)), *self.errors)


def read(content: bytes | Mapping[str, str], cls: type[T]) -> T:
    """Parse a body (JSON) or a query as a ``cls``.  Raises `InvalidArgument`."""
    value = _parsed(content) if isinstance(content, bytes) else _typed(content, cls)
    body = from_wire(value, cls, "the request")
    serials = getattr(body, "serials", None)
    if serials is not None and not serials:
        raise InvalidArgument("serials names no board")
    return body


def _typed(query: Mapping[str, str], cls: type[Any]) -> dict[str, Any]:
    """Return a query, which is all text, with the numbers and truth values that the class wants."""
    hints = get_type_hints(cls)
    return {name: _value(text, str(hints.get(name))) for name, text in query.items()}


def _value(text: str, hint: str) -> Any:
    """Return text as what the hint names; as it is where it is no such thing, which the check then says."""
    try:
        if "bool" in hint:
            return {"true": True, "1": True, "false": False, "0": False}.get(text.lower(), text)
        if "float" in hint:
            return float(text)
        return int(text) if "int" in hint else text
    except ValueError:
        return text


def _parsed(content: bytes) -> Any:
    if not content:
        return {}
    try:
        return parse_strict_json(content)
    except NotJson as error:
        raise InvalidArgument(f"the body is not JSON: {error}") from None
