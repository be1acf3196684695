"""Which accounts may have which boards: the rules, and what comes of them at control in memory."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.contract import AccessRule, DeviceRecord, DeviceStatus
from icefarm.control.scheduling.access import ANYTHING, AccessRules, rule_words
from icefarm.control.sessions.roster import parse_roster
from icefarm.errors import LimitReached, NotAuthorized, Unavailable
from icefarm.testing.memory.control_harness import MemoryControl

start = Deferred.fromCoroutine
HOUR = 3600.0
BOARD = DeviceRecord(
    "A", "w1", DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, 0.0, labels={"lab": "3"}
)


def rule(id: int = 1, **fields: Any) -> AccessRule:
    return AccessRule(id, **fields)


# --------------------------------------------------------------------------------------------------- the rules


def test_without_rules_an_account_may_have_everything() -> None:
    assert AccessRules().of("ada") is ANYTHING
    assert AccessRules([rule(account="bob", where="lab=4")]).of("ada").allows(BOARD, "pulsecount")


def test_an_account_has_its_own_rules_and_those_of_its_groups_else_those_for_everybody() -> None:
    rules = [
        rule(1, account="ada", where="lab=3"),
        rule(2, group="class-a", where="lab=4"),
        rule(3, where="lab=5"),
    ]
    access = AccessRules(rules, {"ada": "class-a", "bob": "class-a"})
    assert [each.id for each in access.rules_of("ada")] == [1, 2]
    assert [each.id for each in access.rules_of("bob")] == [2]
    assert [each.id for each in access.rules_of("eve")] == [3]
    boards = {lab: evolve(BOARD, labels={"lab": lab}) for lab in "345"}
    terms = access.of("ada/laptop")
    assert [lab for lab, board in boards.items() if terms.allows(board, None)] == ["3", "4"]


def test_what_rules_leave_and_refuse_is_said_with_the_length_if_it_matters() -> None:
    terms = AccessRules([rule(account="ada", where="lab=3", seconds=HOUR)]).of("ada")
    assert terms.leaves(2) == "what account 'ada' may have leaves 2"
    assert terms.lasting(2 * HOUR).leaves(0) == "what account 'ada' may have for 2 h leaves 0"
    may = "it may have: boards with lab=3, for at most 1 h"
    assert str(terms.refusal(["A", "B"], "pulsecount")) == f"account 'ada' may not have A, B as 'pulsecount'; {may}"
    assert str(terms.lasting(2 * HOUR).refusal(["A"], "x")) == f"account 'ada' may not have A as 'x' for 2 h; {may}"


def test_too_long_a_reservation_is_refused_with_its_kind() -> None:
    terms = AccessRules([rule(account="ada", seconds=HOUR)]).of("ada")
    with pytest.raises(LimitReached) as caught:
        terms.duration("pulsecount", 2 * HOUR, HOUR)
    assert str(caught.value) == (
        "account 'ada' may have boards as 'pulsecount' for at most 1 h, not for 2 h; "
        "it may have: all boards, for at most 1 h"
    )
    assert caught.value.fields == {"account": "ada", "limit": "access", "most": HOUR}


def test_one_rule_must_allow_all_of_a_request() -> None:
    rules = [
        rule(1, account="ada", where="lab=3", seconds=2 * HOUR, kinds=["pulsecount"]),
        rule(2, account="ada", where="lab=4", seconds=HOUR),
    ]
    terms = AccessRules(rules).of("ada")
    assert terms.lasting(2 * HOUR).allows(BOARD, "pulsecount")
    assert not terms.lasting(2 * HOUR + 1).allows(BOARD, "pulsecount")
    assert not terms.allows(BOARD, "variance")
    assert (terms.longest("pulsecount"), terms.longest("variance")) == (2 * HOUR, HOUR)
    assert (terms.holds_for(BOARD, "pulsecount"), terms.holds_for(BOARD, "variance")) == (2 * HOUR, 0.0)
    with pytest.raises(
        LimitReached, match=r"account 'ada' may have boards as 'variance' for at most 1 h, not for 2 h"
    ) as caught:
        terms.check("variance", 2 * HOUR)
    assert caught.value.fields == {"account": "ada", "limit": "access", "most": HOUR}
    terms.check("variance", HOUR)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "all boards"),
        ({"where": "lab=3"}, "boards with lab=3"),
        ({"seconds": HOUR, "kinds": ["a", "b"]}, "all boards, for at most 1 h, as a or b"),
    ],
)
def test_a_rule_says_what_it_allows(fields: dict[str, Any], words: str) -> None:
    assert rule_words(rule(**fields)) == words


def test_a_refusal_names_the_first_rules_and_how_many_more_there_are() -> None:
    labs = [rule(number, account="ada", where=f"lab={number}", kinds=["b"]) for number in range(7)]
    for rules, end in ((labs[:5], "boards with lab=4, as b"), (labs, "boards with lab=4, as b; and 2 more rules")):
        with pytest.raises(NotAuthorized) as caught:
            AccessRules(rules).of("ada").longest("a")
        assert caught.value.message.startswith(
            "account 'ada' may not have boards as 'a'; it may have: boards with lab=0"
        )
        assert caught.value.message.endswith(end)


def test_a_reservation_without_a_length_lasts_as_usual_or_as_long_as_it_may() -> None:
    terms = AccessRules([rule(1, account="ada", seconds=HOUR), rule(2, account="ada", kinds=["b"])]).of("ada")
    assert (terms.duration("a", None, 2 * HOUR), terms.duration("a", None, HOUR / 2)) == (HOUR, HOUR / 2)
    assert (terms.duration("b", None, 2 * HOUR), terms.duration("b", 9 * HOUR, HOUR)) == (2 * HOUR, 9 * HOUR)
    assert (terms.duration("a", HOUR, 2 * HOUR), ANYTHING.duration("a", None, HOUR)) == (HOUR, HOUR)
    with pytest.raises(LimitReached):
        terms.duration("a", HOUR + 1, 60.0)


simple = st.builds(
    AccessRule,
    st.integers(1, 10**6),
    account=st.sampled_from([None, "ada"]),
    where=st.sampled_from([None, "lab=3", "lab=4", "real"]),
    seconds=st.sampled_from([None, 60.0, HOUR]),
    kinds=st.sampled_from([None, ["pulsecount"], ["variance"]]),
)


@given(
    st.lists(simple, max_size=5, unique_by=lambda each: each.id), st.sampled_from([30.0, 61.0, 2 * HOUR]), st.randoms()
)
def test_rules_add_up_in_any_order(rules: list[AccessRule], seconds: float, random: Any) -> None:
    own = [each for each in rules if each.account == "ada"]
    terms = AccessRules(rules).of("ada").lasting(seconds)
    shuffled = list(rules)
    random.shuffle(shuffled)
    for kind in ("pulsecount", "variance"):
        allowed = terms.allows(BOARD, kind)
        assert AccessRules(shuffled).of("ada").lasting(seconds).allows(BOARD, kind) == allowed
        if own:
            alone = [AccessRules([each]).of("ada").lasting(seconds).allows(BOARD, kind) for each in own]
            assert allowed == any(alone)
        longest = terms.holds_for(BOARD, kind)
        assert allowed == (longest is None or seconds <= longest)


# --------------------------------------------------------------------------------------------------- at control


async def farm_with_rule(**fields: Any) -> tuple[MemoryControl, Any, Any]:
    """Return a farm whose board A has lab=3 and B lab=4, an operator, and ada, for whom there is a rule."""
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    operator, client = farm.operator(), await farm.client("ada")
    await operator.call("label", {"lab": "3"}, ["A"])
    await operator.call("label", {"lab": "4"}, ["B"])
    await operator.call("access_add", account="ada", **fields)
    return farm, operator, client


@ensureDeferred
async def test_a_request_gets_what_its_account_may_have_and_says_what_that_is() -> None:
    farm, _, client = await farm_with_rule(where="lab=3")
    assert (await client.call("available"))["serials"] == ["A"]
    with pytest.raises(Unavailable, match=r"of 2 boards, what account 'ada' may have for 1 h leaves 1; 1 suit"):
        await client.call("reserve", 2, kind="pulsecount")
    records = await client.call("reserve", 1, kind="pulsecount")
    assert [record["serial"] for record in records] == ["A"]
    bob = await farm.client("bob")
    assert [record["serial"] for record in await bob.call("reserve", 1, kind="pulsecount")] == ["B"]


@ensureDeferred
async def test_a_board_that_the_account_may_not_have_is_refused_by_its_serial_at_once() -> None:
    _, _, client = await farm_with_rule(where="lab=3", seconds=2 * HOUR, kinds=["pulsecount"])
    with pytest.raises(NotAuthorized) as caught:
        await client.call("reserve", serials=["B"], kind="pulsecount", wait=True)
    assert caught.value.message == (
        "account 'ada' may not have B as 'pulsecount' for 1 h; "
        "it may have: boards with lab=3, for at most 2 h, as pulsecount"
    )
    with pytest.raises(NotAuthorized, match="account 'ada' may not have boards as 'variance'"):
        await client.call("reserve", 1, kind="variance")
    with pytest.raises(LimitReached, match="for at most 2 h, not for 3 h"):
        await client.call("reserve", 1, kind="pulsecount", seconds=3 * HOUR)


@ensureDeferred
async def test_a_reservation_lasts_as_long_as_the_rules_say_with_all_of_its_extensions() -> None:
    farm, _, client = await farm_with_rule(where="lab=3", seconds=1000.0)
    (record,) = await client.call("reserve", 1, kind="pulsecount")
    assert record["expires_at"] - record["created_at"] == 1000
    with pytest.raises(LimitReached, match="your account may not have A any longer"):
        await client.call("extend", ["A"], 1000.0)
    (held,) = await farm.store.active()
    assert held.expires_at == record["expires_at"]
    await client.call("end")
    (record,) = await client.call("reserve", 1, kind="pulsecount", seconds=100.0)
    assert await client.call("extend", None, 5000.0) == ["A"]
    (held,) = await farm.store.active()
    assert held.expires_at == record["created_at"] + 1000


@ensureDeferred
async def test_a_board_that_the_account_may_no_longer_have_is_not_extended() -> None:
    farm, operator, client = await farm_with_rule()
    await client.call("reserve", serials=["A"], kind="pulsecount")
    await operator.call("label", {"lab": "5"}, ["A"])
    (first,) = (await operator.call("access_list"))["rules"]
    await operator.call("access_add", account="ada", where="lab=4")
    await operator.call("access_remove", [first["id"]])
    with pytest.raises(LimitReached):
        await client.call("extend")
    assert len(await farm.store.active()) == 1


@ensureDeferred
async def test_a_rule_counts_at_once_for_requests_that_wait() -> None:
    farm, operator, client = await farm_with_rule(where="lab=3")
    other = await farm.client("bob")
    await other.call("reserve", serials=["A"], kind="pulsecount")
    waiting = start(client.call("reserve", 1, kind="pulsecount", wait=True))
    farm.clock.advance(0)
    (queued,) = (await operator.call("snapshot"))["queue"]
    assert "what account 'ada' may have for 1 h leaves 1; 1 suitable board, it is reserved" in queued["reason"]
    await operator.call("access_add", account="ada", where="lab=4")
    farm.clock.advance(0)
    assert [record["serial"] for record in await waiting] == ["B"]


@ensureDeferred
async def test_a_group_that_a_command_wrote_counts_at_once_for_requests_that_wait() -> None:
    farm, operator, client = await farm_with_rule(where="lab=3")
    await operator.call("access_add", group="class-a", where="lab=4")
    other = await farm.client("bob")
    await other.call("reserve", serials=["A"], kind="pulsecount")
    waiting = start(client.call("reserve", 1, kind="pulsecount", wait=True))
    farm.clock.advance(0)
    assert not waiting.called
    await farm.store.import_accounts(parse_roster("name,group\nada,class-a\n"), {"ada": "hash"})
    farm.control.table_changed("account_group")
    farm.clock.advance(0)
    assert [record["serial"] for record in await waiting] == ["B"]


@ensureDeferred
async def test_everybody_reads_their_own_rules_and_operators_all() -> None:
    farm, operator, client = await farm_with_rule(where="lab=3", kinds=["variance", "pulsecount"])
    assert await operator.call("access_group", "class-a", add=["bob", "ada"]) == ["ada", "bob"]
    own = await client.call("access")
    assert (own["account"], own["group"]) == ("ada", "class-a")
    assert [(each["where"], each["kinds"]) for each in own["rules"]] == [("lab=3", ["pulsecount", "variance"])]
    bob = await farm.client("bob")
    assert (await bob.call("access"))["rules"] == []
    with pytest.raises(NotAuthorized, match="only an operator"):
        await bob.call("access", "ada")
    assert (await operator.call("access", "ada")) == own
    assert (await operator.call("access_list"))["groups"] == {"class-a": ["ada", "bob"]}
    assert await operator.call("access_group", "class-a", remove=["ada", "bob"]) == []
    assert (await operator.call("access_list"))["groups"] == {}


@ensureDeferred
async def test_a_rule_that_is_made_twice_is_one() -> None:
    _, operator, _ = await farm_with_rule(where="lab=3")
    again = await operator.call("access_add", account="ada", where="lab = 3")
    assert (await operator.call("access_list"))["rules"] == [again]
    assert await operator.call("access_remove", [again["id"], 10**9]) == [again["id"]]
