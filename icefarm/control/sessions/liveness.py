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

When control joins the router (Listed), it begins with the sessions that are there.  Nobody is to blame for silence
while control was away, so every session and every absence has its full time from then on.

Invariants:

- The number of a session is in ``sessions`` or in ``ended``, never in both; what an ended one says is passed over.
- A client that has a session is not absent.  Clients and operators of one name are one holder.
- An admission is for one instance, and the session that begins uses it up; earlier sessions of that instance are ended
  before, so that a client that reconnects is never absent.
- SessionEnded follows once on the end of each session, WorkerLost once on the end of a worker's last.
- `due` is the earliest of all deadlines.  Ticked before it changes nothing, so a timer may fire too early.

Times are seconds of the caller's clock.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

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
)
from icefarm.control.telemetry.events import BoardLost, ClientBack, ClientGone, SessionEnded, WorkerLost

__all__ = ["ADMISSION", "HEARTBEAT", "SILENCE", "advance", "due", "step"]

#: Seconds between heartbeats of workers and clients; control sends them this value.
HEARTBEAT = 5.0
#: Seconds of silence after which a watched session is killed at the router: four heartbeats.
SILENCE = 20.0
#: Seconds between the permission to sign in and the session's start.
ADMISSION = 10.0


def due(state: Presence) -> float | None:
    """Return when `Ticked` is to come next, or None where nothing is waited for."""
    times = [time for session in state.sessions.values() if (time := _deadline(session)) is not None]
    times += [admission.until for admission in state.admissions.values()]
    times += [absence.until for absence in state.absences.values()]
    return min(times, default=None)


def _deadline(session: Session) -> float | None:
    """Return until when a session must call; only one that is not watched is contested."""
    return session.contested if session.due is None else session.due


def advance(state: Presence, event: Event, now: float) -> tuple[Presence, list[Effect], float | None]:
    """Take one event in, and say what follows and when `Ticked` is to come next (`step` and `due`)."""
    after, effects = step(state, event, now)
    return after, effects, due(after)


def step(state: Presence, event: Event, now: float) -> tuple[Presence, list[Effect]]:
    """Apply one event and return the reactions."""
    match event:
        case Ticked():
            return _tick(state, now)
        case ClientMissing() | Granted() | StillMissing() | DeviceMissing() | DeviceFound():
            return _of_absence(state, event, now), []
        case _:
            return _of_session(state, event, now)


def _of_session(state: Presence, event: SessionEvent, now: float) -> tuple[Presence, list[Effect]]:
    match event:
        case Admitted(role, name, instance):
            return _admit(state, role, name, instance, now)
        case Contested(role, name):
            return _contest(state, role, name, now), []
        case Joined(session):
            return _welcome_back(state, _meet(state, session, watch=False, now=now))
        case Heard(session, watch):
            return _welcome_back(state, _meet(state, session, watch=watch, now=now))
        case Left(number):
            return _leave(state, number, now)
        case Welcomed(number):
            return _welcome(state, number), []
        case Listed(sessions):
            return _welcome_back(evolve(state, sessions={}), _list(state, sessions, now))
        case Revoked() | Expired():
            return _end(state, _without_token(state, event), "has a token that is no longer valid", now)
        case Renewed(number, expires_at):
            return _renew(state, number, expires_at), []


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


def _admit(state: Presence, role: Role, name: str, instance: str, now: float) -> tuple[Presence, list[Effect]]:
    past = predecessors(state, role, name, instance)
    absences = dict(state.absences)
    if (Absentee.CLIENT, name) in absences and role in HOLDERS:
        # It is at the door: its time does not run out there.
        absence = absences[Absentee.CLIENT, name]
        absences[Absentee.CLIENT, name] = evolve(absence, until=max(absence.until, now + ADMISSION))
    state = evolve(
        state,
        # Dropped here already: their end must not count as a loss of the same client, which is just coming back.
        sessions={number: session for number, session in state.sessions.items() if number not in past},
        admissions={**state.admissions, (role, name): PendingSignIn(instance, now + ADMISSION)},
        absences=absences,
        ended=state.ended | set(past),
    )
    return state, [SessionEnded(number) for number in past]


def _contest(state: Presence, role: Role, name: str, now: float) -> Presence:
    sessions = {
        number: evolve(session, contested=now + SILENCE)
        if (session.role, session.name, session.due, session.contested) == (role, name, None, None)
        else session
        for number, session in state.sessions.items()
    }
    return evolve(state, sessions=sessions)


def _meet(state: Presence, session: Session, *, watch: bool, now: float) -> Presence:
    """Record a session, whether the router's event or its first call arrives first."""
    if session.role not in (*HOLDERS, Role.WORKER) or session.number in state.ended:
        return state
    known = state.sessions.get(session.number, session)
    admission = state.admissions.get((session.role, session.name))
    watched = watch or known.due is not None or session.role is Role.WORKER
    admissions = dict(state.admissions)
    admissions.pop((session.role, session.name), None)
    known = evolve(
        known,
        instance=known.instance or session.instance or (admission.instance if admission is not None else ""),
        token=session.token if known.token is None else known.token,
        expires_at=session.expires_at if known.expires_at is None else known.expires_at,
        address=known.address or session.address,
        due=now + SILENCE if watched else None,
        contested=None,
    )
    state = evolve(state, sessions={**state.sessions, session.number: known}, admissions=admissions)
    return state if session.role is Role.WORKER else _present(state, Absentee.CLIENT, session.name)


def _welcome_back(before: Presence, after: Presence) -> tuple[Presence, list[Effect]]:
    new = (session for number, session in after.sessions.items() if number not in before.sessions)
    names = sorted({session.name for session in new if session.role in HOLDERS})
    return after, [ClientBack(name) for name in names]


def _leave(state: Presence, number: int, now: float) -> tuple[Presence, list[Effect]]:
    gone = state.sessions.get(number)
    state = evolve(state, ended=state.ended - {number})
    if gone is None:
        return state, []
    state = evolve(state, sessions={key: session for key, session in state.sessions.items() if key != number})
    state, effects = _miss(state, gone.role, gone.name, now)
    return state, [SessionEnded(number), *effects]


def _miss(state: Presence, role: Role, name: str, now: float) -> tuple[Presence, list[Effect]]:
    """Handle the loss of a session or admission; the reaction depends on what is left."""
    if role is Role.WORKER:
        return state, [] if state.worker_is_here(name) else [WorkerLost(name)]
    if state.client_is_here(name):
        return state, []
    return _absent(state, Absentee.CLIENT, name, now), []


def _without_token(state: Presence, event: Revoked | Expired) -> list[Session]:
    match event:
        case Revoked(tokens):
            return [session for session in state.sessions.values() if session.token in tokens]
        case Expired(numbers):
            return [session for number, session in state.sessions.items() if number in numbers]


def _renew(state: Presence, number: int, expires_at: float) -> Presence:
    session = state.sessions.get(number)
    if session is None or session.expires_at is None:
        return state
    return evolve(state, sessions={**state.sessions, number: evolve(session, expires_at=expires_at)})


def _welcome(state: Presence, number: int) -> Presence:
    session = state.sessions.get(number)
    if session is None:
        return state
    return evolve(state, sessions={**state.sessions, number: evolve(session, welcomed=True)})


def _list(state: Presence, sessions: Sequence[Session], now: float) -> Presence:
    """Start over.  Silence while control was away does not count: all time limits restart."""
    fresh = evolve(
        state,
        sessions={},
        admissions={},
        absences={key: _renewed(state, key, now) for key in state.absences},
        ended=state.ended & {session.number for session in sessions},
    )
    for session in sessions:
        before = state.sessions.get(session.number)
        watch = before is not None and before.due is not None
        fresh = _meet(fresh, evolve(session, due=None, welcomed=False), watch=watch, now=now)
    for session in state.sessions.values():
        if session.number not in fresh.sessions and session.role in HOLDERS:
            fresh, _ = _miss(fresh, session.role, session.name, now)
    return fresh


def _expect_client(state: Presence, name: str, now: float) -> Presence:
    if not state.client_is_here(name):
        return _absent(state, Absentee.CLIENT, name, now)
    sessions = {
        number: evolve(session, due=now + SILENCE)
        if session.name == name and session.role in HOLDERS and session.due is None
        else session
        for number, session in state.sessions.items()
    }
    return evolve(state, sessions=sessions)


def _absent(state: Presence, what: Absentee, name: str, now: float) -> Presence:
    # The grace period runs from the first time that it was missed.
    absence = state.absences.get((what, name), _renewed(state, (what, name), now))
    return evolve(state, absences={**state.absences, (what, name): absence})


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
        return Absence(now, now + state.graces.get(name, state.grace))
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
        effects.append(Kill(session.number, f"{session.role} {session.name!r} {why}"))
        state, left = _leave(state, session.number, now)
        effects += left
    return evolve(state, ended=state.ended | {session.number for session in sessions}), effects


def _tick(state: Presence, now: float) -> tuple[Presence, list[Effect]]:
    silent = [each for each in state.sessions.values() if (time := _deadline(each)) is not None and time <= now]
    why = f"was silent for {SILENCE:g} s"
    state, effects = _end(state, silent, why, now)
    over = [key for key, admission in state.admissions.items() if admission.until <= now]
    admissions = {key: admission for key, admission in state.admissions.items() if key not in over}
    state = evolve(state, admissions=admissions)
    for role, name in over:
        state, lost = _miss(state, role, name, now)
        effects += lost
    gone = {key: absence for key, absence in state.absences.items() if absence.until <= now}
    for (what, name), absence in gone.items():
        effects.append(ClientGone(name, absence.since) if what is Absentee.CLIENT else BoardLost(name))
    absences = {key: absence for key, absence in state.absences.items() if key not in gone}
    return evolve(state, absences=absences), effects
