"""The farm's metrics, for Prometheus; docs/metrics.md lists them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from attrs import Factory, define, frozen
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

from icefarm import __version__
from icefarm.concurrency.clock import Clock
from icefarm.contract import BoardReading, DeviceRecord, DeviceStatus, QueueRecord, ReservationRecord, WorkerRecord
from icefarm.control.telemetry.events import (
    BoardWorked,
    Event,
    MeasurementsArchived,
    QueueChanged,
    ReferencesMeasured,
    ReservationsEnded,
    ReservationsStarted,
    RouterJoined,
    SignInAnswered,
    WorkerIntroduced,
)

__all__ = ["FarmSnapshot", "Metrics", "RouterSnapshot"]

#: Upper bounds of the histogram of waits, seconds: from a board that is being flashed to a night.
WAITS = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 12 * 3600)


@frozen
class RouterSnapshot:
    """A router as control sees it."""

    #: The URL at which clients reach it; empty for a farm's only one.
    name: str
    #: Whether control is connected to it.
    up: bool
    #: The sessions there, by role.
    sessions: Mapping[str, int] = Factory(dict)


@define
class FarmSnapshot:
    """The state at a scrape; without workers and boards while the database is away."""

    routers: Sequence[RouterSnapshot]
    database: bool
    workers: list[WorkerRecord] = Factory(list)
    devices: list[DeviceRecord] = Factory(list)
    queue: list[QueueRecord] = Factory(list)


@define
class _Sum:
    """A summary without quantiles."""

    count: int = 0
    total: float = 0.0

    def add(self, count: int, total: float) -> None:
        self.count += count
        self.total += total


@define(eq=False)
class Metrics:
    """Counts events since control's start."""

    clock: Clock
    _evaluations: Counter[str] = Factory(Counter)
    _failures: Counter[str] = Factory(Counter)
    _retries: Counter[str] = Factory(Counter)
    _reservations: Counter[str] = Factory(Counter)
    _sign_ins: Counter[tuple[str, str]] = Factory(Counter)
    _hellos: Counter[str] = Factory(Counter)
    #: Rows of the archive by what became of them; each worker's spool in bytes, and the rows that it lost.
    _archived: Counter[str] = Factory(Counter)
    _spools: dict[str, int] = Factory(dict)
    _lost: dict[str, int] = Factory(dict)
    #: Sessions of control, by router.
    _sessions: Counter[str] = Factory(Counter)
    _flashes: _Sum = Factory(_Sum)
    #: Readings of reference circuits, and the seconds for which boards were lent for them.
    _references: _Sum = Factory(_Sum)
    _loads: defaultdict[str, _Sum] = Factory(lambda: defaultdict(_Sum))
    _measurements: defaultdict[str, _Sum] = Factory(lambda: defaultdict(_Sum))
    #: When each waiting request started to wait, and the counted active reservations.
    _waiting: dict[str, float] = Factory(dict)
    _active: set[str] = Factory(set)
    _registry: CollectorRegistry = Factory(CollectorRegistry)
    _waits: Histogram = Factory(
        lambda self: Histogram(
            "icefarm_queue_wait_seconds",
            "How long requests were in the queue until they got boards or gave up.",
            buckets=WAITS,
            registry=self._registry,
        ),
        takes_self=True,
    )

    # ---------------------------------------------------------------------------------------------- what happens

    def heard(self, event: Event) -> None:
        """Count what has happened."""
        match event:
            case BoardWorked(done):
                self._count_work(done)
            case ReservationsStarted(records):
                self._count_reservations(records)
            case ReservationsEnded(records):
                self._active.difference_update(record.id for record in records)
            case QueueChanged(record):
                self._time_wait(record)
            case WorkerIntroduced(hello):
                self._hellos[hello.name] += 1
            case SignInAnswered(role, outcome):
                self._sign_ins[role, outcome] += 1
            case ReferencesMeasured(_, readings, seconds):
                self._references.add(readings, seconds)
            case MeasurementsArchived():
                self._count_archived(event)
            case RouterJoined(router):
                self._sessions[router] += 1

    def _count_work(self, done: BoardReading) -> None:
        kind = done.kind or "none"
        for counter, amount in ((self._evaluations, done.evaluations), (self._failures, done.failures)):
            if amount > 0:
                counter[kind] += amount
        if done.retries > 0:
            self._retries[kind] += done.retries
        self._flashes.add(done.flashes, done.flash_s)
        if done.measured > 0:
            self._loads[kind].add(done.measured, done.load_s)
            self._measurements[kind].add(done.measured, done.measured_s)

    def _count_reservations(self, records: Sequence[ReservationRecord]) -> None:
        for record in records:
            # A client that calls again gets what it has.
            if record.id not in self._active:
                self._active.add(record.id)
                self._reservations[record.kind] += 1

    def _count_archived(self, event: MeasurementsArchived) -> None:
        self._archived["new"] += sum(event.new.values())
        self._archived["known"] += event.known
        self._archived["refused"] += event.refused
        self._spools[event.worker] = event.waiting
        self._lost[event.worker] = event.lost

    def _time_wait(self, record: QueueRecord) -> None:
        if record.place > 0:
            self._waiting.setdefault(record.id, record.since)
        elif record.id in self._waiting:
            self._waits.observe(max(0.0, self.clock.seconds() - self._waiting.pop(record.id)))

    # ---------------------------------------------------------------------------------------------- what is shown

    def text(self, farm: FarmSnapshot) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its media type."""
        registry = CollectorRegistry()
        registry.register(_Families([*self._of_farm(farm), *self._of_history()]))
        return generate_latest(registry) + generate_latest(self._registry), CONTENT_TYPE_LATEST

    def _of_farm(self, farm: FarmSnapshot) -> Iterator[Metric]:
        yield _gauges("icefarm_info", "The version of control.", ["version"], {(__version__,): 1})
        yield from _of_routers(farm.routers)
        yield _gauges("icefarm_database_connected", "1 while the database answers.", [], {(): farm.database})
        if not farm.database:
            return
        states = Counter({(status.value,): 0 for status in DeviceStatus})
        states.update((device.status.value,) for device in farm.devices)
        yield _gauges("icefarm_boards", "Boards by state.", ["state"], states)
        suspects = sum(
            device.calibration is not None and device.calibration.suspect is not None for device in farm.devices
        )
        yield _gauges(
            "icefarm_suspect_boards", "Boards that are unlike the others, or unlike themselves.", [], {(): suspects}
        )
        workers = Counter({("online",): 0, ("offline",): 0})
        workers.update((worker.status,) for worker in farm.workers)
        yield _gauges("icefarm_workers", "Workers by state.", ["state"], workers)
        held = Counter((device.kind or "none",) for device in farm.devices if device.reservation is not None)
        yield _gauges("icefarm_reservations_active", "Reserved boards, by kind.", ["kind"], held)
        yield _gauges("icefarm_queue_length", "Requests waiting for boards.", [], {(): len(farm.queue)})
        oldest = max((self.clock.seconds() - waiting.since for waiting in farm.queue), default=0.0)
        yield _gauges("icefarm_queue_oldest_wait_seconds", "How long the oldest of them has waited.", [], {(): oldest})

    def _of_history(self) -> Iterator[Metric]:
        by_kind = (
            ("icefarm_evaluations", "Evaluations answered with a result, by kind.", self._evaluations),
            ("icefarm_evaluation_failures", "Evaluations that failed, by kind.", self._failures),
            ("icefarm_board_retries", "Operations that boards had to repeat, by kind.", self._retries),
            ("icefarm_reservations", "Reservations made, by kind.", self._reservations),
        )
        for name, words, counts in by_kind:
            yield _counters(name, words, ["kind"], {(kind,): count for kind, count in counts.items()})
        words = "Flashing of a board: from the first block until it runs the image."
        yield _summaries("icefarm_flash_seconds", words, [], {(): self._flashes})
        words = "Readings of reference circuits, and for how long boards were lent for them."
        yield _summaries("icefarm_reference_seconds", words, [], {(): self._references})
        loads = {(kind,): each for kind, each in self._loads.items()}
        yield _summaries("icefarm_load_seconds", "Loading of a bitstream into the FPGA.", ["kind"], loads)
        measurements = {(kind,): each for kind, each in self._measurements.items()}
        words = "A measurement, from sending the bitstream to the result."
        yield _summaries("icefarm_evaluation_seconds", words, ["kind"], measurements)
        yield from self._of_archive()
        words = "Sessions of control at a router: 1 plus its reconnects."
        joined = {(router,): count for router, count in self._sessions.items()}
        yield _counters("icefarm_router_sessions", words, ["router"], joined)
        hellos = {(worker,): count for worker, count in self._hellos.items()}
        yield _counters("icefarm_worker_hellos", "Hellos of workers: 1 plus their reconnects.", ["worker"], hellos)
        words = "Sign-in attempts, by role and outcome, including reconnects of clients."
        yield _counters("icefarm_sign_ins", words, ["role", "outcome"], self._sign_ins)

    def _of_archive(self) -> Iterator[Metric]:
        rows = {(outcome,): count for outcome, count in self._archived.items()}
        yield _counters("icefarm_archive_rows", "Rows that workers sent to the archive.", ["outcome"], rows)
        spools = {(worker,): size for worker, size in self._spools.items()}
        words = "Bytes in a worker's spool when it last sent rows."
        yield _gauges("icefarm_archive_spool_bytes", words, ["worker"], spools)
        lost = {(worker,): count for worker, count in self._lost.items()}
        words = "Measurements that a worker has lost since it started: its spool was full, and the oldest were dropped."
        yield _gauges("icefarm_archive_lost", words, ["worker"], lost)


@define(eq=False)
class _Families(Collector):
    """Hands out what was made for one scrape."""

    families: list[Metric]

    def collect(self) -> Iterator[Metric]:
        yield from self.families


def _of_routers(routers: Sequence[RouterSnapshot]) -> Iterator[Metric]:
    connected = any(router.up for router in routers)
    yield _gauges("icefarm_router_connected", "1 while control is connected to a router.", [], {(): connected})
    up = {(router.name,): router.up for router in routers}
    yield _gauges("icefarm_router_up", "1 while control is connected to this router.", ["router"], up)
    sessions = {(router.name, role): count for router in routers for role, count in router.sessions.items()}
    words = "Sessions of clients, operators and workers at a router."
    yield _gauges("icefarm_sessions", words, ["router", "role"], sessions)


# The keys of values are tuples of as many texts as there are labels.


def _gauges(name: str, words: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family


def _counters(name: str, words: str, labels: list[str], values: Mapping[Any, float]) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), float(value))
    return family


def _summaries(name: str, words: str, labels: list[str], values: Mapping[Any, _Sum]) -> Metric:
    family = SummaryMetricFamily(name, words, labels=labels)
    for key, value in values.items():
        family.add_metric(list(key), value.count, value.total)
    return family
