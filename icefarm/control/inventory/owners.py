"""Pure: no I/O, no clock.  Which worker has which board, by the inventory."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import Factory, define

from icefarm.contract import DeviceRecord
from icefarm.control.telemetry.events import BoardsChanged, BoardsDeleted, Event

__all__ = ["BoardOwners"]


@define(eq=False)
class BoardOwners:
    """Follows the inventory, so that a question about it needs no database."""

    _workers: dict[str, str] = Factory(dict)

    def __len__(self) -> int:
        return len(self._workers)

    def learn(self, devices: Iterable[DeviceRecord]) -> None:
        """Take in the boards that the database has."""
        for device in devices:
            self._workers.setdefault(device.serial, device.worker)

    def heard(self, event: Event) -> None:
        """Take in what happens to boards."""
        match event:
            case BoardsChanged(records):
                self._workers |= {record.serial: record.worker for record in records}
            case BoardsDeleted(serials):
                for serial in serials:
                    self._workers.pop(serial, None)

    def worker_of(self, serial: str) -> str | None:
        """Return the worker that has a board; None for a board that the farm does not know."""
        return self._workers.get(serial)
