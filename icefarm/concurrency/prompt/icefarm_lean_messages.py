"""Makes calls and their answers of what has been decoded, and lists to encode of them, with few functions.

Autobahn checks a message by a function for each of its parts, makes it by a constructor that checks all of it once
more, and asks a property for each part when it is sent.  Between two messages hardly any of that stays in the
processor's caches, so a function costs there several times what it costs in a loop; an evaluation takes eight of these
steps.  Here a message of the usual form is checked and made in one function, and its parts are read without any;
Autobahn's own takes any other, and says what is wrong with it.

The usual form is that which Autobahn itself sends, without progress, timeouts, encrypted payloads and links between
routers (https://wamp-proto.org/wamp_latest_ietf.html).
"""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

__all__ = ["SLOTS", "lighten"]

#: The largest id.
MOST = 2**53
_STRINGS = {str}
#: Who called or answered is not said.
_NOBODY = (None, None, None)
_CALLER = "caller", "caller_authid", "caller_authrole"
_CALLEE = "callee", "callee_authid", "callee_authrole"
_COMMON = {
    "_from_fbs", "_serialized", "_correlation_id", "_correlation_uri", "_correlation_is_anchor", "_correlation_is_last",
    "_router_internal", "_args", "_kwargs", "_payload", "_enc_algo", "_enc_key", "_enc_serializer", "_forward_for",
    "_request",
}  # fmt: skip
_OF_CALL = {"_caller", "_caller_authid", "_caller_authrole", "_timeout", "_receive_progress", "_transaction_hash"}
_OF_ANSWER = {"_callee", "_callee_authid", "_callee_authrole", "_progress"}
#: What a message of each class has in Autobahn 26.10; those of another Autobahn are left as they are.
SLOTS = {
    "Call": _COMMON | _OF_CALL | {"_procedure"},
    "Invocation": _COMMON | _OF_CALL | {"_procedure", "_registration"},
    "Yield": _COMMON | _OF_ANSWER,
    "Result": _COMMON | _OF_ANSWER,
}

Parse = Callable[[Any], Any]
Marshal = Callable[[Any], list[Any]]


def lighten(messages: ModuleType) -> None:
    """Replace the methods of these classes in Autobahn's module of messages, unless somebody has replaced them."""
    makers: dict[str, tuple[Callable[[Any], Parse], Callable[[Any], Marshal]]] = {
        "Call": (_parses_call, _marshals_call),
        "Invocation": (_parses_invocation, _marshals_invocation),
        "Yield": (_parses_answer, _marshals_answer),
        "Result": (_parses_answer, _marshals_answer),
    }
    for name, (parses, marshals) in makers.items():
        kind: Any = getattr(messages, name)
        slots = {slot for each in kind.__mro__ for slot in getattr(each, "__slots__", ())}
        if slots == SLOTS[name] and kind.parse.__module__ == kind.marshal.__module__ == kind.__module__:
            kind.parse, kind.marshal = staticmethod(parses(kind)), marshals(kind)


def _decoded(kind: Any) -> Any:
    """Return the class of a message that came decoded as a whole: its parts are read and set without a function.

    Autobahn asks a property for each, since a message in FlatBuffers is decoded part by part.
    """
    slots = [slot for each in kind.__mro__ for slot in getattr(each, "__slots__", ())]
    parts = {slot[1:]: getattr(kind, slot) for slot in slots if isinstance(getattr(kind, slot[1:], None), property)}
    return type(kind.__name__, (kind,), {"__slots__": (), "__module__": kind.__module__, **parts})


def _is_id(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST


def _are_arguments(args: Any, kwargs: Any) -> bool:
    return type(args) is list and type(kwargs) is dict and _STRINGS.issuperset(map(type, kwargs))


def _who(details: Any, session: str, authid: str, authrole: str) -> tuple[int, str, str] | None:
    """Return the caller or callee that the router discloses."""
    found = details.get(session), details.get(authid), details.get(authrole)
    return found if type(found[0]) is int and type(found[1]) is type(found[2]) is str else None


def _blank(kind: Any, request: int, args: Any, kwargs: Any) -> Any:
    """Return a message that has nothing but these."""
    made = object.__new__(kind)
    made._serialized = {}
    made._from_fbs = made._router_internal = made._forward_for = None
    made._correlation_id = made._correlation_uri = made._correlation_is_anchor = made._correlation_is_last = None
    made._payload = made._enc_algo = made._enc_key = made._enc_serializer = None
    made._request, made._args, made._kwargs = request, args, kwargs
    return made


def _called(kind: Any, request: int, args: Any, kwargs: Any, procedure: str) -> Any:
    made = _blank(kind, request, args, kwargs)
    made._procedure = procedure
    made._timeout = made._receive_progress = made._transaction_hash = None
    return made


def _is_plain(message: Any) -> bool:
    """Tell whether a message has nothing that only Autobahn's own method sends."""
    return message._from_fbs is None and message._payload is None and message._forward_for is None


def _is_plain_call(message: Any) -> bool:
    return (
        _is_plain(message)
        and message._timeout is None
        and message._receive_progress is None
        and message._transaction_hash is None
    )


def _ended(head: list[Any], message: Any) -> list[Any]:
    """Return what is sent: what does not follow is left out."""
    if message._kwargs:
        return [*head, message._args, message._kwargs]
    return [*head, message._args] if message._args else head


# ------------------------------------------------------------------------------------------------- to the callee


def _parses_call(kind: Any) -> Parse:
    parse, decoded = kind.parse, _decoded(kind)
    is_uri = parse.__globals__["_URI_PAT_LOOSE_NON_EMPTY"].match

    def lean(raw: Any) -> Any:
        if len(raw) != 6:
            return parse(raw)
        _, request, options, procedure, args, kwargs = raw
        if options != {} or not _is_id(request) or not _are_arguments(args, kwargs):
            return parse(raw)
        if type(procedure) is not str or not is_uri(procedure):
            return parse(raw)
        made = _called(decoded, request, args, kwargs, procedure)
        made._caller = made._caller_authid = made._caller_authrole = None
        return made

    return lean


def _marshals_call(kind: Any) -> Marshal:
    marshal, number = kind.marshal, kind.MESSAGE_TYPE

    def lean(message: Any) -> list[Any]:
        who = message._caller, message._caller_authid, message._caller_authrole
        if not _is_plain_call(message) or who != _NOBODY:
            return list(marshal(message))
        return _ended([number, message._request, {}, message._procedure], message)

    return lean


def _parses_invocation(kind: Any) -> Parse:
    parse, decoded = kind.parse, _decoded(kind)

    def lean(raw: Any) -> Any:
        if len(raw) != 6 or type(raw[3]) is not dict or len(raw[3]) != 4:
            return parse(raw)
        _, request, registration, details, args, kwargs = raw
        procedure, who = details.get("procedure"), _who(details, *_CALLER)
        if who is None or type(procedure) is not str:
            return parse(raw)
        if not _is_id(request) or not _is_id(registration) or not _are_arguments(args, kwargs):
            return parse(raw)
        made = _called(decoded, request, args, kwargs, procedure)
        made._registration = registration
        made._caller, made._caller_authid, made._caller_authrole = who
        return made

    return lean


def _marshals_invocation(kind: Any) -> Marshal:
    marshal, number = kind.marshal, kind.MESSAGE_TYPE

    def lean(message: Any) -> list[Any]:
        who = message._caller, message._caller_authid, message._caller_authrole
        if not _is_plain_call(message) or None in who:
            return list(marshal(message))
        details = dict(zip(_CALLER, who, strict=True))
        if message._procedure is not None:
            details["procedure"] = message._procedure
        return _ended([number, message._request, message._registration, details], message)

    return lean


# ------------------------------------------------------------------------------------------------- to the caller


def _parses_answer(kind: Any) -> Parse:
    parse, decoded = kind.parse, _decoded(kind)

    def lean(raw: Any) -> Any:
        if len(raw) != 4 or type(raw[2]) is not dict or type(raw[3]) is not list or not _is_id(raw[1]):
            return parse(raw)
        _, request, details, args = raw
        callee = authid = authrole = None
        if details:
            callee, authid, authrole = (
                details.get("callee"),
                details.get("callee_authid"),
                details.get("callee_authrole"),
            )
            if len(details) != 3 or type(callee) is not int or not type(authid) is type(authrole) is str:
                return parse(raw)
        made = _blank(decoded, request, args, None)
        made._callee, made._callee_authid, made._callee_authrole, made._progress = callee, authid, authrole, None
        return made

    return lean


def _marshals_answer(kind: Any) -> Marshal:
    marshal, number = kind.marshal, kind.MESSAGE_TYPE

    def lean(message: Any) -> list[Any]:
        if not _is_plain(message) or message._progress is not None:
            return list(marshal(message))
        who = message._callee, message._callee_authid, message._callee_authrole
        if who == _NOBODY:
            return _ended([number, message._request, {}], message)
        if None in who:
            return list(marshal(message))
        return _ended([number, message._request, dict(zip(_CALLEE, who, strict=True))], message)

    return lean
