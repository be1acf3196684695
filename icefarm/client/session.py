"""The client's engine, on Deferreds: a session with the farm, its reservations, its evaluations.

`icefarm.client.Farm` (blocking), `icefarm.client.aio.Farm` and `icefarm.client.deferred.Farm` wrap it: its coroutine
methods are their verbs (`icefarm.client.api.facade`), with these names, arguments and docstrings.
"""

from __future__ import annotations

import os
import random as random_module
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from attrs import define, field

from icefarm._version import __version__
from icefarm.bus import Bus, Progress
from icefarm.client.api.arguments import checked
from icefarm.client.connection.events import BoardsChange, ClientEvent
from icefarm.client.connection.orders import OperatorOrders
from icefarm.client.connection.patience import Patience
from icefarm.client.connection.questions import Access, FarmQuestions, Snapshot
from icefarm.client.evaluation.plan import CHUNK, RunPlan
from icefarm.client.evaluation.tasks import Item
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    NAME_RULE,
    ReservationRecord,
    Role,
    RunReport,
    account_of,
    control_procedure,
    default_experiment,
    event_topic,
    valid_name,
)
from icefarm.errors import IcefarmError, InvalidArgument
from icefarm.system.local_routers import sockets_beside
from icefarm.wamp.credentials import Credentials, Tickets
from icefarm.wamp.url import INSECURE, farm_urls, parse_url

if TYPE_CHECKING:
    # Twisted takes half a second to import: a session imports it and these, and `import icefarm.client` does not.
    from twisted.internet.defer import Deferred

    from icefarm.client.connection.board_calls import BoardCalls
    from icefarm.client.connection.groups import BoardGroup
    from icefarm.client.connection.link import FarmLink, MakeLink, RunningLink
    from icefarm.client.connection.reservations import ClientReservations
    from icefarm.client.connection.watch import Watch
    from icefarm.client.evaluation.calibrations import KnownCalibrations
    from icefarm.client.evaluation.resuming import Resumption
    from icefarm.client.evaluation.run import EvaluationRun, ResultBatch
    from icefarm.client.evaluation.run_report import RunNotes, RunReporter

__all__ = ["Access", "ClientSession", "PlannedRun", "Snapshot", "connect"]

#: Seconds for an attempt to reboot boards: they may be reflashed.
REBOOT_LIMIT = 180.0
#: Seconds for the answer of a kind's other methods.
ASK_LIMIT = 60.0
#: Seconds that an evaluation may take beyond its windows and those of the evaluations before it on the same board:
#: a board that failed is reflashed, and the evaluation repeated.
EVALUATION_LIMIT = 150.0
#: The same on a board that others share: its turn may come late, and nobody knows how long theirs take.
SHARED_LIMIT = 3600.0
#: Seconds of a day, and the day on which time began, as `datetime.date` counts it.
DAY, _EPOCH = 86400, date(1970, 1, 1).toordinal()


@define(eq=False)
class ClientSession(FarmQuestions, OperatorOrders):
    """A client of a farm.

    ``make_link(url, credentials, joined, refused)`` returns an `icefarm.wamp.Link` or a stand-in; `connect` does all.
    """

    clock: Clock
    #: The farm's; several, separated by commas, if it has several routers.
    url: str
    credentials: Credentials
    make_link: MakeLink
    patience: Patience = field(factory=Patience)
    random: Callable[[], float] = field(default=random_module.random)
    #: Has fresh tokens, where those of the sign-in expire.
    tickets: Tickets | None = None
    #: The experiment that its evaluations belong to; None: the farm names it after the client and the day.
    experiment: str | None = None
    _link: FarmLink = field(init=False)
    boards: BoardCalls = field(init=False)
    #: Of boards that it has, or had.
    calibrations: KnownCalibrations = field(init=False)
    _reservations: ClientReservations = field(init=False)
    _run_reporter: RunReporter = field(init=False)

    def __attrs_post_init__(self) -> None:
        from icefarm.client.connection.board_calls import BoardCalls
        from icefarm.client.connection.link import FarmLink
        from icefarm.client.connection.reservations import ClientReservations
        from icefarm.client.evaluation.calibrations import KnownCalibrations
        from icefarm.client.evaluation.run_report import RunReporter

        who = self.credentials
        if not valid_name(who.authid):
            raise InvalidArgument(f"{who.authid!r} is not a valid name: {NAME_RULE}")
        urls = farm_urls(self.url)
        self._link = FarmLink(self.clock, urls, who, self.make_link, self.random, self.patience, self.tickets)
        self.boards = BoardCalls(self.clock, self._link)
        self._link.listener = self._reservations = ClientReservations(self.clock, self._link, self.boards)
        self._run_reporter = RunReporter(self.clock, self._link)
        self.calibrations = KnownCalibrations(self.call)

    @property
    def name(self) -> str:
        """The name under which the farm knows this client; with a token it may be ``account/name``.

        Before the first sign-in, the name that it asks for.
        """
        return self._link.identity

    @property
    def url_in_use(self) -> str:
        """Of several URLs, the one at which it is, or tries to be."""
        return self._link.url

    @property
    def serials(self) -> list[str]:
        """The boards that are reserved now."""
        return list(self.boards.leases.by_serial)

    @checked
    def holds(self, serial: str, reservation: str) -> bool:
        """Tell whether a reservation is active, as far as this client knows."""
        return self.boards.holds(serial, reservation)

    async def start(self) -> None:
        """Sign in.  Raises `NotAuthorized`, `NameInUse`, or `LinkLost` if no farm answers in time."""
        await self._link.start()

    @checked
    async def stop(self, *, end: bool = True) -> None:
        """End the reservations (unless ``end`` is false) and leave.  Takes a bounded time, and raises nothing."""
        await self._reservations.close(end=end)
        if not self._reservations.hurried and not self._reservations.refused:
            await self._run_reporter.flush()
        self._run_reporter.stop()
        await self._link.stop(hurried=self._reservations.hurried or self._reservations.refused)

    @checked
    async def leave(self, serials: Sequence[str]) -> list[str]:
        """End reservations at the end of their block.  Takes a bounded time, and raises nothing.

        Returns the serials of the boards that were returned in that time.
        """
        return await self._reservations.leave(serials)

    @checked
    def on_event(self, listener: Callable[[ClientEvent], None]) -> None:
        """Call ``listener`` with each event for this client."""
        self._reservations.listeners.append(listener)

    @checked
    def on_available(self, listener: Callable[[int], None]) -> None:
        """Call ``listener`` with the number of boards that have become available; use it before `start`."""
        self._link.topics[event_topic("available")] = lambda _, __, fields: listener(int(fields["amount"]))

    @checked
    async def reserve(
        self,
        amount: int | None = None,
        *,
        serials: Sequence[str] | None = None,
        where: str | None = None,
        kind: str = "pulsecount",
        options: Mapping[str, Any] | None = None,
        wait: bool = False,
        timeout: float | None = None,
        seconds: float | None = None,
        grace: float | None = None,
        keep: bool = True,
        progress: Progress | None = None,
        at_least: int | None = None,
        preemptible: bool | None = None,
        priority: float | None = None,
        shared: bool = False,
        on_boards_changed: Callable[[BoardsChange], None] | None = None,
        **more_options: Any,
    ) -> list[ReservationRecord]:
        """Reserve ``amount`` boards, or those in ``serials``: all or none, ready to use.

        ``where`` restricts the boards, as in ``where="lab=3 and healthy"`` (docs/choosing-boards.md).
        Further keywords are options of the kind, such as ``window=1.0`` (seconds) of pulsecount; ``options`` takes
        those whose names clash with these arguments.  With ``wait`` it waits if too few boards are free, for at most
        ``timeout`` seconds, and calls ``progress`` with ``{"place", "reason"}`` in the queue.  A reservation ends after
        ``seconds`` (default: the farm's setting, an hour) unless extended, which is automatic with ``keep``; ``grace``
        is the number of seconds for which the farm keeps the boards while this client is disconnected.

        With ``at_least`` it begins with that many boards, and gets the others when they are free.  With ``preemptible``
        it gives boards up to requests that take precedence, down to ``at_least`` (1), when the evaluations in flight
        there are done, and gets others later; a run goes on with the boards that it has.  None is the default of the
        farm.  ``on_boards_changed`` is called with each `BoardsChange`, like ``on_event``.  ``priority`` is at most
        that of the account, which is the default.

        With ``shared``, other clients that also set it may use these boards as the same kind; they take turns, and
        each account gets an equal share of a board's time (docs/sharing.md).

        Raises `Unavailable`, `UnknownKind`, `UnknownDevice`, `InvalidArgument`, `DeviceFailed`, `TimedOut`.
        """
        if (amount is None) == (serials is None):
            raise InvalidArgument("give either amount, how many boards to reserve, or serials, which ones")
        chosen = {**(options or {}), **more_options}
        asked = [amount, serials, kind, chosen, wait, timeout, seconds, uuid4().hex, grace]
        # Left out where they are not used, for farms that do not know them.
        more = _given([where, at_least, preemptible, priority, shared or None])
        reserve = partial(
            self._reservations.reserve,
            limit=timeout if wait else 0.0,
            keep=keep,
            progress=progress,
            on_boards_changed=on_boards_changed,
        )
        try:
            records = await reserve([*asked, *more])
        except InvalidArgument as error:
            # A farm of an earlier version takes no boards from anybody.
            if more != [None, None, False] or _TOO_MANY not in error.message:
                raise
            records = await reserve(asked)
        await self._learn_calibrations(records)
        return records

    async def _learn_calibrations(self, records: Sequence[ReservationRecord]) -> None:
        """Learn how reserved boards deviate, before their results are corrected."""
        calibrated = [record.calibration for record in records if record.calibration is not None]
        if calibrated:
            await self.calibrations.learn(calibrated)

    def group_of(self, records: Sequence[ReservationRecord]) -> BoardGroup | None:
        """Return the group of these reservations; None: their boards stay the same."""
        requests = {None if record.wanted is None else record.request for record in records}
        request = requests.pop() if len(requests) == 1 else None
        return None if request is None else self._reservations.groups.get(request)

    @checked
    async def adopt(self, *, keep: bool = True) -> list[ReservationRecord]:
        """Take over the boards that the farm still holds for this name, for example after a crash of the script."""
        found = await self.snapshot()
        records = [each for each in found.reservations if each.client == self.name and each.ended_at is None]
        self._reservations.adopt(records, found.time, keep=keep)
        await self._learn_calibrations(records)
        return records

    @checked
    async def extend(self, serials: Sequence[str] | None = None, seconds: float | None = None) -> list[str]:
        """Extend reservations (all of this client's by default) to ``seconds`` from now; never shortens.

        Returns the serials.  Raises `NotYours`.
        """
        return await self._reservations.extend(serials, seconds)

    @checked
    async def end(self, serials: Sequence[str] | None = None) -> list[str]:
        """End reservations (all of this client's by default) and return the serials.  Raises `NotYours`."""
        return await self._reservations.end(serials)

    @checked
    async def reboot(self, serials: Sequence[str], *, limit: float | None = None) -> list[str]:
        """Reboot boards, keeping their reservations and waiting evaluations; operators may reboot any board.

        Returns the serials once their workers have the order; evaluations wait until the boards are usable again.
        Raises `NotYours`, `DeviceFailed`, and `TimedOut` after ``limit`` seconds.
        """
        timeout = REBOOT_LIMIT if limit is None else limit
        named = {"serials": serials}
        answer = await self._link.call(control_procedure("reboot"), named, timeout=timeout)
        return [str(serial) for serial in answer]

    def watch(self) -> Watch:
        """Start following the farm's changes."""
        from icefarm.client.connection.watch import Watch

        watch = Watch(self.clock, self._link, self.snapshot)
        watch.start()
        return watch

    def call(self, verb: str, **arguments: Any) -> Coroutine[Any, Any, Any]:
        """Call one of control's procedures, which may be carried out twice."""
        return self._link.call(control_procedure(verb), arguments)

    @checked
    async def ask(self, serial: str, method: str, *, limit: float | None = ASK_LIMIT, **arguments: Any) -> Any:
        """Call a method that the kind of a reserved board offers beside ``evaluate``, once; ``limit`` is in seconds."""
        return await self.boards.ask(serial, method, arguments, limit)

    def run(self, plan: RunPlan, reservations: Mapping[str, ReservationRecord]) -> EvaluationRun:
        """Begin a run of evaluations on boards, of which ``reservations`` are known."""
        from icefarm.client.evaluation.run import EvaluationRun

        present = [serial for serial in dict.fromkeys(plan.serials) if serial in self.boards.leases.by_serial]
        resumption = self._resumption(plan, reservations) if plan.resume else None
        limit, notes = _limit(plan, reservations), self._run_notes(plan, present) if plan.archive else None
        note = self._note(plan)
        return EvaluationRun(self.clock, self.boards, present, plan, limit, note, resumption, notes, self.calibrations)

    def _resumption(self, plan: RunPlan, reservations: Mapping[str, ReservationRecord]) -> Resumption:
        from icefarm.client.evaluation.resuming import Resumption, question_of

        experiment = plan.experiment or self.experiment
        question = question_of(experiment, account_of(self.name), reservations.values(), plan.options)
        return Resumption(self, question, plan.fan_out)

    def announce_total(self, name: str, total: int) -> None:
        """Tell the farm in the background how many evaluations to expect of an experiment."""
        from twisted.internet.defer import CancelledError, ensureDeferred

        telling = ensureDeferred(self.call("experiment_announce", name=name, total=total))
        telling.addErrback(lambda failure: failure.trap(IcefarmError, CancelledError))

    def _run_notes(self, plan: RunPlan, serials: Sequence[str]) -> RunNotes | None:
        """Return the report of a run on these boards; None without boards."""
        from icefarm.client.evaluation.run_report import CircuitKeeper, RunNotes

        records = [self.boards.leases.by_serial[serial].record for serial in serials]
        if not records:
            return None
        # What belongs to the caller, who may change it before it is sent.
        given = {"evaluation_options": dict(plan.options), "labels": dict(plan.labels)}
        experiment = plan.experiment or self.experiment
        number = os.urandom(16).hex()
        keeper = CircuitKeeper(self.call, number) if plan.keep_circuits else None
        return RunNotes(self._run_reporter, number, partial(_report, plan, records, experiment, given), keeper)

    def _note(self, plan: RunPlan) -> dict[str, Any]:
        """Return what the archive is to note of each evaluation of a plan.

        Without a name the experiment is that of the day on which the run begins: a run has one, also after midnight.
        """
        if not plan.archive:
            return {"archive": False}
        experiment = plan.experiment or self.experiment or _experiment_of(self.name, int(self.clock.seconds() // DAY))
        named = {"experiment": experiment}
        return {**named, "labels": dict(plan.labels)} if plan.labels else named


@define(eq=False)
class PlannedRun:
    """A run for a caller in another thread: it begins with its first items.

    All but `first` is called in the session's thread.  Items may be an iterator that makes them there.
    """

    _session: ClientSession
    _plan: RunPlan
    _reservations: Mapping[str, ReservationRecord]
    #: Once it has begun.
    _run: EvaluationRun | None = None

    @property
    def first(self) -> int:
        """How many items to begin with: however few boards there are, it wants as many as go to one of them."""
        return max(0, min(CHUNK, self._plan.depth, self._plan.look_ahead))

    def begin(self, items: Iterable[Item], ends: bool, needs_boards: bool = True) -> Deferred[ResultBatch]:
        """Begin with these items, so that a few circuits need one hand-over between the threads.

        The answer is of the first results if there are no more items (``ends``), and else of how many more it wants;
        with ``needs_boards``, of why it has none, if so.
        """
        self._run = run = self._session.run(self._plan, self._reservations)
        if needs_boards and not run.had_boards:
            return run.begin((), last=False)
        return run.begin(list(items), ends)

    def feed(self, items: Iterable[Item]) -> None:
        """Take items, of which others follow."""
        self._begun.feed(list(items))

    def exchange(self, items: Iterable[Item], ends: bool) -> Deferred[ResultBatch]:
        """Take items, and return the next results."""
        return self._begun.exchange(list(items), ends)

    def stop(self) -> None:
        """Stop the run, if it has begun."""
        if self._run is not None:
            self._run.stop()

    @property
    def _begun(self) -> EvaluationRun:
        assert self._run is not None
        return self._run


#: How a farm refuses arguments that it does not know.
_TOO_MANY = "too many positional arguments"


def _given(arguments: list[Any]) -> list[Any]:
    """Return arguments by position, without those at the end that are None."""
    while arguments and arguments[-1] is None:
        arguments = arguments[:-1]
    return arguments


@lru_cache(maxsize=16)
def _experiment_of(name: str, day: int) -> str:
    """Return the experiment of a client's evaluations that name none, on a day since the epoch."""
    return default_experiment(name, date.fromordinal(_EPOCH + day))


def _report(
    plan: RunPlan,
    records: Sequence[ReservationRecord],
    experiment: str | None,
    given: Mapping[str, Any],
    number: str,
) -> RunReport:
    """Return the report of a run that has begun."""
    return RunReport(
        number=number,
        kind=records[0].kind,
        boards={record.serial: record.id for record in records},
        experiment=experiment,
        options=dict(records[0].options),
        placement=dict(plan.placement),
        version=__version__,
        **given,
    )


def _limit(plan: RunPlan, reservations: Mapping[str, ReservationRecord]) -> float:
    """Return the seconds that each attempt of an evaluation gets."""
    if plan.limit is not None:
        return plan.limit
    if any(record.within is not None for record in reservations.values()):
        return SHARED_LIMIT
    windows = [record.options.get("window", 1.0) for record in reservations.values()]
    longest = max((float(window) for window in windows if isinstance(window, int | float)), default=1.0)
    repeats = plan.options.get("repeats", 1)
    return EVALUATION_LIMIT + 2 * longest * (repeats if isinstance(repeats, int) else 1) * (plan.depth + 1)


def connect(
    reactor: Any,
    url: str,
    name: str,
    *,
    token: str = "",
    role: Role = Role.CLIENT,
    patience: Patience | None = None,
    ca_file: str | None = None,
    login: Path | None = None,
) -> ClientSession:
    """Make a session with the farm at ``url`` on a Twisted reactor; `ClientSession.start` signs it in.

    ``url`` may be several URLs, separated by commas: the first that answers is used.
    ``ca_file``: a PEM file with the certificates to trust; None: those that the system trusts.
    ``login``: the file of a sign-in at the lab's issuer, whose tokens are used and refreshed.
    Raises `InvalidArgument` if a URL or the name is not valid.
    """
    from icefarm.wamp.link import check_way

    for each in farm_urls(url):
        where = parse_url(each, ca_file)
        if token or login is not None:
            check_way(where, each, os.environ.get(INSECURE))
    credentials = Credentials(name, role, uuid4().hex, token, follows=True)
    tickets = None if login is None else _tickets(reactor, login, ca_file)
    ways = {router: way for each in farm_urls(url) for router, way in sockets_beside(each).items()}
    return ClientSession(
        reactor,
        url,
        credentials,
        partial(_link, reactor, ways, ca_file, tickets),
        patience or Patience(),
        tickets=tickets,
    )


def _link(
    reactor: Any,
    ways: Mapping[str, str],
    ca_file: str | None,
    tickets: Tickets | None,
    url: str,
    credentials: Credentials,
    joined: Callable[[Bus], Awaitable[None]],
    refused: Callable[[IcefarmError], bool],
) -> RunningLink:
    """Return a link to a router, by another way than its URL where there is one."""
    from icefarm.wamp.link import Link

    return Link(reactor, ways.get(url, url), credentials, joined, refused, ca_file=ca_file, tickets=tickets)


def _tickets(reactor: Any, login: Path, ca_file: str | None) -> Tickets:
    from icefarm.oidc.http import HttpClient
    from icefarm.oidc.stored_tickets import StoredTickets

    return StoredTickets(login, HttpClient(reactor, ca_file), reactor)
