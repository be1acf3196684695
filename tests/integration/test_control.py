"""Control with real parts: a Crossbar.io node, PostgreSQL, the plugin under twistd."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from control_rig import LIMIT, Rig, Twistd, flags_for, http, reactor
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater
from waiting import until

from icefarm.contract import Role
from icefarm.control.sessions import revocation
from icefarm.control.sessions.liveness import SILENCE
from icefarm.control.sessions.roster import parse_roster
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.control.telemetry.events import AccessChanged
from icefarm.errors import IcefarmError, LinkLost, NameInUse, NotAuthorized, Unavailable
from icefarm.testing.memory.control_harness import MemoryClient
from icefarm.testing.processes.router import RealRouter

pytestmark = pytest.mark.integration


@ensureDeferred
async def test_boards_are_reserved_prepared_and_freed(rig: Rig) -> None:
    await rig.start()
    _, worker = await rig.worker("w1", "A", "B")
    client = await rig.client("ada")
    records = await client.call("reserve", 2, kind="pulsecount")
    assert {worker.holds[record["serial"]] for record in records} == {record["id"] for record in records}
    with pytest.raises(Unavailable, match="reserved"):
        await client.call("reserve", 1, kind="pulsecount")
    await client.call("end")
    await until(lambda: set(worker.holds.values()) == {None}, "the worker has released its boards")
    await until(lambda: client.words()[-2:] == [("ended", "A"), ("ended", "B")], "the client heard of it")


@ensureDeferred
async def test_a_caller_that_vanishes_in_the_middle_leaves_nothing_after_its_grace_period(rig: Rig) -> None:
    process = await rig.start(grace=1.0)
    _, worker = await rig.worker("w1", "A")
    client = await rig.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = Deferred.fromCoroutine(client.call("reserve", 1, kind="pulsecount"))
    await until(lambda: worker.asked("prepare") == ["A"], "the board is being prepared")
    client.bus.drop("cable cut")
    # It does not come back.
    await rig.links[-1].stopService()
    with pytest.raises(LinkLost):
        await reserving
    await until(lambda: worker.asked("release") == ["A"], "the board is released")
    assert await process.control.store.active() == []


@ensureDeferred
async def test_what_others_write_to_the_database_holds_without_another_look_of_control(
    rig: Rig, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(revocation, "INTERVAL", 3600.0)
    store = PostgresStore(database)
    await store.set_account_limits("ada", {"boards": 3})
    process = await rig.start(sign_in=SignInPolicy.TOKENS)
    limits, changes = process.control.sessions.limits, process.control.parts.publisher
    assert limits.of("ada").boards == 3
    await store.import_accounts(parse_roster("name,group,boards\nada,class-a,2\n"), {"ada": token_hash("secret")})
    await until(lambda: limits.of("ada").boards == 2, "control knows the limit")
    await until(lambda: changes.count([AccessChanged]) > 0, "control knows that a group has changed")
    # However many of its connections were lost.
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'icefarm-control/%'"
    await database.transaction(lambda transaction: transaction.rows(cut))
    await store.set_account_limits("ada", {"boards": 1})
    await until(lambda: limits.of("ada").boards == 1, "control knows the limit")
    client = await rig.client("ada", ticket="secret")
    ended: Deferred[str] = Deferred()
    client.bus.on_lost(ended.callback)
    await store.remove_accounts(["ada"])
    await ended.addTimeout(LIMIT, reactor)


@ensureDeferred
async def test_a_name_is_one_instances_own(rig: Rig) -> None:
    await rig.start()
    await rig.client("ada", instance="one")
    with pytest.raises(NameInUse):
        await rig.client("ada", instance="two")
    await rig.client("ada", instance="one")


@ensureDeferred
async def test_a_restarted_control_knows_instances_from_the_router(rig: Rig) -> None:
    await rig.start()
    await rig.client("ada", instance="one")
    await rig.stop()
    await rig.start()
    with pytest.raises(NameInUse):
        await rig.client("ada", instance="two")


@ensureDeferred
async def test_a_restarted_control_carries_on(rig: Rig) -> None:
    await rig.start()
    _, worker = await rig.worker("w1", "A")
    client = await rig.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await rig.stop()
    process = await rig.start()
    assert not await worker.heartbeat()
    assert await worker.heartbeat()
    assert (await client.call("heartbeat", "i"))["reservations"] == ["A"]
    assert worker.asked("prepare") == ["A"]
    assert worker.asked("release") == []
    assert [device.status for device in await process.control.store.devices()] == ["reserved"]


@ensureDeferred
async def test_a_client_that_does_not_come_back_loses_its_boards(rig: Rig) -> None:
    await rig.start(grace=1.0)
    _, worker = await rig.worker("w1", "A")
    client = await rig.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await rig.links[-1].stopService()
    await until(lambda: worker.asked("release") == ["A"], "the board is released")


@ensureDeferred
async def test_a_lost_worker_is_known_at_once(rig: Rig) -> None:
    process = await rig.start(worker_grace=1.0)
    link, _ = await rig.worker("w1", "A")
    client = await rig.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await link.stopService()
    await until(lambda: ("failure", "A") in client.words(), "the client heard of it", 2.0)
    assert [device.status for device in await process.control.store.devices()] == ["offline"]
    await until(lambda: ("ended", "A") in client.words(), "the reservation ended")


@ensureDeferred
async def test_a_worker_that_falls_silent_is_ended_at_the_router(rig: Rig) -> None:
    await rig.start()
    link, worker = await rig.worker("w1", "A")
    first = worker.bus
    assert first is not None
    # It has no heartbeats of its own: the router is told to end its session, and the link begins another one.
    await until(lambda: worker.bus is not first, "the worker has another session", SILENCE + 10)
    # The first one may overtake the new session's hello, and then says it itself.
    assert await worker.heartbeat() or await worker.heartbeat()
    await link.stopService()


@ensureDeferred
async def test_under_the_policy_of_tokens_everybody_needs_one(rig: Rig) -> None:
    process = await rig.start(sign_in=SignInPolicy.TOKENS)
    with pytest.raises(NotAuthorized, match="takes a token"):
        await rig.client("ada")
    with pytest.raises(NotAuthorized, match="does not know that token"):
        await rig.client("ada", ticket="icefarm_guess")
    await process.control.store.add_token("lab", Role.CLIENT, token_hash("icefarm_secret"))
    await rig.client("ada", ticket="icefarm_secret")
    with pytest.raises(NotAuthorized, match="role client"):
        await rig.client("ada2", ticket="icefarm_secret", role=Role.OPERATOR)


@ensureDeferred
async def test_the_operators_token_lies_in_the_data_directory_for_its_owner_only(rig: Rig) -> None:
    await rig.start()
    assert (rig.directory / "operator.token").stat().st_mode & 0o777 == 0o600
    with pytest.raises(NotAuthorized):
        await rig.client("op", role=Role.OPERATOR)
    operator = await rig.client("op", role=Role.OPERATOR, ticket=rig.operator_token())
    await rig.worker("w1", "A")
    assert (await operator.call("drain", "w1"))["draining"] is True


@ensureDeferred
async def test_a_client_may_not_do_an_operators_work(rig: Rig) -> None:
    await rig.start()
    await rig.worker("w1", "A")
    client = await rig.client("ada")
    with pytest.raises(NotAuthorized):
        await client.call("drain", "w1")


@ensureDeferred
async def test_waiting_clients_are_served_in_their_order(rig: Rig) -> None:
    await rig.start()
    await rig.worker("w1", "A")
    clients = [await rig.client(f"c{number}") for number in range(8)]
    await clients[0].call("reserve", 1, kind="pulsecount")
    served: list[int] = []

    async def take(number: int) -> None:
        await clients[number].call("reserve", 1, kind="pulsecount", wait=True)
        served.append(number)
        await clients[number].call("end")

    waiting = []
    for number in range(1, 8):
        waiting.append(Deferred.fromCoroutine(take(number)))
        await until(partial(_waiting, clients[0], number), f"{number} requests wait")
    await clients[0].call("end")
    await DeferredList(waiting, fireOnOneErrback=True).addTimeout(LIMIT, reactor)
    assert served == list(range(1, 8))


async def _waiting(client: MemoryClient, amount: int) -> bool:
    return len((await client.call("snapshot"))["queue"]) >= amount


@ensureDeferred
async def test_the_page_comes_through_the_router_with_its_headers(rig: Rig) -> None:
    await rig.start()
    await rig.worker("w1", "<script>alert(1)</script>")
    port = int(rig.router.url.rpartition(":")[2])
    status, headers, body = await http(port, f"GET / HTTP/1.1\nHost: localhost:{port}\nConnection: close\n\n")
    assert status == "HTTP/1.1 200 OK"
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["content-type"].startswith("text/html")
    assert b"<title>icefarm</title>" in body
    # Whatever page this is (the dashboard, or the plain one where that was not built), names are never markup in it.
    assert b"<script>alert(1)" not in body


@ensureDeferred
async def test_health_tells_of_router_and_database(rig: Rig) -> None:
    process = await rig.start()
    port = rig.router.http_port
    status, _, body = await http(port, "GET /health HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert status == "HTTP/1.1 200 OK"
    assert json.loads(body)["status"] == "ok"
    await process.database.stop()
    status, _, body = await http(port, "GET /health HTTP/1.1\nHost: x\nConnection: close\n\n")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(body)["database"] is False


@pytest.mark.parametrize("script", ["twistd", "twist"])
@ensureDeferred
async def test_the_plugin_runs_and_stops_cleanly(
    script: str, router: RealRouter, postgres: str, run_control: Callable[..., Twistd]
) -> None:
    control = run_control(script, *flags_for(router, postgres))
    await until(lambda: control.says("control is at the router"), "control is at the router")
    control.transport.signalProcess(signal.SIGTERM)
    assert await control.ended.addTimeout(LIMIT, reactor) in (0, -signal.SIGTERM)
    assert b"Traceback" not in control.output, control.output.decode()


@ensureDeferred
async def test_a_router_and_a_database_that_are_away_are_named_once(
    router: RealRouter, tmp_path: Path, run_control: Callable[..., Twistd]
) -> None:
    control = run_control("twistd", *flags_for(router, f"host={tmp_path} dbname=nothing"))
    await until(lambda: control.says("cannot connect to PostgreSQL"), "the database is named")
    await deferLater(reactor, 3)
    assert control.output.count(b"cannot connect to PostgreSQL") == 1
    control.transport.signalProcess(signal.SIGTERM)
    await control.ended.addTimeout(LIMIT, reactor)
    assert b"Traceback" not in control.output, control.output.decode()


@ensureDeferred
async def test_a_router_that_is_away_is_named_once_and_tried_on(
    router: RealRouter, prepared: str, tmp_path: Path, run_control: Callable[..., Twistd]
) -> None:
    flags = flags_for(router, prepared)
    flags[0] = f"--router=unix:{tmp_path / 'no-router'}"
    control = run_control("twistd", *flags)
    await until(lambda: control.says("no session at the router yet"), "the router is named")
    await deferLater(reactor, 3)
    assert control.output.count(b"no session at the router yet") == 1
    assert not control.ended.called


@ensureDeferred
async def test_a_taken_http_port_ends_control_with_one_line(
    router: RealRouter, prepared: str, run_control: Callable[..., Twistd]
) -> None:
    control = run_control("twistd", *flags_for(router, prepared, int(router.url.rpartition(":")[2])))
    await control.ended.addTimeout(LIMIT, reactor)
    assert control.says("control cannot start: Couldn't listen on 127.0.0.1")
    assert b"Traceback" not in control.output


@ensureDeferred
async def test_a_killed_control_leaves_its_clients_their_boards(
    rig: Rig, router: RealRouter, prepared: str, run_control: Callable[..., Twistd]
) -> None:
    control = run_control("twistd", *flags_for(router, prepared))
    await until(lambda: control.says("control is at the router"), "control is at the router")
    _, worker = await rig.worker("w1", "A")
    client = await rig.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    control.transport.signalProcess(signal.SIGKILL)
    await control.ended
    again = run_control("twistd", *flags_for(router, prepared))
    await until(lambda: again.says("control is at the router"), "another control is at the router")
    assert not await worker.heartbeat()
    assert (await client.call("heartbeat", "i"))["reservations"] == ["A"]
    assert worker.asked("prepare") == ["A"]
    assert await client.call("end") == ["A"]


@ensureDeferred
async def test_a_caller_that_comes_back_asks_again_and_gets_the_same_board(rig: Rig) -> None:
    process = await rig.start()
    _, worker = await rig.worker("w1", "A", "B")
    client = await rig.client("ada")
    link = rig.links[-1]
    worker.stuck["A"] = Deferred()
    lost = Deferred.fromCoroutine(client.call("reserve", 1, kind="pulsecount", request="r1"))
    await until(lambda: worker.asked("prepare") == ["A"], "the board is being prepared")
    client.bus.drop("cable cut")
    with pytest.raises(LinkLost):
        await lost
    # It would sign in again, after a pause, and take the place of the session that asks below.
    await link.stopService()
    worker.stuck.pop("A").callback(None)
    again = await rig.client("ada")
    (record,) = await again.call("reserve", 1, kind="pulsecount", request="r1")
    assert record["serial"] == "A"
    assert [one.id for one in await process.control.store.active()] == [record["id"]]


@ensureDeferred
async def test_a_place_in_the_queue_outlasts_control(rig: Rig) -> None:
    await rig.start()
    _, worker = await rig.worker("w1", "A")
    ada, bob, eve = await rig.client("ada"), await rig.client("bob"), await rig.client("eve")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = {"kind": "pulsecount", "wait": True}
    for client, name in ((bob, "of bob"), (eve, "of eve")):
        call = Deferred.fromCoroutine(client.call("reserve", 1, request=name, **waiting))
        call.addErrback(lambda failure: failure.trap(IcefarmError))
        queue = []
        while not any(record["id"] == name for record in queue):
            queue = (await ada.call("snapshot"))["queue"]
    await rig.stop()
    process = await rig.start()
    await worker.hello()
    assert [queued.id for queued in await process.control.store.waiting()] == ["of bob", "of eve"]
    # They call again in another order than they came.
    second = Deferred.fromCoroutine(eve.call("reserve", 1, request="of eve", **waiting))
    first = Deferred.fromCoroutine(bob.call("reserve", 1, request="of bob", **waiting))
    await ada.call("end")
    await first
    assert not second.called
    await bob.call("end")
    await second
    assert await process.control.store.waiting() == []
