"""Pure: no I/O, no clock.  Errors over HTTP: the same names as everywhere, with a matching status."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from attrs import Factory, frozen

from icefarm import errors
from icefarm.errors import IcefarmError, NotAuthorized

__all__ = ["ApiAnswer", "Refusal", "refused", "status_of"]

#: Seconds after which a client may retry a request that the farm could not carry out.
RETRY_AFTER = 5

#: Status codes (RFC 9110).  A subclass that is not named has its parent's.
_STATUS: Mapping[type[IcefarmError], int] = {
    errors.InvalidArgument: 400,
    errors.NotAuthorized: 403,
    errors.NotYours: 403,
    errors.UnknownDevice: 404,
    errors.UnknownExperiment: 404,
    errors.UnknownKind: 404,
    errors.UnknownRun: 404,
    errors.UnknownWorker: 404,
    errors.NameInUse: 409,
    errors.LimitReached: 429,
    errors.ReservationEnded: 409,
    errors.Unavailable: 409,
    errors.InternalError: 500,
    errors.DeviceFailed: 502,
    errors.Busy: 503,
    errors.TransportError: 503,
    errors.TimedOut: 504,
}


@frozen
class ApiAnswer:
    """A response: a status, a value as JSON, and its own headers."""

    code: int
    value: Any
    headers: Mapping[str, str] = Factory(dict)
    #: A file, part by part, instead of the value.
    chunks: AsyncIterator[bytes] | None = None


class Refusal(Exception):
    """A request refused for its form: path, method, type."""

    def __init__(self, code: int, name: str, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = ApiAnswer(code, {"error": name, "message": message, "fields": {}}, headers or {})


def status_of(error: type[IcefarmError]) -> int:
    """Return the status for an error of a request; `refused` distinguishes 401."""
    return next((_STATUS[cls] for cls in error.__mro__ if cls in _STATUS), 500)


def refused(error: IcefarmError) -> ApiAnswer:
    """Return the response for an error.  A `NotAuthorized` with a field ``token`` needs a token, or another one."""
    code, headers = status_of(type(error)), {}
    if isinstance(error, NotAuthorized) and "token" in error.fields:
        code, headers = 401, {"WWW-Authenticate": 'Bearer realm="icefarm"'}
    elif code == 503:
        headers = {"Retry-After": str(RETRY_AFTER)}
    return ApiAnswer(code, {"error": error.name, "message": error.message, "fields": error.fields}, headers)
