"""What control stores, in PostgreSQL: each call is one transaction; `icefarm.control.storage.interface.Store` says what
each does.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from icefarm.contract import DeviceRecord, DeviceReport, ReservationRecord, Role, WorkerHello, WorkerRecord
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.placement import ReservationRequest, free
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import State, TokenRecord
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres import inventory as inventory
from icefarm.control.storage.postgres import queue as queue
from icefarm.control.storage.postgres import reservations as reservations
from icefarm.control.storage.postgres import tokens as tokens

__all__ = ["PostgresStore"]


@define
class PostgresStore:
    """Implements `icefarm.control.storage.interface.Store` over a `Database` with the current schema.

    `icefarm.control.storage.migrations` brings a database to that schema.
    """

    _database: Database

    async def hello(self, hello: WorkerHello) -> list[str]:
        return await self._database.transaction(lambda t: inventory.hello(t, hello))

    async def report(self, worker: str, report: DeviceReport) -> DeviceRecord:
        return await self._database.transaction(lambda t: inventory.report(t, worker, report))

    async def worker_seen(self, worker: str) -> int:
        return await self._database.transaction(lambda t: inventory.worker_seen(t, worker))

    async def worker_lost(self, worker: str, reason: str) -> list[DeviceRecord]:
        return await self._database.transaction(lambda t: inventory.worker_lost(t, worker, reason))

    async def set_draining(self, worker: str, draining: bool, *, leaving: bool = False) -> WorkerRecord:
        return await self._database.transaction(lambda t: inventory.set_draining(t, worker, draining, leaving))

    async def workers(self) -> list[WorkerRecord]:
        return await self._database.transaction(inventory.all_workers)

    async def devices(self, serials: Sequence[str] | None = None) -> list[DeviceRecord]:
        if serials is None:
            return await self._database.transaction(inventory.all_devices)
        return await self._database.transaction(lambda t: inventory.devices(t, serials))

    async def delete_devices(self, serials: Sequence[str]) -> list[str]:
        return await self._database.transaction(lambda t: inventory.delete_devices(t, serials))

    async def available(self, kind: str | None = None) -> list[str]:
        async def find(transaction: Transaction) -> list[str]:
            devices = await inventory.all_devices(transaction)
            return free(devices, await inventory.all_workers(transaction), kind)

        return await self._database.transaction(find)

    async def state(self) -> State:
        async def read(transaction: Transaction) -> State:
            devices, workers = await inventory.all_devices(transaction), await inventory.all_workers(transaction)
            return State(devices, workers, await reservations.now(transaction))

        return await self._database.transaction(read)

    async def reserve(
        self,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        request_id: str | None = None,
        grace: float | None = None,
        more: bool = False,
    ) -> list[ReservationRecord]:
        return await self._database.transaction(
            lambda t: reservations.reserve(t, client, request, seconds, request_id, grace, more)
        )

    async def answered(self, client: str, request_id: str) -> list[ReservationRecord]:
        return await self._database.transaction(lambda t: reservations.answered(t, client, request_id))

    async def extend(self, client: str, serials: Sequence[str] | None, seconds: float) -> list[ReservationRecord]:
        return await self._database.transaction(lambda t: reservations.extend(t, client, serials, seconds))

    async def end(self, *, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        return await self._database.transaction(lambda t: reservations.end(t, client, serials, reason))

    async def end_reservations(self, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        return await self._database.transaction(lambda t: reservations.end_reservations(t, ids, reason))

    async def end_expired(self) -> list[ReservationRecord]:
        return await self._database.transaction(reservations.end_expired)

    async def next_expiry(self) -> float | None:
        return await self._database.transaction(reservations.next_expiry)

    async def active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        return await self._database.transaction(lambda t: reservations.active(t, client, worker))

    async def reservation(self, id: str) -> ReservationRecord | None:
        return await self._database.transaction(lambda t: reservations.reservation(t, id))

    async def now(self) -> float:
        return await self._database.transaction(reservations.now)

    async def enqueue(
        self,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
    ) -> QueuedRequest:
        return await self._database.transaction(lambda t: queue.enqueue(t, client, request, request_id, timeout, since))

    async def dequeue(self, ids: Sequence[str]) -> list[str]:
        return await self._database.transaction(lambda t: queue.dequeue(t, ids))

    async def waiting(self) -> list[QueuedRequest]:
        return await self._database.transaction(queue.waiting)

    async def add_token(self, name: str, role: Role, hash: str) -> TokenRecord:
        return await self._database.transaction(lambda t: tokens.add_token(t, name, role, hash))

    async def token_by_hash(self, hash: str) -> TokenRecord | None:
        return await self._database.transaction(lambda t: tokens.token_by_hash(t, hash))

    async def list_tokens(self) -> list[TokenRecord]:
        return await self._database.transaction(tokens.list_tokens)

    async def revoke_token(self, name: str) -> None:
        await self._database.transaction(lambda t: tokens.revoke_token(t, name))
