"""Pure: no I/O, no clock.  Describes the HTTP API in the form of OpenAPI 3.1, from the endpoints themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import attrs

from icefarm import __version__
from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import (
    AccessRule,
    BookingRecord,
    ExperimentBoard,
    ExperimentFigures,
    ExperimentRecord,
    ReservationRecord,
    RunRecord,
    UsageRecord,
)
from icefarm.control.http.downloads import FORMATS
from icefarm.control.http.endpoints.boards import Waiting
from icefarm.control.http.endpoints.endpoint import Endpoint
from icefarm.control.http.errors import status_of
from icefarm.control.http.routes import BASE, DESCRIPTION, ENDPOINTS
from icefarm.errors import IcefarmError, NotAuthorized
from icefarm.runs.package import MEDIA_TYPE

__all__ = ["description"]

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _whole(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object that always has all of its properties."""
    return {"type": "object", "required": list(properties), "properties": properties}


def _list_of(name: str) -> dict[str, Any]:
    return {"type": "array", "items": {"$ref": f"#/components/schemas/{name}"}}


_ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "serials": {"type": "array", "items": {"type": "string"}},
    "reservations": _list_of("Reservation"),
    # The records of the WAMP interface, which docs/wamp.md describes.
    "object": {"type": "object"},
    "available": {"$ref": "#/components/schemas/Available"},
    "experiments": _whole(
        {
            "experiments": _list_of("Experiment"),
            "next": {"type": ["string", "null"], "description": "For after in the next request; null: no more."},
        }
    ),
    "experiment": _whole(
        {
            "experiment": {"$ref": "#/components/schemas/Experiment"},
            "boards": _list_of("ExperimentBoard"),
            "failures": {"type": "object", "description": "How many evaluations failed, by the name of the error."},
            "time": {"type": "number", "description": "By the farm's clock, seconds since 1970."},
        }
    ),
    "figures": _whole(
        {
            "figures": _list_of("ExperimentFigures"),
            "next": {"type": "string", "description": "For after in the next request."},
            "more": {"type": "boolean", "description": "Whether there are more already."},
        }
    ),
    "runs": _whole(
        {
            "runs": _list_of("Run"),
            "next": {"type": ["string", "null"], "description": "For after in the next request; null: no more."},
        }
    ),
    "run": _whole(
        {
            "run": {"$ref": "#/components/schemas/Run"},
            "manifest": {"type": ["string", "null"], "description": "JSON; null until the run is closed."},
        }
    ),
    "usage": _whole({"since": {"type": "number"}, "until": {"type": "number"}, "usage": _list_of("UsageRecord")}),
    "bookings": _list_of("Booking"),
    "booking": {"$ref": "#/components/schemas/Booking"},
    "ids": {"type": "array", "items": {"type": "string"}},
    "numbers": {"type": "array", "items": {"type": "integer"}},
    "objects": {"type": "array", "items": {"type": "object"}},
    "access_rule": {"$ref": "#/components/schemas/AccessRule"},
    "access_rules": _whole(
        {
            "rules": _list_of("AccessRule"),
            "groups": {"type": "object", "description": "The accounts of each group, by its name."},
        }
    ),
    "calibrations": _whole(
        {
            "calibrations": _list_of("Calibration"),
            "suspects": {"type": "object", "description": "Why boards are suspect, by serial."},
            "time": {"type": "number", "description": "By the farm's clock, seconds since 1970."},
        }
    ),
    "readings": _whole({"readings": _list_of("Reading"), "time": {"type": "number"}}),
    "access": _whole(
        {
            "account": {"type": "string"},
            "group": {"type": ["string", "null"], "description": "The group that it is in."},
            "rules": _list_of("AccessRule"),
        }
    ),
    "limits": _whole(
        {
            "account": {"type": "string"},
            "limits": {"type": "object", "description": "A number by the name of each limit."},
            "has": {"type": "object", "description": "What it has now: boards, queue, sessions."},
        }
    ),
}
_WAITING = {"$ref": "#/components/schemas/Waiting"}
_WORDS = {
    400: "The request is invalid.",
    401: "It needs a token, or another one.",
    403: "That is not permitted.",
    404: "Not found.",
    405: "The path takes another method; Allow names it.",
    409: "The present state does not permit it.",
    413: "The body is too long.",
    415: "The body is not application/json.",
    429: "The account has reached one of its limits.",
    500: "An internal error of the farm.",
    502: "A board failed.",
    503: "The farm cannot do it now; try again after Retry-After seconds.",
    504: "It took too long.",
}
#: Refusals of a request's form.
_FORM = {405: "method_not_allowed"}
_FORM_OF_BODY = {413: "too_large", 415: "unsupported_media_type"}


#: Relative to the description's own address, whatever path a proxy puts before it.
_HERE = {BASE: f"..{BASE}", "": "../"}


def description(public_url: str | None = None) -> dict[str, Any]:
    """Return the description as a value for JSON; ``public_url`` is the farm's URL from outside."""
    urls = _HERE if public_url is None else {path: public_url + path for path in _HERE}
    here = {"servers": [{"url": urls[BASE]}]}
    paths = {
        endpoint.path: {**({} if endpoint.old else here), endpoint.method.lower(): _operation(endpoint)}
        for endpoint in ENDPOINTS.values()
    }
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "icefarm",
            "version": __version__,
            "description": "Reserve boards from curl and other languages. Requests that change something are POST.",
        },
        "servers": [{"url": urls[BASE]}, {"url": urls[""], "description": "The paths of icefarm 0.1.x."}],
        "security": [{}, {"token": []}],
        "paths": {**paths, DESCRIPTION: {**here, "get": _own_operation()}},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _error_schema(),
                "Available": _available_schema(),
                "Booking": _schema(BookingRecord),
                "Calibration": _schema(Calibration),
                "Reading": _schema(Reading),
                "AccessRule": _schema(AccessRule),
                "Experiment": _schema(ExperimentRecord),
                "ExperimentBoard": _schema(ExperimentBoard),
                "ExperimentFigures": _schema(ExperimentFigures),
                "Reservation": _schema(ReservationRecord),
                "Run": _schema(RunRecord),
                "UsageRecord": _schema(UsageRecord),
                "Waiting": _schema(Waiting),
                **{endpoint.body.__name__: _schema(endpoint.body, closed=True) for endpoint in _with_bodies()},
            },
        },
    }


def _with_bodies() -> Iterable[Endpoint]:
    return (endpoint for endpoint in ENDPOINTS.values() if not endpoint.reading)


def _operation(endpoint: Endpoint) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": re.sub(r"[{}]", "", endpoint.path.strip("/")).replace("/", "_"),
        "summary": endpoint.summary,
        "responses": {
            "200": _response_of(endpoint),
            **({"202": _response("It waits; poll it.", _WAITING)} if endpoint.may_wait else {}),
            **_refusals(endpoint),
        },
    }
    if endpoint.operating:
        operation["security"] = [{"token": []}]
    if endpoint.reading:
        properties = _schema(endpoint.body)["properties"]
        operation["parameters"] = [_parameter(endpoint, name, each) for name, each in properties.items()]
    else:
        body = {"schema": {"$ref": f"#/components/schemas/{endpoint.body.__name__}"}}
        operation["requestBody"] = {"required": True, "content": {"application/json": body}}
    return operation


def _parameter(endpoint: Endpoint, name: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    if name in endpoint.parameters:
        return {"name": name, "in": "path", "required": True, "schema": schema}
    return {"name": name, "in": "query", "schema": schema}


def _response_of(endpoint: Endpoint) -> dict[str, Any]:
    match endpoint.answers:
        case "results":
            return _file("A row for each evaluation", *FORMATS.values())
        case "file":
            return _file("The run", MEDIA_TYPE)
    return _response("As asked.", _ANSWERS[endpoint.answers])


def _file(words: str, *media_types: str) -> dict[str, Any]:
    binary = {"schema": {"type": "string"}}
    return {
        "description": f"{words}; a connection that is cut before the end shows that it is not whole.",
        "content": {media.partition(";")[0]: binary for media in media_types},
    }


def _own_operation() -> dict[str, Any]:
    return {
        "operationId": "describe",
        "summary": "This description.",
        "responses": {"200": _response("OpenAPI 3.1.", {"type": "object"}), "405": _error(405, ["method_not_allowed"])},
    }


def _refusals(endpoint: Endpoint) -> dict[str, Any]:
    names: dict[int, list[str]] = {401: [NotAuthorized.name]}
    for error in endpoint.all_errors:
        names.setdefault(status_of(error), []).extend(each.name for each in _family(error))
    for code, name in {**_FORM, **({} if endpoint.reading else _FORM_OF_BODY)}.items():
        names.setdefault(code, []).append(name)
    return {str(code): _error(code, names[code]) for code in sorted(names)}


def _family(error: type[IcefarmError]) -> list[type[IcefarmError]]:
    return [error, *(member for child in error.__subclasses__() for member in _family(child))]


def _response(words: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"description": words, "content": {"application/json": {"schema": dict(schema)}}}


def _error(code: int, names: list[str]) -> dict[str, Any]:
    named = {"properties": {"error": {"enum": sorted(set(names))}}}
    return _response(_WORDS[code], {"allOf": [{"$ref": "#/components/schemas/Error"}, named]})


def _error_schema() -> dict[str, Any]:
    properties = {
        "error": {"type": "string", "description": "The error's name, the same everywhere in icefarm."},
        "message": {"type": "string", "description": "What is wrong and what to do, for users."},
        "fields": {"type": "object", "description": "Details, for programs."},
    }
    return {**_whole(properties), "additionalProperties": False}


def _available_schema() -> dict[str, Any]:
    return _whole({"amount": {"type": "integer", "minimum": 0}, "serials": _ANSWERS["serials"]})


def _schema(cls: type[Any], *, closed: bool = False) -> dict[str, Any]:
    hints = get_type_hints(cls)
    attributes = attrs.fields(cls)
    schema: dict[str, Any] = {
        "type": "object",
        # Responses always have all of their fields.
        "required": [each.name for each in attributes if each.default is attrs.NOTHING or not closed],
        "properties": {each.name: {**_type(hints[each.name]), **each.metadata} for each in attributes},
    }
    if closed:
        schema["additionalProperties"] = False
    return schema


def _type(hint: Any) -> dict[str, Any]:
    if hint in _TYPES:
        return {"type": _TYPES[hint]}
    if get_origin(hint) in (list, tuple):
        return {"type": "array", "items": _type(get_args(hint)[0])}
    if get_origin(hint) is dict:
        return {"type": "object"}
    if get_origin(hint) is UnionType:
        (plain,) = (each for each in get_args(hint) if each is not NoneType)
        described = _type(plain)
        return {**described, "type": [described["type"], "null"]}
    raise TypeError(f"no schema for {hint}")
