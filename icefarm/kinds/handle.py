"""A device kind's view of its board and its client, and the data of an evaluation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from attrs import frozen

from icefarm.concurrency.clock import Clock
from icefarm.kinds.circuit import Circuit, Packed

if TYPE_CHECKING:
    # Clients know kinds without Twisted.
    from twisted.logger import Logger

__all__ = ["Answer", "DeviceHandle", "Evaluator", "Parameters"]

T = TypeVar("T")


@frozen
class Parameters:
    """The parameters of one evaluation, beside the circuit."""

    #: For the firmware's application.
    content: bytes
    #: Seconds that the board measures in total.
    window: float
    #: Whether the board may receive the next bitstream meanwhile.
    overlap: bool = True


@frozen
class Answer:
    """A board's answer to one evaluation."""

    #: The application's own part of the result.
    content: bytes
    sequence: int
    #: Microseconds: loading the configuration; the windows in total, as the board measured them.
    load_us: int
    window_us: int
    usb_bytes_in_window: int
    #: Degrees Celsius.
    temperature_c: float | None
    #: Seconds since the epoch: when it was sent to the board, and when the result arrived.
    started_at: float
    ended_at: float
    #: How it came to be; see `icefarm.contract.Measurement`.
    origin: str = "measured"


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
        """The clock for the kind's own timers."""

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        """Check a client's bitstream.  Raises `InvalidBitstream`."""

    def once(self, evaluation_id: str, content: Hashable, evaluate: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """Evaluate once under an id: a known id joins the running evaluation, or gets the kept result.

        ``content`` identifies what is evaluated; the same id with another content is refused.  A caller that
        disconnects does not end the evaluation.  Raises `InvalidArgument`, `Busy`, and what ``evaluate`` raises.
        """

    async def measure(self, circuit: Circuit, parameters: bytes, *, window: float, overlap: bool) -> Answer:
        """Load a circuit into the board's FPGA and measure.

        ``parameters`` are for the firmware's application; ``window`` is how long it measures in total, in seconds;
        with ``overlap`` the board may receive another bitstream meanwhile.  If the board fails, the worker recovers it
        and measures the circuit again, a few times.  Raises `DeviceFailed`, `ReservationEnded`.
        """

    async def ask(self, type_: int, payload: bytes) -> bytes:
        """Send an application message to the firmware, and return its reply.

        Its type is 0x40 to 0x7F, and it has at most 1,024 bytes.  A message without a timely answer is resent: the
        application must handle that.  Raises `DeviceFailed`, `ReservationEnded`.
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
        """Return an `icefarm.contract.Measurement` for the wire: a value and its provenance.

        It includes ``options`` beside those of the reservation.
        """

    def emit(self, event: str, **fields: object) -> None:
        """Send the client an event of this kind."""


class Evaluator(Protocol):
    """Evaluates for a kind that declares `parameters` and `decode`: clients call this."""

    def evaluate(
        self, evaluation_id: str, bitstream: Packed | bytes, options: Any = None, attempt: int = 1
    ) -> Awaitable[dict[str, Any]]:
        """Evaluate a bitstream once under an id; the answer is a `icefarm.contract.Measurement`.

        A known id joins the running evaluation, or gets the kept result.  Raises `InvalidArgument`, `Busy`,
        `InvalidBitstream`, `UnknownBitstream`, `DeviceFailed`, `ReservationEnded`, `Withdrawn`.
        """
