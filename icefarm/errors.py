"""Pure: no I/O, no clock.  What can go wrong between a script and a board; each error has its own name.

An error travels as a WAMP error with the URI ``icefarm.v1.error.<name>``, one positional argument (the message, for
users) and its fields as keyword arguments.  Raise the class; the bus puts it on the wire and the caller's bus raises
the same class again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

__all__ = [
    "Busy",
    "DeviceFailed",
    "IcefarmError",
    "InternalError",
    "InvalidArgument",
    "InvalidBitstream",
    "LimitReached",
    "LinkLost",
    "NameInUse",
    "NoSuchProcedure",
    "NotAuthorized",
    "NotYours",
    "ReservationEnded",
    "TimedOut",
    "TransportError",
    "Unavailable",
    "UnknownBitstream",
    "UnknownDevice",
    "UnknownKind",
    "UnknownRun",
    "UnknownWorker",
    "Untrusted",
    "Withdrawn",
    "WrongProtocol",
    "WrongThread",
    "error_from_wire",
    "error_in_answer",
    "error_to_wire",
    "error_uri",
]

_PREFIX = "icefarm.v1.error."


class IcefarmError(Exception):
    """Something in the farm went wrong."""

    #: Last component of the error's URI; unique among the classes.
    name: ClassVar[str] = "error"
    _by_name: ClassVar[dict[str, type[IcefarmError]]] = {}

    def __init__(self, message: str | None = None, /, **fields: object) -> None:
        """``message`` is for users and says what to do; ``fields`` are for programs (serial=..., kinds=...)."""
        self.message = message if message is not None else (type(self).__doc__ or "").strip()
        self.fields: dict[str, object] = fields
        super().__init__(self.message)

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        IcefarmError._by_name[cls.name] = cls

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.message, self.fields))


def _rebuild(cls: type[IcefarmError], message: str, fields: dict[str, object]) -> IcefarmError:
    return cls(message, **fields)


class Unavailable(IcefarmError):
    """Not enough suitable boards are free."""

    name = "unavailable"


class UnknownKind(IcefarmError):
    """No worker of this farm offers that device kind."""

    name = "unknown_kind"


class UnknownDevice(IcefarmError):
    """The farm knows no board with that serial."""

    name = "unknown_device"


class UnknownWorker(IcefarmError):
    """The farm knows no worker with that name, or it is not connected."""

    name = "unknown_worker"


class UnknownExperiment(IcefarmError):
    """The archive has no experiment with that name that you may read."""

    name = "unknown_experiment"


class UnknownRun(IcefarmError):
    """The archive has no run with that id that you may read."""

    name = "unknown_run"


class NotYours(IcefarmError):
    """That board is not reserved by you."""

    name = "not_yours"


class ReservationEnded(IcefarmError):
    """The reservation has ended; reserve again."""

    name = "reservation_ended"


class Withdrawn(IcefarmError):
    """The evaluation was withdrawn before its board began it."""

    name = "withdrawn"


class InvalidBitstream(IcefarmError):
    """That is not a bitstream for an iCE40UP5K."""

    name = "invalid_bitstream"


class UnknownBitstream(IcefarmError):
    """The worker does not have that bitstream (any more); send all of it."""

    name = "unknown_bitstream"


class InvalidArgument(IcefarmError):
    """An argument is missing, unknown, of the wrong type or out of range."""

    name = "invalid_argument"


class DeviceFailed(IcefarmError):
    """The board failed and could not do what was asked."""

    name = "device_failed"


class TimedOut(IcefarmError):
    """There was no answer within the time limit."""

    name = "timed_out"


class NameInUse(IcefarmError):
    """Another live session has that name; choose another one, or end the other."""

    name = "name_in_use"


class NotAuthorized(IcefarmError):
    """You may not do that; sign in with a token that permits it."""

    name = "not_authorized"


class LimitReached(IcefarmError):
    """Your account has reached a limit of this farm."""

    name = "limit_reached"


class Busy(IcefarmError):
    """The farm cannot do that now (its database is unreachable, or it is shutting down); try again later."""

    name = "busy"


class InternalError(IcefarmError):
    """An internal error of the farm; its log has the details."""

    name = "internal"


class TransportError(IcefarmError):
    """The call did not reach its callee, or its answer did not come back."""

    name = "transport"


class LinkLost(TransportError):
    """The connection was lost before the answer came; whether the call was carried out is unknown."""

    name = "link_lost"


class Untrusted(LinkLost):
    """The farm's certificate is not trusted."""

    name = "untrusted"


class WrongProtocol(LinkLost):
    """What listens at the URL does not speak the farm's protocol there."""

    name = "wrong_protocol"


class NoSuchProcedure(TransportError):
    """Nobody offers that procedure now: its worker, or control, is not connected."""

    name = "no_such_procedure"


class WrongThread(IcefarmError, RuntimeError):
    """A client was used where it can't be: in its own thread, or in a forked process."""

    name = "wrong_thread"


def error_uri(error: IcefarmError | type[IcefarmError]) -> str:
    """Return the URI under which an error travels, such as ``icefarm.v1.error.unavailable``."""
    return _PREFIX + error.name


def error_to_wire(error: IcefarmError) -> dict[str, object]:
    """Return an error as it travels in the answer to a call for many things; `error_in_answer` reads it."""
    return {"error": error_uri(error), "message": error.message, "fields": error.fields}


def error_in_answer(told: Mapping[str, object]) -> IcefarmError:
    """Read an error that `error_to_wire` wrote."""
    fields = told.get("fields")
    found = error_from_wire(
        str(told.get("error")), [told.get("message")], fields if isinstance(fields, Mapping) else {}
    )
    return IcefarmError(str(told.get("message"))) if found is None else found


def error_from_wire(uri: str, args: Sequence[object], fields: Mapping[str, object]) -> IcefarmError | None:
    """Build the error that arrived, or return None if ``uri`` is not one of ours (a router's own error)."""
    if not uri.startswith(_PREFIX):
        return None
    cls = IcefarmError._by_name.get(uri.removeprefix(_PREFIX), IcefarmError)
    message = str(args[0]) if args else None
    return cls(message, **{str(key): value for key, value in fields.items()})
