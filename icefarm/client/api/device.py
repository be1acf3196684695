"""One reserved board as an object with the methods of its kind: what typed clients of all three APIs have in common."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

from attrs import define, field

from icefarm.client.api.adapters import Verb, VerbAdapter
from icefarm.client.api.arguments import checked
from icefarm.client.connection.events import ClientEvent
from icefarm.client.evaluation.payload import payload_of
from icefarm.client.session import ASK_LIMIT, ClientSession
from icefarm.contract import ReservationRecord
from icefarm.errors import TimedOut
from icefarm.text.durations import in_words

if TYPE_CHECKING:
    # Twisted is imported when a farm is made.
    from twisted.internet.defer import DeferredQueue

__all__ = ["AwaitedDevice", "AwaitedDevices", "DeviceFace", "DevicesFace", "ReservedDevice"]

D = TypeVar("D")


def _new_queue() -> DeferredQueue[ClientEvent]:
    from twisted.internet.defer import DeferredQueue

    return DeferredQueue()


@define(eq=False)
class ReservedDevice:
    """A reserved board, in a session: its calls and events."""

    session: ClientSession
    record: ReservationRecord
    _events: DeferredQueue[ClientEvent] = field(init=False, factory=_new_queue)

    def listen(self) -> None:
        """Start recording the events of this reservation."""
        self.session.on_event(self._heard)

    @checked
    async def ask(self, method: str, *, limit: float | None = ASK_LIMIT, **arguments: Any) -> Any:
        """Call a method of the kind; ``limit`` is in seconds.  Raises what the kind raises, and `TimedOut`."""
        return await self.session.ask(self.record.serial, method, limit=limit, **arguments)

    @checked
    async def next_event(self, timeout: float | None = None) -> ClientEvent:
        """Return the next event of this board's reservation.  Raises `TimedOut` after ``timeout`` seconds."""
        from twisted.internet.defer import TimeoutError

        event = self._events.get()
        if timeout is not None:
            event.addTimeout(timeout, self.session.clock)  # type: ignore[arg-type]
        try:
            return await event
        except TimeoutError:
            serial = self.record.serial
            raise TimedOut(f"board {serial} sent no event within {in_words(timeout or 0)}", serial=serial) from None

    def _heard(self, event: ClientEvent) -> None:
        if event.reservation == self.record.id:
            self._events.put(event)


class DeviceFace(VerbAdapter):
    """A reserved board, in one of the APIs."""

    kind: ClassVar[str] = ""
    _subject: ReservedDevice

    ask = Verb(ReservedDevice.ask)
    next_event = Verb(ReservedDevice.next_event)

    def __init_subclass__(cls, *, kind: str | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            cls.kind = kind

    def __init__(self, farm: VerbAdapter, record: ReservationRecord) -> None:
        self._call_as(farm)
        self._subject = ReservedDevice(farm._subject, record)
        self._post(self._subject.listen)

    @property
    def serial(self) -> str:
        """The board's serial."""
        return self._subject.record.serial

    @staticmethod
    def packed(bitstream: Any) -> dict[str, Any]:
        """Return a bitstream (path or bytes) in the form that methods of kinds take.  Raises `InvalidBitstream`."""
        return payload_of(bitstream)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.serial}>"


class DevicesFace(Generic[D]):
    """Boards of one kind; leaving their block ends their reservations."""

    def __init__(self, boards: Any, devices: list[D]) -> None:
        self.boards = boards
        self._devices = devices

    def __iter__(self) -> Iterator[D]:
        return iter(self._devices)

    def __len__(self) -> int:
        return len(self._devices)


class AwaitedDevice(DeviceFace):
    """A reserved board in an API whose verbs are awaited."""

    @classmethod
    async def reserve(cls, farm: Any, amount: int | None = None, **arguments: Any) -> AwaitedDevices[Self]:
        """Reserve boards of this kind; ``farm`` is of the same API, and arguments are those of its `reserve`.

        Usage: ``async with await Console.reserve(farm, 1) as (console,):``.
        """
        boards = await farm.reserve(amount, kind=cls.kind, **arguments)
        return AwaitedDevices(boards, [cls(farm, record) for record in boards.reservations])


class AwaitedDevices(DevicesFace[D]):
    """Boards of one kind; leaving the ``async with`` block ends their reservations."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.boards.__aexit__(*details)
