"""Pure: no I/O, no clock.  A board's status, from its worker's word and whether control has it reserved.

The schema says the same in SQL (the generated column ``device.status``).
"""

from __future__ import annotations

from icefarm.contract import DeviceRecord, DeviceStatus

__all__ = ["current_status", "undeletable"]


def current_status(reported: DeviceStatus, *, reserved: bool) -> DeviceStatus:
    """Return the status to show; between control's decision and the worker's next word the two differ."""
    if reported is DeviceStatus.AVAILABLE and reserved:
        return DeviceStatus.RESERVED
    if reported is DeviceStatus.RESERVED and not reserved:
        # The worker has yet to hear of the end, and will then flash the default firmware.
        return DeviceStatus.FLASHING
    return reported


def undeletable(device: DeviceRecord) -> str | None:
    """Say why a board can't be forgotten, as the end of a sentence "board X is"; None where it can."""
    if device.reservation is not None:
        return f"reserved by '{device.client}'"
    if device.status not in (DeviceStatus.OFFLINE, DeviceStatus.BROKEN):
        return f"{device.status}; only boards that are offline or broken can be deleted"
    return None
