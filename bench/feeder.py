"""A worker without boards, which feeds rows into the archive: through its spool, the router and control.

The rows are made and kept by the worker's own code, in this process, which signs in at the farm as a worker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg2
from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import LoopingCall, deferLater

from bench.farm import running_farm
from icefarm.bus import Bus
from icefarm.client.api.process_engine import engine
from icefarm.client.session import ClientSession, connect
from icefarm.contract import (
    DeviceReport,
    DeviceStatus,
    ReservationRecord,
    Role,
    RunReport,
    WorkerHello,
    control_worker_procedure,
    to_wire,
)
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.errors import IcefarmError
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.runs.numbers import evaluation_id
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note
from icefarm.worker.archive.spool import Batch, FileSpool, Spool

__all__ = ["FedFarm", "Feed", "Feeder", "Look", "fed_farm"]

#: The worker, its boards, and the experiment.
WORKER, BOARDS, EXPERIMENT = "feeder", 64, "feed"
#: Rows that are written together, as a busy worker writes them before its answers leave: three to four.
TOGETHER = 4
#: Bytes that are copied between two answers, in any turn: a worker does other things meanwhile, and finds little of the
#: code that keeps rows in the processor's caches.
OTHER_THINGS = 1 << 20
#: Seconds between looks at the spool, and for a call.
LOOK, LIMIT = 5.0, 60.0
#: Seconds after which everything that was fed must have arrived.
ARRIVAL = 60.0

_RESERVE = """
    INSERT INTO reservation (id, serial, worker, client, kind, created_at, expires_at, ended_at, end_reason)
    SELECT 'feed-' || n, 'FEED' || n, %(worker)s, 'ada/feed', 'pulsecount', now() - interval '1 minute', now(), now(),
           'fed'
      FROM generate_series(0, %(boards)s - 1) n
"""
_OPTIONS = {"window": 1.0, "overlap": True, "clock_mhz": 48, "repeats": 1}


@frozen
class Look:
    """How far it is: seconds since the begin, rows made, and bytes that wait in the spool."""

    seconds: float
    fed: int
    waiting: int


@define(eq=False)
class Feeder:
    """A worker without boards."""

    reactor: Any
    url: str
    recorder: Recorder
    _bus: Bus | None = None
    _link: Link | None = None
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

    async def send_rows(self, batch: Batch, spool: Spool) -> None:
        """Give control a batch, as a worker's link does."""
        assert self._bus is not None
        told = {"rows": batch.rows, "waiting": spool.waiting, "lost": spool.dropped}
        await self._bus.call(control_worker_procedure("archive"), (), told, timeout=LIMIT)

    async def feed(self, feed: Feed, seconds: float, *, kept: bool = True) -> list[Look]:
        """Measure at nothing for so long, and keep what that gave, or only make it; returns looks at the spool."""
        self.recorder.on = kept
        feed.begin(self.reactor, self.recorder)
        making = self._repeated(feed.make)
        making.start(TOGETHER / feed.rate)
        looks: list[Look] = []
        try:
            while (since := self.reactor.seconds() - feed.began) < seconds:
                await deferLater(self.reactor, min(LOOK, seconds - since))
                looks.append(Look(self.reactor.seconds() - feed.began, feed.fed, self.recorder.spool.waiting))
        finally:
            making.stop()
        return looks

    async def stop(self) -> None:
        """Leave the farm."""
        self.recorder.stop()
        if self._beating is not None and self._beating.running:
            self._beating.stop()
        if self._link is not None:
            await self._link.stopService()


@define(eq=False)
class Feed:
    """The rows of one run."""

    #: A second.
    rate: float
    run: str = Factory(lambda: uuid4().hex)
    fed: int = 0
    began: float = 0.0
    #: Seconds of CPU for what a worker does beside.
    beside: float = 0.0
    _clock: Any = None
    _recorder: Any = None
    _rows: list[ReservationRows] = Factory(list)
    _other: bytes = bytes(OTHER_THINGS)
    _place: bytearray = Factory(lambda: bytearray(OTHER_THINGS))

    def begin(self, clock: Any, recorder: Recorder) -> None:
        """Begin now."""
        self._clock, self._recorder, self.began = clock, recorder, clock.seconds()
        stamp = {"kind": "pulsecount", "options": _OPTIONS}
        self._rows = [ReservationRows(recorder, f"feed-{n}", stamp) for n in range(BOARDS)]

    def make(self) -> None:
        """Make the rows that are due, and write those of each answer."""
        due = int((self._clock.seconds() - self.began) * self.rate)
        while self.fed < due:
            for _ in range(min(TOGETHER, due - self.fed)):
                self._keep(self.fed)
                self.fed += 1
            self._recorder.flush()
            begun = time.thread_time()
            self._place[:] = self._other
            self.beside += time.thread_time() - begun

    def _keep(self, number: int) -> None:
        now = time.time()
        id = evaluation_id(self.run, number, 0)
        measured = {
            "value": number % 5000, "evaluation_id": id, "serial": f"FEED{number % BOARDS}", "worker": WORKER,
            "kind": "pulsecount", "options": _OPTIONS, "firmware": "pulse_count", "firmware_version": "1.1",
            # Half of a number that no other has, in the place where its digits differ.
            "sha256": f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}{id[:32]}{id[:16]}",
            "window_us": 1_000_003, "load_us": 34_000, "usb_bytes_in_window": 0,
            "temperature_c": 31.5, "origin": "measured", "sequence": number // BOARDS, "attempt": 1,
            "started_at": now - 1.05, "ended_at": now,
        }  # fmt: skip
        note = Note(EXPERIMENT, f"circuits/{number}.bin", {"generation": number // 1000})
        self._rows[number % BOARDS].keep(id, note, measured)


@define(eq=False)
class FedFarm:
    """A farm with a feeder, and a client whose runs the rows are."""

    process: FarmProcess
    feeder: Feeder
    client: ClientSession
    #: A board that it has: a run whose reservations are all over is taken for one whose client is lost.
    held: ReservationRecord
    #: To its PostgreSQL.
    connection: Any

    def feed(self, feed: Feed, seconds: float, *, kept: bool = True) -> Sequence[Look]:
        """Feed the archive with a run of so many seconds, or only make its rows."""
        own = engine()
        report = RunReport(feed.run, "pulsecount", {self.held.serial: self.held.id}, EXPERIMENT, _OPTIONS)
        if kept:
            own.run(self._report, report)
        looks = own.run(self.feeder.feed, feed, seconds, kept=kept)
        if kept:
            own.run(self._report, evolve(report, ended=True, results=feed.fed))
        return looks

    async def _report(self, report: RunReport) -> None:
        await self.client.call("run_report", runs=[to_wire(report)])

    def arrived(self, feed: Feed) -> int:
        """Wait until the archive has a run, closed, and return how many rows that has."""
        deadline = time.monotonic() + ARRIVAL
        with self.connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT results FROM run WHERE number = %s AND closed_at IS NOT NULL", (feed.run,))
                rows = cursor.fetchall()
                if rows:
                    return int(rows[0][0])
                if time.monotonic() > deadline:
                    cursor.execute("SELECT count(*) FROM measurement WHERE evaluation_id LIKE %s", (f"{feed.run}%",))
                    return int(cursor.fetchone()[0])
                time.sleep(0.2)

    @property
    def lost(self) -> int:
        """Rows that were dropped."""
        return self.feeder.recorder.spool.dropped

    def connections(self) -> Mapping[int, str]:
        """Return what each process of PostgreSQL that has a connection is for: the name that it was given."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pid, application_name FROM pg_stat_activity WHERE backend_type = 'client backend'")
            return dict(cursor.fetchall())


@contextmanager
def fed_farm(directory: Path, say: Callable[[str], None]) -> Iterator[FedFarm]:
    """Run a farm with a feeder for the duration of a ``with`` block."""
    own = engine()
    with running_farm(1, "instant", say) as process:
        connection = psycopg2.connect(_dsn(process.data_dir), application_name="icefarm-bench")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(_RESERVE, {"worker": WORKER, "boards": BOARDS})
        client, held = own.run(_client, own.reactor, process.url)
        feeder = Feeder(own.reactor, process.url, own.run(_recorder, own.reactor, directory))
        own.run(feeder.sign_in)
        try:
            yield FedFarm(process, feeder, client, held, connection)
        finally:
            own.run(feeder.stop)
            own.run(client.stop)
            connection.close()


async def _client(reactor: Any, url: str) -> tuple[ClientSession, ReservationRecord]:
    session = connect(reactor, url, "ada/feed")
    await session.start()
    (held,) = await session.reserve(1)
    return session, held


async def _recorder(reactor: Any, directory: Path) -> Recorder:
    return Recorder(reactor, FileSpool.open(directory / "spool", 1_000_000_000))


def _refused(error: IcefarmError) -> bool:
    raise error


def _dsn(data_dir: Path) -> str:
    directory = DataDirectory(data_dir)
    return PrivatePostgres(engine().reactor, directory.postgres, directory.log("postgres")).dsn
