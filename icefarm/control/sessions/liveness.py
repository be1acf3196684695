"""Pure: no I/O, no clock.  What happens to sessions, and what follows when one ends or somebody stays away.

Theory of operation
-------------------
Two kinds of machines live in one `Presence`; `step` takes an event in and returns the next `Presence` and the effects.

A *session* at the router, by its number.  Workers are watched from the start, clients from their first heartbeat or
reservation on; watched sessions must call every `HEARTBEAT` seconds:

    Admitted ──── ADMISSION s ────> lapsed: as if its session had ended
       │
       │ Joined or Heard, whichever comes first
       ▼
    UNWATCHED ── Heard(watch) ──> WATCHED ── SILENCE s without Heard ──┐
       │    ▲                                                         │
     Contested │                                                      │
       │      Heard                                                   │
       ▼    │                                                         ▼
    CONTESTED ──────────────── SILENCE s without Heard ──────────> Kill: ENDED, until the router says Left

An unwatched session is contested when somebody else is refused its name: its connection may have died unnoticed.  From
each state, Left (the router says that it ended), and Revoked and Expired (its token is not valid any more) lead out as
well.

When a name has neither a session nor an admission left, a worker is lost at once (WorkerLost), and a client is absent.

An *absence*, of a client by its name or of a reserved board by its serial:

                 its last session ended, ClientMissing, DeviceMissing
    (here) ─────────────────────────────────────────────────────────────> ABSENT ── its time is over ──> ClientGone,
       ▲                                                                     │                           BoardLost
       └────────────── Admitted and Joined, Heard, DeviceFound ──────────────┘

A client has the farm's grace period, or the shortest that it asked for with a reservation (Granted); where others of
its reservations last longer, StillMissing makes it absent once more.  A board has the grace period after it was
unplugged, and the worker's, which is longer, while its worker is away.

When control joins a router (Listed), it begins with the sessions that are there.  Nobody is to blame for silence
while control was away, so every session and every absence there has its full time from then on.  Sessions that
were told to end before, and are still there, are told again: while their router was out of reach, they could not be.

A farm may have several *routers*:

    Listed ──> REACHED ── RouterAway ──> AWAY ── ROUTER_PATIENCE s ──> its workers are lost
       ▲                                   │                                     │
       └───────────────── Listed ──────────┴─────────────────────────────────────┘

Nobody at a router that is away is judged: its sessions stay as they were, except that a name that somebody else wants
becomes free after SILENCE s, and an absence of a client that may be there does not end.  Its workers are lost, so that
their boards are given to nobody.  While no router is in reach, nothing is judged: no Ticked comes.

Invariants:

- Routers number their sessions each for itself: a session is known by its router and its number.
- It is in ``sessions`` or in ``ended``, never in both; what an ended one says is passed over.
- A name is one instance's, at all routers.  A client may have a session at each of them; a worker has one.
- A client that has a session is not absent.  Clients and operators of one name are one holder.
- An admission is for one instance, and the session that begins uses it up; earlier sessions of that instance are ended
  before, so that a client that reconnects is never absent.
- SessionEnded follows once on the end of each session, WorkerLost once on the end of a worker's last.
- `due` is the earliest of all deadlines.  Ticked before it changes nothing, so a timer may fire too early.

Times are seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

from attrs import evolve

from icefarm.bus import SessionKey
from icefarm.contract import Role
from icefarm.control.sessions.events import (
    AbsenceEvent,
    Admitted,
    ClientMissing,
    Contested,
    DeviceFound,
    DeviceMissing,
    Effect,
    Event,
    Expired,
    Granted,
    Heard,
    Joined,
    Kill,
    Left,
    Listed,
    Renewed,
    Revoked,
    RouterAway,
    Session,
    SessionEvent,
    StillMissing,
    Ticked,
    Welcomed,
)
from icefarm.control.sessions.presence import (
    HOLDERS,
    Absence,
    Absentee,
    PendingSignIn,
    Presence,
    predecessors,
    rival,
)
from icefarm.control.telemetry.events import BoardLost, ClientBack, ClientGone, SessionEnded, WorkerLost

__all__ = [
    "ADMISSION",
    "HEARTBEAT",
    "ROUTER_PATIENCE",
    "SILENCE",
    "advance",
    "due",
    "is_sign_of_life",
    "refreshed",
    "step",
]

#: Seconds between heartbeats of workers and clients; control sends them this value.
HEARTBEAT = 5.0
#: Seconds of silence after which a watched session is killed at the router: four heartbeats.
SILENCE = 20.0
#: Seconds between the permission to sign in and the session's start.
ADMISSION = 10.0
#: Seconds until the workers of a router that is away count as lost, while others are in reach: one that stands by takes
#: over sooner.
ROUTER_PATIENCE = 5.0


def due(state: Presence) -> float | None:
    """Return when `Ticked` is to come next, or None where nothing is waited for."""
    times = [time for session in state.sessions.values() if (time := _deadline(state, session)) is not None]
    times += [admission.until for admission in state.admissions.values()]
    times += [absence.until for key, absence in state.absences.items() if not _is_suspended(state, key, absence)]
    times += [until for until in state.away.values() if until < inf]
    return min(times, default=None)


def _deadline(state: Presence, session: Session) -> float | None:
    """Return until when a session must call.  At a router that is away, none can, and only its name may be wanted."""
    if session.due is None or session.router in state.away:
        return session.contested
    return session.due


def _is_suspended(state: Presence, key: tuple[Absentee, str], absence: Absence) -> bool:
    """Tell whether an absence does not end now, since its client may be at a router that is away."""
    if key[0] is not Absentee.CLIENT:
        return False
    return bool(state.away) if absence.router is None else absence.router in state.away


def advance(state: Presence, event: Event, now: float) -> tuple[Presence, list[Effect], float | None]:
    """Take one event in, and say what follows and when `Ticked` is to come next (`step` and `due`)."""
    after, effects = step(state, event, now)
    return after, effects, due(after)


def is_sign_of_life(state: Presence, heard: Heard) -> bool:
    """Tell whether a call says only that its session lives; then `refreshed` does what `step` would.

    Nearly all calls are such.  A copy of the state for each would cost time that grows with the number of sessions.
    """
    session = heard.session
    known = state.sessions.get(session.key)
    return (
        known is not None
        and (known.role, known.name) == (session.role, session.name)
        and (known.due is not None or not heard.watch)
        and (known.instance != "" or session.instance == "")
        and known.contested is None
        and (session.role, session.name, session.router) not in state.admissions
        and (Absentee.CLIENT, session.name) not in state.absences
    )


def refreshed(state: Presence, heard: Mapping[SessionKey, float]) -> Presence:
    """Take in when each of these sessions was heard last, as far as they are there."""
    sessions = {
        key: evolve(session, due=heard[key] + SILENCE) if key in heard and session.due is not None else session
        for key, session in state.sessions.items()
    }
    return evolve(state, sessions=sessions)


def step(state: Presence, event: Event, now: float) -> tuple[Presence, list[Effect]]:
    """Apply one event and return the reactions."""
    match event:
        case Ticked():
            return _tick(state, now)
        case Listed(sessions, router):
            return _listed(state, sessions, router, now)
        case RouterAway(router):
            return _lose_router(state, router, now), []
        case ClientMissing() | Granted() | StillMissing() | DeviceMissing() | DeviceFound():
            return _of_absence(state, event, now), []
        case _:
            return _of_session(state, event, now)


def _of_session(state: Presence, event: SessionEvent, now: float) -> tuple[Presence, list[Effect]]:
    match event:
        case Admitted():
            return _admit(state, event, now)
        case Contested(role, name):
            return _contest(state, role, name, now), []
        case Joined(session):
            return _welcome_back(state, _meet(state, session, watch=False, now=now))
        case Heard(session, watch):
            return _welcome_back(state, _meet(state, session, watch=watch, now=now))
        case Left(number, router):
            return _leave(state, (router, number), now)
        case Welcomed(number, router):
            return _welcome(state, (router, number)), []
        case Revoked() | Expired():
            return _end(state, _without_token(state, event), "has a token that is no longer valid", now)
        case Renewed(number, expires_at, router):
            return _renew(state, (router, number), expires_at), []


def _of_absence(state: Presence, event: AbsenceEvent, now: float) -> Presence:
    match event:
        case ClientMissing(name):
            return _expect_client(state, name, now)
        case Granted(name, seconds):
            least = min(seconds, state.graces.get(name, state.grace))
            return evolve(state, graces={**state.graces, name: least}) if least < state.grace else state
        case StillMissing(name, since, seconds):
            if state.client_is_here(name):
                return state
            absence = Absence(since, since + seconds)
            return evolve(state, absences={**state.absences, (Absentee.CLIENT, name): absence})
        case DeviceMissing(serial, with_worker):
            return _miss_board(state, serial, with_worker, now)
        case DeviceFound(serial):
            return _present(state, Absentee.DEVICE, serial)


def _admit(state: Presence, admitted: Admitted, now: float) -> tuple[Presence, list[Effect]]:
    role, name, instance, router = admitted.role, admitted.name, admitted.instance, admitted.router
    past = predecessors(state, role, name, instance, router)
    absences = dict(state.absences)
    if (Absentee.CLIENT, name) in absences and role in HOLDERS:
        # It is signing in: its time does not run out now.
        absence = absences[Absentee.CLIENT, name]
        absences[Absentee.CLIENT, name] = evolve(absence, until=max(absence.until, now + ADMISSION))
    state = evolve(
        state,
        # Dropped here: their end must not count as a loss of the client, which is reconnecting.
        sessions={key: session for key, session in state.sessions.items() if key not in past},
        admissions={**state.admissions, (role, name, router): PendingSignIn(instance, now + ADMISSION)},
        absences=absences,
        ended=state.ended | set(past),
    )
    return state, [_ended(key) for key in past]


def _ended(key: SessionKey) -> SessionEnded:
    router, number = key
    return SessionEnded(number, router)


def _contest(state: Presence, role: Role, name: str, now: float) -> Presence:
    def is_to_be_contested(session: Session) -> bool:
        unwatched = session.due is None or session.router in state.away
        return (session.role, session.name, session.contested) == (role, name, None) and unwatched

    sessions = {
        key: evolve(session, contested=now + SILENCE) if is_to_be_contested(session) else session
        for key, session in state.sessions.items()
    }
    return evolve(state, sessions=sessions)


def _meet(state: Presence, session: Session, *, watch: bool, now: float) -> Presence:
    """Record a session, whether the router's event or its first call arrives first."""
    if session.role not in (*HOLDERS, Role.WORKER) or session.key in state.ended:
        return state
    known = state.sessions.get(session.key, session)
    admission = state.admissions.get((session.role, session.name, session.router))
    watched = watch or known.due is not None or session.role is Role.WORKER
    admissions = dict(state.admissions)
    admissions.pop((session.role, session.name, session.router), None)
    known = evolve(
        known,
        instance=known.instance or session.instance or (admission.instance if admission is not None else ""),
        token=session.token if known.token is None else known.token,
        expires_at=session.expires_at if known.expires_at is None else known.expires_at,
        address=known.address or session.address,
        follows=known.follows or session.follows,
        due=now + SILENCE if watched else None,
        contested=None,
    )
    state = evolve(state, sessions={**state.sessions, session.key: known}, admissions=admissions)
    return state if session.role is Role.WORKER else _present(state, Absentee.CLIENT, session.name)


def _welcome_back(before: Presence, after: Presence) -> tuple[Presence, list[Effect]]:
    new = (session for key, session in after.sessions.items() if key not in before.sessions)
    names = sorted({session.name for session in new if session.role in HOLDERS})
    return after, [ClientBack(name) for name in names]


def _leave(state: Presence, key: SessionKey, now: float) -> tuple[Presence, list[Effect]]:
    gone = state.sessions.get(key)
    state = evolve(state, ended=state.ended - {key})
    if gone is None:
        return state, []
    state = evolve(state, sessions={other: session for other, session in state.sessions.items() if other != key})
    state, effects = _miss(state, gone.role, gone.name, gone.router, now)
    return state, [_ended(key), *effects]


def _miss(state: Presence, role: Role, name: str, router: str, now: float) -> tuple[Presence, list[Effect]]:
    """Handle the loss of a session or admission at a router; the reaction depends on what is left."""
    if role is Role.WORKER:
        return state, [] if state.worker_is_here(name) else [WorkerLost(name)]
    if state.client_is_here(name):
        return state, []
    return _absent(state, name, router, now), []


def _without_token(state: Presence, event: Revoked | Expired) -> list[Session]:
    match event:
        case Revoked(tokens):
            return [session for session in state.sessions.values() if session.token in tokens]
        case Expired(numbers):
            return [session for key, session in state.sessions.items() if key in numbers]


def _renew(state: Presence, key: SessionKey, expires_at: float) -> Presence:
    session = state.sessions.get(key)
    if session is None or session.expires_at is None:
        return state
    return evolve(state, sessions={**state.sessions, key: evolve(session, expires_at=expires_at)})


def _welcome(state: Presence, key: SessionKey) -> Presence:
    session = state.sessions.get(key)
    if session is None:
        return state
    return evolve(state, sessions={**state.sessions, key: evolve(session, welcomed=True)})


def _listed(state: Presence, sessions: Sequence[Session], router: str, now: float) -> tuple[Presence, list[Effect]]:
    elsewhere = _but(state.sessions, router)
    after, effects = _welcome_back(evolve(state, sessions=elsewhere), _list(state, sessions, router, now))
    # While the router was away, its name may have become another one's at another router.
    others = evolve(after, sessions=elsewhere)
    names = {(session.role, session.name) for session in elsewhere.values()} | {key[:2] for key in others.admissions}
    taken = [
        session
        for key, session in after.sessions.items()
        if key not in elsewhere
        and (session.role, session.name) in names
        and rival(others, session.role, session.name, session.instance)
    ]
    after, more = _end(after, taken, "has a name that is another one's by now", now)
    again = [session for session in sessions if session.key in state.ended]
    kills = [Kill(each.number, f"{each.role} {each.name!r} was told to end before", router) for each in again]
    return after, [*effects, *more, *kills]


def _but(sessions: Mapping[SessionKey, Session], router: str) -> dict[SessionKey, Session]:
    return {key: session for key, session in sessions.items() if session.router != router}


def _list(state: Presence, sessions: Sequence[Session], router: str, now: float) -> Presence:
    """Start over at a router.  Silence while control was away does not count: all time limits restart."""
    alone, there = not state.reached - {router}, {session.key for session in sessions}
    fresh = evolve(
        state,
        sessions=_but(state.sessions, router),
        admissions={key: admission for key, admission in state.admissions.items() if key[2] != router},
        absences={
            key: _renewed(state, key, now)
            if alone or (key[0] is Absentee.CLIENT and absence.router in (None, router))
            else absence
            for key, absence in state.absences.items()
        },
        ended=frozenset(key for key in state.ended if key[0] != router or key in there),
        reached=state.reached | {router},
        away={
            other: now + ROUTER_PATIENCE if alone and until < inf else until
            for other, until in state.away.items()
            if other != router
        },
    )
    for session in sessions:
        before = state.sessions.get(session.key)
        watch = before is not None and before.due is not None
        fresh = _meet(fresh, session, watch=watch, now=now)
    for key, session in state.sessions.items():
        if key not in fresh.sessions and session.role in HOLDERS:
            fresh, _ = _miss(fresh, session.role, session.name, session.router, now)
    return fresh


def _lose_router(state: Presence, router: str, now: float) -> Presence:
    return evolve(
        state,
        reached=state.reached - {router},
        away={**state.away, router: state.away.get(router, now + ROUTER_PATIENCE)},
    )


def _lose_workers(state: Presence, now: float) -> tuple[Presence, list[Effect]]:
    """Take the workers of routers away that have been away for long."""
    over = {router for router, until in state.away.items() if until <= now}
    if not over:
        return state, []
    effects: list[Effect] = []
    state = evolve(state, away={**state.away, **dict.fromkeys(over, inf)})
    for key, session in state.sessions.items():
        if session.role is Role.WORKER and session.router in over:
            state, left = _leave(state, key, now)
            effects += left
    return state, effects


def _expect_client(state: Presence, name: str, now: float) -> Presence:
    if not state.client_is_here(name):
        return _absent(state, name, None, now)
    sessions = {
        key: evolve(session, due=now + SILENCE)
        if session.name == name and session.role in HOLDERS and session.due is None
        else session
        for key, session in state.sessions.items()
    }
    return evolve(state, sessions=sessions)


def _absent(state: Presence, name: str, router: str | None, now: float) -> Presence:
    # The grace period runs from the first time that it was missed.
    key = (Absentee.CLIENT, name)
    absence = state.absences.get(key, evolve(_renewed(state, key, now), router=router))
    return evolve(state, absences={**state.absences, key: absence})


def _miss_board(state: Presence, serial: str, with_worker: bool, now: float) -> Presence:
    known = state.absences.get((Absentee.DEVICE, serial))
    if known is not None and known.with_worker is with_worker:
        return state
    # Its worker came back without it, or left as well: another limit applies from now on.
    grace = state.worker_grace if with_worker else state.grace
    absence = Absence(now, now + grace, with_worker)
    return evolve(state, absences={**state.absences, (Absentee.DEVICE, serial): absence})


def _renewed(state: Presence, key: tuple[Absentee, str], now: float) -> Absence:
    """Return an absence that begins now; for a client, until its first reservation ends."""
    what, name = key
    if what is Absentee.CLIENT:
        router = state.absences[key].router if key in state.absences else None
        return Absence(now, now + state.graces.get(name, state.grace), router=router)
    with_worker = key in state.absences and state.absences[key].with_worker
    return Absence(now, now + (state.worker_grace if with_worker else state.grace), with_worker)


def _present(state: Presence, what: Absentee, name: str) -> Presence:
    if (what, name) not in state.absences:
        return state
    return evolve(state, absences={key: absence for key, absence in state.absences.items() if key != (what, name)})


def _end(state: Presence, sessions: Sequence[Session], why: str, now: float) -> tuple[Presence, list[Effect]]:
    """End sessions.  They count as gone from now on, since the router may never report it."""
    effects: list[Effect] = []
    for session in sessions:
        effects.append(Kill(session.number, f"{session.role} {session.name!r} {why}", session.router))
        state, left = _leave(state, session.key, now)
        effects += left
    return evolve(state, ended=state.ended | {session.key for session in sessions}), effects


def _tick(state: Presence, now: float) -> tuple[Presence, list[Effect]]:
    silent = [each for each in state.sessions.values() if (time := _deadline(state, each)) is not None and time <= now]
    why = f"was silent for {SILENCE:g} s"
    state, effects = _end(state, silent, why, now)
    state, lost = _lose_workers(state, now)
    effects += lost
    over = [key for key, admission in state.admissions.items() if admission.until <= now]
    admissions = {key: admission for key, admission in state.admissions.items() if key not in over}
    state = evolve(state, admissions=admissions)
    for role, name, router in over:
        state, lost = _miss(state, role, name, router, now)
        effects += lost
    gone = {
        key: absence
        for key, absence in state.absences.items()
        if absence.until <= now and not _is_suspended(state, key, absence)
    }
    for (what, name), absence in gone.items():
        effects.append(ClientGone(name, absence.since) if what is Absentee.CLIENT else BoardLost(name))
    absences = {key: absence for key, absence in state.absences.items() if key not in gone}
    return evolve(state, absences=absences), effects
