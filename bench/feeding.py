"""Rows fed into the archive at a steady rate, without boards: through a worker's spool, the router and control.

The rows are made and kept by the worker's own code, in this process, which signs in at the farm as a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater

from bench.accounts import Party, accounts_of, parties
from bench.farm import running_farm
from icefarm.bus import Bus
from icefarm.client import Farm
from icefarm.client.api.process_engine import engine
from icefarm.contract import DeviceReport, DeviceStatus, Role, WorkerHello, control_worker_procedure, to_wire
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.errors import IcefarmError
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note
from icefarm.worker.archive.spool import Batch, FileSpool, Spool

__all__ = ["FeedFigures", "Look", "measure_feed"]

#: The worker, its boards, and the experiment.
WORKER, BOARDS, EXPERIMENT = "feeder", 64, "feed"
#: Seconds between turns in which rows are made, between looks at the spool, and for a call.
TURN, LOOK, LIMIT = 0.05, 5.0, 60.0
#: Seconds after which everything that was fed must have arrived.
ARRIVAL = 60.0

_RESERVE = """
    INSERT INTO reservation (id, serial, worker, client, kind, expires_at, ended_at, end_reason)
    SELECT 'feed-' || n, 'FEED' || n, %(worker)s, 'ada/feed', 'pulsecount', now(), now(), 'fed'
      FROM generate_series(0, %(boards)s - 1) n
"""
_OPTIONS = {"window": 1.0, "overlap": True, "clock_mhz": 48, "repeats": 1}


@frozen
class Look:
    """How far it is: seconds since the begin, rows made, and bytes that wait in the spool."""

    seconds: float
    fed: int
    waiting: int


@frozen
class FeedFigures:
    """Of one feed."""

    rate: float
    seconds: float
    fed: int
    archived: int
    #: Rows that were lost or dropped.
    lost: int
    looks: Sequence[Look]
    #: Microseconds of CPU per row, by party; ``client`` is the worker's part, in this process.
    cpu_us: Mapping[Party, float]
    #: Megabytes by which control has grown.
    control_mb: float

    @property
    def grows(self) -> float:
        """Bytes that wait more in the second half than in the first, on average."""
        half = len(self.looks) // 2
        first, second = self.looks[:half], self.looks[-half:]
        return (sum(each.waiting for each in second) - sum(each.waiting for each in first)) / max(1, half)


@define(eq=False)
class _Feeder:
    """A worker without boards."""

    reactor: Any
    url: str
    recorder: Recorder
    rate: float
    fed: int = 0
    rows: list[ReservationRows] = Factory(list)
    _bus: Bus | None = None
    _link: Link | None = None
    _began: float = 0.0
    _beating: LoopingCall | None = None

    async def sign_in(self) -> None:
        """Join the farm as a worker, with boards that nobody can have."""
        joined: Deferred[Bus] = Deferred()

        async def have(bus: Bus) -> None:
            await self._begin(bus)
            if not joined.called:
                joined.callback(bus)

        credentials = Credentials(WORKER, Role.WORKER, "bench", "")
        self._link = Link(self.reactor, self.url, credentials, have, _refused)
        self._link.startService()
        await joined
        self._beating = self._repeated(self._beat)
        self._beating.start(HEARTBEAT, now=False)
        self.recorder.on = True
        self.recorder.sender.attach(self)

    def _repeated(self, function: Callable[[], Any]) -> LoopingCall:
        call = LoopingCall(function)
        # The reactor is not the process's own.
        call.clock = self.reactor
        return call

    async def _begin(self, bus: Bus) -> None:
        boards = [DeviceReport(f"FEED{n}", DeviceStatus.BROKEN, "it is not there") for n in range(BOARDS)]
        hello = WorkerHello(WORKER, "bench", "bench", "bench", [], boards)
        await bus.call(control_worker_procedure("hello"), (), {"hello": to_wire(hello)}, timeout=LIMIT)
        self._bus = bus

    def _beat(self) -> Deferred[Any]:
        assert self._bus is not None
        fields = {"instance": "bench"}
        return ensureDeferred(self._bus.call(control_worker_procedure("heartbeat"), (), fields, timeout=LIMIT))

    async def send_rows(self, batch: Batch, spool: Spool, lost: int) -> None:
        """Give control a batch, as a worker's link does."""
        assert self._bus is not None
        told = {"rows": batch.rows, "waiting": spool.waiting, "lost": lost + spool.dropped}
        await self._bus.call(control_worker_procedure("archive"), (), told, timeout=LIMIT)

    async def feed(self, seconds: float, say: Callable[[str], None]) -> list[Look]:
        """Make rows for so long."""
        self._began = self.reactor.seconds()
        stamp = {"kind": "pulsecount", "options": _OPTIONS}
        self.rows = [ReservationRows(self.recorder, f"feed-{n}", stamp) for n in range(BOARDS)]
        making = self._repeated(self._make)
        making.start(TURN)
        looks: list[Look] = []
        try:
            while (since := self.reactor.seconds() - self._began) < seconds:
                await deferLater(self.reactor, min(LOOK, seconds - since))
                looks.append(Look(self.reactor.seconds() - self._began, self.fed, self.recorder.spool.waiting))
                if len(looks) % 6 == 0:
                    say(f"  {looks[-1].seconds:5.0f} s: {self.fed:,} rows fed, {looks[-1].waiting:,} bytes wait")
        finally:
            making.stop()
        return looks

    def _make(self) -> None:
        due = int((self.reactor.seconds() - self._began) * self.rate)
        while self.fed < due:
            self._keep(self.fed)
            self.fed += 1

    def _keep(self, number: int) -> None:
        now = time.time()
        id = uuid4().hex
        measured = {
            "value": number % 5000, "evaluation_id": id, "serial": f"FEED{number % BOARDS}", "worker": WORKER,
            "kind": "pulsecount", "options": _OPTIONS, "firmware": "pulse_count", "firmware_version": "1.1",
            "sha256": (id + id), "window_us": 1_000_003, "load_us": 34_000, "usb_bytes_in_window": 0,
            "temperature_c": 31.5, "origin": "measured", "sequence": number // BOARDS, "attempt": 1,
            "started_at": now - 1.05, "ended_at": now,
        }  # fmt: skip
        note = Note(EXPERIMENT, f"circuits/{number}.bin", {"generation": number // 1000})
        self.rows[number % BOARDS].keep(id, note, measured)

    async def stop(self) -> None:
        self.recorder.stop()
        if self._beating is not None and self._beating.running:
            self._beating.stop()
        if self._link is not None:
            await self._link.stopService()


def _refused(error: IcefarmError) -> bool:
    raise error


def measure_feed(directory: Path, rate: float, seconds: float, say: Callable[[str], None]) -> FeedFigures:
    """Start a farm, feed its archive, stop it."""
    own = engine()
    with running_farm(1, "instant", say) as process, Farm(process.url, name="ada/reader") as reader:
        _reserve(process.data_dir)
        feeder = _Feeder(own.reactor, process.url, own.run(_recorder, own.reactor, directory), rate)
        own.run(feeder.sign_in)
        try:
            # Connections are made, and plans of statements.
            own.run(feeder.feed, 5.0, say)
            begun = feeder.fed
            _arrived(reader, begun)
            members = parties(process.pid)
            before = accounts_of(members)
            feeder.fed = 0
            looks = own.run(feeder.feed, seconds, say)
            archived = _arrived(reader, begun + feeder.fed) - begun
            after = accounts_of(members)
        finally:
            own.run(feeder.stop)
        used = {party: cpu / feeder.fed * 1e6 for party, cpu in after.cpu_since(before).items()}
        lost = feeder.recorder.sender.writer.lost + feeder.recorder.spool.dropped
        grown = (after.of["control"].rss - before.of["control"].rss) / 1e6
        return FeedFigures(rate, seconds, feeder.fed, archived, lost, looks, used, grown)


async def _recorder(reactor: Any, directory: Path) -> Recorder:
    return Recorder(reactor, FileSpool.open(directory / "spool", 1_000_000_000))


def _reserve(data_dir: Path) -> None:
    directory = DataDirectory(data_dir)
    server = PrivatePostgres(engine().reactor, directory.postgres, directory.log("postgres"))
    connection = psycopg2.connect(server.dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(_RESERVE, {"worker": WORKER, "boards": BOARDS})
    connection.close()


def _arrived(reader: Farm, fed: int) -> int:
    """Wait until the archive has so many rows, and return how many it has."""
    deadline = time.monotonic() + ARRIVAL
    while True:
        found = next((each.done for each in reader.experiments() if each.name == EXPERIMENT), 0)
        if found >= fed or time.monotonic() > deadline:
            return found
        time.sleep(0.2)
