"""Assembles control's parts, and subscribes them to events.

Each part gets the parts that it calls; others learn of its events through the publisher.  So the parts can be made one
after the other, and no two of them know each other.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen

from icefarm.concurrency.clock import Clock
from icefarm.control.archive.activity import Activity
from icefarm.control.archive.intake import Intake
from icefarm.control.archive.interface import Archive
from icefarm.control.archive.retention import Retention
from icefarm.control.archive.runs.arrivals import Arrivals
from icefarm.control.archive.runs.closer import RunCloser
from icefarm.control.inventory.board_reports import BoardReports
from icefarm.control.inventory.calibration.keeper import CalibrationKeeper
from icefarm.control.inventory.drain import DrainMonitor
from icefarm.control.inventory.inventory import Inventory
from icefarm.control.inventory.pools import VirtualPools
from icefarm.control.inventory.reconciler import Reconciler
from icefarm.control.reservations.absent_clients import AbsentClients
from icefarm.control.reservations.booking_keeper import BookingKeeper
from icefarm.control.reservations.calls import Allocator, UnansweredCalls
from icefarm.control.reservations.expiry import ExpiryTimer
from icefarm.control.reservations.line import Line
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.reservations import Reservations
from icefarm.control.reservations.sharing.groups import Groups
from icefarm.control.reservations.sharing.long_holds import LongHolds
from icefarm.control.reservations.sharing.shares import Shares
from icefarm.control.reservations.termination import Termination
from icefarm.control.rpc.dispatcher import RpcDispatcher
from icefarm.control.rpc.history_api import journal_lines
from icefarm.control.rpc.pacing import Pacing
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.sessions.audit import AuditLog
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.sessions.presence import Presence
from icefarm.control.sessions.routers import Routers
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import BoardOwners, FarmMirror
from icefarm.control.storage.shared import Shared, access_rules
from icefarm.control.telemetry.events import (
    AccessChanged,
    BoardFailed,
    BoardJoined,
    BoardLost,
    BoardReady,
    BoardsAvailable,
    BoardsChanged,
    BoardsDeleted,
    BoardWanted,
    BoardWorked,
    BookingsChanged,
    ClientBack,
    ClientGone,
    EndingSoon,
    GiveBackSoon,
    KindEvent,
    LimitsChanged,
    MeasurementsArchived,
    QueueChanged,
    RatesChanged,
    ReferencesMeasured,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
    RouterJoined,
    SessionEnded,
    SignInAnswered,
    WorkerChanged,
    WorkerIntroduced,
    WorkerLogged,
    WorkerLost,
)
from icefarm.control.telemetry.metrics import Metrics
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.telemetry.rates import Rates
from icefarm.control.telemetry.recorder import HistoryRecorder
from icefarm.control.telemetry.topics import RouterTopics
from icefarm.control.wiring.settings import ControlSettings
from icefarm.control.worker_client import WorkerClient

__all__ = ["Parts", "assemble"]

_RESERVATIONS = (ReservationsStarted, ReservationsExtended, ReservationsShortened, ReservationsEnded)


@frozen
class ArchiveParts:
    """The parts of the archive."""

    archive: Archive
    intake: Intake
    activity: Activity
    retention: Retention
    closer: RunCloser

    @classmethod
    def of(
        cls, archive: Archive, store: Store, publisher: Publisher, clock: Clock, settings: ControlSettings
    ) -> ArchiveParts:
        days = settings.archive_days
        retention = Retention(archive, clock, days, settings.archive_bytes, settings.archive_export)
        arrivals = Arrivals()
        closer = RunCloser(archive.runs, store, clock, arrivals)
        return cls(archive, Intake(archive, publisher, clock, days, arrivals), Activity(clock), retention, closer)

    def start(self) -> None:
        """Start what is done again and again."""
        self.retention.start()
        self.closer.start()

    def stop(self) -> None:
        """Stop that."""
        self.retention.stop()
        self.closer.stop()


@frozen
class Parts:
    """Control's parts, except the store and the sign-in of sessions."""

    publisher: Publisher
    limits: FarmLimits
    routers: Routers
    sessions: Sessions
    audit: AuditLog
    dispatcher: RpcDispatcher
    worker_client: WorkerClient
    reservations: Reservations
    unanswered: UnansweredCalls
    shares: Shares
    groups: Groups
    queue: WaitingQueue
    termination: Termination
    expiry: ExpiryTimer
    booking_keeper: BookingKeeper
    absent_clients: AbsentClients
    board_reports: BoardReports
    inventory: Inventory
    owners: BoardOwners
    reconciler: Reconciler
    drain: DrainMonitor
    topics: RouterTopics
    rates: Rates
    metrics: Metrics
    recorder: HistoryRecorder
    mirror: FarmMirror
    access: Shared[AccessRules]
    pools: VirtualPools
    calibration: CalibrationKeeper
    journal: Shared[dict[str, Any]]
    #: None where nothing is archived.
    archive: ArchiveParts | None

    def stop(self) -> None:
        """Cancel pending work."""
        # First: clients whose calls end now have not given up.
        self.sessions.stop()
        self.dispatcher.close()
        for part in (
            *(self.recorder, self.expiry, self.booking_keeper, self.queue, self.groups, self.reconciler, self.drain),
            *(self.board_reports, self.inventory, self.absent_clients, self.termination, self.topics, self.audit),
            *(self.pools, self.calibration, self.mirror),
        ):
            part.stop()
        if self.archive is not None:
            self.archive.stop()


def assemble(
    clock: Clock, store: Store, history: History, settings: ControlSettings, archive: Archive | None = None
) -> Parts:
    """Make control's parts, from those without dependencies to those that are called from outside."""
    publisher = Publisher()
    limits, routers = FarmLimits(settings.limits), Routers(settings.routers)
    sessions = Sessions(clock, publisher, Presence(settings.grace, settings.worker_grace), limits, routers)
    worker_client = WorkerClient(sessions, limits, routers)
    termination = Termination(store, worker_client, publisher, clock)
    unanswered = UnansweredCalls(termination, sessions, clock)
    shares = Shares(store, limits, settings.half_life)
    groups = Groups(
        store, worker_client, termination, unanswered, publisher, sessions, limits, clock, settings.reservation
    )
    long_holds = LongHolds(publisher, groups, settings.max_hold)
    mirror, access = FarmMirror(store, clock), access_rules(store, publisher, clock)
    pools = VirtualPools(store, worker_client, publisher, clock)
    allocator = Allocator(store, limits, unanswered, publisher)
    line = Line(store, allocator, publisher, clock, shares, groups, long_holds, access, pools)
    queue = WaitingQueue(line, allocator, limits, sessions, clock)
    reconciler = Reconciler(store, worker_client, termination, publisher)
    board_reports = BoardReports(store, sessions, reconciler, worker_client, publisher, clock)
    rates = Rates(clock, publisher, HEARTBEAT)
    audit = AuditLog(store, clock, settings.audit_days)
    recorder = HistoryRecorder(history, store, rates, clock)
    parts = Parts(
        publisher=publisher,
        limits=limits,
        routers=routers,
        sessions=sessions,
        audit=audit,
        dispatcher=RpcDispatcher(sessions, audit, Pacing(clock, limits)),
        worker_client=worker_client,
        reservations=Reservations(
            store, allocator, queue, groups, unanswered, worker_client, termination, publisher, sessions, clock, access
        ),
        unanswered=unanswered,
        shares=shares,
        groups=groups,
        queue=queue,
        termination=termination,
        booking_keeper=BookingKeeper(store, queue, publisher, clock),
        expiry=ExpiryTimer(mirror, termination, unanswered, publisher, clock),
        absent_clients=AbsentClients(store, sessions, queue, unanswered, termination, clock, settings.grace),
        board_reports=board_reports,
        inventory=Inventory(store, sessions, termination, board_reports, publisher, clock, limits),
        owners=BoardOwners(),
        reconciler=reconciler,
        drain=DrainMonitor(store, worker_client, clock),
        topics=RouterTopics(routers),
        rates=rates,
        metrics=Metrics(clock),
        recorder=recorder,
        mirror=mirror,
        access=access,
        pools=pools,
        calibration=_keeper(store, worker_client, queue, mirror, publisher, clock, settings, archive),
        journal=journal_lines(recorder, publisher, clock),
        archive=None if archive is None else ArchiveParts.of(archive, store, publisher, clock, settings),
    )
    _subscribe(parts)
    return parts


def _keeper(
    store: Store,
    worker_client: WorkerClient,
    queue: WaitingQueue,
    mirror: FarmMirror,
    publisher: Publisher,
    clock: Clock,
    settings: ControlSettings,
    archive: Archive | None,
) -> CalibrationKeeper:
    at_once = settings.calibrate_at_once if settings.calibration else 0
    rule = settings.suspect_boards
    return CalibrationKeeper(store, worker_client, queue, mirror, publisher, clock, at_once, rule, archive)


def _subscribe(parts: Parts) -> None:
    """Subscribe the parts to events.  Displays come first, so that they see an event before its consequences."""
    hear = parts.publisher.subscribe
    # Before subscribers that may read it because of an event.
    hear(parts.mirror, BoardsChanged, BoardsDeleted, WorkerChanged, WorkerIntroduced, WorkerLost, *_RESERVATIONS)
    hear(parts.mirror, BookingsChanged)
    hear(parts.owners, BoardsChanged, BoardsDeleted)
    hear(parts.worker_client, WorkerIntroduced)
    hear(parts.topics, BoardsChanged, BoardsAvailable, BoardsDeleted, WorkerChanged, WorkerLogged)
    hear(parts.topics, *_RESERVATIONS, BoardReady, BoardFailed, EndingSoon, KindEvent, QueueChanged, RatesChanged)
    hear(parts.topics, BoardWanted, GiveBackSoon, BoardJoined)
    hear(parts.recorder, BoardsChanged, BoardsDeleted, BoardWorked, QueueChanged, WorkerLogged)
    hear(parts.metrics, BoardWorked, ReservationsStarted, ReservationsEnded, QueueChanged)
    hear(parts.metrics, WorkerIntroduced, RouterJoined, SignInAnswered)
    hear(parts.metrics, MeasurementsArchived, ReferencesMeasured)
    if parts.archive is not None:
        hear(parts.archive.activity, MeasurementsArchived)
        hear(parts.archive.closer, MeasurementsArchived, WorkerIntroduced)
    hear(parts.rates, WorkerIntroduced, WorkerChanged, BoardsDeleted)
    hear(parts.board_reports, *_RESERVATIONS)
    hear(parts.inventory, WorkerLost, BoardLost)
    hear(parts.topics, BookingsChanged)
    hear(parts.booking_keeper, BookingsChanged)
    hear(parts.expiry, *_RESERVATIONS)
    # Before the queue, which asks it for the use of accounts.
    hear(parts.shares, ReservationsEnded)
    hear(parts.groups, ReservationsEnded)
    hear(parts.queue, *_RESERVATIONS, BoardsAvailable, AccessChanged, LimitsChanged)
    hear(parts.pools, WorkerIntroduced, WorkerLost, ReservationsStarted, ReservationsEnded)
    hear(parts.drain, WorkerChanged, ReservationsEnded)
    hear(parts.calibration, WorkerIntroduced, WorkerLost, BoardsDeleted)
    hear(parts.absent_clients, ClientBack, ClientGone)
    hear(parts.dispatcher, SessionEnded)
