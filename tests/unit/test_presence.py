"""Who is here: `icefarm.control.sessions.liveness`."""

from __future__ import annotations

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from icefarm.bus import SessionKey
from icefarm.contract import Role
from icefarm.control.sessions.events import (
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
    StillMissing,
    Ticked,
    Welcomed,
)
from icefarm.control.sessions.liveness import (
    ADMISSION,
    ROUTER_PATIENCE,
    SILENCE,
    advance,
    due,
    is_sign_of_life,
    refreshed,
    step,
)
from icefarm.control.sessions.presence import (
    Absence,
    Absentee,
    Presence,
    count_of,
    predecessors,
    rival,
    sessions_by_role,
)
from icefarm.control.telemetry.events import BoardLost, ClientBack, ClientGone, SessionEnded, WorkerLost

GRACE = 30.0
WORKER_GRACE = 600.0
CLIENT = Session(1, Role.CLIENT, "ada", "i1")
WORKER = Session(2, Role.WORKER, "w1", "i2")


def run(*events: tuple[float, Event], state: Presence | None = None) -> tuple[Presence, list[Effect]]:
    """Take events in at their times; return the last state and all effects but word of clients that are back."""
    state = Presence(GRACE, WORKER_GRACE) if state is None else state
    effects: list[Effect] = []
    for now, event in events:
        state, more = step(state, event, now)
        effects += [effect for effect in more if not isinstance(effect, ClientBack)]
    return state, effects


def test_a_client_is_back_with_each_new_session_and_a_worker_never() -> None:
    state, effects = step(Presence(GRACE), Joined(CLIENT), 0)
    assert effects == [ClientBack("ada")]
    assert step(state, Heard(CLIENT), 1)[1] == []
    state, effects = step(state, Listed([CLIENT, WORKER]), 2)
    assert effects == [ClientBack("ada")]
    assert step(Presence(GRACE), Joined(WORKER), 0)[1] == []


def test_a_silent_worker_is_killed_and_lost() -> None:
    _, effects = run((0, Joined(WORKER)), (SILENCE, Ticked()))
    assert effects == [Kill(2, "worker 'w1' was silent for 20 s", ""), SessionEnded(2), WorkerLost("w1")]


def test_a_client_that_was_away_already_is_gone_when_its_own_time_is_over() -> None:
    away = (10, StillMissing("ada", 5, 40))
    assert run(away, (44, Ticked()))[1] == []
    assert [type(effect) for effect in run(away, (45, Ticked()))[1]] == [ClientGone]


def test_who_is_here_is_a_matter_of_role_and_name() -> None:
    state, _ = run((0, Joined(CLIENT)), (0, Joined(WORKER)))
    assert (state.client_is_here("ada"), state.client_is_here("w1"), state.client_is_here("bob")) == (
        True,
        False,
        False,
    )


def test_a_heartbeat_keeps_a_worker() -> None:
    _, effects = run((0, Joined(WORKER)), (15, Heard(WORKER)), (SILENCE, Ticked()))
    assert effects == []


def test_a_client_that_never_sent_a_heartbeat_is_not_watched() -> None:
    state, effects = run((0, Joined(CLIENT)), (5, Heard(CLIENT)), (1000, Ticked()))
    assert effects == []
    assert due(state) is None


def test_a_client_that_sent_a_heartbeat_must_go_on() -> None:
    state, effects = run((0, Joined(CLIENT)), (5, Heard(CLIENT, watch=True)), (5 + SILENCE, Ticked()))
    assert [type(effect) for effect in effects] == [Kill, SessionEnded]
    assert state.absences == {(Absentee.CLIENT, "ada"): Absence(5 + SILENCE, 5 + SILENCE + GRACE, router="")}


def test_any_call_of_a_watched_client_is_a_sign_of_life() -> None:
    _, effects = run((0, Heard(CLIENT, watch=True)), (15, Heard(CLIENT)), (SILENCE, Ticked()))
    assert effects == []


def test_a_client_that_does_not_come_back_is_gone_after_the_grace_period() -> None:
    state, effects = run((0, Joined(CLIENT)), (10, Left(1)), (10 + GRACE - 0.01, Ticked()))
    assert effects == [SessionEnded(1)]
    _, effects = run((10 + GRACE, Ticked()), state=state)
    assert [type(effect) for effect in effects] == [ClientGone]


def test_a_client_that_is_missed_again_has_its_time_from_the_first_time_on() -> None:
    state, _ = run((0, ClientMissing("ada")), (10, ClientMissing("ada")))
    assert due(state) == GRACE


def test_all_that_is_over_at_the_same_time_is_dealt_with() -> None:
    events = [(0, Joined(WORKER)), (SILENCE - ADMISSION, Admitted(Role.WORKER, "w2", "i3")), (SILENCE, Ticked())]
    _, effects = run(*events)
    assert effects[1:] == [SessionEnded(2), WorkerLost("w1"), WorkerLost("w2")]


def test_a_client_that_comes_back_in_time_stays() -> None:
    again = evolve(CLIENT, number=7)
    _, effects = run((0, Joined(CLIENT)), (10, Left(1)), (39, Joined(again)), (100, Ticked()))
    assert effects == [SessionEnded(1)]


def test_a_client_at_the_door_when_its_time_is_over_is_not_gone() -> None:
    events = [(0, Joined(CLIENT)), (10, Left(1)), (39.9, Admitted(Role.CLIENT, "ada", "i9")), (40.1, Ticked())]
    _, effects = run(*events)
    assert not any(isinstance(effect, ClientGone) for effect in effects)


def test_the_shortest_time_that_a_client_asked_for_is_the_one_that_it_has_to_come_back() -> None:
    asked = [(0, Granted("ada", 20)), (0, Granted("ada", 10)), (0, Granted("ada", 15)), (0, Granted("bob", 5))]
    state, _ = run((0, Joined(CLIENT)), *asked, (100, Left(1)))
    assert due(state) == 110
    state, _ = run((200, Listed([])), state=state)
    assert due(state) == 210


def test_no_client_has_more_time_to_come_back_than_the_farm_gives() -> None:
    state, _ = run((0, Joined(CLIENT)), (0, Granted("ada", GRACE + 1)), (0, Granted("ada", GRACE)), (0, Left(1)))
    assert (state.graces, due(state)) == ({}, GRACE)


def test_a_second_session_of_the_name_keeps_it_here() -> None:
    operator = Session(5, Role.OPERATOR, "ada", "i5")
    state, effects = run((0, Joined(CLIENT)), (0, Joined(operator)), (1, Left(1)), (100, Ticked()))
    assert effects == [SessionEnded(1)]
    assert state.client_is_here("ada")


def test_a_lost_worker_is_told_at_once() -> None:
    _, effects = run((0, Joined(WORKER)), (3, Left(2)))
    assert effects == [SessionEnded(2), WorkerLost("w1")]


def test_a_worker_that_comes_back_under_its_instance_was_never_lost() -> None:
    again = evolve(WORKER, number=9)
    events = [(0, Joined(WORKER)), (3, Admitted(Role.WORKER, "w1", "i2")), (3, Left(2)), (3.1, Joined(again))]
    state, effects = run(*events)
    assert effects == [SessionEnded(2)]
    assert list(state.sessions) == [("", 9)]


def test_an_admitted_worker_that_never_joins_is_lost() -> None:
    events = [(0, Joined(WORKER)), (3, Admitted(Role.WORKER, "w1", "i2")), (3, Left(2)), (3 + ADMISSION, Ticked())]
    _, effects = run(*events)
    assert effects[-1] == WorkerLost("w1")


def test_a_session_that_is_not_watched_loses_its_name_to_who_wants_it_unless_it_says_something() -> None:
    contested = (10, Contested(Role.CLIENT, "ada"))
    state, effects = run((0, Joined(CLIENT)), contested, (10 + SILENCE, Ticked()))
    assert [type(effect) for effect in effects] == [Kill, SessionEnded]
    assert not rival(state, Role.CLIENT, "ada", "other")
    assert SILENCE < GRACE
    state, effects = run((0, Joined(CLIENT)), contested, (15, Heard(CLIENT)), (1000, Ticked()))
    assert (effects, due(state)) == ([], None)
    state, effects = run((0, Joined(CLIENT)), contested, (25, contested[1]), (10 + SILENCE, Ticked()))
    assert [type(effect) for effect in effects] == [Kill, SessionEnded]


def test_a_name_that_is_contested_ends_no_session_of_another_name_or_role() -> None:
    others = [(10.0, Contested(Role.OPERATOR, "ada")), (10.0, Contested(Role.CLIENT, "bob"))]
    state, effects = run((0, Joined(CLIENT)), *others, (1000, Ticked()))
    assert (effects, due(state)) == ([], None)


def test_another_instance_under_a_live_name_is_a_rival() -> None:
    state, _ = run((0, Joined(CLIENT)))
    assert rival(state, Role.CLIENT, "ada", "other")
    assert not rival(state, Role.CLIENT, "ada", "i1")
    assert not rival(state, Role.WORKER, "ada", "other")


def test_two_that_ask_for_one_name_at_once_are_rivals() -> None:
    state, _ = run((0, Admitted(Role.CLIENT, "ada", "i1")))
    assert rival(state, Role.CLIENT, "ada", "i2")
    assert not rival(state, Role.CLIENT, "ada", "i1")
    assert not rival(state, Role.CLIENT, "bob", "i2")
    assert not rival(state, Role.OPERATOR, "ada", "i2")


def test_a_name_whose_holder_never_joined_is_free_again() -> None:
    state, _ = run((0, Admitted(Role.CLIENT, "ada", "i1")), (ADMISSION, Ticked()))
    assert not rival(state, Role.CLIENT, "ada", "i2")


def test_sessions_of_the_same_instance_are_its_predecessors() -> None:
    state, _ = run((0, Joined(CLIENT)))
    assert predecessors(state, Role.CLIENT, "ada", "i1") == [("", 1)]
    assert predecessors(state, Role.CLIENT, "ada", "i2") == []


def test_a_session_whose_first_call_comes_before_the_routers_word_has_its_instance() -> None:
    state, _ = run((0, Admitted(Role.CLIENT, "ada", "i1")), (0.1, Heard(evolve(CLIENT, instance=""))))
    assert state.sessions["", 1].instance == "i1"


def test_a_sign_in_is_used_up_by_the_session_that_begins() -> None:
    state, _ = run((0, Admitted(Role.CLIENT, "ada", "i1")), (0, Joined(CLIENT)))
    assert (state.admissions, due(state)) == ({}, None)


def test_what_is_known_of_a_session_is_added_to_and_never_replaced() -> None:
    bare = Session(1, Role.CLIENT, "ada")
    told = evolve(bare, instance="i1", token=7, expires_at=900.0, address="10.0.0.1", follows=True)
    other = evolve(bare, instance="i2", token=8, expires_at=950.0, address="10.0.0.2")
    state, _ = run((0, Joined(bare)), (1, Heard(told)), (2, Heard(other)))
    assert state.sessions["", 1] == told


def test_a_session_whose_token_is_over_is_ended_and_its_client_is_told_why() -> None:
    others = [evolve(CLIENT, number=5, token=7), evolve(WORKER, expires_at=50.0)]
    signed_in = evolve(CLIENT, token=3, expires_at=50.0)
    state, _ = run(*((0, Joined(each)) for each in (signed_in, *others)))
    kill = Kill(1, "client 'ada' has a token that is no longer valid", "")
    for event in (Expired(frozenset([("", 1)])), Revoked(frozenset([3]))):
        after, effects = run((50, event), state=state)
        assert effects == [kill, SessionEnded(1)]
        assert set(after.sessions) == {("", 5), ("", 2)}


def test_a_token_that_was_renewed_lasts_longer_and_none_is_made_up() -> None:
    state, _ = run((0, Joined(evolve(CLIENT, expires_at=50.0))), (0, Joined(WORKER)))
    after, _ = run((40, Renewed(1, 90.0)), (40, Renewed(2, 90.0)), (40, Renewed(3, 90.0)), state=state)
    assert after.sessions["", 1] == evolve(state.sessions["", 1], expires_at=90.0)
    assert after.sessions["", 2] == state.sessions["", 2]
    assert ("", 3) not in after.sessions


def test_an_ended_session_that_wakes_up_does_not_count() -> None:
    state, _ = run((0, Joined(WORKER)), (SILENCE, Ticked()), (60, Heard(WORKER)), (60, Joined(WORKER)))
    assert not state.worker_is_here("w1")


def test_a_sign_in_ends_earlier_sessions_of_its_instance_beside_those_that_were_told_to_end() -> None:
    state, _ = run((0, Joined(WORKER)), (SILENCE, Ticked()), (30, Joined(CLIENT)))
    state, _ = run((31, Admitted(Role.CLIENT, "ada", "i1")), state=state)
    assert state.ended == {("", 1), ("", 2)}


def test_an_ended_session_is_forgotten_when_the_router_says_that_it_ended() -> None:
    state, _ = run((0, Joined(WORKER)), (SILENCE, Ticked()), (60, Left(2)))
    assert state.ended == frozenset()


def test_a_rejoined_control_asks_every_worker_for_its_hello() -> None:
    state, _ = run((0, Joined(WORKER)), (1, Welcomed(2)))
    assert state.sessions["", 2].welcomed
    state, _ = run((50, Listed([WORKER])), state=state)
    assert not state.sessions["", 2].welcomed
    assert state.sessions["", 2].due == 50 + SILENCE


def test_sign_ins_that_a_router_forgot_are_forgotten_when_control_is_back() -> None:
    admitted = [(0, Admitted(Role.CLIENT, "ada", "i1", HERE)), (0, Admitted(Role.CLIENT, "bob", "i1", THERE))]
    state, _ = run(*admitted, (1, Listed([], HERE)))
    assert not rival(state, Role.CLIENT, "ada", "i2")
    assert rival(state, Role.CLIENT, "bob", "i2")


def test_a_session_that_was_told_to_end_is_forgotten_when_its_router_has_it_no_more() -> None:
    there = evolve(WORKER, router=THERE)
    state, _ = run((SILENCE, Ticked()), state=at_both(evolve(WORKER, router=HERE), there))
    assert state.ended == {(HERE, 2), (THERE, 2)}
    state, _ = run((60, Listed([], HERE)), (60, Listed([there], THERE)), state=state)
    assert state.ended == {(THERE, 2)}


def test_a_rejoined_control_goes_on_watching_whom_it_watched() -> None:
    state, _ = run((0, Heard(CLIENT, watch=True)), (500, Listed([CLIENT])))
    assert state.sessions["", 1].due == 500 + SILENCE


def test_clients_that_left_while_control_was_away_have_the_grace_period_from_its_return() -> None:
    state, _ = run((0, Joined(CLIENT)), (500, Listed([])))
    assert state.absences == {(Absentee.CLIENT, "ada"): Absence(500, 500 + GRACE, router="")}


def test_the_grace_period_begins_anew_when_control_comes_back() -> None:
    state, _ = run((0, ClientMissing("ada")), (0, DeviceMissing("A")), (500, Listed([])))
    assert {absence.until for absence in state.absences.values()} == {500 + GRACE}


def test_a_holder_of_reservations_that_is_here_is_watched() -> None:
    state, _ = run((0, Joined(CLIENT)), (5, ClientMissing("ada")))
    assert state.sessions["", 1].due == 5 + SILENCE
    assert state.absences == {}


def test_a_board_that_is_away_with_its_worker_has_a_limit_of_its_own() -> None:
    _, effects = run((0, DeviceMissing("A", True)), (GRACE, Ticked()), (WORKER_GRACE - 1, Ticked()))
    assert effects == []
    _, effects = run((0, DeviceMissing("A", True)), (WORKER_GRACE, Ticked()))
    assert effects == [BoardLost("A")]


def test_a_board_that_its_worker_came_back_without_has_the_grace_period_from_then_on() -> None:
    events = ((0, DeviceMissing("A", True)), (100, DeviceMissing("A")))
    _, effects = run(*events, (99 + GRACE, Ticked()))
    assert effects == []
    _, effects = run(*events, (100 + GRACE, Ticked()))
    assert effects == [BoardLost("A")]


def test_a_board_that_is_away_with_its_worker_keeps_its_limit_when_control_comes_back() -> None:
    state, effects = run((0, DeviceMissing("A", True)), (50, Listed([])), (50 + WORKER_GRACE - 1, Ticked()))
    assert effects == []
    assert state.absences == {(Absentee.DEVICE, "A"): Absence(50, 50 + WORKER_GRACE, with_worker=True)}


def test_a_board_that_does_not_come_back_is_gone_after_the_grace_period() -> None:
    _, effects = run((0, DeviceMissing("A")), (10, DeviceMissing("A")), (GRACE, Ticked()))
    assert effects == [BoardLost("A")]


def test_a_board_that_comes_back_in_time_stays() -> None:
    _, effects = run((0, DeviceMissing("A")), (10, DeviceFound("A")), (GRACE, Ticked()))
    assert effects == []


def test_sessions_of_control_itself_are_not_judged() -> None:
    state, effects = run((0, Joined(Session(3, Role.CONTROL, "control"))), (1000, Ticked()))
    assert state.sessions == {}
    assert effects == []


# ---------------------------------------------------------------------------------------------- several routers

HERE, THERE = "http://one:8080", "http://two:8080"
AT_BOTH = [evolve(CLIENT, router=HERE), evolve(CLIENT, router=THERE)]


def at_both(*sessions: Session) -> Presence:
    """Return who is here when control has joined both routers."""
    one = [session for session in sessions if session.router == HERE]
    two = [session for session in sessions if session.router == THERE]
    return run((0, Listed(one, HERE)), (0, Listed(two, THERE)))[0]


def test_sessions_of_two_routers_may_have_the_same_number() -> None:
    state, effects = run((1, Left(1, HERE)), state=at_both(*AT_BOTH))
    assert effects == [SessionEnded(1, HERE)]
    assert list(state.sessions) == [(THERE, 1)]


def test_a_client_with_a_session_at_any_router_is_here() -> None:
    state, effects = run((1, Left(1, HERE)), (1 + GRACE, Ticked()), state=at_both(*AT_BOTH))
    assert effects == [SessionEnded(1, HERE)]
    assert state.client_is_here("ada")
    _, effects = run((50, Left(1, THERE)), (50 + GRACE, Ticked()), state=state)
    assert effects == [SessionEnded(1, THERE), ClientGone("ada", 50)]


def test_a_sign_in_at_one_router_ends_no_session_of_its_client_at_another() -> None:
    state, effects = run((1, Admitted(Role.CLIENT, "ada", "i1", THERE)), state=at_both(*AT_BOTH))
    assert effects == [SessionEnded(1, THERE)]
    assert list(state.sessions) == [(HERE, 1)]


def test_a_worker_has_one_session_in_the_farm() -> None:
    state = at_both(evolve(WORKER, router=HERE))
    state, effects = run((1, Admitted(Role.WORKER, "w1", "i2", THERE)), state=state)
    assert effects == [SessionEnded(2, HERE)]
    assert not state.sessions


def test_a_name_is_one_holders_across_routers() -> None:
    state = at_both(evolve(CLIENT, router=HERE))
    assert rival(state, Role.CLIENT, "ada", "other")
    assert not rival(state, Role.CLIENT, "ada", "i1")


def test_several_sessions_of_one_name_count_once_for_an_account() -> None:
    assert count_of(at_both(*AT_BOTH), "ada", Role.CLIENT, "other") == 1
    assert count_of(at_both(*AT_BOTH), "ada", Role.CLIENT, "ada") == 0


def test_sessions_are_counted_by_role_at_each_router() -> None:
    state = at_both(evolve(CLIENT, router=HERE), evolve(WORKER, router=THERE), evolve(CLIENT, number=9, router=THERE))
    assert sessions_by_role(state, HERE) == {"client": 1, "operator": 0, "worker": 0}
    assert sessions_by_role(state, THERE) == {"client": 1, "operator": 0, "worker": 1}


def test_a_router_that_is_away_for_a_moment_takes_nobody_away() -> None:
    state = at_both(evolve(WORKER, router=THERE))
    _, effects = run(
        (1, RouterAway(THERE)),
        (ROUTER_PATIENCE, Ticked()),
        (ROUTER_PATIENCE, Listed([evolve(WORKER, router=THERE)], THERE)),
        state=state,
    )
    assert effects == []


def test_a_router_that_is_away_has_no_more_time_when_control_joins_another_one() -> None:
    state, _ = run((1, RouterAway(THERE)), (5, Listed([], "http://three:8080")), state=at_both())
    assert state.away == {THERE: 1 + ROUTER_PATIENCE}


def test_a_router_that_stays_away_takes_its_workers_away_and_nobody_elses() -> None:
    other = Session(2, Role.WORKER, "w2", "i3", router=HERE)
    state = at_both(evolve(WORKER, router=THERE), other)
    events = [(1, RouterAway(THERE)), (5, Heard(other)), (1 + ROUTER_PATIENCE, Ticked())]
    state, effects = run(*events, state=state)
    assert effects == [SessionEnded(2, THERE), WorkerLost("w1")]
    assert list(state.sessions) == [(HERE, 2)]
    assert step(state, Ticked(), 12)[1] == []


def test_a_client_at_a_router_that_is_away_is_not_judged_until_it_is_back() -> None:
    client = evolve(CLIENT, router=THERE)
    state, effects = run(
        (1, Heard(client, watch=True)), (2, RouterAway(THERE)), (1000, Ticked()), state=at_both(client)
    )
    assert effects == []
    assert state.client_is_here("ada")
    _, effects = run((1000, Listed([], THERE)), (1000 + GRACE, Ticked()), state=state)
    assert effects == [ClientGone("ada", 1000)]


def test_a_client_that_left_a_router_before_it_was_lost_has_its_time_when_that_is_back() -> None:
    state = at_both(evolve(CLIENT, router=THERE))
    state, effects = run((1, Left(1, THERE)), (2, RouterAway(THERE)), (1000, Ticked()), state=state)
    assert effects == [SessionEnded(1, THERE)]
    _, effects = run((1000, Listed([], THERE)), (1000 + GRACE - 1, Ticked()), state=state)
    assert effects == []
    assert due(run((1000, Listed([], THERE)), state=state)[0]) == 1000 + GRACE


def test_a_client_that_never_used_its_sign_in_is_judged_by_the_router_that_it_was_for() -> None:
    state, _ = run((0, Admitted(Role.CLIENT, "ada", "i1", THERE)), (ADMISSION, Ticked()), state=at_both())
    assert state.absences == {(Absentee.CLIENT, "ada"): Absence(ADMISSION, ADMISSION + GRACE, router=THERE)}
    # That is so, too, when its time begins anew.
    state, _ = run((50, RouterAway(HERE)), (50, RouterAway(THERE)), (60, Listed([], HERE)), state=state)
    assert state.absences == {(Absentee.CLIENT, "ada"): Absence(60, 60 + GRACE, router=THERE)}


def test_a_client_that_left_another_router_is_judged_meanwhile() -> None:
    state = at_both(evolve(CLIENT, router=HERE))
    _, effects = run((1, Left(1, HERE)), (2, RouterAway(THERE)), (1 + GRACE, Ticked()), state=state)
    assert effects == [SessionEnded(1, HERE), ClientGone("ada", 1)]


def test_a_client_that_may_be_at_any_router_waits_for_all_of_them() -> None:
    state, effects = run((0, Listed([], HERE)), (0, RouterAway(THERE)), (1, ClientMissing("ada")), (1000, Ticked()))
    assert effects == []
    _, effects = run((1000, Listed([], THERE)), (1000 + GRACE, Ticked()), state=state)
    assert [type(effect) for effect in effects] == [ClientGone]


def test_a_name_held_at_a_router_that_is_away_becomes_free_when_somebody_wants_it() -> None:
    client = evolve(CLIENT, router=THERE)
    events = [(1, Heard(client, watch=True)), (2, RouterAway(THERE)), (100, Contested(Role.CLIENT, "ada"))]
    state, effects = run(*events, (100 + SILENCE, Ticked()), state=at_both(client))
    assert [type(effect) for effect in effects] == [Kill, SessionEnded]
    newer = Session(8, Role.CLIENT, "ada", "i9", router=HERE)
    # The old one turns out to be alive: the name is not its any more.
    older = Session(9, Role.CLIENT, "ada", "i1", router=THERE)
    state, effects = run((121, Joined(newer)), (130, Listed([older], THERE)), state=state)
    assert [(type(each), each.router) for each in effects if isinstance(each, Kill)] == [(Kill, THERE)]
    assert list(state.sessions) == [(HERE, 8)]


def test_no_router_in_reach_is_nobodys_loss() -> None:
    state = at_both(evolve(WORKER, router=HERE), evolve(CLIENT, router=THERE))
    # No Ticked comes while none is.
    state, effects = run((1, RouterAway(HERE)), (1, RouterAway(THERE)), (900, Listed([], THERE)), state=state)
    assert effects == []
    _, effects = run((900 + ROUTER_PATIENCE - 1, Ticked()), state=state)
    assert effects == []


def test_a_revoked_token_ends_the_sessions_at_all_routers() -> None:
    state = at_both(*(evolve(session, token=7) for session in AT_BOTH))
    _, effects = run((1, Revoked(frozenset([7]))), state=state)
    assert [each.router for each in effects if isinstance(each, Kill)] == [HERE, THERE]


def test_a_session_that_was_ended_while_its_router_was_away_is_killed_when_it_is_back() -> None:
    there = [evolve(session, token=7) for session in AT_BOTH if session.router == THERE]
    state, _ = run((1, RouterAway(THERE)), (2, Revoked(frozenset([7]))), state=at_both(*there))
    state, effects = run((60, Listed(there, THERE)), state=state)
    assert [(type(each), each.number, each.router) for each in effects] == [(Kill, 1, THERE)]
    assert not state.client_is_here("ada")
    # The router says that it has ended.
    assert run((61, Left(1, THERE)), (62, Listed([], THERE)), state=state)[1] == []


_NUMBERS = st.integers(1, 4)
_NAMES = st.sampled_from(["a", "b"])
_ROLES = st.sampled_from([Role.CLIENT, Role.WORKER, Role.OPERATOR, Role.CONTROL])
_ROUTERS = st.sampled_from(["x", "y"])
_SESSIONS = st.builds(Session, _NUMBERS, _ROLES, _NAMES, st.sampled_from(["", "i", "j"]), router=_ROUTERS)


def listed(sessions: list[Session], router: str) -> Listed:
    return Listed([session for session in sessions if session.router == router], router)


_EVENTS = st.one_of(
    st.builds(Admitted, _ROLES, _NAMES, st.sampled_from(["i", "j"]), _ROUTERS),
    st.builds(Contested, _ROLES, _NAMES),
    st.builds(Joined, _SESSIONS),
    st.builds(Left, _NUMBERS, _ROUTERS),
    st.builds(Heard, _SESSIONS, st.booleans()),
    st.builds(Welcomed, _NUMBERS, _ROUTERS),
    st.builds(listed, st.lists(_SESSIONS, max_size=4), _ROUTERS),
    st.builds(RouterAway, _ROUTERS),
    st.builds(ClientMissing, _NAMES),
    st.builds(DeviceMissing, _NAMES),
    st.builds(DeviceFound, _NAMES),
    st.just(Ticked()),
)


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 40)), max_size=30))
def test_any_events_keep_the_bounds(history: list[tuple[Event, float]]) -> None:
    state, now = Presence(GRACE), 0.0
    for event, pause in history:
        now += pause
        state, _ = step(state, event, now)
        if isinstance(event, Ticked):
            # Whatever was due is dealt with: the timer never spins.
            next_due = due(state)
            assert next_due is None or next_due > now
        assert not state.ended & set(state.sessions)
        assert all(absence.until <= now + max(GRACE, ADMISSION) for absence in state.absences.values())
        assert not state.reached & set(state.away)
        assert all(session.due is None or session.due <= now + SILENCE for session in state.sessions.values())


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 40)), max_size=30))
def test_a_sign_of_life_can_be_taken_in_later(history: list[tuple[Event, float]]) -> None:
    state, now, heard = Presence(GRACE), 0.0, dict[SessionKey, float]()
    later = state
    for event, pause in history:
        now += pause
        if isinstance(event, Heard) and is_sign_of_life(later, event):
            state, effects = step(state, event, now)
            assert effects == []
            heard[event.session.key] = now
            continue
        later, heard = refreshed(later, heard), {}
        assert later == state
        state, effects = step(state, event, now)
        later, same = step(later, event, now)
        assert same == effects
    assert refreshed(later, heard) == state


def test_calls_that_say_nothing_new_are_signs_of_life() -> None:
    state, _ = run((0, Joined(CLIENT)), (0, Joined(WORKER)))
    assert is_sign_of_life(state, Heard(CLIENT))
    assert is_sign_of_life(state, Heard(evolve(WORKER, instance="")))
    assert not is_sign_of_life(state, Heard(CLIENT, watch=True))
    state, _ = run((1, Heard(CLIENT, watch=True)), state=state)
    assert is_sign_of_life(state, Heard(CLIENT, watch=True))
    assert not is_sign_of_life(state, Heard(evolve(CLIENT, number=9)))
    # One that never said which instance it is says nothing new by not saying it again.
    state, _ = run((0, Joined(evolve(CLIENT, instance=""))))
    assert is_sign_of_life(state, Heard(evolve(CLIENT, instance="")))
    assert not is_sign_of_life(state, Heard(CLIENT))


def test_signs_of_life_give_more_time_to_those_that_are_watched() -> None:
    state, _ = run((0, Joined(CLIENT)), (0, Joined(WORKER)))
    after = refreshed(state, {("", 1): 5.0, ("", 2): 7.0, ("", 3): 9.0})
    assert after == evolve(state, sessions={**state.sessions, ("", 2): evolve(state.sessions["", 2], due=7 + SILENCE)})


def test_an_event_is_answered_with_when_time_matters_next() -> None:
    state, effects, when = advance(Presence(GRACE), Joined(WORKER), 3.0)
    assert (state, effects) == step(Presence(GRACE), Joined(WORKER), 3.0)
    assert when == due(state) == 3 + SILENCE


@given(st.lists(st.tuples(_EVENTS, st.floats(0, 40)), max_size=30))
def test_after_long_silence_nobody_watched_is_left(history: list[tuple[Event, float]]) -> None:
    state, now = Presence(GRACE), 0.0
    for event, pause in history:
        now += pause
        state, _ = step(state, event, now)
    for router in sorted(state.away):
        state, _ = step(state, Listed([], router), now)
    for _ in range(4):
        now += SILENCE + GRACE + ADMISSION
        state, _ = step(state, Ticked(), now)
    assert due(state) is None
    assert not any(session.role is Role.WORKER for session in state.sessions.values())
