"""What a worker's devices share, and whom they tell what happens to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import define

from icefarm.clock import Clock
from icefarm.kinds.circuit import Admission
from icefarm.kinds.registry import Kinds
from icefarm.worker.board.hardware import Hardware

__all__ = ["Observer", "WorkerContext"]


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
