"""Farms to look at, as a process: a real router, the real control over a store in memory, workers without boards.

It obeys commands, one line of JSON each, and answers each with a line.  ``begin`` comes first, and ends the farm that
was there before: a router takes longer to start than all the rest.  It ends when its standard input does.
"""

from __future__ import annotations

import json
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.stdio import StandardIO
from twisted.internet.task import LoopingCall
from twisted.protocols.basic import LineReceiver

from icefarm.bus import Bus
from icefarm.calibration.estimation import DAY, calibrate
from icefarm.calibration.records import Reading
from icefarm.contract import (
    ARCHIVE_FIELDS,
    BoardReading,
    DeviceReport,
    DeviceStatus,
    Role,
    control_procedure,
    forwarding_path,
    to_wire,
)
from icefarm.control.http.resource import ApiResource
from icefarm.control.http.site import site
from icefarm.control.inventory.calibration.interface import KeptReading
from icefarm.control.inventory.calibration.judging import figures_of
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.storage.history import HistoryBatch
from icefarm.control.telemetry.events import BoardsChanged
from icefarm.control.telemetry.recorder import INTERVAL, farm_sample
from icefarm.control.wiring.server import farm_view, http_api
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.errors import IcefarmError
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.control_harness import RecordingWorker
from icefarm.testing.memory.history import MemoryHistory
from icefarm.testing.memory.store import MemoryStore
from icefarm.testing.processes.router import RealRouter
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

reactor: Any = the_reactor
#: Seconds between the reports of a storm.
BEAT = 0.05


@define(eq=False)
class Stage:
    """The parts of a farm, and what is done with them."""

    control: Control
    history: MemoryHistory
    url: str
    token: str
    link: Link
    port: Any
    links: list[Link] = Factory(list)
    workers: dict[str, RecordingWorker] = Factory(dict)
    clients: dict[str, Bus] = Factory(dict)
    storms: list[LoopingCall] = Factory(list)
    #: By (role, name).  Control ends the sessions of those that are silent, however long a test takes.
    beats: dict[tuple[Role, str], LoopingCall] = Factory(dict)
    reports: int = 0

    @classmethod
    async def open(cls, router: RealRouter, directory: Path, policy: SignInPolicy) -> Stage:
        """Begin an empty farm, with its files in a directory of its own."""
        settings = ControlSettings(policy, data_directory=directory)
        store = MemoryStore(reactor)
        history = MemoryHistory()
        control = Control(reactor, store, history, settings, archive=MemoryArchive(reactor, store))
        credentials = Credentials("control", Role.CONTROL, "stage", router.ticket)
        link = Link(reactor, router.control_url, credentials, control.joined, control.refused)
        pages = site(farm_view(control), forwarding_path(router.ticket))
        pages.resource = ApiResource(http_api(control), pages.resource)
        port = await TCP4ServerEndpoint(reactor, router.http_port, interface="127.0.0.1").listen(pages)
        await control.ensure_token()
        control.startService()
        link.startService()
        return cls(control, history, router.url, (directory / "operator.token").read_text().strip(), link, port)

    async def close(self) -> None:
        """End it: everybody leaves, then control."""
        await self.storm("", 0)
        for each in self.beats.values():
            each.stop()
        for link in self.links:
            await link.stopService()
        self.control.stopService()
        await self.link.stopService()
        await self.port.stopListening()

    async def join(self, name: str, role: Role, joined: Any) -> Link:
        """Sign somebody in."""
        there: Deferred[None] = Deferred()

        async def begin(bus: Any) -> None:
            await joined(bus)
            if not there.called:
                there.callback(None)

        link = Link(reactor, self.url, Credentials(name, role, secrets.token_hex(4)), begin, lambda _: True)
        self.links.append(link)
        link.startService()
        await there
        return link

    async def worker(self, name: str, serials: list[str]) -> None:
        """Let a worker come with these boards."""
        worker = self.workers[name] = RecordingWorker(name, serials)
        await self.join(name, Role.WORKER, worker.joined)
        self._go_on(Role.WORKER, name, worker.heartbeat)

    async def client(self, name: str) -> None:
        """Let a client come."""

        async def joined(bus: Bus) -> None:
            self.clients[name] = bus

        link = await self.join(name, Role.CLIENT, joined)
        self._go_on(Role.CLIENT, name, partial(self._client_beat, name, link.credentials.instance))

    async def call(self, client: str, procedure: str, fields: dict[str, Any]) -> Any:
        """Call control as a client; ``no_wait`` for what is answered only later."""
        no_wait = fields.pop("no_wait", False)
        asked = ensureDeferred(self.clients[client].call(control_procedure(procedure), (), fields, timeout=600))
        if no_wait:
            asked.addErrback(lambda _: None)
            return None
        return await asked

    async def report(self, worker: str, serial: str, status: str, reason: str | None = None, **more: Any) -> None:
        """Let a worker report one of its boards."""
        one = self.workers[worker]
        one.status[serial] = DeviceStatus(status)
        report = DeviceReport(serial, DeviceStatus(status), reason=reason, reservation=one.holds[serial], **more)
        await one.call("report", report=to_wire(report))

    async def count(self, worker: str, readings: list[dict[str, Any]]) -> None:
        """Let a worker's heartbeat carry these readings; the next one comes `HEARTBEAT` seconds later, without any."""
        self.beats[Role.WORKER, worker].reset()
        beats = [to_wire(BoardReading(**reading)) for reading in readings]
        await self.workers[worker].call("heartbeat", instance="instance", readings=beats)

    async def measure(self, worker: str, experiment: str, results: list[tuple[str, int | None]]) -> None:
        """Let a worker deliver results of boards that it has reserved, a second apart; None failed."""
        one, rows = self.workers[worker], []
        for place, (serial, value) in enumerate(results):
            ended = time.time() - len(results) + place
            row = {
                "evaluation_id": secrets.token_hex(8), "reservation": one.holds[serial], "serial": serial,
                "kind": "pulsecount", "options": {}, "value": value, "experiment": experiment, "attempt": 1,
                "error": "device_failed" if value is None else None, "ended_at": ended,
            }  # fmt: skip
            rows.append(json.dumps([row.get(name) for name in ARCHIVE_FIELDS]).encode())
        await one.call("archive", rows=b"\n".join(rows))

    async def calibrate(self, serial: str, ppm: float, suspect: str | None = None) -> None:
        """Let a board have measured the reference of its FPGA's oscillator on three days, and be so far off."""
        readings = [
            Reading(serial, "oscillator", 3e6, round(3e6 * (1 + ppm * 1e-6)) + second, 1_000_000,
                    time.time() - day * DAY + second, 25.0, "pulse_count 1.1")
            for day in (2, 1, 0) for second in range(3)
        ]  # fmt: skip
        made = calibrate(readings)
        assert made is not None
        await self.control.store.keep_readings([KeptReading(each, "i") for each in readings], [made])
        figures = {serial: figures_of(made, 25.0, suspect, "avoid")}
        records = await self.control.store.show_calibrations(figures)
        self.control.parts.publisher.publish(BoardsChanged(records))

    async def sample(self, amount: int) -> None:
        """Let the farm have been as it is now for so many samples; the last one is of this moment."""
        boards, now = await self.control.store.devices(), time.time()
        times = [now - INTERVAL * number for number in reversed(range(amount))]
        await self.history.keep(HistoryBatch([farm_sample(moment, boards, (), ()) for moment in times]))

    async def group(self, name: str, accounts: list[str]) -> None:
        """Put accounts into a group, as ``icefarm accounts import`` does."""
        await self.control.store.set_account_groups(dict.fromkeys(accounts, name))

    async def log(self, worker: str, level: str, message: str, serial: str | None = None) -> None:
        """Let a worker log a line."""
        await self.workers[worker].call("log", level=level, message=message, serial=serial)

    async def storm(self, worker: str, rate: float) -> None:
        """Let boards change from now on, so many times a second in all; 0 ends it."""
        while self.storms:
            self.storms.pop().stop()
        if rate > 0:
            storm = LoopingCall(self._blow, self.workers[worker], max(1, round(rate * BEAT)))
            self.storms.append(storm)
            storm.start(BEAT, now=False).addErrback(lambda _: None)

    async def count_reports(self) -> int:
        """Return how many reports storms have sent."""
        return self.reports

    def _go_on(self, role: Role, name: str, beat: Callable[[], Awaitable[Any]]) -> None:
        def once() -> None:
            # One that fails goes with its session; the next one is of the session after it.
            ensureDeferred(beat()).addErrback(lambda failure: failure.trap(IcefarmError))

        self.beats[role, name] = LoopingCall(once)
        self.beats[role, name].start(HEARTBEAT, now=False)

    async def _client_beat(self, name: str, instance: str) -> None:
        await self.clients[name].call(control_procedure("heartbeat"), (), {"instance": instance}, timeout=HEARTBEAT)

    def _blow(self, worker: RecordingWorker, amount: int) -> None:
        for _ in range(amount):
            self.reports += 1
            serial = worker.serials[self.reports % len(worker.serials)]
            report = evolve(worker.report_of(serial), reason=f"round {self.reports}", evaluations=self.reports)
            asked = ensureDeferred(worker.call("report", report=to_wire(report)))
            asked.addErrback(lambda _: None)


@define(eq=False)
class Repertoire:
    """One farm after the other, at the same router."""

    router: RealRouter
    directory: Path
    stage: Stage | None = None

    async def do(self, name: str, fields: dict[str, Any]) -> Any:
        """Obey a command."""
        if name == "begin":
            return await self.begin(**fields)
        return await getattr(self.stage, name)(**fields)

    async def begin(self, policy: str) -> dict[str, str]:
        """End the farm that is there, begin an empty one, and return its URL and its operator's token."""
        await self.end()
        place = Path(tempfile.mkdtemp(dir=self.directory))
        self.stage = await Stage.open(self.router, place, SignInPolicy(policy))
        return {"url": self.stage.url, "token": self.stage.token}

    async def end(self) -> None:
        """End the farm that is there, if any."""
        stage, self.stage = self.stage, None
        if stage is not None:
            await stage.close()


class Commands(LineReceiver):
    """Reads commands and answers them."""

    delimiter = b"\n"
    MAX_LENGTH = 1 << 20

    def __init__(self, repertoire: Repertoire, over: Deferred[None]) -> None:
        self._repertoire, self._over = repertoire, over

    def lineReceived(self, line: bytes) -> None:
        done = ensureDeferred(self._repertoire.do(*json.loads(line)))
        done.addCallbacks(lambda answer: {"answer": answer}, lambda failure: {"error": failure.getErrorMessage()})
        done.addCallback(lambda answer: print(json.dumps(answer), flush=True))

    def connectionLost(self, _: object) -> None:  # type: ignore[override]
        if not self._over.called:
            self._over.callback(None)


async def play(directory: Path) -> None:
    router = await RealRouter.start(reactor, directory / "router", lambda line: print(line, file=sys.stderr))
    repertoire, over = Repertoire(router, directory), Deferred[None]()
    StandardIO(Commands(repertoire, over))
    await over
    await repertoire.end()
    await router.stop()


def main() -> None:
    """Run until standard input ends."""
    with tempfile.TemporaryDirectory(prefix="icefarm-") as directory:
        playing = ensureDeferred(play(Path(directory)))
        playing.addErrback(lambda failure: failure.printTraceback(sys.stderr))
        playing.addBoth(lambda _: reactor.stop())
        reactor.run()


if __name__ == "__main__":
    main()
