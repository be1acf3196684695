"""Pure: no I/O, no clock.  Which boards a request may have at all, whether they are free or not.

Virtual boards are for requests that name them (``where="virtual"``), as soon as the farm knows a real board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, frozen

from icefarm.contract import DeviceRecord, WorkerRecord
from icefarm.control.scheduling.access import ANYTHING, Allowance
from icefarm.selectors.boards import is_virtual, names_virtual, narrowed
from icefarm.selectors.language import Selector

__all__ = ["Selection", "select"]


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
    if not names_virtual(where) and not all(map(is_virtual, devices)):
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
