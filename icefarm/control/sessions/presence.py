"""Pure: no I/O, no clock.  Who is here, and who is expected back; `icefarm.control.sessions.liveness` changes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

from icefarm.bus import SessionKey
from icefarm.contract import Role, account_of
from icefarm.control.sessions.events import Session

__all__ = [
    "HOLDERS",
    "Absence",
    "Absentee",
    "PendingSignIn",
    "Presence",
    "count_of",
    "predecessors",
    "rival",
    "sessions_by_role",
]

#: Clients and operators share what they hold: a reservation is the name's, not the role's.
HOLDERS = (Role.CLIENT, Role.OPERATOR)


class Absentee(StrEnum):
    """What has the grace period to come back."""

    CLIENT = "client"
    DEVICE = "device"


@frozen
class PendingSignIn:
    """A permission to sign in that has not been used yet."""

    instance: str
    until: float


def _no_sessions() -> Mapping[SessionKey, Session]:
    return {}


def _no_admissions() -> Mapping[tuple[Role, str, str], PendingSignIn]:
    return {}


@frozen
class Absence:
    """Somebody is missed since a moment, and may come back until another."""

    since: float
    until: float
    #: A board's: its worker is away.
    with_worker: bool = False
    #: A client's: the router at which it was last; None: it may be at any.
    router: str | None = None


def _no_absences() -> Mapping[tuple[Absentee, str], Absence]:
    return {}


def _no_graces() -> Mapping[str, float]:
    return {}


def _no_routers() -> Mapping[str, float]:
    return {}


@frozen
class Presence:
    """All sessions, and all clients and boards that are expected back."""

    #: Seconds that a client, or a board that was unplugged, has to come back.
    grace: float
    #: Seconds that a board has to come back whose worker is away.
    worker_grace: float = 600.0
    sessions: Mapping[SessionKey, Session] = field(factory=_no_sessions)
    #: By role, name and router.
    admissions: Mapping[tuple[Role, str, str], PendingSignIn] = field(factory=_no_admissions)
    absences: Mapping[tuple[Absentee, str], Absence] = field(factory=_no_absences)
    #: Clients with a reservation that has less time than ``grace``, and how much.
    graces: Mapping[str, float] = field(factory=_no_graces)
    #: Sessions that were told to end.  The router keeps them until the other side agrees, which a dead one never does.
    ended: frozenset[SessionKey] = frozenset()
    #: The routers in reach; and of the others, when their workers are lost.
    reached: frozenset[str] = frozenset()
    away: Mapping[str, float] = field(factory=_no_routers)

    def client_is_here(self, name: str) -> bool:
        """Tell whether a client or operator of that name has a session, or is about to have one."""
        return any(self._is_here(role, name) for role in HOLDERS)

    def worker_is_here(self, name: str) -> bool:
        """Tell whether the worker has a session, or is about to have one."""
        return self._is_here(Role.WORKER, name)

    def _is_here(self, role: Role, name: str) -> bool:
        if any((role, name) == (its, other) for its, other, _ in self.admissions):
            return True
        return any(session.role is role and session.name == name for session in self.sessions.values())


def rival(state: Presence, role: Role, name: str, instance: str) -> bool:
    """Tell whether another instance has that name in that role, at whichever router."""
    if any(
        (its, other) == (role, name) and admission.instance != instance
        for (its, other, _), admission in state.admissions.items()
    ):
        return True
    return any(
        session.role is role and session.name == name and session.instance != instance
        for session in state.sessions.values()
    )


def predecessors(state: Presence, role: Role, name: str, instance: str, router: str = "") -> list[SessionKey]:
    """Return that very instance's sessions that it has lost when it signs in at a router.

    A client may have one session at each router; a worker has one.
    """
    return [
        session.key
        for session in state.sessions.values()
        if (session.role, session.name, session.instance) == (role, name, instance)
        and (session.router == router or role is Role.WORKER)
    ]


def count_of(state: Presence, account: str, role: Role | None, name: str) -> int:
    """Return how many sessions an account has, or is about to have, beside those of that role and name."""
    names = {(session.role, session.name) for session in state.sessions.values()}
    names |= {(its, other) for its, other, _ in state.admissions}
    return sum(account_of(other) == account and (its, other) != (role, name) for its, other in names)


def sessions_by_role(state: Presence, router: str) -> dict[str, int]:
    """Return how many sessions there are at a router, by role."""
    here = Counter(str(session.role) for session in state.sessions.values() if session.router == router)
    return {str(role): here[str(role)] for role in (Role.CLIENT, Role.OPERATOR, Role.WORKER)}
