"""One reserved board as an object with the methods of its kind: the base of typed clients for device kinds."""

from __future__ import annotations

from collections.abc import Iterator
from queue import Empty, SimpleQueue
from typing import Any, ClassVar, Generic, Self, TypeVar

from icefarm.client.blocking import Farm
from icefarm.client.boards import Boards
from icefarm.client.holdings import ClientEvent
from icefarm.client.payload import payload_of
from icefarm.contract import ReservationRecord
from icefarm.errors import TimedOut

__all__ = ["Device", "Devices"]

D = TypeVar("D", bound="Device")

#: Seconds for the answer to a call.
LIMIT = 60.0


class Device:
    """A reserved board.  A subclass names its kind and gives its methods types::

    class Console(Device, kind="console"):
        def write(self, data: bytes) -> int:
            return self.ask("write", data=data)
    """

    kind: ClassVar[str] = ""

    def __init_subclass__(cls, *, kind: str | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            cls.kind = kind

    def __init__(self, farm: Farm, record: ReservationRecord) -> None:
        self._farm = farm
        self._record = record
        self._events: SimpleQueue[ClientEvent] = SimpleQueue()
        farm.listen(self._heard)

    @classmethod
    def reserve(cls, farm: Farm, amount: int | None = None, **arguments: Any) -> Devices[Self]:
        """Reserve boards of this kind; arguments are those of `icefarm.client.Farm.reserve`.

        Use it in a ``with`` block: ``with Console.reserve(farm, 1) as (console,):``.
        """
        boards = farm.reserve(amount, kind=cls.kind, **arguments)
        return Devices(boards, [cls(farm, record) for record in boards.reservations])

    @property
    def serial(self) -> str:
        """The board's serial."""
        return self._record.serial

    def ask(self, method: str, *, limit: float | None = LIMIT, **arguments: Any) -> Any:
        """Call a method of the kind; ``limit`` is in seconds.  Raises what the kind raises, and `TimedOut`."""
        return self._farm.ask(self.serial, method, limit=limit, **arguments)

    @staticmethod
    def packed(bitstream: Any) -> dict[str, Any]:
        """Return a bitstream (path or bytes) as methods of kinds take it.  Raises `InvalidBitstream`."""
        return payload_of(bitstream)

    def next_event(self, timeout: float | None = None) -> ClientEvent:
        """Return the next event of this board's reservation.  Raises `TimedOut` after ``timeout`` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except Empty:
            raise TimedOut(f"board {self.serial} sent no event within {timeout:g} s", serial=self.serial) from None

    def _heard(self, event: ClientEvent) -> None:
        if event.reservation == self._record.id:
            self._events.put(event)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.serial}>"


class Devices(Generic[D]):
    """Boards of one kind; leaving the ``with`` block ends their reservations."""

    def __init__(self, boards: Boards, devices: list[D]) -> None:
        self.boards = boards
        self._devices = devices

    def __iter__(self) -> Iterator[D]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.boards.__exit__(*details)
