"""Pure: no I/O, no clock.  A board's status, and why it can't be reserved.

The schema computes the same status in SQL (the generated column ``device.status``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord
from icefarm.control.scheduling.access import ANYTHING, Allowance
from icefarm.control.scheduling.selection import select
from icefarm.selectors.language import Selector

__all__ = [
    "AVOID",
    "SET_ASIDE",
    "UnavailableReason",
    "current_status",
    "free",
    "suspicion",
    "unavailable_reason",
    "undeletable",
]


#: The rules for suspect boards that placement knows; any other one means nothing to it.
AVOID, SET_ASIDE = "avoid", "set-aside"


class UnavailableReason(Enum):
    """Why a board can't be reserved now; its value ends the sentence "the board is …"."""

    UNSUITABLE = "not able to run that kind"
    OFFLINE = "offline"
    BROKEN = "broken"
    RESERVED = "reserved"
    DRAINING = "on a worker that is being drained"
    PREPARING = "being flashed or tested"
    AVOIDED = "set aside after a failure, or for an earlier request"
    BOOKED = "kept for a booking"
    SUSPECT = "set aside as suspect, by the operator's rule"


def unavailable_reason(
    device: DeviceRecord,
    worker: WorkerRecord | None,
    kind: str | None,
    avoid: frozenset[str] = frozenset(),
    booked: Collection[str] = (),
) -> UnavailableReason | None:
    """Return why a board can't be reserved; None if it can.

    ``kind`` None means any kind; ``booked`` boards are kept for others.
    """
    if worker is None or worker.status != "online" or device.status is DeviceStatus.OFFLINE:
        found = UnavailableReason.OFFLINE
    elif kind is not None and kind not in worker.kinds:
        found = UnavailableReason.UNSUITABLE
    elif device.status is DeviceStatus.BROKEN:
        found = UnavailableReason.BROKEN
    elif device.reservation is not None:
        found = UnavailableReason.RESERVED
    elif worker.draining:
        found = UnavailableReason.DRAINING
    elif device.status is not DeviceStatus.AVAILABLE:
        found = UnavailableReason.PREPARING
    elif device.serial in booked:
        found = UnavailableReason.BOOKED
    elif device.serial in avoid:
        found = UnavailableReason.AVOIDED
    elif suspicion(device) == SET_ASIDE:
        found = UnavailableReason.SUSPECT
    else:
        return None
    return found


def suspicion(device: DeviceRecord) -> str | None:
    """Return what the operator's rule says of a suspect board: "avoid", "set-aside" or "ignore"; None: it is none."""
    return None if device.calibration is None or device.calibration.suspect is None else device.calibration.rule


def free(
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    kind: str | None,
    where: Selector | None = None,
    allowance: Allowance = ANYTHING,
) -> list[str]:
    """Return the serials of the boards that could be reserved for that kind (None: for any), sorted."""
    by_name = {worker.name: worker for worker in workers}
    return sorted(
        device.serial
        for device in select(devices, by_name, kind, where, allowance).boards
        if unavailable_reason(device, by_name.get(device.worker), kind) is None
    )


def current_status(reported: DeviceStatus, *, reserved: bool) -> DeviceStatus:
    """Return the status to show; until the worker's next report it may differ from the reported one."""
    if reported is DeviceStatus.AVAILABLE and reserved:
        return DeviceStatus.RESERVED
    if reported is DeviceStatus.RESERVED and not reserved:
        # The worker does not yet know of the end, and will then flash the default firmware.
        return DeviceStatus.FLASHING
    return reported


def undeletable(device: DeviceRecord) -> str | None:
    """Return why a board can't be forgotten, as the end of a sentence "board X is"; None if it can."""
    if device.reservation is not None:
        return f"reserved by '{device.client}'"
    if device.status not in (DeviceStatus.OFFLINE, DeviceStatus.BROKEN):
        return f"{device.status}; only boards that are offline or broken can be deleted"
    return None
