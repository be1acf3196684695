"""The audit log: who did what, who was refused, and that nobody can fill it."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from icefarm.bus import Caller
from icefarm.contract import Role
from icefarm.control.sessions.audit import AMOUNT, AuditLog
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import NotAuthorized, NotYours
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl
from icefarm.testing.memory.store import MemoryStore


async def told(operator: MemoryClient) -> list[tuple[str, str, str | None, str]]:
    """Return (identity, action, subject, outcome) of each entry."""
    entries = await operator.call("audit")
    return [(entry["name"], entry["action"], entry["subject"], entry["outcome"]) for entry in entries]


@ensureDeferred
async def test_what_a_client_does_is_kept_with_its_account_session_and_address() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    await farm.worker_of("w1", "A", "B")
    ada = await farm.client_of("ada", "run 1")
    await ada.call("reserve", 2, kind="pulsecount")
    await ada.call("reboot", ["A"])
    await ada.call("end", ["A"])
    operator = farm.operator()
    assert await told(operator) == [
        ("w1", "sign_in", None, "done"),
        ("ada/run 1", "sign_in", None, "done"),
        ("ada/run 1", "reserve", "A, B", "done"),
        ("ada/run 1", "reboot", "A", "done"),
        ("ada/run 1", "end", "A", "done"),
    ]
    (reserved,) = await operator.call("audit", account="ada", action="reserve")
    assert (reserved["session"], reserved["address"]) == (ada.bus.session, "memory")
    assert (reserved["account"], reserved["role"], reserved["detail"]) == ("ada", "client", "pulsecount")


@ensureDeferred
async def test_what_an_operator_does_with_accounts_is_kept_with_their_names() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    operator = farm.operator()
    await operator.call("access_group", "class-a", add=["ada", "bob"])
    await operator.call("access_group", "class-a", remove=["bob"])
    await operator.call("access_add", group="class-a", where="virtual", kinds=["pulsecount"])
    await operator.call("access_add", seconds=60.0)
    await operator.call("end_accounts", ["class-a", "cem"])
    entries = [entry for entry in await operator.call("audit") if entry["action"].startswith(("access", "end"))]
    assert [(entry["action"], entry["subject"], entry["detail"]) for entry in entries] == [
        ("access_group", "class-a", "+ada +bob"),
        ("access_group", "class-a", "-bob"),
        ("access_add", "class-a", "where virtual as pulsecount"),
        ("access_add", None, None),
        ("end_accounts", None, "class-a, cem"),
    ]


@ensureDeferred
async def test_what_is_refused_is_kept_with_the_reason_and_without_the_token() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    await farm.worker_of("w1", "A")
    bob = await farm.client_of("bob")
    with pytest.raises(NotAuthorized):
        await farm.client("mallory", ticket="icefarm_guessed")
    ada = await farm.client_of("ada")
    await ada.call("reserve", 1, kind="pulsecount")
    with pytest.raises(NotYours):
        await bob.call("end", ["A"])
    operator = farm.operator()
    entries = await told(operator)
    assert ("mallory", "sign_in", None, "not_authorized") in entries
    assert ("bob", "end", "A", "not_yours") in entries
    assert "icefarm_guessed" not in str(await operator.call("audit"))


@ensureDeferred
async def test_only_operators_read_it() -> None:
    farm = MemoryControl()
    client = await farm.client("ada")
    with pytest.raises(NotAuthorized):
        await client.call("audit")


@ensureDeferred
async def test_nobody_fills_it_and_what_was_left_out_is_counted() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    log = AuditLog(store, clock, 90.0)
    for number in range(10 * AMOUNT):
        log.called(Caller("mallory/x", number, Role.CLIENT), "", "end", None, "done")
    log.called(Caller("ada", 1, Role.CLIENT), "", "end", None, "done")
    await log.write()
    kept = await store.audit(0.0, limit=10_000)
    assert [entry.account for entry in kept].count("mallory") == AMOUNT + 1
    assert [entry.account for entry in kept].count("ada") == 1
    assert any(entry.action == "suppressed" and f"{9 * AMOUNT} more" in str(entry.detail) for entry in kept)


@ensureDeferred
async def test_refused_sign_ins_of_one_address_do_not_fill_it_under_many_names() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    log = AuditLog(store, clock, 90.0)
    for number in range(1000):
        log.signed_in(f"name {number}", "client", f"tcp4:192.0.2.7:{number}", "not_authorized", "no")
    await log.write()
    assert len(await store.audit(0.0, limit=10_000)) == AMOUNT + 1


@ensureDeferred
async def test_what_is_older_than_the_retention_is_forgotten() -> None:
    farm = MemoryControl(ControlSettings(audit_days=1.0))
    await farm.client("ada")
    farm.pass_time(2)
    assert len(await farm.store.audit(0.0, limit=10)) == 1
    farm.clock.advance(2 * 86400.0)
    farm.pass_time(4)
    assert await farm.store.audit(0.0, action="sign_in", limit=10) == []


@ensureDeferred
async def test_while_the_database_is_away_entries_wait() -> None:
    farm = MemoryControl()
    farm.database.away = True
    farm.control.parts.audit.called(Caller("ada", 1, Role.CLIENT), "", "end", "A", "done")
    farm.pass_time(5)
    farm.database.away = False
    farm.pass_time(5)
    assert [entry.action for entry in await farm.store.audit(0.0, limit=10)] == ["end"]


@ensureDeferred
async def test_text_from_outside_stays_on_its_line() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    farm.control.parts.audit.signed_in("a\x1b[2J\nb" + "x" * 5000, "client", "tcp4:h:1", "invalid_argument", None)
    await farm.store.add_token("t", Role.CLIENT, token_hash("t"))
    (entry,) = await farm.operator().call("audit")
    assert entry["name"].startswith("a\ufffd[2J\ufffdb")
    assert len(entry["name"]) == 400
