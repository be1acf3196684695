"""What a device kind sees of its board and of its client, and what passes between the two in an evaluation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol, TypeVar

from attrs import frozen
from twisted.logger import Logger

from icefarm.clock import Clock
from icefarm.kinds.circuit import Circuit, Packed

__all__ = ["Answer", "DeviceHandle", "Evaluator", "Parameters"]

T = TypeVar("T")


@frozen
class Parameters:
    """What the board is asked in one evaluation, beside the circuit."""

    #: For the firmware's application.
    content: bytes
    #: Seconds that the board measures in all.
    window: float
    #: Whether the board may receive the next bitstream meanwhile.
    overlap: bool = True


@frozen
class Answer:
    """What a board answered to one evaluation."""

    #: The application's own part of the result.
    content: bytes
    sequence: int
    #: Microseconds: loading the configuration; the windows in all, as the board measured them.
    load_us: int
    window_us: int
    usb_bytes_in_window: int
    #: Degrees Celsius.
    temperature_c: float | None
    #: Seconds since the epoch: when it was sent to the board, and when the result was there.
    started_at: float
    ended_at: float


class DeviceHandle(Protocol):
    """The board of one reservation.  It stays the same while the board is restarted or plugged in again."""

    @property
    def serial(self) -> str:
        """The board's serial."""

    @property
    def client(self) -> str:
        """The name of the client whose reservation it is."""

    @property
    def log(self) -> Logger:
        """The reservation's logger."""

    @property
    def clock(self) -> Clock:
        """Time for the kind's own timers."""

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        """Check a client's bitstream.  Raises `InvalidBitstream`."""

    def once(self, evaluation_id: str, content: Hashable, evaluate: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Evaluate once under an id: an id that is known joins the running evaluation, or gets the kept result.

        ``content`` stands for what is evaluated; the same id with another content is refused.  A caller that goes
        away does not end the evaluation.  Raises `InvalidArgument`, `Busy`, and what ``evaluate`` raises.
        """

    async def measure(self, circuit: Circuit, parameters: bytes, *, window: float, overlap: bool) -> Answer:
        """Have the board load a circuit and measure.

        ``parameters`` are for the firmware's application; ``window`` is how long it measures in all, in seconds;
        with ``overlap`` the board may receive another bitstream meanwhile.  When the board fails, it is recovered
        and the circuit measured again, a few times.  Raises `DeviceFailed`, `ReservationEnded`.
        """

    async def ask(self, type_: int, payload: bytes) -> bytes:
        """Send the firmware's application a message of its own, and return its reply.

        Its type is 0x40 to 0x7F, and it has at most 1,024 bytes.  A message whose answer does not come in time is sent
        again: the application must not mind.  Raises `DeviceFailed`, `ReservationEnded`.
        """

    def measurement(
        self,
        answer: Answer,
        circuit: Circuit,
        value: object,
        *,
        evaluation_id: str,
        attempt: int,
        **options: object,
    ) -> dict[str, Any]:
        """Return a `icefarm.contract.Measurement` for the wire: a value, and where it came from.

        ``options`` are named in it beside those of the reservation.
        """

    def emit(self, event: str, **fields: object) -> None:
        """Send the client an event of the kind's own."""


class Evaluator(Protocol):
    """Evaluates for a kind that declares `parameters` and `decode`: what its clients call."""

    def evaluate(
        self, evaluation_id: str, bitstream: Packed | bytes, options: Any = None, attempt: int = 1
    ) -> Awaitable[dict[str, Any]]:
        """Evaluate a bitstream once under an id; the answer is a `icefarm.contract.Measurement`.

        An id that is known joins the running evaluation, or gets the kept result.  Raises `InvalidArgument`, `Busy`,
        `InvalidBitstream`, `UnknownBitstream`, `DeviceFailed`, `ReservationEnded`.
        """
