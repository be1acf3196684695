"""The procedures ``icefarm.v1.control.*`` with which clients find, reserve and keep boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import asdict, define

from icefarm import __version__
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import within
from icefarm.contract import (
    LONGEST_NAME,
    MAX_SECONDS,
    NAME_RULE,
    Role,
    account_of,
    normal_name,
    to_wire,
    valid_name,
)
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.reservations import Reservations
from icefarm.control.rpc.dispatcher import ends_with_its_call
from icefarm.control.rpc.elsewhere import only_here
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.availability import Sharing, free
from icefarm.control.scheduling.bookings.calendar import Calendar, Shelf
from icefarm.control.scheduling.placement import ReservationRequest, distinct_serials, terms_of
from icefarm.control.sessions.events import Renewed
from icefarm.control.sessions.limits import checked_limits
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.sessions.presence import count_of
from icefarm.control.sessions.sign_in.authenticator import RESERVED_NAMES
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck
from icefarm.control.sessions.sign_in.tokens import may_sign_in
from icefarm.control.sessions.tracker import NO_SESSION, Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import FarmMirror, FarmRecords
from icefarm.control.storage.shared import Shared
from icefarm.control.telemetry.rates import Rates
from icefarm.errors import InvalidArgument, NotAuthorized, Unavailable
from icefarm.selectors.boards import check_known, label_names, parse_boards
from icefarm.selectors.language import Selector
from icefarm.text.durations import in_words

__all__ = ["ClientProcedures"]

#: Longest id of a request, in characters.
LONGEST_ID = 64
#: Seconds for the answer to a heartbeat: less than a client waits before it considers control dead.
HEARTBEAT_ANSWER = 6.0


def _bounded(what: str, seconds: float) -> float:
    if not 0 < seconds <= MAX_SECONDS:
        most = in_words(MAX_SECONDS)
        raise InvalidArgument(f"{what} must be a number of seconds above 0, at most {most}, not {seconds!r}")
    return seconds


def _check_kind(kind: str) -> None:
    """Refuse what can't be a kind before anything is done for it."""
    if len(kind) > LONGEST_NAME:
        raise InvalidArgument(f"kind must have at most {LONGEST_NAME} characters, not {len(kind)}")


def _check_request(
    kind: str,
    request: str | None,
    timeout: float | None,
    seconds: float | None,
    grace: float | None,
    priority: float | None,
) -> None:
    if not kind:
        raise InvalidArgument("kind is missing; give the device kind, such as 'pulsecount'")
    _check_kind(kind)
    for what, given in (("timeout", timeout), ("seconds", seconds)):
        if given is not None:
            _bounded(what, given)
    if request is not None and not (len(request) <= LONGEST_ID and valid_name(request)):
        raise InvalidArgument(f"request must have 1 to {LONGEST_ID} printable characters, not {request!a:.80}")
    if grace is not None and not 0 <= grace <= MAX_SECONDS:
        raise InvalidArgument(f"grace must be a number of seconds from 0 to {in_words(MAX_SECONDS)}, not {grace!r}")
    if priority is not None and priority < 0:
        raise InvalidArgument(f"priority must be 0 or above, not {priority!r}")


def _selector(text: str, records: FarmRecords) -> Selector:
    """Read a selector of boards.  Raises `InvalidArgument`, also for names that the farm does not know."""
    selector = parse_boards(text)
    check_known(selector, label_names([*records.devices, *records.workers]))
    return selector


@define(eq=False)
class ClientProcedures:
    """The procedures about a caller's reservations.  The router identifies the caller; it is never an argument."""

    store: Store
    sessions: Sessions
    reservations: Reservations
    queue: WaitingQueue
    rates: Rates
    clock: Clock
    credentials: CredentialsCheck
    mirror: FarmMirror
    access_rules: Shared[AccessRules]
    #: Default length of a reservation in seconds.
    reservation_s: float
    grace_s: float
    #: Whether boards that are reserved by number may be asked back, unless their client says otherwise.
    preemptible: bool
    #: How many clients may share a board.
    most_sharers: int
    #: Where programs connect from outside; None: where each of them does.
    url: str | None = None

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        everybody = (Role.CLIENT, Role.OPERATOR)
        for_all = (
            *(self.available, self.reserve, self.extend, self.end),
            *(self.snapshot, self.heartbeat, self.renew, self.limits),
        )
        return {
            **{method.__name__: (method, everybody) for method in for_all},
            "set_limits": (self.set_limits, (Role.OPERATOR,)),
        }

    async def renew(self, caller: Caller, token: str) -> None:
        """Let a session continue under a new token of the lab's issuer, for the same account."""
        holder = await self.credentials.holder(token, caller.address)
        if holder is None or holder.expires_at is None:
            raise NotAuthorized("only a token of the lab's issuer can renew a session")
        if holder.account != account_of(caller.authid) or not may_sign_in(holder.role, Role(caller.role)):
            raise NotAuthorized("that token is for another account or role than this session; sign in with it")
        self.sessions.tell(Renewed(caller.session, holder.expires_at, caller.router))

    async def available(
        self, caller: Caller, kind: str | None = None, where: str | None = None, shared: bool = False
    ) -> dict[str, Any]:
        """List the boards that can be reserved now; with ``where``, those that it selects.

        With ``shared``, those that can be shared as ``kind``, which is then required.
        """
        if shared and kind is None:
            raise InvalidArgument("shared needs the kind that boards are shared as: give kind")
        if kind is not None:
            _check_kind(kind)
        found = await self.mirror.read()
        selector = None if where is None else _selector(where, found)
        rules = await self.access_rules.get()
        if shared:
            sharing = Sharing(caller.authid, self.most_sharers)
            serials = free(found.devices, found.workers, kind, selector, rules.of(caller.authid), sharing)
        else:
            serials = found.free(kind, selector, rules.of(caller.authid), where)
        if found.bookings:
            shelf = Shelf.of(found.devices, found.workers, self.mirror.now())
            calendar = Calendar(tuple(found.bookings), rules.groups)
            kept = calendar.kept(shelf, caller.authid, shelf.kinds.keys() - set(serials))
            serials = [serial for serial in serials if serial not in kept]
        return {"amount": len(serials), "serials": serials}

    @ends_with_its_call
    async def reserve(
        self,
        caller: Caller,
        amount: int | None = None,
        serials: list[str] | None = None,
        kind: str = "",
        options: dict[str, Any] | None = None,
        wait: bool = False,
        timeout: float | None = None,
        seconds: float | None = None,
        request: str | None = None,
        grace: float | None = None,
        where: str | None = None,
        at_least: int | None = None,
        preemptible: bool | None = None,
        priority: float | None = None,
        shared: bool = False,
    ) -> list[dict[str, Any]]:
        """Reserve boards and make them ready, all or nothing; see `Reservations.reserve`.

        With ``at_least`` it begins with that many boards, and gets the rest of ``amount`` as they become free.
        ``preemptible``: on the event ``give_back`` the client gives boards up, down to ``at_least`` (1); it gets
        boards with the event ``joined``; None: the farm's default.  ``priority``: 0 to the account's; None: the
        account's.

        The client chooses the id ``request``: a repeated call with it keeps its place, or gets the boards allocated.
        ``where`` is a selector for the boards of an amount.  ``shared``: other clients with ``shared`` may take turns
        on these boards, as the same kind.
        """
        _check_request(kind, request, timeout, seconds, grace, priority)
        gives_up, limits = self._gives_up(caller, amount, preemptible, shared), self.sessions.limits
        where = await self._within_reach(caller, serials, where)
        own, access = limits.of(caller.authid), (await self.access_rules.get()).of(caller.authid)
        duration = access.duration(kind, seconds, min(self.reservation_s, own.seconds))
        allowed, sharers = access.lasting(duration), self.most_sharers if shared else None
        selector = None if where is None else _selector(where, await self.mirror.read())
        terms = terms_of(own.priority if priority is None else priority, amount, at_least, gives_up, where)
        wanted = ReservationRequest(
            kind, amount, serials, options or {}, at_least, where=selector, allowance=allowed, sharers=sharers
        )
        # A caller without a session is never away.  Grace beyond the reservation's end means nothing.
        waits = None if grace is None or caller.session == NO_SESSION else min(grace, duration)
        limits.check_request(caller.authid, duration, waits, priority, boards=amount or len(serials or ()))
        # A client that wants boards must send heartbeats from now on.
        self.sessions.heard(caller, watch=True)
        records = await self.reservations.reserve(
            caller, wanted, duration, wait=wait, timeout=timeout, request_id=request, grace=grace, terms=terms
        )
        routers = self.sessions.routers
        return [{**to_wire(record), "router": routers.seen_from(caller.router, record.worker)} for record in records]

    async def _within_reach(self, caller: Caller, serials: Sequence[str] | None, where: str | None) -> str | None:
        """Return what selects the boards that a caller can reach: one that knows one router has those of that one."""
        if self.sessions.follows(caller):
            return where
        here, elsewhere = self.sessions.routers.workers(caller.router)
        if not elsewhere:
            return where
        if serials is None:
            return only_here(where, here, elsewhere)
        for board in (await self.mirror.read()).devices:
            if board.serial in serials and board.worker in elsewhere:
                router = self.sessions.routers.seen_from(caller.router, board.worker)
                raise Unavailable(
                    f"board {board.serial} is at another router of the farm, and this client follows to none: sign in "
                    f"at {router}, or use a newer version of icefarm",
                    serial=board.serial,
                    router=router,
                )
        return where

    def _gives_up(self, caller: Caller, amount: int | None, preemptible: bool | None, shared: bool) -> bool:
        """Tell whether boards may be asked back for others."""
        if shared and preemptible:
            raise InvalidArgument("preemptible goes with boards that a client has for itself, not with shared ones")
        if caller.session == NO_SESSION or shared:
            # No session can be asked to give boards up; or they are shared with the clients that want them.
            return False
        return self.preemptible and amount is not None if preemptible is None else preemptible

    async def extend(self, caller: Caller, serials: list[str] | None = None, seconds: float | None = None) -> list[str]:
        """Extend the caller's reservations to that long from now; never shortens one."""
        own = self.sessions.limits.of(caller.authid)
        duration = min(self.reservation_s, own.seconds) if seconds is None else _bounded("seconds", seconds)
        self.sessions.limits.check_seconds(caller.authid, "seconds", duration)
        chosen = None if serials is None else distinct_serials(serials)
        return [record.serial for record in await self.reservations.extend(caller.authid, chosen, duration)]

    async def end(
        self, caller: Caller, serials: list[str] | None = None, reservations: list[str] | None = None
    ) -> list[str]:
        """End the caller's reservations; returns the boards that this call freed.

        ``reservations`` names them by their ids instead of ``serials``: a board that has been reserved again meanwhile
        stays.  Without both, it ends all, and removes the caller's abandoned requests from the queue.
        """
        client, reason = caller.authid, "ended by its client"
        if reservations is None:
            ended = await self.reservations.end(client, None if serials is None else distinct_serials(serials), reason)
        elif serials is None:
            ended = await self.reservations.end_these(client, distinct_serials(reservations), reason)
        else:
            raise InvalidArgument("give serials or reservations, not both")
        return [record.serial for record in ended]

    async def limits(self, caller: Caller, account: str | None = None) -> dict[str, Any]:
        """Return the limits of the caller's account, and its use of them; an operator may name another account."""
        own = account_of(caller.authid)
        asked = own if account is None else account
        if asked != own and caller.role != Role.OPERATOR:
            raise NotAuthorized("only an operator sees the limits of other accounts")
        held = [record for record in await self.store.active() if account_of(record.client) == asked]
        has = {
            "boards": len(held),
            "queue": self.queue.line.count(asked),
            "sessions": count_of(self.sessions.state, asked, None, ""),
        }
        return {"account": asked, "limits": asdict(self.sessions.limits.of(asked)), "has": has}

    async def set_limits(self, caller: Caller, account: str, limits: dict[str, float | None]) -> dict[str, Any]:
        """Set limits of an account, at once; None restores the farm's limit.  The account keeps what it has already.

        Returns what ``limits`` does.
        """
        name = normal_name(account)
        if not valid_name(name) or "/" in name or name in RESERVED_NAMES:
            raise InvalidArgument(f"{account!a:.120} is not the name of an account: {NAME_RULE}, without '/'")
        if not limits:
            raise InvalidArgument('limits is empty; name some, such as {"boards": 4}')
        # A limit that is taken back needs only its name checked.
        checked_limits({each: 1 if value is None else value for each, value in limits.items()})
        await self.store.set_account_limits(name, limits)
        self.sessions.limits.own = await self.store.account_limits()
        # One that may have more now may be waiting.
        self.queue.poke()
        return await self.limits(caller, name)

    async def snapshot(self, _: Caller) -> dict[str, Any]:
        """Return everything that a dashboard needs to start."""
        found, queue = await self.mirror.read_closely(), self.queue.records()
        now = self.mirror.now()
        return {
            **found.wire(),
            "queue": [to_wire(record) for record in queue],
            "shares": [to_wire(record) for record in self.queue.line.shares.records(found.reservations, queue, now)],
            "readings": self.rates.shown(),
            "time": now,
            "farm": {
                "version": __version__,
                "reservation_s": self.reservation_s,
                "grace_s": self.grace_s,
                "url": self.url,
            },
        }

    async def heartbeat(self, caller: Caller, instance: str) -> dict[str, Any]:
        """Note that the client is alive, and return its reservations."""
        self.sessions.heard(caller, instance, watch=True)
        held, now = await within(HEARTBEAT_ANSWER, self.clock, partial(self._held_by, caller.authid))
        return {"time": now, "reservations": held, "heartbeat_s": HEARTBEAT}

    async def _held_by(self, client: str) -> tuple[list[str], float]:
        return [record.serial for record in await self.store.active(client=client)], await self.store.now()
