"""Pure: no I/O, no clock.  How many virtual boards workers are to plug in on demand.

A worker has between ``least`` and ``most`` of them: one for each that is reserved, one for each that waiting requests
could use, and a few more, so that the next small request need not wait.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import frozen

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord
from icefarm.control.scheduling.availability import select
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.selectors.boards import is_virtual

__all__ = ["ON_DEMAND", "WARM", "Pool", "possible", "present", "surplus", "unplugged", "wanted"]

#: Boards beyond those that are in use.
WARM = 2
#: What the serial of a board begins with that could be plugged in, and is not.
ON_DEMAND = "on demand "


@frozen
class Pool:
    """The virtual boards of a worker."""

    worker: str
    least: int
    most: int
    model: str


def present(pool: Pool, devices: Iterable[DeviceRecord]) -> list[DeviceRecord]:
    """Return a pool's boards that are plugged in."""
    return [
        device
        for device in devices
        if device.worker == pool.worker and is_virtual(device) and device.status is not DeviceStatus.OFFLINE
    ]


def unplugged(pool: Pool, devices: Iterable[DeviceRecord]) -> list[str]:
    """Return the boards of a pool that are known and not plugged in; those that are reserved may come back."""
    return [
        device.serial
        for device in devices
        if device.worker == pool.worker
        and is_virtual(device)
        and device.status is DeviceStatus.OFFLINE
        and device.reservation is None
    ]


def possible(
    pools: Iterable[Pool],
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
    requests: Collection[ReservationRequest],
) -> list[DeviceRecord]:
    """Return the boards that could be plugged in for these requests, as if they were there and being tested."""
    asked = sum(request.amount or 0 for request in requests)
    found = []
    for pool in pools:
        worker = workers.get(pool.worker)
        if worker is not None and worker.status == "online" and not worker.draining:
            room = pool.most - len(present(pool, devices))
            found += [_possible_board(pool, worker, number) for number in range(min(room, asked))]
    return found


def wanted(
    pools: Iterable[Pool],
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
    requests: Iterable[ReservationRequest],
) -> dict[str, int]:
    """Return how many boards each worker is to have, for the requests that wait and those that are served."""
    waiting = [(request, request.amount or 0) for request in requests]
    found = {}
    for pool in pools:
        worker = workers.get(pool.worker)
        if worker is None:
            continue
        count = sum(device.reservation is not None for device in present(pool, devices)) + WARM
        if not worker.draining:
            one, left = _possible_board(pool, worker, 0), []
            for request, missing in waiting:
                given = min(missing, pool.most - count) if _may_have(request, one, devices, workers) else 0
                count += max(0, given)
                left.append((request, missing - max(0, given)))
            waiting = left
        found[pool.worker] = min(pool.most, max(pool.least, count))
    return found


def surplus(pool: Pool, devices: Iterable[DeviceRecord], wanted: int) -> list[str]:
    """Return the boards that can be unplugged, so that as many are left as are wanted: never a reserved one."""
    boards = present(pool, devices)
    free = sorted((board.serial for board in boards if board.reservation is None), reverse=True)
    return free[: max(0, len(boards) - wanted)]


def _may_have(
    request: ReservationRequest,
    board: DeviceRecord,
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
) -> bool:
    chosen = select([*devices, board], workers, request.kind, request.where, request.allowance).boards
    return any(each.serial == board.serial for each in chosen)


def _possible_board(pool: Pool, worker: WorkerRecord, number: int) -> DeviceRecord:
    return DeviceRecord(
        serial=f"{ON_DEMAND}{number} of {pool.worker}",
        worker=pool.worker,
        status=DeviceStatus.TESTING,
        reason="it is plugged in on demand",
        client=None,
        reservation=None,
        kind=None,
        firmware=None,
        firmware_version=None,
        usb_path=None,
        evaluations=0,
        failures=0,
        retries=0,
        expires_at=None,
        changed_at=0.0,
        model=pool.model,
        labels=dict(worker.labels),
    )
