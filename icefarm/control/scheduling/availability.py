"""Pure: no I/O, no clock.  Which boards a request may have at all, which of them are free, and why others are not.

Virtual boards are for requests that name them (``where="virtual"``), as soon as the farm knows a real board.

The schema computes a board's status in SQL as well (the generated column ``device.status``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import Enum, StrEnum

from attrs import Factory, frozen

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord
from icefarm.control.scheduling.access import ANYTHING, Allowance
from icefarm.selectors.boards import is_virtual, names_virtual, narrowed
from icefarm.selectors.language import Selector

__all__ = [
    "Selection",
    "Sharing",
    "Survey",
    "SuspectRule",
    "UnavailableReason",
    "current_status",
    "free",
    "held_by",
    "holders_of",
    "select",
    "survey",
    "suspicion",
    "unavailable_reason",
    "undeletable",
]


class SuspectRule(StrEnum):
    """What the operator wants of boards that are suspect."""

    #: They are given out when no others are free.
    AVOID = "avoid"
    #: They are not given out.
    SET_ASIDE = "set-aside"
    #: They are shown as suspect, and given out like all others.
    IGNORE = "ignore"


class UnavailableReason(Enum):
    """Why a board can't be reserved now; its value ends the sentence "the board is …"."""

    UNSUITABLE = "not able to run that kind"
    UNSHAREABLE = "not able to share that kind"
    OFFLINE = "offline"
    BROKEN = "broken"
    RESERVED = "reserved"
    FULL = "shared by as many clients as may"
    YOURS = "shared by you already"
    DRAINING = "on a worker that is being drained"
    PREPARING = "being flashed or tested"
    AVOIDED = "set aside after a failure, or for an earlier request"
    BOOKED = "kept for a booking"
    SUSPECT = "set aside as suspect, by the operator's rule"


@frozen
class Sharing:
    """A client would share boards."""

    client: str
    #: How many clients may share one, this one among them.
    most: int


def unavailable_reason(
    device: DeviceRecord,
    worker: WorkerRecord | None,
    kind: str | None,
    avoid: frozenset[str] = frozenset(),
    booked: Collection[str] = (),
    sharing: Sharing | None = None,
) -> UnavailableReason | None:
    """Return why a board can't be reserved; None if it can.

    ``kind`` None means any kind; ``booked`` boards are kept for others; ``sharing`` None: it is to be for one client.
    """
    if worker is None or worker.status != "online" or device.status is DeviceStatus.OFFLINE:
        return UnavailableReason.OFFLINE
    if kind is not None and kind not in worker.kinds:
        return UnavailableReason.UNSUITABLE
    if device.status is DeviceStatus.BROKEN:
        return UnavailableReason.BROKEN
    taken = _taken(device, worker, kind, sharing)
    if taken is not None:
        return taken
    if worker.draining:
        return UnavailableReason.DRAINING
    # A board that is being prepared for the clients that share it has room for one more.
    if device.status is not DeviceStatus.AVAILABLE and device.reservation is None:
        return UnavailableReason.PREPARING
    if device.serial in booked:
        return UnavailableReason.BOOKED
    if device.serial in avoid:
        return UnavailableReason.AVOIDED
    return UnavailableReason.SUSPECT if suspicion(device) == SuspectRule.SET_ASIDE else None


def _taken(
    device: DeviceRecord, worker: WorkerRecord, kind: str | None, sharing: Sharing | None
) -> UnavailableReason | None:
    """Return why the holders of a board exclude others from it; None if they do not."""
    if sharing is None:
        return None if device.reservation is None else UnavailableReason.RESERVED
    if kind not in worker.shared_kinds:
        return UnavailableReason.UNSHAREABLE
    if device.reservation is None:
        return None
    if not device.shares or device.kind != kind:
        return UnavailableReason.RESERVED
    if sharing.client in device.shares.values():
        return UnavailableReason.YOURS
    return UnavailableReason.FULL if len(device.shares) >= sharing.most else None


@frozen
class Survey:
    """The boards that a request may have, and which of them are free."""

    selection: Selection
    #: Why each cannot be reserved now, by serial; None: it can.
    obstacles: Mapping[str, UnavailableReason | None]
    usable: list[DeviceRecord]
    #: Of these, those that are given out after all others, by the operator's rule for suspect boards.
    doubted: frozenset[str]


def survey(
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
    kind: str,
    where: Selector | None,
    allowance: Allowance,
    avoid: frozenset[str],
    booked: Collection[str],
    sharing: Sharing | None,
) -> Survey:
    """Look at all boards for one request; the arguments are those of `select` and `unavailable_reason`."""
    selection = select(devices, workers, kind, where, allowance)
    obstacles: dict[str, UnavailableReason | None] = {}
    usable, doubted = [], set()
    for device in selection.boards:
        found = unavailable_reason(device, workers.get(device.worker), kind, avoid, booked, sharing)
        obstacles[device.serial] = found
        if found is None:
            usable.append(device)
            if suspicion(device) == SuspectRule.AVOID:
                doubted.add(device.serial)
    return Survey(selection, obstacles, usable, frozenset(doubted))


def suspicion(device: DeviceRecord) -> str | None:
    """Return what the operator's rule says of a suspect board: "avoid", "set-aside" or "ignore"; None: it is none."""
    return None if device.calibration is None or device.calibration.suspect is None else device.calibration.rule


@frozen
class Selection:
    """The boards that a request may have; and in words, how the others of its kind are left out."""

    boards: list[DeviceRecord]
    words: list[str] = Factory(list)


def select(
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
    kind: str | None,
    where: Selector | None,
    allowance: Allowance = ANYTHING,
) -> Selection:
    """Return the boards that can be of that kind (None: of any), that the selector selects (None: all), and that the
    account may have.
    """
    boards = [device for device in devices if _may_ever_run(device, workers, kind)]
    steps: list[str] = []
    total = len(boards)
    if not all(map(is_virtual, devices)) and not (where is not None and names_virtual(where)):
        boards = [board for board in boards if not is_virtual(board)]
        if len(boards) < total:
            steps.append(f'real leaves {len(boards)} (where="virtual" allows the others)')
    if where is not None:
        boards, parts = narrowed(where, boards)
        steps += parts
    if allowance.allowed is not None:
        boards = [board for board in boards if allowance.allows(board, kind)]
        steps.append(allowance.leaves(len(boards)))
    return Selection(boards, [f"of {total} board{'s' * (total != 1)}, {', '.join(steps)}"] if steps else [])


def _may_ever_run(device: DeviceRecord, workers: Mapping[str, WorkerRecord], kind: str | None) -> bool:
    worker = workers.get(device.worker)
    return worker is not None and (kind is None or kind in worker.kinds)


def free(
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    kind: str | None,
    where: Selector | None = None,
    allowance: Allowance = ANYTHING,
    sharing: Sharing | None = None,
) -> list[str]:
    """Return the serials of the boards that could be reserved for that kind (None: for any), sorted."""
    by_name = {worker.name: worker for worker in workers}
    return sorted(
        device.serial
        for device in select(devices, by_name, kind, where, allowance).boards
        if unavailable_reason(device, by_name.get(device.worker), kind, sharing=sharing) is None
    )


def holders_of(device: DeviceRecord) -> list[str | None]:
    """Return the holders of a reserved board: the clients that share it, or the one that has it alone."""
    return list(device.shares.values()) or [device.client]


def held_by(device: DeviceRecord) -> str:
    """Return the holders of a reserved board in words."""
    return " and ".join(f"'{client}'" for client in holders_of(device))


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
        return f"reserved by {held_by(device)}"
    if device.status not in (DeviceStatus.OFFLINE, DeviceStatus.BROKEN):
        return f"{device.status}; only boards that are offline or broken can be deleted"
    return None
