"""One reserved board as an object with the methods of its kind: the base of typed clients for device kinds.

This is the one for the blocking API; `icefarm.client.aio.Device` and `icefarm.client.deferred.Device` are the same for
the others.
"""

from __future__ import annotations

from typing import Any, Self, TypeVar

from icefarm.client.api.adapters import Blocking
from icefarm.client.api.device import DeviceFace, DevicesFace
from icefarm.client.blocking import Boards, Farm

__all__ = ["Device", "Devices"]

D = TypeVar("D")


class Device(DeviceFace, Blocking):
    """A reserved board as an object with the methods of its kind.  A subclass names the kind and types its methods::

    class Console(Device, kind="console"):
        def write(self, data: bytes) -> int:
            return self.ask("write", data=data)
    """

    @classmethod
    def reserve(cls, farm: Farm, amount: int | None = None, **arguments: Any) -> Devices[Self]:
        """Reserve boards of this kind; arguments are those of `Farm.reserve`.

        Use it in a ``with`` block: ``with Console.reserve(farm, 1) as (console,):``.
        """
        boards = farm.reserve(amount, kind=cls.kind, **arguments)
        return Devices(boards, [cls(farm, record) for record in boards.reservations])


class Devices(DevicesFace[D]):
    """Boards of one kind; leaving the ``with`` block ends their reservations."""

    boards: Boards

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.boards.__exit__(*details)
