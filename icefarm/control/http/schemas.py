"""Pure: no I/O, no clock.  The JSON bodies and queries of HTTP requests, checked when they arrive."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from attrs import Factory, field, frozen

from icefarm.arguments import from_wire
from icefarm.errors import InvalidArgument
from icefarm.text.outside_json import NotJson, parse_strict_json

__all__ = [
    "MAX_BODY",
    "MAX_WAIT",
    "AccessGroup",
    "AccessRuleIds",
    "AccessRuleWanted",
    "BoardQuery",
    "BoardsWanted",
    "Body",
    "BookingIds",
    "BookingWanted",
    "BookingsQuery",
    "CalibrationsQuery",
    "ExperimentQuery",
    "ExperimentsQuery",
    "FiguresQuery",
    "KindQuery",
    "Labels",
    "LimitsOf",
    "LimitsWanted",
    "Named",
    "NamedFor",
    "NamedSerials",
    "NoQuery",
    "Poll",
    "ReadingsQuery",
    "RequestId",
    "Reserve",
    "ReserveSerials",
    "ResultsQuery",
    "RunFileQuery",
    "RunQuery",
    "RunsQuery",
    "Serials",
    "SerialsFor",
    "UsageOf",
    "Waiting",
    "read",
]

T = TypeVar("T")

#: Maximum seconds that a request waits for boards; and the default, less than the minute for which most proxies let a
#: connection be silent.
MAX_WAIT = 600.0
DEFAULT_WAIT = 25.0
#: Bytes of the longest body: the serials of every board of a large farm.
MAX_BODY = 1024 * 1024

_NAME = {
    "description": "The client. Needed if the farm admits names without tokens; with a token, the token names it, "
    "and an operator's may name any client.",
    "minLength": 1,
    "maxLength": 100,
}
_SERIALS = {"description": "Serials of boards.", "minItems": 1, "maxItems": 10_000}
_WHERE = {"description": "A selector of boards, such as lab=3 and healthy.", "minLength": 1, "maxLength": 1000}
_SECONDS = {
    "description": "How long from now, in seconds; default: the farm's setting.",
    "exclusiveMinimum": 0,
    "maximum": 30 * 86400,
}
_KIND = {"description": "The device kind, such as pulsecount."}
_AMOUNT = {"description": "How many boards, all or none.", "minimum": 1, "maximum": 10_000}
_ARGS = {"description": 'Options of the kind, such as {"window": 1.0}.'}
_SHARED = {"description": "Others who say so, too, may share these boards, as the same kind."}
_WAIT = {"description": "Wait in the farm's queue if too few boards are free."}
_TIMEOUT = {
    "description": "Longest wait, in seconds. A request that waits longer than 25 s answers 202 then, and is polled.",
    "exclusiveMinimum": 0,
    "maximum": MAX_WAIT,
}

_ID = {"description": "The id of a request, as its opening answered.", "minLength": 1, "maxLength": 100}
_POLL = {"description": "How long to wait for a change, in seconds.", "minimum": 0, "maximum": 25}


@frozen
class KindQuery:
    """The query of a read."""

    kind: str | None = field(default=None, metadata={"description": "Only boards that can be of this kind."})
    where: str | None = field(default=None, metadata=_WHERE)


@frozen
class NoQuery:
    """The query of a read that takes none."""


@frozen
class BoardQuery:
    """The query of a read about one board."""

    serial: str = field(metadata={"description": "The board's serial."})


@frozen
class Reserve:
    """A request for some boards."""

    amount: int = field(metadata=_AMOUNT)
    kind: str = field(metadata=_KIND)
    where: str | None = field(default=None, metadata=_WHERE)
    name: str | None = field(default=None, metadata=_NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    wait: bool = field(default=False, metadata=_WAIT)
    timeout: float = field(default=DEFAULT_WAIT, metadata=_TIMEOUT)
    shared: bool = field(default=False, metadata=_SHARED)


@frozen
class ReserveSerials:
    """A request for these boards."""

    serials: list[str] = field(metadata=_SERIALS)
    kind: str = field(metadata=_KIND)
    name: str | None = field(default=None, metadata=_NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    wait: bool = field(default=False, metadata=_WAIT)
    timeout: float = field(default=DEFAULT_WAIT, metadata=_TIMEOUT)
    shared: bool = field(default=False, metadata=_SHARED)


@frozen
class BoardsWanted:
    """A request that waits for boards: for some, or for these."""

    kind: str = field(metadata=_KIND)
    amount: int | None = field(default=None, metadata=_AMOUNT)
    serials: list[str] | None = field(default=None, metadata=_SERIALS)
    where: str | None = field(default=None, metadata=_WHERE)
    name: str | None = field(default=None, metadata=_NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    shared: bool = field(default=False, metadata=_SHARED)


@frozen
class Poll:
    """A question about a request that waits."""

    id: str = field(metadata=_ID)
    name: str | None = field(default=None, metadata=_NAME)
    seconds: float = field(default=20.0, metadata=_POLL)


@frozen
class RequestId:
    """One request that waits."""

    id: str = field(metadata=_ID)
    name: str | None = field(default=None, metadata=_NAME)


@frozen
class NamedFor:
    """All of a client's boards, for a time."""

    name: str | None = field(default=None, metadata=_NAME)
    seconds: float | None = field(default=None, metadata=_SECONDS)


@frozen
class Named:
    """All of a client's boards."""

    name: str | None = field(default=None, metadata=_NAME)


@frozen
class NamedSerials:
    """Some of a client's boards."""

    serials: list[str] = field(metadata=_SERIALS)
    name: str | None = field(default=None, metadata=_NAME)


@frozen
class SerialsFor:
    """Some of a client's boards, for a time."""

    serials: list[str] = field(metadata=_SERIALS)
    name: str | None = field(default=None, metadata=_NAME)
    seconds: float | None = field(default=None, metadata=_SECONDS)


@frozen
class Serials:
    """Boards of any client."""

    serials: list[str] = field(metadata=_SERIALS)


@frozen
class Waiting:
    """A request that has no boards yet: what its caller reads meanwhile."""

    id: str = field(metadata={"description": "To poll and to cancel it by."})
    state: str = field(metadata={"description": "waiting; or ready, and the next poll gets the boards."})
    place: int | None = field(metadata={"description": "Its place in the queue, from 1; null while unknown."})
    reason: str = field(metadata={"description": "Why it waits, for users."})


_EXPERIMENT = {"description": "The name of the experiment.", "minLength": 1, "maxLength": 100}
_ACCOUNT = {"description": "Of this account; needed if several that you may read have an experiment of that name."}
_AFTER = {"description": "Continue after an earlier answer, which gave this as next."}


@frozen
class ExperimentsQuery:
    """The query for a list of experiments."""

    account: str | None = field(default=None, metadata={"description": "Only those of this account."})
    since: float | None = field(
        default=None, metadata={"description": "Only those active since then; seconds since 1970."}
    )
    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=100, metadata={"description": "How many at most.", "minimum": 1, "maximum": 1000})


@frozen
class ExperimentQuery:
    """The query about one experiment."""

    experiment: str = field(metadata=_EXPERIMENT)
    account: str | None = field(default=None, metadata=_ACCOUNT)


@frozen
class FiguresQuery:
    """The query for an experiment's figures."""

    experiment: str = field(metadata=_EXPERIMENT)
    account: str | None = field(default=None, metadata=_ACCOUNT)
    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=1000, metadata={"description": "How many at most.", "minimum": 1, "maximum": 5000})


_RUN = {"description": "Its id, its number, or the first 8 or more digits of one.", "minLength": 8, "maxLength": 64}


@frozen
class RunsQuery:
    """The query for an experiment's runs."""

    experiment: str = field(metadata=_EXPERIMENT)
    account: str | None = field(default=None, metadata=_ACCOUNT)
    after: str | None = field(default=None, metadata=_AFTER)
    limit: int = field(default=100, metadata={"description": "How many at most.", "minimum": 1, "maximum": 1000})


@frozen
class RunQuery:
    """The query about one run."""

    run: str = field(metadata=_RUN)


@frozen
class RunFileQuery:
    """The query for a run as a file."""

    run: str = field(metadata=_RUN)


@frozen
class UsageOf:
    """The query for usage."""

    by: str = field(default="account", metadata={"description": "account, board or experiment; several with commas."})
    since: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: 7 days ago."})
    until: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: now."})
    account: str | None = field(default=None, metadata={"description": "Only of this account (operator)."})


@frozen
class BookingsQuery:
    """The query for bookings."""

    since: float | None = field(
        default=None, metadata={"description": "Also those that were not over then; seconds since 1970."}
    )


_REFERENCE = {"description": "The reference circuit: oscillator, crystal or ring."}


@frozen
class CalibrationsQuery:
    """The query for calibrations."""

    reference: str | None = field(default=None, metadata=_REFERENCE)
    serials: str | None = field(default=None, metadata={"description": "Of these boards; several with commas."})


@frozen
class ReadingsQuery:
    """The query for readings of a reference circuit."""

    serial: str = field(metadata={"description": "The board's serial."})
    reference: str = field(default="oscillator", metadata=_REFERENCE)
    since: float | None = field(default=None, metadata={"description": "Seconds since 1970; default: 90 days ago."})


@frozen
class BookingWanted:
    """Boards to be kept for an account, for a time."""

    starts_at: float = field(metadata={"description": "When it begins; seconds since 1970."})
    seconds: float = field(metadata={"description": "How long.", "minimum": 60, "maximum": 30 * 86400})
    amount: int | None = field(default=None, metadata=_AMOUNT)
    serials: list[str] | None = field(default=None, metadata=_SERIALS)
    account: str | None = field(
        default=None, metadata={"description": "For this account or group (operator); default: yours."}
    )
    kind: str | None = field(default=None, metadata={"description": "Boards that can be of this kind."})
    where: str | None = field(default=None, metadata=_WHERE)
    name: str | None = field(default=None, metadata=_NAME)


@frozen
class BookingIds:
    """Some bookings."""

    ids: list[str] = field(metadata={"description": "Their ids.", "minItems": 1, "maxItems": 1000})
    name: str | None = field(default=None, metadata=_NAME)


@frozen
class LimitsOf:
    """The query for what an account may have."""

    account: str | None = field(default=None, metadata={"description": "Of this account (operator); default: yours."})


@frozen
class LimitsWanted:
    """What an account may have from now on."""

    account: str = field(metadata={"description": "The account.", "minLength": 1, "maxLength": 100})
    limits: dict[str, float | None] = field(
        metadata={"description": 'Such as {"boards": 4, "queue": null}; null: the limit of the farm holds again.'}
    )


@frozen
class Labels:
    """Labels of boards, or of a worker and so of its boards."""

    labels: dict[str, str | None] = field(
        metadata={"description": 'Such as {"lab": "3", "batch": null}; null takes a label away.'}
    )
    serials: list[str] | None = field(default=None, metadata=_SERIALS)
    worker: str | None = field(default=None, metadata={"description": "The worker, instead of serials."})


@frozen
class AccessRuleWanted:
    """A rule of access; what is left out is not limited."""

    account: str | None = field(default=None, metadata={"description": "Of this account."})
    group: str | None = field(
        default=None, metadata={"description": "Of this group of accounts. Without both: of all without own rules."}
    )
    where: str | None = field(default=None, metadata=_WHERE)
    seconds: float | None = field(
        default=None, metadata={"description": "The longest reservation.", "exclusiveMinimum": 0, "maximum": 30 * 86400}
    )
    kinds: list[str] | None = field(default=None, metadata={"description": "Device kinds.", "minItems": 1})


@frozen
class AccessRuleIds:
    """Some rules of access."""

    ids: list[int] = field(metadata={"description": "Their ids.", "maxItems": 500})


@frozen
class AccessGroup:
    """A group of accounts, with those that come and those that go."""

    group: str = field(metadata={"description": "Its name.", "minLength": 1, "maxLength": 100})
    add: list[str] = field(default=Factory(list), metadata={"description": "Accounts to put into it."})
    remove: list[str] = field(default=Factory(list), metadata={"description": "Accounts to take out of it."})


@frozen
class ResultsQuery:
    """The query for an experiment's results."""

    experiment: str = field(metadata=_EXPERIMENT)
    account: str | None = field(default=None, metadata=_ACCOUNT)
    format: str = field(
        default="csv", metadata={"description": "The form of the file.", "enum": ["csv", "jsonl", "parquet"]}
    )
    serial: str | None = field(default=None, metadata={"description": "Only of this board."})
    since: float | None = field(default=None, metadata={"description": "Ended then or later; seconds since 1970."})
    until: float | None = field(default=None, metadata={"description": "Ended before then; seconds since 1970."})
    failed: bool | None = field(default=None, metadata={"description": "Only failures (true), or only values (false)."})
    kind: str | None = field(default=None, metadata={"description": "Only of this device kind."})
    after: str | None = field(default=None, metadata={"description": "Only what arrived after this seq."})
    corrected: bool = field(
        default=False,
        metadata={"description": "Add each value as a board without any deviation would have measured it."},
    )


Body = (
    KindQuery
    | NoQuery
    | BoardQuery
    | ExperimentsQuery
    | ExperimentQuery
    | FiguresQuery
    | ResultsQuery
    | RunsQuery
    | RunQuery
    | RunFileQuery
    | UsageOf
    | CalibrationsQuery
    | ReadingsQuery
    | LimitsOf
    | BookingsQuery
    | BookingWanted
    | BookingIds
    | LimitsWanted
    | Labels
    | AccessRuleWanted
    | AccessRuleIds
    | AccessGroup
    | Reserve
    | ReserveSerials
    | BoardsWanted
    | Poll
    | RequestId
    | Named
    | NamedFor
    | NamedSerials
    | SerialsFor
    | Serials
)


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
