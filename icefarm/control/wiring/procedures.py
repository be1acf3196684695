"""Which procedures control offers: each by its URI, with the part of control that carries it out."""

from __future__ import annotations

from icefarm.bus import Handler
from icefarm.concurrency.clock import Clock
from icefarm.contract import control_procedure, control_worker_procedure
from icefarm.control.inventory.calibration.corrections import Corrections
from icefarm.control.rpc.archive_api import ArchiveProcedures, Table, without_archive
from icefarm.control.rpc.booking_api import BookingProcedures
from icefarm.control.rpc.calibration_api import CalibrationProcedures
from icefarm.control.rpc.client_api import ClientProcedures
from icefarm.control.rpc.history_api import WatchProcedures
from icefarm.control.rpc.operators.access_api import AccessProcedures
from icefarm.control.rpc.operators.account_api import AccountProcedures
from icefarm.control.rpc.operators.board_api import OperatorProcedures
from icefarm.control.rpc.runs_api import RunProcedures
from icefarm.control.rpc.worker_api import WorkerProcedures
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck
from icefarm.control.storage.interface import Store
from icefarm.control.wiring.assembly import ArchiveParts, Parts
from icefarm.control.wiring.settings import ControlSettings
from icefarm.text.public_url import socket_url

__all__ = ["handlers"]


def handlers(
    parts: Parts, store: Store, clock: Clock, settings: ControlSettings, credentials: CredentialsCheck
) -> dict[str, Handler]:
    """Return the handler of every procedure by its URI."""
    for_clients = ClientProcedures(
        store,
        parts.sessions,
        parts.reservations,
        parts.queue,
        parts.rates,
        clock,
        credentials,
        parts.mirror,
        parts.access,
        settings.reservation,
        settings.grace,
        settings.preemptible,
        settings.most_sharers,
        None if settings.public_url is None else socket_url(settings.public_url),
    )
    for_operators = OperatorProcedures(
        store,
        parts.sessions,
        parts.queue,
        parts.termination,
        parts.inventory,
        parts.board_reports,
        parts.worker_client,
        parts.publisher,
    )
    for_workers = WorkerProcedures(
        store,
        parts.sessions,
        parts.inventory,
        parts.board_reports,
        parts.publisher,
        parts.rates,
        parts.owners,
        clock,
        None if parts.archive is None else parts.archive.intake,
    )
    for_watchers = WatchProcedures(parts.recorder, parts.audit, clock, parts.journal)
    archive = None if parts.archive is None else parts.archive.archive
    for_teachers = AccountProcedures(store, parts.queue, parts.termination, archive)
    for_bookers = BookingProcedures(store, parts.publisher, parts.limits, clock)
    of_calibration = CalibrationProcedures(store, parts.mirror, clock)
    of_access = AccessProcedures(store, parts.access, parts.queue, parts.publisher)
    tables = {
        **for_clients.table(),
        **for_operators.table(),
        **for_bookers.table(),
        **for_teachers.table(),
        **for_watchers.table(),
        **of_access.table(),
        **of_calibration.table(),
        **_archive_procedures(parts.archive, store, clock, settings),
    }
    found = {}
    for name, (method, roles) in tables.items():
        found[control_procedure(name)] = parts.dispatcher.handler(method, *roles)
    for name, (method, roles) in for_workers.table().items():
        found[control_worker_procedure(name)] = parts.dispatcher.handler(method, *roles)
    return found


def _archive_procedures(parts: ArchiveParts | None, store: Store, clock: Clock, settings: ControlSettings) -> Table:
    if parts is None:
        return without_archive([*ArchiveProcedures.methods(), *RunProcedures.methods()])
    of_archive = ArchiveProcedures(parts.archive, parts.activity, clock, settings.private, Corrections(store))
    of_runs = RunProcedures(parts.archive.runs, parts.closer, of_archive, clock, settings.circuit_bytes)
    return {**of_archive.table(), **of_runs.table()}
