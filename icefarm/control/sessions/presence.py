"""Pure: no I/O, no clock.  Who is here, and who is expected back; `icefarm.control.sessions.liveness` changes it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from attrs import field, frozen

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
]

#: Clients and operators share what they hold: a reservation is the name's, not the role's.
HOLDERS = (Role.CLIENT, Role.OPERATOR)


class Absentee(StrEnum):
    """What has the grace period to come back."""

    CLIENT = "client"
    DEVICE = "device"


@frozen
class PendingSignIn:
    """Somebody who may sign in, and has not yet."""

    instance: str
    until: float


def _no_sessions() -> Mapping[int, Session]:
    return {}


def _no_admissions() -> Mapping[tuple[Role, str], PendingSignIn]:
    return {}


@frozen
class Absence:
    """Somebody is missed since a moment, and may come back until another."""

    since: float
    until: float
    #: A board's: its worker is away.
    with_worker: bool = False


def _no_absences() -> Mapping[tuple[Absentee, str], Absence]:
    return {}


def _no_graces() -> Mapping[str, float]:
    return {}


@frozen
class Presence:
    """Everybody who is here, and everybody who is expected back."""

    #: Seconds that a client, or a board that was unplugged, has to come back.
    grace: float
    #: Seconds that a board has to come back whose worker is away.
    worker_grace: float = 600.0
    sessions: Mapping[int, Session] = field(factory=_no_sessions)
    admissions: Mapping[tuple[Role, str], PendingSignIn] = field(factory=_no_admissions)
    absences: Mapping[tuple[Absentee, str], Absence] = field(factory=_no_absences)
    #: Clients with a reservation that has less time than ``grace``, and how much.
    graces: Mapping[str, float] = field(factory=_no_graces)
    #: Sessions that were told to end.  The router keeps them until the other side agrees, which a dead one never does.
    ended: frozenset[int] = frozenset()

    def client_is_here(self, name: str) -> bool:
        """Tell whether a client or operator of that name has a session, or is about to have one."""
        return any(self._is_here(role, name) for role in HOLDERS)

    def worker_is_here(self, name: str) -> bool:
        """Tell whether the worker has a session, or is about to have one."""
        return self._is_here(Role.WORKER, name)

    def _is_here(self, role: Role, name: str) -> bool:
        if (role, name) in self.admissions:
            return True
        return any(session.role is role and session.name == name for session in self.sessions.values())


def rival(state: Presence, role: Role, name: str, instance: str) -> bool:
    """Tell whether another instance has that name in that role."""
    admission = state.admissions.get((role, name))
    if admission is not None and admission.instance != instance:
        return True
    return any(
        session.role is role and session.name == name and session.instance != instance
        for session in state.sessions.values()
    )


def predecessors(state: Presence, role: Role, name: str, instance: str) -> list[int]:
    """Return the numbers of that very instance's sessions, which it has lost."""
    return [
        session.number
        for session in state.sessions.values()
        if (session.role, session.name, session.instance) == (role, name, instance)
    ]


def count_of(state: Presence, account: str, role: Role | None, name: str) -> int:
    """Return how many sessions an account has, or is about to have, beside those of that role and name."""
    names = {(session.role, session.name) for session in state.sessions.values()} | set(state.admissions)
    return sum(account_of(other) == account and (its, other) != (role, name) for its, other in names)
