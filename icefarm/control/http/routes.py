"""Pure: no I/O, no clock.  The endpoints of the HTTP API: paths, methods, parameters, responses, errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from attrs import frozen

from icefarm.control.http.schemas import (
    MAX_WAIT,
    AccessGroup,
    AccessRuleIds,
    AccessRuleWanted,
    BoardQuery,
    BoardsWanted,
    Body,
    BookingIds,
    BookingsQuery,
    BookingWanted,
    CalibrationsQuery,
    ExperimentQuery,
    ExperimentsQuery,
    FiguresQuery,
    KindQuery,
    Labels,
    LimitsOf,
    LimitsWanted,
    Named,
    NamedFor,
    NamedSerials,
    NoQuery,
    Poll,
    ReadingsQuery,
    RequestId,
    Reserve,
    ReserveSerials,
    ResultsQuery,
    RunFileQuery,
    RunQuery,
    RunsQuery,
    Serials,
    SerialsFor,
    UsageOf,
)
from icefarm.errors import (
    Busy,
    DeviceFailed,
    IcefarmError,
    InternalError,
    InvalidArgument,
    LimitReached,
    NameInUse,
    NotAuthorized,
    NotYours,
    ReservationEnded,
    TimedOut,
    TransportError,
    Unavailable,
    UnknownDevice,
    UnknownExperiment,
    UnknownKind,
    UnknownRun,
    UnknownWorker,
)
from icefarm.text.durations import in_words
from icefarm.text.legacy_names import kind_options

__all__ = ["BASE", "DESCRIPTION", "ENDPOINTS", "SIGN_IN", "UNATTENDED_GRACE", "Endpoint", "find_endpoint"]

#: Where the API is; each endpoint but the description is at its path without this as well, as it was in icefarm 0.1.x.
BASE = "/api"
#: The path of the description, under `BASE`.
DESCRIPTION = "/openapi.json"
#: The path that says how to sign in, under `BASE`.
SIGN_IN = "/sign-in"

#: Seconds that a reservation waits for a client that never had a session: as long as the longest reservation.
UNATTENDED_GRACE = 30 * 86400.0

_ALWAYS = (InvalidArgument, NotAuthorized, Busy, InternalError)
_WITH_BOARDS = (Unavailable, UnknownKind, UnknownDevice, DeviceFailed, ReservationEnded, TimedOut, TransportError)


@frozen
class Endpoint:
    """One endpoint, carried out by a procedure of ``icefarm.v1.control``."""

    path: str
    method: str
    summary: str
    body: type[Body]
    procedure: str
    #: The procedure's arguments of what was asked.
    arguments: Callable[[Any], dict[str, Any]]
    #: The answer of the procedure's; its shape is described by ``answers``.
    answer: Callable[[Any], Any]
    #: "serials", "reservations", "available", "object", "experiments", "experiment", "figures", "usage", "limits",
    #: "access", "access_rules", "access_rule", "bookings", "booking", "ids", "numbers", "objects", "calibrations",
    #: "readings"; "results": a file.
    answers: str
    errors: tuple[type[IcefarmError], ...] = ()
    #: It may answer 202: the request waits.
    may_wait: bool = False
    #: Only an operator may ask.
    operating: bool = False
    #: It was there, at its path without `BASE`, in icefarm 0.1.x.
    old: bool = True

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


def _same(answer: Any) -> Any:
    return answer


def _kind(asked: KindQuery) -> dict[str, Any]:
    return {"kind": asked.kind, "where": asked.where}


def _nothing(_: NoQuery) -> dict[str, Any]:
    return {}


def _board(asked: BoardQuery) -> dict[str, Any]:
    return {"serial": asked.serial}


def _reserve(asked: Reserve | ReserveSerials) -> dict[str, Any]:
    which = {"amount": asked.amount, "where": asked.where} if isinstance(asked, Reserve) else {"serials": asked.serials}
    arguments = {**which, "kind": asked.kind, "options": kind_options(asked.args), "grace": UNATTENDED_GRACE}
    if asked.shared:
        arguments["shared"] = True
    if asked.wait:
        if not 0 < asked.timeout <= MAX_WAIT:
            raise InvalidArgument(f"timeout must be above 0 s and at most {in_words(MAX_WAIT)}, not {asked.timeout!r}")
        arguments |= {"wait": True, "timeout": asked.timeout}
    return arguments if asked.seconds is None else {**arguments, "seconds": asked.seconds}


def _wanted(asked: BoardsWanted) -> dict[str, Any]:
    if (asked.amount is None) == (asked.serials is None):
        raise InvalidArgument("give either amount or serials")
    which = {"amount": asked.amount} if asked.serials is None else {"serials": asked.serials}
    arguments = {
        **which,
        "where": asked.where,
        "kind": asked.kind,
        "options": kind_options(asked.args),
        "grace": UNATTENDED_GRACE,
        "shared": asked.shared,
    }
    return arguments if asked.seconds is None else {**arguments, "seconds": asked.seconds}


def _poll(asked: Poll) -> dict[str, Any]:
    return {"id": asked.id, "seconds": asked.seconds}


def _request_id(asked: RequestId) -> dict[str, Any]:
    return {"id": asked.id}


def _extend(asked: NamedFor | SerialsFor) -> dict[str, Any]:
    return {"serials": getattr(asked, "serials", None), "seconds": asked.seconds}


def _some(asked: NamedSerials | Serials) -> dict[str, Any]:
    return {"serials": asked.serials}


def _all(_: Named) -> dict[str, Any]:
    return {"serials": None}


def _serials_of(answer: Mapping[str, Any]) -> Any:
    return answer["serials"]


def _experiments(asked: ExperimentsQuery) -> dict[str, Any]:
    return {"account": asked.account, "since": asked.since, "after": asked.after, "limit": asked.limit}


def _experiment(asked: ExperimentQuery) -> dict[str, Any]:
    return {"name": asked.experiment, "account": asked.account}


def _figures(asked: FiguresQuery) -> dict[str, Any]:
    return {"name": asked.experiment, "account": asked.account, "after": asked.after, "limit": asked.limit}


def _runs(asked: RunsQuery) -> dict[str, Any]:
    return {"name": asked.experiment, "account": asked.account, "after": asked.after, "limit": asked.limit}


def _run(asked: RunQuery | RunFileQuery) -> dict[str, Any]:
    return {"id": asked.run}


def _usage(asked: UsageOf) -> dict[str, Any]:
    return {"by": asked.by, "since": asked.since, "until": asked.until, "account": asked.account}


def _bookings(asked: BookingsQuery) -> dict[str, Any]:
    return {"since": asked.since}


def _booking(asked: BookingWanted) -> dict[str, Any]:
    return {
        "starts_at": asked.starts_at, "seconds": asked.seconds, "amount": asked.amount, "serials": asked.serials,
        "account": asked.account, "kind": asked.kind, "where": asked.where,
    }  # fmt: skip


def _booking_ids(asked: BookingIds) -> dict[str, Any]:
    return {"ids": asked.ids}


def _calibrations(asked: CalibrationsQuery) -> dict[str, Any]:
    serials = None if asked.serials is None else asked.serials.split(",")
    return {"reference": asked.reference, "serials": serials}


def _readings(asked: ReadingsQuery) -> dict[str, Any]:
    return {"serial": asked.serial, "reference": asked.reference, "since": asked.since}


def _limits_of(asked: LimitsOf) -> dict[str, Any]:
    return {"account": asked.account}


def _limits_wanted(asked: LimitsWanted) -> dict[str, Any]:
    return {"account": asked.account, "limits": asked.limits}


def _labels(asked: Labels) -> dict[str, Any]:
    return {"labels": asked.labels, "serials": asked.serials, "worker": asked.worker}


def _access_rule(asked: AccessRuleWanted) -> dict[str, Any]:
    return {
        "account": asked.account, "group": asked.group, "where": asked.where, "seconds": asked.seconds,
        "kinds": asked.kinds,
    }  # fmt: skip


def _access_rule_ids(asked: AccessRuleIds) -> dict[str, Any]:
    return {"ids": asked.ids}


def _access_group(asked: AccessGroup) -> dict[str, Any]:
    return {"name": asked.group, "add": asked.add, "remove": asked.remove}


def _results(asked: ResultsQuery) -> dict[str, Any]:
    serials = None if asked.serial is None else [asked.serial]
    return {
        "name": asked.experiment, "account": asked.account, "serials": serials, "since": asked.since,
        "until": asked.until, "failed": asked.failed, "kind": asked.kind, "after": asked.after,
        "corrected": asked.corrected,
    }  # fmt: skip


_ENDPOINTS = (
    Endpoint(
        "/available", "GET", "List the boards that can be reserved now, and their number.",
        KindQuery, "available", _kind, _same, "available",
    ),
    Endpoint(
        "/devices",
        "GET",
        "List the boards that can be reserved now.",
        KindQuery,
        "available",
        _kind,
        _serials_of,
        "serials",
    ),
    Endpoint(
        "/snapshot", "GET", "List the farm's workers, boards, reservations and waiting requests.",
        NoQuery, "snapshot", _nothing, _same, "object",
    ),
    Endpoint(
        "/history", "GET", "List a board's last day: states, measurements by the minute, lines of its worker's log.",
        BoardQuery, "device_history", _board, _same, "object",
    ),
    Endpoint(
        "/journal", "GET", "List recent changes of boards, reservations, and lines of workers' logs.",
        NoQuery, "journal", _nothing, _same, "object",
    ),
    Endpoint(
        "/reserve", "POST", "Reserve a number of boards, all or none; returns when they are ready.",
        Reserve, "reserve", _reserve, _same, "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/reserveserials", "POST", "Reserve these boards, all or none; returns when they are ready.",
        ReserveSerials, "reserve", _reserve, _same, "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/requests", "POST", "Reserve boards, or begin to wait for them: then the answer is 202, and you must poll.",
        BoardsWanted, "request_open", _wanted, _same, "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/requests/poll", "POST", "Poll a waiting request; control forgets it when nobody polls for 30 s.",
        Poll, "request_poll", _poll, _same, "reservations", (*_WITH_BOARDS, NotYours), may_wait=True,
    ),
    Endpoint(
        "/requests/cancel", "POST", "Cancel a waiting request; returns the boards that were ready for it.",
        RequestId, "request_cancel", _request_id, _same, "serials", (ReservationEnded,),
    ),
    Endpoint(
        "/extend", "POST", "Extend the client's reservations of these boards; never shortens one.",
        SerialsFor, "extend", _extend, _same, "serials", (NotYours,),
    ),
    Endpoint(
        "/extendall", "POST", "Extend all of the client's reservations; never shortens one.",
        NamedFor, "extend", _extend, _same, "serials",
    ),
    Endpoint(
        "/end", "POST", "End the client's reservations of these boards; returns the freed boards.",
        NamedSerials, "end", _some, _same, "serials", (NotYours, UnknownDevice),
    ),
    Endpoint(
        "/endall", "POST", "End all of the client's reservations; returns the freed boards.",
        Named, "end", _all, _same, "serials",
    ),
    Endpoint(
        "/reboot", "POST", "Restart and flash the client's boards (an operator: any); their reservations stay.",
        NamedSerials, "reboot", _some, _same, "serials",
        (NotYours, UnknownDevice, UnknownWorker, DeviceFailed, TimedOut, TransportError),
    ),
    Endpoint(
        "/endany", "POST", "End anybody's reservations of these boards (operator).",
        Serials, "end_any", _some, _same, "serials", (UnknownDevice,), operating=True,
    ),
    Endpoint(
        "/delete", "POST", "Delete boards that are offline or broken (operator).",
        Serials, "delete", _some, _same, "serials", (UnknownDevice,), operating=True,
    ),
    Endpoint(
        "/experiments", "GET", "List the experiments that you may read, the most recently active first.",
        ExperimentsQuery, "experiments", _experiments, _same, "experiments", (Unavailable,), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}", "GET", "Return an experiment: counts, rate, boards, failures.",
        ExperimentQuery, "experiment", _experiment, _same, "experiment", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/figures", "GET", "List the figures that the owner reported of an experiment.",
        FiguresQuery, "experiment_figures", _figures, _same, "figures", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/results", "GET", "Download an experiment's results, in the order of their arrival.",
        ResultsQuery, "experiment_file", _results, _same, "results", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/experiments/{experiment}/runs", "GET", "List the runs of an experiment, the newest first.",
        RunsQuery, "experiment_runs", _runs, _same, "runs", (UnknownExperiment, Unavailable), old=False,
    ),
    Endpoint(
        "/runs/{run}", "GET", "Return a run; its id is the SHA-256 of its manifest, which is text.",
        RunQuery, "run", _run, _same, "run", (UnknownRun, Unavailable), old=False,
    ),
    Endpoint(
        "/runs/{run}/file", "GET", "Download a run: a zip with its manifest and its results.",
        RunFileQuery, "run_results", _run, _same, "file", (UnknownRun, Unavailable), old=False,
    ),
    Endpoint(
        "/usage", "GET", "Return who used which boards, for how long and for what; operators see all accounts.",
        UsageOf, "usage", _usage, _same, "usage", (Unavailable,), old=False,
    ),
    Endpoint(
        "/bookings", "GET", "List the bookings of all accounts, the earliest first.",
        BookingsQuery, "bookings", _bookings, _same, "bookings", old=False,
    ),
    Endpoint(
        "/book", "POST", "Keep boards for your account (an operator: for any account or group), for a later time.",
        BookingWanted, "book", _booking, _same, "booking", (Unavailable, UnknownDevice, LimitReached), old=False,
    ),
    Endpoint(
        "/bookings/cancel", "POST", "Cancel bookings of your account (an operator: any).",
        BookingIds, "cancel_bookings", _booking_ids, _same, "ids", (NotYours,), old=False,
    ),
    Endpoint(
        "/calibrations", "GET", "Return how boards deviate: their present calibrations, and which boards are suspect.",
        CalibrationsQuery, "calibrations", _calibrations, _same, "calibrations", old=False,
    ),
    Endpoint(
        "/readings", "GET", "List a board's readings of a reference circuit, the oldest first.",
        ReadingsQuery, "reference_readings", _readings, _same, "readings", old=False,
    ),
    Endpoint(
        "/limits", "GET", "Return the limits of your account, and its use of them; operators: any account.",
        LimitsOf, "limits", _limits_of, _same, "limits", old=False,
    ),
    Endpoint(
        "/access", "GET", "Return which boards your account may have, for how long, and as what; operators: any.",
        LimitsOf, "access", _limits_of, _same, "access", old=False,
    ),
    Endpoint(
        "/limits/set", "POST", "Set limits of an account (operator).",
        LimitsWanted, "set_limits", _limits_wanted, _same, "limits", operating=True, old=False,
    ),
    Endpoint(
        "/label", "POST", "Set labels of boards, or of a worker and thereby its boards; returns the boards (operator).",
        Labels, "label", _labels, _same, "objects", (UnknownDevice, UnknownWorker), operating=True, old=False,
    ),
    Endpoint(
        "/access/rules", "GET", "List all access rules, and the accounts of each group (operator).",
        NoQuery, "access_list", _nothing, _same, "access_rules", operating=True, old=False,
    ),
    Endpoint(
        "/access/add", "POST", "Add an access rule for an account, a group, or all accounts without rules (operator).",
        AccessRuleWanted, "access_add", _access_rule, _same, "access_rule", operating=True, old=False,
    ),
    Endpoint(
        "/access/remove", "POST", "Remove access rules; returns the removed ids (operator).",
        AccessRuleIds, "access_remove", _access_rule_ids, _same, "numbers", operating=True, old=False,
    ),
    Endpoint(
        "/access/group", "POST", "Add accounts to a group, remove others; returns the whole group (operator).",
        AccessGroup, "access_group", _access_group, _same, "ids", operating=True, old=False,
    ),
)  # fmt: skip
#: By path under `BASE`.
ENDPOINTS: Mapping[str, Endpoint] = {endpoint.path: endpoint for endpoint in _ENDPOINTS}
_WITH_PARTS = [endpoint for endpoint in _ENDPOINTS if endpoint.parameters]


def find_endpoint(path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """Return the endpoint of a path under `BASE`, and the parts of it that the caller chose."""
    fixed = ENDPOINTS.get(path)
    if fixed is not None and not fixed.parameters:
        return fixed, {}
    for endpoint in _WITH_PARTS:
        chosen = endpoint.match(path)
        if chosen is not None:
            return endpoint, chosen
    return None
