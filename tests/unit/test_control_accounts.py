"""Who signs in with a token is its account, whatever name it asks for; a token that has ended ends its sessions."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from icefarm.contract import Role
from icefarm.control.sessions.limits import AccountLimits
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import LimitReached, LinkLost, NameInUse, NotAuthorized, NotYours
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.wamp.credentials import Credentials

TOKENS = ControlSettings(SignInPolicy.TOKENS)


@ensureDeferred
async def test_two_people_run_the_same_script_and_do_not_meet() -> None:
    farm = MemoryControl(TOKENS)
    await farm.worker_of("w1", "A", "B")
    ada = await farm.client_of("ada", "example icefarm client")
    bob = await farm.client_of("bob", "example icefarm client", instance="another")
    (first,) = await ada.call("reserve", 1, kind="pulsecount")
    (second,) = await bob.call("reserve", 1, kind="pulsecount")
    assert (first["client"], second["client"]) == ("ada/example icefarm client", "bob/example icefarm client")
    with pytest.raises(NotYours):
        await bob.call("end", [first["serial"]])
    assert await ada.call("end") == [first["serial"]]


@ensureDeferred
async def test_a_client_is_told_of_its_boards_under_the_name_that_the_farm_gave_it() -> None:
    farm = MemoryControl(TOKENS)
    await farm.worker_of("w1", "A")
    ada = await farm.client_of("ada", "run 1")
    assert ada.bus.authid == "ada/run 1"
    await ada.call("reserve", 1, kind="pulsecount")
    farm.pass_time(1)
    assert ("initialised", "A") in ada.words()


@ensureDeferred
async def test_no_name_that_a_client_asks_for_leads_into_another_account() -> None:
    farm = MemoryControl(TOKENS)
    for name in ("ada", "ada/run 1", "/ada", "bob/../ada"):
        assert (await farm.client_of("bob", name)).bus.authid.startswith("bob/")


@ensureDeferred
async def test_a_workers_token_lets_it_in_as_the_tokens_worker_alone() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("shelf-1", Role.WORKER, token_hash("one"))
    await farm.store.add_token("shelf-2", Role.WORKER, token_hash("two"))
    for name, secret, identity in (("shelf-1", "one", "shelf-1"), ("shelf-1", "two", "shelf-2/shelf-1")):
        bus = await farm.router.sign_in(Credentials(name, Role.WORKER, secret, secret))
        assert bus.authid == identity


@ensureDeferred
async def test_a_name_belongs_to_one_live_session_of_its_account() -> None:
    farm = MemoryControl(TOKENS)
    await farm.client_of("ada", "run", instance="one")
    with pytest.raises(NameInUse):
        await farm.client_of("ada", "run", instance="two")
    await farm.client_of("bob", "run", instance="two")


@ensureDeferred
async def test_an_account_has_so_many_sessions_and_no_more() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("secret"))
    for number in range(round(AccountLimits().sessions)):
        await farm.client(f"run {number}", instance="one", ticket="secret")
    with pytest.raises(LimitReached, match="has 64 of at most 64 sessions"):
        await farm.client("one more", ticket="secret")
    await farm.client("run 7", instance="one", ticket="secret")
    await farm.client_of("bob")


@ensureDeferred
async def test_a_revoked_token_ends_its_sessions_within_seconds_and_leaves_others_alone() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("ada's"))
    await farm.store.add_token("ada at home", Role.CLIENT, token_hash("ada's other"), account="ada")
    ended = await farm.client("run 1", ticket="ada's")
    other = await farm.client("run 2", ticket="ada's other")
    await farm.store.revoke_token("ada")
    farm.pass_time(3)
    with pytest.raises(LinkLost):
        await ended.call("available")
    assert (await other.call("available"))["amount"] == 0


@ensureDeferred
async def test_a_token_that_a_command_revoked_ends_its_sessions_as_soon_as_the_database_says_so() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("ada's"))
    ended = await farm.client("ada", ticket="ada's")
    await farm.store.revoke_token("ada")
    farm.control.table_changed("token")
    with pytest.raises(LinkLost):
        await ended.call("available")


@ensureDeferred
async def test_a_token_that_expires_ends_its_sessions_and_lets_nobody_in() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("secret"), lasts=60.0)
    client = await farm.client("ada", ticket="secret")
    farm.pass_time(50)
    assert (await client.call("available"))["amount"] == 0
    farm.pass_time(15)
    with pytest.raises(LinkLost):
        await client.call("available")
    with pytest.raises(NotAuthorized):
        await farm.client("ada", ticket="secret")


@ensureDeferred
async def test_a_control_that_was_restarted_still_ends_the_sessions_of_a_revoked_token() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("secret"))
    client = await farm.client("ada", ticket="secret")
    farm.kill_control()
    await farm.store.revoke_token("ada")
    farm.start_control()
    farm.pass_time(3)
    with pytest.raises(LinkLost):
        await client.call("available")


@ensureDeferred
async def test_while_the_database_is_away_sessions_go_on() -> None:
    farm = MemoryControl(TOKENS)
    client = await farm.client_of("ada")
    farm.database.away = True
    farm.pass_time(30)
    assert client.bus.session in farm.router.sessions
    farm.database.away = False
    farm.pass_time(3)
    assert (await client.call("available"))["amount"] == 0


@ensureDeferred
async def test_both_tokens_are_good_while_one_replaces_the_other() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("old"))
    await farm.store.rotate_token("ada", token_hash("new"), overlap=100.0)
    for secret in ("old", "new"):
        assert (await farm.client(secret, ticket=secret)).bus.authid == f"ada/{secret}"
    farm.pass_time(105)
    with pytest.raises(NotAuthorized):
        await farm.client("late", ticket="old")
    await farm.client("in time", ticket="new")


@ensureDeferred
async def test_a_token_is_replaced_by_one_that_lasts_as_long_unless_a_time_is_given() -> None:
    store = MemoryControl(TOKENS).store
    made = [await store.add_token("ada", Role.CLIENT, "first", lasts=60.0)]
    for number, lasts in enumerate((None, 90.0, None)):
        made.append(await store.rotate_token("ada", f"later {number}", overlap=1.0, lasts=lasts))
    assert [token.expires_at and token.expires_at - token.created_at for token in made] == [60.0, 60.0, 90.0, 90.0]
    await store.add_token("bob", Role.CLIENT, "his")
    assert (await store.rotate_token("bob", "his next", overlap=1.0)).expires_at is None


@ensureDeferred
async def test_an_open_farm_says_that_a_token_is_wrong() -> None:
    farm = MemoryControl()
    with pytest.raises(NotAuthorized, match=r"does not know that token.*can be left out"):
        await farm.client("ada", ticket="icefarm_wrong")
    await farm.client("ada")


@ensureDeferred
async def test_the_list_of_tokens_says_when_each_was_used_and_from_where() -> None:
    farm = MemoryControl(TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash("secret"))
    await farm.client("ada", ticket="secret")
    (token,) = await farm.store.list_tokens()
    assert (token.last_used_from, token.last_used_at) == ("memory", farm.clock.seconds())
