"""Two controls of one farm, with a real router and PostgreSQL: one leads, the other takes over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import pytest_twisted
from attrs import Factory, define, field
from control_rig import Rig, Twistd, flags_for, http, reactor
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from waiting import until

from icefarm.control.storage import leader as election
from icefarm.control.storage.leader import Leadership
from icefarm.control.storage.pool import Database
from icefarm.testing.processes.router import RealRouter, free_port

pytestmark = pytest.mark.integration

#: Seconds until another control has taken over, on a busy machine.
LIMIT = 60.0

Controls = Callable[[], Twistd]


@define(eq=False)
class Candidate:
    """A control that takes part in the election and does nothing else; the test says whether it reaches a router."""

    dsn: str
    name: str
    found: bool | None
    ended: list[str] = Factory(list)
    leadership: Leadership = field(init=False)
    leads: bool = False

    def __attrs_post_init__(self) -> None:
        self.leadership = Leadership(reactor, self.dsn, self.ended.append, self, here=self.name)

    def reaches(self) -> bool | None:
        return self.found

    def stand(self) -> None:
        Deferred.fromCoroutine(self._stand())

    async def _stand(self) -> None:
        await self.leadership.acquire()
        await self.leadership.claim()
        self.leads = True

    async def stands_by(self) -> None:
        await until(lambda: bool(self.leadership.leader), f"{self.name} has asked the database", LIMIT)
        assert not self.leads

    async def has_lead(self) -> None:
        await until(lambda: self.leads, f"{self.name} leads", LIMIT)


Stand = Callable[[str, bool | None], Candidate]


@pytest_twisted.async_yield_fixture
async def candidates(prepared: str) -> AsyncIterator[Stand]:
    """Makes controls that stand for election; what still does at the end of the test is stopped."""
    made: list[Candidate] = []

    def stand(name: str, found: bool | None) -> Candidate:
        made.append(Candidate(prepared, name, found))
        made[-1].stand()
        return made[-1]

    yield stand
    for candidate in made:
        await candidate.leadership.stop()


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leader in the process of the tests be silent for long: on a busy machine that process may have to wait.

    After the usual 3 s, a standby takes over from it at once.  Controls in processes of their own are as usual.
    """
    monkeypatch.setattr(election, "SILENCE", round(LIMIT))
    monkeypatch.setattr(election, "ANSWER_LIMIT", LIMIT)


@pytest.fixture
def controls(router: RealRouter, prepared: str, tmp_path: Path, run_control: Callable[..., Twistd]) -> Controls:
    """Starts controls of one farm as processes."""
    return partial(run_control, "twistd", *flags_for(router, prepared), f"--data-dir={tmp_path}")


def leads(control: Twistd) -> bool:
    return control.says("control is at the router")


async def leader_and_standby(controls: Controls) -> tuple[Twistd, Twistd]:
    first = controls()
    await until(lambda: leads(first), "the first control leads", LIMIT)
    second = controls()
    await until(lambda: second.says("standing by: control"), "the second control stands by", LIMIT)
    return first, second


@ensureDeferred
async def test_a_standby_says_so_and_touches_nothing(rig: Rig, controls: Controls) -> None:
    process = await rig.start()
    client = await rig.client("ada")
    second = controls()
    await until(lambda: second.says("standing by: control"), "the second control stands by", LIMIT)
    assert second.says(f"control {os.getpid()} on ")
    assert (await client.call("available"))["amount"] == 0
    assert process.control.bus is not None
    assert not leads(second)


@ensureDeferred
async def test_the_health_page_of_a_standby_names_the_leader(
    router: RealRouter, prepared: str, rig: Rig, tmp_path: Path
) -> None:
    await rig.start()
    other = Rig(router, prepared, tmp_path / "other")
    waiting = other.unstarted(http_port=0)
    waiting.startService()
    try:
        await until(lambda: bool(waiting.leadership.leader), "it has asked the database", LIMIT)
        port = waiting._port.getHost().port
        status, _, body = await http(port, "GET /health HTTP/1.1\nHost: x\nConnection: close\n\n")
        assert " 503 " in status
        said = json.loads(body)
        assert said["status"] == "standby"
        assert said["leader"].startswith(f"control {os.getpid()} on ")
    finally:
        await waiting.stopService()


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP])
@ensureDeferred
async def test_a_standby_takes_over_from_a_leader_that_is_gone(
    sent: signal.Signals, controls: Controls, rig: Rig
) -> None:
    first, second = await leader_and_standby(controls)
    _, worker = await rig.worker("w1", "A", "B")
    client = await rig.client("ada")
    held = await client.call("reserve", 1, kind="pulsecount")
    first.transport.signalProcess(sent)
    await until(lambda: leads(second), "the standby leads", LIMIT)
    # The client's session at the router is the same; so are its boards.
    records = await client.call("reserve", 1, kind="pulsecount")
    assert {held[0]["serial"], records[0]["serial"]} == {"A", "B"}
    assert worker.holds[held[0]["serial"]] == held[0]["id"]


@ensureDeferred
async def test_a_leader_that_was_stopped_meanwhile_ends_and_changes_nothing(controls: Controls, rig: Rig) -> None:
    first, second = await leader_and_standby(controls)
    await rig.worker("w1", "A")
    client = await rig.client("ada")
    first.transport.signalProcess(signal.SIGSTOP)
    await until(lambda: leads(second), "the standby leads", LIMIT)
    await client.call("reserve", 1, kind="pulsecount")
    first.transport.signalProcess(signal.SIGCONT)
    assert await first.ended.addTimeout(LIMIT, reactor) == 1
    assert first.says("has taken over from this control"), first.output.decode()
    assert b"Traceback" not in first.output, first.output.decode()
    assert (await client.call("available"))["amount"] == 0


@ensureDeferred
async def test_a_leader_whose_database_connections_are_cut_leads_on(rig: Rig, prepared: str) -> None:
    process = await rig.start()
    term = process.leadership.fence.term
    database = Database(reactor, prepared, size=1)
    await database.start()
    try:
        await database.transaction(
            lambda transaction: transaction.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                "AND datname = current_database()"
            )
        )
    finally:
        await database.stop()
    client = await rig.client("ada")
    await until(lambda: process.database.problem is None, "control is back at the database", LIMIT)
    assert (await client.call("available"))["amount"] == 0
    assert process.leadership.fence.term == term


@ensureDeferred
async def test_a_leader_that_reaches_no_router_makes_way_for_the_standby_that_does_and_for_no_other(
    candidates: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(election, "STRANDED", 1.0)
    first = candidates("first", False)
    await first.has_lead()
    blind, able = candidates("blind", False), candidates("able", True)
    await able.has_lead()
    assert first.ended == [
        f"control {os.getpid()} on able reaches a router and takes over from this control, which reaches none and ends"
    ]
    assert blind.ended == []
    assert not blind.leads
    assert able.leadership.fence.term == 2
    able.found = False
    blind.found = True
    await blind.has_lead()
    assert able.ended == [
        f"control {os.getpid()} on blind reaches a router and takes over from this control, which reaches none and ends"
    ]


@ensureDeferred
async def test_while_nobody_reaches_a_router_the_leader_keeps_the_lead_and_a_standby_takes_over_from_a_dead_one(
    candidates: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(election, "STRANDED", 0.01)
    first = candidates("first", False)
    await first.has_lead()
    second = candidates("second", False)
    await second.stands_by()
    third = candidates("third", None)
    await third.stands_by()
    assert await first.leadership.confirm()
    assert await first.leadership.confirm()
    assert first.ended == []
    await first.leadership.stop()
    await until(lambda: second.leads or third.leads, "another one leads", LIMIT)


@ensureDeferred
async def test_a_leader_that_reaches_a_router_keeps_the_lead_beside_a_standby_that_does(
    candidates: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(election, "STRANDED", 0.01)
    first = candidates("first", True)
    await first.has_lead()
    second = candidates("second", True)
    await until(lambda: bool(first.leadership._able), "the leader sees what the standby says", LIMIT)
    assert first.leadership._able == f"control {os.getpid()} on second"
    assert await first.leadership.confirm()
    assert await first.leadership.confirm()
    assert first.ended == []
    await first.leadership.stop()
    await second.has_lead()


@ensureDeferred
async def test_the_proxy_of_the_guide_finds_the_control_that_leads(
    router: RealRouter, prepared: str, rig: Rig, tmp_path: Path
) -> None:
    program = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs haproxy")
    leader, standby = await rig.start(), Rig(router, prepared, tmp_path / "other").unstarted(http_port=0)
    standby.startService()
    proxy = None
    try:
        await until(lambda: bool(standby.leadership.leader), "the standby has asked the database", LIMIT)
        front = free_port()
        text = (Path(__file__).parents[2] / "deploy" / "haproxy-controls.cfg").read_text()
        for written, here in (
            ("bind 127.0.0.1:8081", f"bind 127.0.0.1:{front}"),
            ("192.0.2.11:8081", f"127.0.0.1:{standby._port.getHost().port}"),
            ("192.0.2.12:8081", f"127.0.0.1:{leader._port.getHost().port}"),
        ):
            assert written in text
            text = text.replace(written, here)
        (tmp_path / "haproxy.cfg").write_text(text)
        proxy = started(program, "-db", "-f", str(tmp_path / "haproxy.cfg"))
        assert await health_through(front) == "ok"
        await rig.stop()
        assert await health_through(front) == "ok"
        assert standby.control.bus is not None
    finally:
        if proxy is not None:
            proxy.kill()
            proxy.wait()
        await standby.stopService()


def started(*command: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stderr=subprocess.DEVNULL)


async def health_through(port: int) -> str:
    """Return the farm's status as the proxy passes it on, once that is not its own answer, nor a standby's."""

    async def passed_on() -> str | None:
        with suppress(ConnectionRefusedError):
            status, _, body = await http(port, "GET /health HTTP/1.1\nHost: x\nConnection: close\n\n")
            if " 200 " in status:
                return str(json.loads(body)["status"])
        return None

    found = await until(passed_on, "the proxy finds a control that leads", LIMIT)
    assert found is not None
    return found
