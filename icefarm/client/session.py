"""The client's engine, on Deferreds: a session with the farm, its reservations, its evaluations.

`icefarm.client.Farm` (blocking), `icefarm.client.aio.Farm` and `icefarm.client.deferred.Farm` wrap it: its coroutine
methods are their verbs (`icefarm.client.api.facade`), with these names, arguments and docstrings.
"""

from __future__ import annotations

import random as random_module
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import attrs
from attrs import define, field, frozen

from icefarm._version import __version__
from icefarm.arguments import passes_over_unknown
from icefarm.bus import Progress
from icefarm.client.api.arguments import checked
from icefarm.client.connection.events import BoardsChange, ClientEvent
from icefarm.client.connection.patience import Patience
from icefarm.client.evaluation.scheduler import DEPTH, LOOK_AHEAD
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    NAME_RULE,
    AccessRule,
    BookingRecord,
    DeviceRecord,
    ExperimentRecord,
    FailureRecord,
    QueueRecord,
    ReservationRecord,
    Role,
    RunReport,
    ShareRecord,
    UsageRecord,
    WorkerRecord,
    account_of,
    control_procedure,
    default_experiment,
    event_topic,
    from_wire,
    valid_name,
)
from icefarm.errors import IcefarmError, InvalidArgument
from icefarm.wamp.credentials import Credentials, Tickets
from icefarm.wamp.url import parse_url

if TYPE_CHECKING:
    # They import Twisted, which takes half a second: a session imports them, and `import icefarm.client` does not.
    from icefarm.client.connection.board_calls import BoardCalls
    from icefarm.client.connection.groups import BoardGroup
    from icefarm.client.connection.link import FarmLink, MakeLink
    from icefarm.client.connection.reservations import ClientReservations
    from icefarm.client.connection.watch import Watch
    from icefarm.client.evaluation.resuming import Resumption
    from icefarm.client.evaluation.run import Run
    from icefarm.client.evaluation.run_report import RunNotes, RunReporter

__all__ = ["ClientSession", "RunPlan", "Snapshot", "connect"]

#: Seconds for an attempt to reboot boards: they may be reflashed.
REBOOT_LIMIT = 180.0
#: Seconds for the answer of a kind's other methods.
ASK_LIMIT = 60.0
#: Seconds that an evaluation may take beyond its windows and those of the evaluations before it on the same board:
#: a board that failed is reflashed, and the evaluation repeated.
EVALUATION_LIMIT = 150.0


@frozen
class Snapshot:
    """The farm at one moment."""

    workers: list[WorkerRecord]
    devices: list[DeviceRecord]
    reservations: list[ReservationRecord]
    queue: list[QueueRecord]
    #: By the farm's clock, seconds since the epoch.
    time: float
    #: The farm's version and settings.
    farm: dict[str, Any]
    #: What accounts have used lately, the largest share first; empty if the farm does not say.
    shares: list[ShareRecord] = attrs.Factory(list)
    #: Those that have not ended, the first to begin first; empty if the farm does not say.
    bookings: list[BookingRecord] = attrs.Factory(list)


@passes_over_unknown
@frozen
class Access:
    """What an account may have: everything, if it has no rules."""

    account: str
    #: None: it is in none.
    group: str | None
    rules: list[AccessRule]


@frozen
class RunPlan:
    """How evaluations are carried out."""

    #: The participating boards.
    serials: Sequence[str]
    #: Options of each evaluation, such as ``{"repeats": 3}``.
    options: Mapping[str, Any] = attrs.Factory(dict)
    #: Evaluations in flight per board, 1 and up.
    depth: int = DEPTH
    #: Boards that each item is for; 1 if any will do.
    fan_out: int = 1
    #: Items that may wait for slower boards.
    look_ahead: int = LOOK_AHEAD
    #: Seconds for each attempt of an evaluation; None leaves it to the window.
    limit: float | None = None
    #: For the archive: the experiment (None: the session's), labels, and whether measurements are kept at all.
    experiment: str | None = None
    labels: Mapping[str, Any] = attrs.Factory(dict)
    archive: bool = True
    #: Answer from the archive what the experiment has values of.
    resume: bool = False
    #: The request whose boards it is on, where any board will do and these become fewer and more.
    group: str | None = None
    #: How boards are chosen, as the run's manifest says it: the placement's name, its seed.
    placement: Mapping[str, Any] = attrs.Factory(dict)


@define(eq=False)
class ClientSession:
    """A client of a farm.

    ``make_link(credentials, joined, refused)`` returns an `icefarm.wamp.Link` or a stand-in; `connect` does it all.
    """

    clock: Clock
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
    _reservations: ClientReservations = field(init=False)
    _run_reporter: RunReporter = field(init=False)

    def __attrs_post_init__(self) -> None:
        from icefarm.client.connection.board_calls import BoardCalls
        from icefarm.client.connection.link import FarmLink
        from icefarm.client.connection.reservations import ClientReservations
        from icefarm.client.evaluation.run_report import RunReporter

        who = self.credentials
        if not valid_name(who.authid):
            raise InvalidArgument(f"{who.authid!r} is not a valid name: {NAME_RULE}")
        self._link = FarmLink(self.clock, self.url, who, self.make_link, self.random, self.patience, self.tickets)
        self.boards = BoardCalls(self.clock, self._link)
        self._link.listener = self._reservations = ClientReservations(self.clock, self._link, self.boards)
        self._run_reporter = RunReporter(self.clock, self._link)

    @property
    def name(self) -> str:
        """The name under which the farm knows this client: ``account/name`` where a token made it so.

        Before the first sign-in, the name that it asks for.
        """
        return self._link.identity

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

        Returns the serials of the boards that the farm took back in that time.
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
        on_boards_changed: Callable[[BoardsChange], None] | None = None,
        **more_options: Any,
    ) -> list[ReservationRecord]:
        """Reserve ``amount`` boards, or those in ``serials``: all or none, ready to use.

        ``where`` selects the boards that they may be of, as in ``where="lab=3 and healthy"`` (docs/choosing-boards.md).
        Further keywords are options of the kind, such as ``window=1.0`` (seconds) of pulsecount; ``options`` takes
        those whose names clash with these arguments.  With ``wait`` it waits if too few boards are free, for at most
        ``timeout`` seconds, and calls ``progress`` with ``{"place", "reason"}`` in the queue.  A reservation ends after
        ``seconds`` (default: the farm's setting, an hour) unless extended, which is automatic with ``keep``; ``grace``
        is the seconds for which the farm keeps the boards while this client is out of reach.

        With ``at_least`` it begins with so many boards, and gets the others when they are free.  With ``preemptible``
        it gives boards to requests that go before, down to ``at_least`` (1), when what is on its way to them is done,
        and gets others later; a run of evaluations goes on with those that there are.  None is what the farm's
        operator set.  ``on_boards_changed`` is called with each `BoardsChange`, like ``on_event``.  ``priority`` is at
        most that of the account, and that by default.

        Raises `Unavailable`, `UnknownKind`, `UnknownDevice`, `InvalidArgument`, `DeviceFailed`, `TimedOut`.
        """
        if (amount is None) == (serials is None):
            raise InvalidArgument("give either amount, how many boards to reserve, or serials, which ones")
        chosen = {**(options or {}), **more_options}
        asked = [amount, serials, kind, chosen, wait, timeout, seconds, uuid4().hex, grace]
        # Left out where they are not used, for farms that do not know them.
        asked += _given([where, at_least, preemptible, priority])
        limit = timeout if wait else 0.0
        return await self._reservations.reserve(
            asked, limit=limit, keep=keep, progress=progress, on_boards_changed=on_boards_changed
        )

    def group_of(self, records: Sequence[ReservationRecord]) -> BoardGroup | None:
        """Return the group that these reservations are of; None: their boards stay the same."""
        requests = {None if record.wanted is None else record.request for record in records}
        request = requests.pop() if len(requests) == 1 else None
        return None if request is None else self._reservations.groups.get(request)

    @checked
    async def adopt(self, *, keep: bool = True) -> list[ReservationRecord]:
        """Take over the boards that the farm still holds for this name, for example after a crash of the script."""
        found = await self.snapshot()
        records = [each for each in found.reservations if each.client == self.name and each.ended_at is None]
        self._reservations.adopt(records, found.time, keep=keep)
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

    @checked
    async def available(self, kind: str | None = None, *, where: str | None = None) -> list[str]:
        """Return the serials of the boards that can be reserved now; with ``where``, of those that it selects."""
        chosen = {"kind": kind} if where is None else {"kind": kind, "where": where}
        answer = await self._link.call(control_procedure("available"), chosen)
        return [str(serial) for serial in answer["serials"]]

    async def snapshot(self) -> Snapshot:
        """Return the farm's state: all records."""
        answer = await self._link.call(control_procedure("snapshot"))
        known = {each.name: answer.get(each.name) for each in attrs.fields(Snapshot) if each.name in answer}
        return from_wire(known, Snapshot, "the answer to snapshot")

    @checked
    async def board_history(self, serial: str) -> dict[str, Any]:
        """Return a board's last day: its states, measurements by the minute, and lines of its worker's log."""
        return dict(await self.call("device_history", serial=serial))

    async def journal(self) -> dict[str, Any]:
        """Return recent changes of boards and reservations, and lines of workers' logs."""
        return dict(await self.call("journal"))

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
    async def experiments(self, *, account: str | None = None, since: float | None = None) -> list[ExperimentRecord]:
        """Return the experiments that this client may read, the last active one first.

        They are those of one ``account``, or of all; and active ``since`` then, in seconds since the epoch.
        """
        found: list[ExperimentRecord] = []
        after = None
        while True:
            answer = await self.call("experiments", account=account, since=since, after=after, limit=1000)
            found += [from_wire(each, ExperimentRecord) for each in answer["experiments"]]
            after = answer["next"]
            if after is None:
                return found

    @checked
    async def usage(
        self, by: str = "account", *, since: float | None = None, until: float | None = None, account: str | None = None
    ) -> list[UsageRecord]:
        """Return how much was used, the longest time first: ``by`` account, board or experiment; several with commas.

        It is that of the last seven days, or between ``since`` and ``until`` (seconds since the epoch): of the client's
        own account; for an operator of all, or of one ``account``.
        """
        answer = await self.call("usage", by=by, since=since, until=until, account=account)
        return [from_wire(each, UsageRecord) for each in answer["usage"]]

    async def devices(self) -> list[DeviceRecord]:
        """Return all boards that the farm knows."""
        return (await self.snapshot()).devices

    async def workers(self) -> list[WorkerRecord]:
        """Return all workers that the farm knows."""
        return (await self.snapshot()).workers

    async def reservations(self) -> list[ReservationRecord]:
        """Return everybody's reservations."""
        return (await self.snapshot()).reservations

    async def queue(self) -> list[QueueRecord]:
        """Return the requests that wait for boards, the next one first."""
        return (await self.snapshot()).queue

    @checked
    async def book(
        self,
        amount: int | None = None,
        *,
        at: datetime | float,
        seconds: float,
        serials: Sequence[str] | None = None,
        account: str | None = None,
        kind: str | None = None,
    ) -> BookingRecord:
        """Book ``amount`` boards, or those in ``serials``, from ``at`` on for so many seconds.

        ``at`` is a datetime with a time zone, or seconds since the epoch.  The boards are kept for this client's
        account, or for another ``account`` or group (operator); with ``kind`` those that can be of that kind.
        During the booking, requests for boards get them as usual, before all others.

        Raises `Unavailable` if there are too few boards at some moment of it, `UnknownDevice`, `LimitReached`.
        """
        moment = at.timestamp() if isinstance(at, datetime) else at
        asked = {"starts_at": moment, "seconds": seconds, "amount": amount, "serials": serials}
        answer = await self.call("book", **asked, account=account, kind=kind)
        return from_wire(answer, BookingRecord, "the answer to book")

    @checked
    async def bookings(self, *, since: float | None = None) -> list[BookingRecord]:
        """Return the bookings of all accounts that have not ended, the first to begin first.

        With ``since``, in seconds since the epoch, also those that were not over then.
        """
        return [from_wire(each, BookingRecord) for each in await self.call("bookings", since=since)]

    @checked
    async def cancel_bookings(self, ids: Sequence[str]) -> list[str]:
        """Cancel bookings of this client's account (operators: any), and return the ids of those that it cancelled.

        Boards that are reserved already stay so.  Raises `NotYours`.
        """
        return [str(id) for id in await self.call("cancel_bookings", ids=ids)]

    async def account_groups(self) -> dict[str, str]:
        """Return the group of each account that belongs to one, such as a class."""
        return {str(account): str(group) for account, group in (await self.call("account_groups")).items()}

    @checked
    async def recent_failures(self, seconds: float = 900.0) -> list[FailureRecord]:
        """Return the evaluations of this client's account that failed over the last so many seconds, the last first.

        An operator gets those of all accounts; at most 500.
        """
        return [from_wire(each, FailureRecord) for each in await self.call("recent_failures", seconds=seconds)]

    @checked
    async def end_accounts(self, accounts: Sequence[str]) -> list[str]:
        """End all reservations of accounts, or groups of accounts, and what they wait for (operator).

        Returns the serials of the boards that this freed.
        """
        return [str(serial) for serial in await self.call("end_accounts", accounts=accounts)]

    @checked
    async def delete(self, serials: Sequence[str]) -> Any:
        """Forget boards that are offline or broken (operator)."""
        return await self.call("delete", serials=serials)

    @checked
    async def end_any(self, serials: Sequence[str]) -> Any:
        """End anybody's reservations (operator)."""
        return await self.call("end_any", serials=serials)

    @checked
    async def retest(self, serials: Sequence[str]) -> Any:
        """Test broken boards again, and return those that pass to service (operator)."""
        return await self.call("retest", serials=serials)

    @checked
    async def label(
        self, labels: Mapping[str, Any], *, serials: Sequence[str] | None = None, worker: str | None = None
    ) -> list[DeviceRecord]:
        """Set labels of boards, or of a worker and so of its boards; None takes one away.  Returns the boards.

        For operators.
        """
        if (serials is None) == (worker is None):
            raise InvalidArgument("give either serials, the boards to label, or worker")
        answer = await self.call("label", labels=labels, serials=serials, worker=worker)
        return [from_wire(each, DeviceRecord) for each in answer]

    @checked
    async def access(self, account: str | None = None) -> Access:
        """Return the rules of access that the client's account has, and its group; an operator may name another.

        An account without rules may have every board.
        """
        return from_wire(await self.call("access", account=account), Access, "the answer to access")

    async def access_list(self) -> dict[str, Any]:
        """Return all rules of access, and the accounts of each group (operator)."""
        answer = await self.call("access_list")
        return {"rules": [from_wire(each, AccessRule) for each in answer["rules"]], "groups": dict(answer["groups"])}

    @checked
    async def access_add(
        self,
        *,
        account: str | None = None,
        group: str | None = None,
        where: str | None = None,
        seconds: float | None = None,
        kinds: Sequence[str] | None = None,
    ) -> AccessRule:
        """Add a rule of access for an account, a group, or everybody without rules of their own (operator)."""
        chosen = None if kinds is None else list(kinds)
        answer = await self.call("access_add", account=account, group=group, where=where, seconds=seconds, kinds=chosen)
        return from_wire(answer, AccessRule)

    @checked
    async def access_remove(self, rules: Sequence[int]) -> list[int]:
        """Remove rules of access by their ids, and return those that there were (operator)."""
        return [int(each) for each in await self.call("access_remove", ids=list(rules))]

    @checked
    async def access_group(self, group: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[str]:
        """Put accounts into a group, take others out, and return its accounts (operator)."""
        answer = await self.call("access_group", name=group, add=list(add), remove=list(remove))
        return [str(each) for each in answer]

    @checked
    async def drain(self, worker: str, *, leave: bool = False) -> Any:
        """Stop giving out a worker's boards; with ``leave``, it exits when none of them is reserved (operator)."""
        return await self.call("drain", worker=worker, leave=leave)

    @checked
    async def resume(self, worker: str) -> Any:
        """Resume giving out a worker's boards (operator)."""
        return await self.call("resume", worker=worker)

    @checked
    async def delete_worker(self, worker: str) -> list[str]:
        """Forget a worker that is offline, and return the serials of its boards; for operators."""
        return [str(serial) for serial in await self.call("delete_worker", worker=worker)]

    @checked
    async def audit(
        self, seconds: float = 86400.0, *, account: str | None = None, action: str | None = None, limit: int = 300
    ) -> list[dict[str, Any]]:
        """Return who did what over the last so many seconds, of one account or all; for operators."""
        answer = await self.call("audit", seconds=seconds, account=account, action=action, limit=limit)
        return [dict(entry) for entry in answer]

    @checked
    async def dismiss(self, ids: Sequence[str]) -> Any:
        """Remove requests from the queue, and return those that waited (operator)."""
        return await self.call("dismiss", ids=ids)

    @checked
    async def ask(self, serial: str, method: str, *, limit: float | None = ASK_LIMIT, **arguments: Any) -> Any:
        """Call a method that the kind of a reserved board offers beside ``evaluate``, once; ``limit`` is in seconds."""
        return await self.boards.ask(serial, method, arguments, limit)

    def run(self, plan: RunPlan, reservations: Mapping[str, ReservationRecord]) -> Run:
        """Begin a run of evaluations on boards, of which ``reservations`` are known."""
        from icefarm.client.evaluation.run import Run

        present = [serial for serial in dict.fromkeys(plan.serials) if serial in self.boards.leases.by_serial]
        resumption = self._resumption(plan, reservations) if plan.resume else None
        limit, note = _limit(plan, reservations), self._note(plan)
        notes = self._run_notes(plan, present) if plan.archive else None
        return Run(self.clock, self.boards, present, plan, limit, note, resumption, notes)

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
        """Return what the farm is told of a run on these boards; None without any."""
        from icefarm.client.evaluation.run_report import RunNotes

        records = [self.boards.leases.by_serial[serial].record for serial in serials]
        if not records:
            return None
        report = RunReport(
            number=uuid4().hex,
            kind=records[0].kind,
            boards={record.serial: record.id for record in records},
            experiment=plan.experiment or self.experiment,
            options=dict(records[0].options),
            evaluation_options=dict(plan.options),
            placement=dict(plan.placement),
            labels=dict(plan.labels),
            version=__version__,
        )
        return RunNotes(self._run_reporter, report)

    def _note(self, plan: RunPlan) -> dict[str, Any]:
        """Return what the archive is to note of each evaluation of a plan.

        Without a name the experiment is that of the day on which the run begins: a run has one, also after midnight.
        """
        if not plan.archive:
            return {"archive": False}
        today = datetime.fromtimestamp(self.clock.seconds(), UTC).date()
        named = {"experiment": plan.experiment or self.experiment or default_experiment(self.name, today)}
        return {**named, "labels": dict(plan.labels)} if plan.labels else named


def _given(arguments: list[Any]) -> list[Any]:
    """Return arguments by position, without those at the end that are None."""
    while arguments and arguments[-1] is None:
        arguments = arguments[:-1]
    return arguments


def _limit(plan: RunPlan, reservations: Mapping[str, ReservationRecord]) -> float:
    """Return the seconds that each attempt of an evaluation gets."""
    if plan.limit is not None:
        return plan.limit
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

    ``ca_file``: a PEM file with the certificates to trust; None: those that the system trusts.
    ``login``: the file of a sign-in at the lab's issuer, whose tokens are used and refreshed.
    Raises `InvalidArgument` if the URL or the name is not valid.
    """
    from icefarm.wamp.link import Link

    parse_url(url, ca_file)
    credentials = Credentials(name, role, uuid4().hex, token)
    tickets = None if login is None else _tickets(reactor, login, ca_file)
    return ClientSession(
        reactor,
        url,
        credentials,
        lambda who, joined, refused: Link(reactor, url, who, joined, refused, ca_file=ca_file, tickets=tickets),
        patience or Patience(),
        tickets=tickets,
    )


def _tickets(reactor: Any, login: Path, ca_file: str | None) -> Tickets:
    from icefarm.oidc.http import HttpClient
    from icefarm.oidc.stored_tickets import StoredTickets

    return StoredTickets(login, HttpClient(reactor, ca_file), reactor)
