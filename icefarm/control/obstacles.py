"""Pure: no I/O, no clock.  What keeps a board from being reserved."""

from __future__ import annotations

from enum import Enum

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord

__all__ = ["Obstacle", "obstacle"]


class Obstacle(Enum):
    """Why a board can't be reserved just now; its value ends the sentence "the board is …"."""

    UNSUITABLE = "not able to run that kind"
    OFFLINE = "offline"
    BROKEN = "broken"
    RESERVED = "reserved"
    DRAINING = "on a worker that is being drained"
    PREPARING = "being flashed or tested"
    AVOIDED = "set aside after a failure, or for an earlier request"


def obstacle(
    device: DeviceRecord, worker: WorkerRecord | None, kind: str | None, avoid: frozenset[str] = frozenset()
) -> Obstacle | None:
    """Say what keeps a board from being reserved; None where nothing does.  ``kind`` None stands for any kind."""
    if worker is None or worker.status != "online" or device.status is DeviceStatus.OFFLINE:
        found = Obstacle.OFFLINE
    elif kind is not None and kind not in worker.kinds:
        found = Obstacle.UNSUITABLE
    elif device.status is DeviceStatus.BROKEN:
        found = Obstacle.BROKEN
    elif device.reservation is not None:
        found = Obstacle.RESERVED
    elif worker.draining:
        found = Obstacle.DRAINING
    elif device.status is not DeviceStatus.AVAILABLE:
        found = Obstacle.PREPARING
    elif device.serial in avoid:
        found = Obstacle.AVOIDED
    else:
        return None
    return found
