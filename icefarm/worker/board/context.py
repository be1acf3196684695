"""What a worker's boards share, and the listener for their events."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from attrs import Factory, define

from icefarm.concurrency.clock import Clock
from icefarm.kinds.circuit import Admission
from icefarm.kinds.registry import Kinds
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.board.hardware import Hardware

if TYPE_CHECKING:
    from icefarm.worker.board.managed_board import ManagedBoard

__all__ = ["SLOWER", "Observer", "WorkerContext"]

#: What a board that fails now and then at 25 MHz, the FPGA's maximum, divides its configuration clock by: 12.5 MHz then
#: (docs/hardware.md).
SLOWER = 2


class Observer:
    """Ignores events of boards; `icefarm.worker.control_link.boards.Reports` overrides its methods."""

    def added(self, board: ManagedBoard) -> None:
        """The board is new."""

    def removed(self, board: ManagedBoard) -> None:
        """The board is forgotten."""

    def changed(self, board: ManagedBoard) -> None:
        """The board's report has changed."""

    def noted(self, board: ManagedBoard, level: str, message: str) -> None:
        """A notice for operators: "warn" or "info", and a sentence."""

    def evaluation_failed(self, board: ManagedBoard, reservation: str, evaluation: str, message: str) -> None:
        """An evaluation failed, and why."""

    def emitted(self, board: ManagedBoard, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """The board's kind sends its client an event."""


@define(eq=False)
class WorkerContext:
    """What all boards of a worker share."""

    worker: str
    clock: Clock
    hardware: Hardware
    kinds: Kinds
    admission: Admission
    observer: Observer = Factory(Observer)
    #: Serials of the boards whose FPGA is loaded at half speed.
    slow_load: Collection[str] = ()
    #: Where measurements are written before they are returned.
    archive: Recorder = Factory(lambda self: Recorder(self.clock), takes_self=True)
    #: Whether each evaluation is logged, not only those that fail.
    follows_evaluations: bool = False
