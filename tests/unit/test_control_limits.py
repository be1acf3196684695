"""What an account may have and ask for: told in the error, set for the farm and for single accounts."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.bus import Caller
from icefarm.contract import Role, control_procedure
from icefarm.control.rpc.pacing import REFUSED, SAVED
from icefarm.control.sessions.limits import AccountLimits, FarmLimits, checked_limits, limits_text, parse_limits
from icefarm.control.sessions.roster import parse_roster
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.sessions.tracker import BARRED
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.errors import Busy, InvalidArgument, LimitReached, LinkLost, NotAuthorized
from icefarm.farm.limits import GivenLimits, farm_limits
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.history import MemoryHistory
from icefarm.wamp.credentials import Credentials


def farm_with(**limits: float) -> MemoryControl:
    return MemoryControl(ControlSettings(SignInPolicy.TOKENS, limits=AccountLimits(**limits)))


@ensureDeferred
async def test_an_account_holds_so_many_boards_under_whatever_names() -> None:
    farm = farm_with(boards=2)
    await farm.worker_of("w1", "A", "B", "C")
    one = await farm.client_of("ada", "one")
    two = await farm.client_of("ada", "two", instance="another")
    await one.call("reserve", 1, kind="pulsecount")
    await two.call("reserve", 1, kind="pulsecount")
    with pytest.raises(LimitReached, match="account 'ada' has 2 of at most 2 boards held") as caught:
        await two.call("reserve", 1, kind="pulsecount")
    assert caught.value.fields == {"account": "ada", "limit": "boards", "most": 2}
    bob = await farm.client_of("bob", "one", instance="third")
    assert len(await bob.call("reserve", 1, kind="pulsecount")) == 1
    await one.call("end")
    assert len(await two.call("reserve", 1, kind="pulsecount")) == 1


@ensureDeferred
async def test_calls_at_the_same_time_do_not_get_more_boards_together() -> None:
    farm = farm_with(boards=2)
    await farm.worker_of("w1", "A", "B", "C", "D")
    ada = await farm.client_of("ada", "one")
    asking = [Deferred.fromCoroutine(ada.call("reserve", 1, kind="pulsecount")) for _ in range(4)]
    outcomes = []
    for each in asking:
        try:
            outcomes.append(len(await each))
        except LimitReached:
            outcomes.append(0)
    assert sorted(outcomes) == [0, 0, 1, 1]


@ensureDeferred
async def test_groups_of_an_account_do_not_grow_beyond_its_limit_together() -> None:
    farm = farm_with(boards=3)
    await farm.worker_of("w1", "A", "B", "C", "D")
    ada, bob, operator = await farm.client_of("ada"), await farm.client_of("bob"), farm.operator()
    await bob.call("reserve", serials=["A", "B", "C"], kind="pulsecount")
    group = {"amount": 2, "at_least": 1, "kind": "pulsecount"}
    await ada.call("reserve", request="first", **group)
    waiting = Deferred.fromCoroutine(ada.call("reserve", request="second", wait=True, **group))
    await bob.call("end", ["C"])
    farm.pass_time(1)
    assert len(await waiting) == 1
    await operator.call("set_limits", "ada", {"boards": 2})
    await bob.call("end")
    farm.pass_time(1)
    assert len(await farm.store.active(client="ada")) == 2
    # Both would like one more, and two are free.
    await operator.call("set_limits", "ada", {"boards": 3})
    farm.pass_time(1)
    assert len(await farm.store.active(client="ada")) == 3


@ensureDeferred
async def test_a_repeated_call_gets_the_boards_that_it_has_at_the_limit_too() -> None:
    farm = farm_with(boards=1)
    await farm.worker_of("w1", "A", "B")
    ada = await farm.client_of("ada", "one")
    first = await ada.call("reserve", 1, kind="pulsecount", request="mine")
    again = await ada.call("reserve", 1, kind="pulsecount", request="mine")
    assert [each["serial"] for each in first] == [each["serial"] for each in again]


@ensureDeferred
async def test_more_boards_than_an_account_may_ever_hold_are_refused_at_once() -> None:
    farm = farm_with(boards=2)
    ada = await farm.client_of("ada", "one")
    with pytest.raises(LimitReached, match="asks for 3 more"):
        await ada.call("reserve", 3, kind="pulsecount", wait=True)


@ensureDeferred
async def test_an_account_has_so_many_requests_in_the_queue() -> None:
    farm = farm_with(queue=3)
    await farm.worker_of("w1", "A")
    bob = await farm.client_of("bob", "one", instance="other")
    await bob.call("reserve", 1, kind="pulsecount")
    ada = await farm.client_of("ada", "one")
    waiting = [
        Deferred.fromCoroutine(ada.call("reserve", 1, kind="pulsecount", wait=True, request=f"r{number}"))
        for number in range(5)
    ]
    farm.pass_time(1)
    failed = [each for each in waiting if each.called]
    assert len(failed) == 2
    for each in failed:
        with pytest.raises(LimitReached, match="has 3 of at most 3 requests in the queue"):
            await each
    assert (await ada.call("limits"))["has"]["queue"] == 3


@pytest.mark.parametrize("procedure", ["reserve", "extend"])
@ensureDeferred
async def test_a_reservation_has_so_many_seconds(procedure: str) -> None:
    farm = farm_with(seconds=60)
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "one")
    wanted: dict[str, Any] = {"amount": 1, "kind": "pulsecount"} if procedure == "reserve" else {}
    with pytest.raises(LimitReached, match="at most 60 seconds of a reservation"):
        await ada.call(procedure, **wanted, seconds=61)


@ensureDeferred
async def test_a_default_that_is_longer_than_the_limit_is_cut_to_it() -> None:
    farm = farm_with(seconds=60)
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "one")
    (record,) = await ada.call("reserve", 1, kind="pulsecount")
    assert record["expires_at"] - record["created_at"] <= 61


@ensureDeferred
async def test_an_account_with_its_own_limits_has_them_within_seconds() -> None:
    farm = farm_with(boards=1)
    await farm.worker_of("w1", "A", "B", "C")
    ada = await farm.client_of("ada", "one")
    await farm.store.set_account_limits("ada", {"boards": 2})
    farm.pass_time(3)
    assert len(await ada.call("reserve", 2, kind="pulsecount")) == 2
    await farm.store.set_account_limits("ada", {"boards": None})
    farm.pass_time(3)
    with pytest.raises(LimitReached, match="at most 1 boards"):
        await ada.call("reserve", 1, kind="pulsecount")


@ensureDeferred
async def test_limits_that_a_command_wrote_hold_as_soon_as_the_database_says_so() -> None:
    farm = farm_with(boards=3)
    await farm.worker_of("w1", "A", "B", "C", "D")
    bob = await farm.client_of("bob")
    await farm.store.import_accounts(parse_roster("name,boards\nbob,1\n"), {"bob": "hash"})
    farm.control.table_changed("account_limit")
    with pytest.raises(LimitReached, match="at most 1 boards"):
        await bob.call("reserve", 2, kind="pulsecount")
    await bob.call("reserve", 1, kind="pulsecount")


@ensureDeferred
async def test_a_group_grows_as_soon_as_its_account_may_have_more() -> None:
    farm = farm_with(boards=2)
    await farm.worker_of("w1", "A", "B")
    ada, bob = await farm.client_of("ada"), await farm.client_of("bob")
    await bob.call("reserve", 1, kind="pulsecount")
    await ada.call("reserve", 2, at_least=1, kind="pulsecount")
    await farm.store.set_account_limits("ada", {"boards": 1})
    farm.control.table_changed("account_limit")
    await bob.call("end")
    farm.pass_time(1)
    assert len(await farm.store.active(client="ada")) == 1
    await farm.store.set_account_limits("ada", {"boards": 2})
    farm.control.table_changed("account_limit")
    farm.clock.advance(0)
    assert len(await farm.store.active(client="ada")) == 2


@ensureDeferred
async def test_a_change_of_limits_that_comes_during_a_look_is_looked_at_as_well() -> None:
    farm = farm_with(boards=3)
    farm.database.latency = 0.1
    await farm.store.set_account_limits("ada", {"boards": 1})
    farm.control.table_changed("account_limit")
    farm.clock.advance(0.15)
    await farm.store.set_account_limits("ada", {"boards": 2})
    farm.control.table_changed("account_limit")
    farm.pass_time(1.0, step=0.05)
    assert farm.control.sessions.limits.of("ada").boards == 2


def test_no_change_is_followed_before_control_is_at_a_router() -> None:
    asked: list[str] = []

    class Store:
        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: asked.append(name)

    control = Control(Clock(), cast(Any, Store()), MemoryHistory(), ControlSettings())
    control.missed_changes()
    assert asked == []


@ensureDeferred
async def test_control_knows_the_limits_of_accounts_before_anybody_signs_in() -> None:
    farm = MemoryControl()
    await farm.store.set_account_limits("ada", {"boards": 1})
    unstarted = Control(farm.clock, farm.store, farm.history, farm.settings)
    await unstarted.prepare()
    assert unstarted.sessions.limits.of("ada").boards == 1


@ensureDeferred
async def test_everybody_sees_the_limits_of_their_own_account_and_operators_those_of_all() -> None:
    farm = farm_with(boards=4)
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "one")
    await ada.call("reserve", 1, kind="pulsecount")
    told = await ada.call("limits")
    assert (told["account"], told["limits"]["boards"], told["has"]) == (
        "ada", 4, {"boards": 1, "queue": 0, "sessions": 1}
    )  # fmt: skip
    with pytest.raises(NotAuthorized):
        await ada.call("limits", account="bob")


@ensureDeferred
async def test_an_operator_sets_the_limits_of_an_account_at_once_and_takes_them_back() -> None:
    farm = farm_with(boards=1)
    await farm.worker_of("w1", "A", "B", "C")
    ada = await farm.client_of("ada", "one")
    boss = farm.router.join("boss", Role.OPERATOR)
    told = await boss.call(control_procedure("set_limits"), ("ada", {"boards": 2, "queue": 5}), timeout=None)
    assert (told["account"], told["limits"]["boards"], told["limits"]["queue"]) == ("ada", 2, 5)
    assert len(await ada.call("reserve", 2, kind="pulsecount")) == 2
    told = await boss.call(control_procedure("set_limits"), ("ada", {"boards": None}), timeout=None)
    assert (told["limits"]["boards"], told["limits"]["queue"]) == (1, 5)
    farm.pass_time(2)
    entries = await farm.store.audit(0, action="set_limits", limit=10)
    assert [(entry.account, entry.subject, entry.detail) for entry in entries] == [
        ("boss", "ada", "boards=2, queue=5"), ("boss", "ada", "boards=default")
    ]  # fmt: skip
    with pytest.raises(NotAuthorized):
        await ada.call("set_limits", "ada", {"boards": 10})


@ensureDeferred
async def test_calls_beyond_the_rate_wait_and_those_of_another_account_do_not() -> None:
    farm = farm_with(rate=10)
    ada = await farm.client_of("ada", "one")
    bob = await farm.client_of("bob", "one", instance="other")
    asking = [Deferred.fromCoroutine(ada.call("available")) for _ in range(50)]
    farm.pass_time(0)
    answered = sum(each.called for each in asking)
    assert answered <= 10 * SAVED
    other = Deferred.fromCoroutine(bob.call("available"))
    farm.pass_time(0)
    assert other.called
    farm.pass_time(10)
    assert all(each.called for each in asking)


@ensureDeferred
async def test_a_session_that_calls_on_in_spite_of_refusals_is_ended_and_its_account_waits() -> None:
    farm = farm_with(calls=5, rate=1)
    ada = await farm.client_of("ada", "one")
    asking = [Deferred.fromCoroutine(ada.call("available")) for _ in range(REFUSED + 20)]
    farm.pass_time(1)
    refused = 0
    for each in asking:
        try:
            await each
        except LimitReached:
            refused += 1
        except LinkLost:
            pass
    assert refused >= REFUSED - 10
    await farm.store.add_token("later", Role.CLIENT, token_hash("secret"), account="ada")
    later = Credentials("two", Role.CLIENT, "third", "secret")
    with pytest.raises(LimitReached, match="more calls"):
        await farm.router.sign_in(later)
    farm.pass_time(BARRED)
    await farm.router.sign_in(later)


@pytest.mark.parametrize("text", ["boards", "boards=x", "boats=1", "boards=0", "boards=1e9", "boards=nan", "=1"])
def test_a_limit_that_is_none_is_refused_with_what_there_is(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_limits(text)


def test_limits_of_accounts_are_controls_and_those_of_connections_the_routers() -> None:
    assert farm_limits([("boards", 8), ("pending", 16), ("sign_in", 2.5)]) == GivenLimits(
        {"boards": 8}, {"pending": 16, "sign_in": 2.5}
    )


@pytest.mark.parametrize(
    "given",
    [
        *[("boats", 1), ("pending", 0.5), ("pending", 1.5), ("share", 2), ("boards", -1)],
        *[("pending", math.inf), ("pending", math.nan), ("sign_in", math.nan), ("sign_in", math.inf)],
    ],
)
def test_a_limit_of_the_farm_that_makes_no_sense_is_refused(given: tuple[str, float]) -> None:
    with pytest.raises(InvalidArgument):
        farm_limits([given])


@ensureDeferred
async def test_by_default_nobody_takes_boards_for_a_month_or_leaves_them_behind_for_a_week() -> None:
    farm = farm_with()
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "one")
    day = 86400.0
    with pytest.raises(LimitReached, match="at most 604800 seconds of a reservation"):
        await ada.call("reserve", 1, kind="pulsecount", seconds=30 * day, grace=30 * day)
    with pytest.raises(LimitReached, match="at most 86400 seconds for which a reservation waits for its client"):
        await ada.call("reserve", 1, kind="pulsecount", seconds=7 * day, grace=7 * day)
    assert len(await ada.call("reserve", 1, kind="pulsecount", seconds=7 * day, grace=day)) == 1


@ensureDeferred
async def test_grace_beyond_the_end_of_a_reservation_is_no_more_than_its_length() -> None:
    farm = farm_with(grace=600.0)
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "one")
    assert len(await ada.call("reserve", 1, kind="pulsecount", seconds=300.0, grace=30 * 86400.0)) == 1


@ensureDeferred
async def test_a_session_that_is_ended_for_asking_too_much_is_ended_once_however_often_it_asks() -> None:
    farm = MemoryControl()
    sessions = farm.control.sessions
    ada = await farm.client_of("ada", "one")
    caller = Caller("ada", ada.bus.session, Role.CLIENT)
    kills: list[Any] = []
    bus: Any = sessions._buses[""]
    answers: list[Deferred[Any]] = []

    class SlowRouter:
        """Takes a while to end a session."""

        async def call(self, procedure: str, args: Any, **_: Any) -> Any:
            kills.append((procedure, args[0]))
            answers.append(Deferred())
            return await answers[-1]

    sessions._buses[""] = SlowRouter()  # type: ignore[assignment]
    for _ in range(200):
        sessions.end(caller, "it makes more calls than its account may")
    assert kills == [("wamp.session.kill", ada.bus.session)]
    # The router could not do it: the next refusal asks again.
    answers[0].errback(Busy("no answer"))
    sessions.end(caller, "it makes more calls than its account may")
    assert len(kills) == 2
    sessions._buses[""] = bus
    # HTTP has no session to end, and one that has ended is not ended again.
    for number in (0, 4711):
        sessions.end(Caller("ada", number, Role.CLIENT), "it makes more calls than its account may")
    assert len(kills) == 2


@ensureDeferred
async def test_an_account_whose_session_was_ended_waits_and_other_accounts_do_not() -> None:
    farm = MemoryControl()
    ada = await farm.client_of("ada", "one")
    farm.control.sessions.end(Caller("ada", ada.bus.session, Role.CLIENT), "it asks too much")
    farm.pass_time(1)
    with pytest.raises(LimitReached, match="sign in again in 10 s"):
        await farm.control.sessions.admit(Role.CLIENT, "ada/another", "x")
    await farm.control.sessions.admit(Role.CLIENT, "bob", "x")
    farm.pass_time(BARRED)
    await farm.control.sessions.admit(Role.CLIENT, "ada/another", "x")


def test_a_limit_that_is_reached_says_what_the_account_has_and_asks_for() -> None:
    limits = FarmLimits(AccountLimits(boards=4))
    limits.check("ada/ga-7", "boards", 3)
    with pytest.raises(LimitReached, match=r"account 'ada' has 4 of at most 4 .*boards.*; an operator sets") as one:
        limits.check("ada/ga-7", "boards", 4)
    assert "asks for" not in one.value.message
    with pytest.raises(LimitReached, match=r"has 3 of at most 4 .* and asks for 2 more"):
        limits.check("ada", "boards", 3, 2)


def test_an_unknown_limit_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(InvalidArgument, match=r"there is no limit 'bords'; there are .*boards, "):
        checked_limits({"bords": 3})


@pytest.mark.parametrize("boards", [10_000, 0.5, 1])
def test_a_limit_within_its_bounds_is_taken_as_it_is(boards: float) -> None:
    assert checked_limits({"boards": boards, "queue": 3}) == {"boards": boards, "queue": 3}


@pytest.mark.parametrize("boards", [0, -1, 10_001, math.nan, math.inf])
def test_a_limit_out_of_its_bounds_is_refused_with_them(boards: float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        checked_limits({"queue": 3, "boards": boards})
    assert caught.value.message == f"the limit boards must be above 0 and at most 10000, not {boards!r}"


def test_limits_are_written_as_they_are_read() -> None:
    assert parse_limits("boards=8") == {"boards": 8.0}
    given = parse_limits(" boards=8, rate = 0.5 ,seconds=1e6")
    assert given == {"boards": 8.0, "rate": 0.5, "seconds": 1e6}
    assert limits_text({**given, "queue": None}) == "boards=8, rate=0.5, seconds=1e+06, queue=default"
    with pytest.raises(InvalidArgument, match=r"^must be NAME=NUMBER, several with commas between, not 'boards:8'$"):
        parse_limits("boards:8")


def test_an_account_has_the_limits_that_were_set_for_it_and_else_those_of_the_farm() -> None:
    limits = FarmLimits(AccountLimits(boards=4, queue=7), {"ada": {"boards": 9}, "bob": {}})
    assert [limits.of(each).boards for each in ("ada", "ada/laptop", "bob", "eve/ada")] == [9, 9, 4, 4]
    assert limits.of("ada").queue == 7


def test_the_error_of_a_limit_has_the_account_the_limit_and_its_value() -> None:
    limits = FarmLimits(AccountLimits(sessions=2, seconds=60))
    with pytest.raises(LimitReached) as caught:
        limits.check("ada/laptop", "sessions", 2)
    assert caught.value.message == (
        "account 'ada' has 2 of at most 2 sessions signed in; an operator sets the limit: icefarm account limits "
        "ACCOUNT sessions=N"
    )
    assert caught.value.fields == {"account": "ada", "limit": "sessions", "most": 2}
    with pytest.raises(LimitReached) as caught:
        limits.check_seconds("ada/laptop", "seconds", 61)
    assert caught.value.message == (
        "account 'ada' may ask for at most 60 seconds of a reservation or an extension, not 61; an operator sets the "
        "limit: icefarm account limits ACCOUNT seconds=N"
    )
    assert caught.value.fields == {"account": "ada", "limit": "seconds", "most": 60}
    limits.check_seconds("ada", "seconds", 60)


def test_each_part_of_a_request_has_its_limit_and_one_that_it_leaves_out_has_none() -> None:
    limits = FarmLimits(AccountLimits(seconds=60, grace=30, priority=5, boards=2))
    limits.check_request("ada", 60, None, None, boards=2)
    limits.check_request("ada", 60, 30, 5, boards=2)
    beyond: dict[str, tuple[float, float, float, int]] = {
        "seconds": (61, 30, 5, 2), "grace": (60, 31, 5, 2), "priority": (60, 30, 6, 2), "boards": (60, 30, 5, 3),
    }  # fmt: skip
    for name, request in beyond.items():
        with pytest.raises(LimitReached) as caught:
            limits.check_request("ada", *request)
        assert caught.value.fields["limit"] == name
