"""What a worker's devices share, and whom they tell what happens to them."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from attrs import define

from icefarm.clock import Clock
from icefarm.kinds.circuit import Admission
from icefarm.kinds.registry import Kinds
from icefarm.worker.board.hardware import Hardware

__all__ = ["Observer", "WorkerContext"]

#: For a board that fails now and then at 25 MHz, the most that the FPGA takes: 12.5 MHz (docs/hardware.md).
SLOWER = 2


class Observer(Protocol):
    """Whom a device (`icefarm.worker.board.managed_board.ManagedBoard`) tells what happens to it."""

    def changed(self, device: Any) -> None:
        """The device's report is another one than before."""

    def noted(self, device: Any, level: str, message: str) -> None:
        """Something that an operator may want to know: "warn" or "info", and a sentence."""

    def emitted(self, device: Any, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """The device kind sends its client an event."""


@define(eq=False)
class WorkerContext:
    """What all devices of a worker share."""

    worker: str
    clock: Clock
    hardware: Hardware
    kinds: Kinds
    admission: Admission
    observer: Observer
    #: Serials of the boards whose FPGA is loaded at half speed.
    slow_load: Collection[str] = ()

    def slower(self, serial: str) -> int:
        """Return what a board divides its configuration clock by."""
        return SLOWER if serial in self.slow_load else 1
