"""The device kind variance: what it asks of the firmware, and what it makes of the answer."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from icefarm.bitstream import from_file
from icefarm.contract import Assignment
from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import Answer, Circuit, Kinds
from icefarm.kinds.circuit import Admission
from icefarm.kinds.variance import Variance
from icefarm.worker.board.states import Firmware
from icefarm.worker.protocol.health import Tally
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.measuring import ReservationContext

BITSTREAM = from_file("examples/circuits/square_2khz.bin").data
KIND = Kinds.of(Variance).get("variance")


class Board:
    """A board that gives one answer; its port, and its requests."""

    serial = "A"
    listener: object = None

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[bytes, float, bool]] = []
        self.tally = Tally(self)
        self.pipeline = self

    def evaluate(
        self, _: Circuit, parameters: bytes, window: float, overlap: bool, key: str | None = None
    ) -> Deferred[Answer]:
        assert key is not None
        self.asked.append((parameters, window, overlap))
        return succeed(Answer(self.content, 1, 34_600, 50_000, 0, 25.0, 1.0, 2.0))

    def hopeless(self) -> str | None:
        return None

    def emit(self, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """For `BoardHolder`."""

    def did_well(self) -> None:
        """For `TallyListener`."""

    def did_badly(self, why: str, again: bool) -> None:
        """For `TallyListener`."""


async def evaluate(board: Board, reserved: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    context = ReservationContext("w1", Clock(), Admission(), board)
    assignment = Assignment("r", "alice", "variance", reserved)
    reservation = BoardReservation.of(assignment, KIND, Firmware("variance", "1"), context)
    reservation.attach(board)  # type: ignore[arg-type]
    measured: dict[str, Any] = await reservation.call(
        "evaluate", (), {"evaluation_id": "e", "bitstream": BITSTREAM, **arguments}
    )
    return measured


@ensureDeferred
async def test_the_value_is_the_sum_of_differences_divided_by_the_number_of_samples() -> None:
    board = Board(struct.pack("<IHH", 1250, 500, 0))
    measured = await evaluate(board, {})
    assert measured["value"] == 2.5
    assert board.asked == [(struct.pack("<IIHHHH", 100_000, 10_000, 500, 0, 1, 48), pytest.approx(0.15), True)]


@ensureDeferred
async def test_the_waveform_comes_with_the_value_when_the_reservation_asks_for_it() -> None:
    board = Board(struct.pack("<IHH4H", 16, 4, 4, 0, 4, 8, 0))
    measured = await evaluate(board, {"samples": 4, "waveform": True})
    assert measured["value"] == [4.0, [0, 4, 8, 0]]
    assert board.asked[0][0].endswith(b"\x01\x00\x01\x00\x30\x00")


@ensureDeferred
async def test_the_board_gives_the_clock_that_the_reservation_asks_for() -> None:
    board = Board(struct.pack("<IHH", 1250, 500, 0))
    for clock, parameter in ((6, 6), (48, 48), ("off", 0xFFFF)):
        await evaluate(board, {"clock_mhz": clock})
        assert struct.unpack_from("<H", board.asked[-1][0], 14) == (parameter,)


@ensureDeferred
async def test_an_evaluation_may_differ_from_its_reservation() -> None:
    board = Board(struct.pack("<IHH", 16, 4, 0))
    measured = await evaluate(board, {"samples": 4, "waveform": True}, options={"waveform": False})
    assert (measured["value"], measured["options"]["waveform"]) == (4.0, False)


@ensureDeferred
async def test_repeats_are_as_many_values_of_one_evaluation() -> None:
    board = Board(struct.pack("<IHHIHHIHH", 1250, 500, 0, 1000, 500, 0, 0, 500, 0))
    measured = await evaluate(board, {}, options={"repeats": 3})
    assert (measured["value"], measured["options"]["repeats"]) == ([2.5, 2.0, 0.0], 3)
    assert board.asked == [(struct.pack("<IIHHHH", 100_000, 10_000, 500, 0, 3, 48), pytest.approx(0.25), True)]


@ensureDeferred
async def test_each_repeat_has_its_waveform() -> None:
    board = Board(struct.pack("<IHH2HIHH2H", 4, 2, 2, 0, 4, 2, 2, 2, 7, 5))
    measured = await evaluate(board, {"samples": 2, "waveform": True}, options={"repeats": 2})
    assert measured["value"] == [[2.0, [0, 4]], [1.0, [7, 5]]]


@pytest.mark.parametrize(
    ("reserved", "repeats", "words"),
    [
        ({"samples": 2000}, 7, "holds 6 repeats of 2000 samples, not 7"),
        ({"samples": 500, "waveform": True}, 5, "holds 4 repeats of 500 samples with their waveform, not 5"),
        ({"samples": 1000, "rate_hz": 100}, 61, "61 times 10 s is more than 600 s"),
        ({"samples": 2}, 257, "repeats"),
    ],
)
@ensureDeferred
async def test_more_repeats_than_a_board_holds_are_refused(reserved: dict[str, Any], repeats: int, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        await evaluate(Board(b""), reserved, options={"repeats": repeats})
    assert words in str(caught.value)


@ensureDeferred
async def test_an_answer_that_is_not_what_was_asked_fails_the_board() -> None:
    for content in (b"", struct.pack("<IHH", 16, 5, 0), struct.pack("<IHH", 16, 4, 4)):
        with pytest.raises(DeviceFailed):
            await evaluate(Board(content), {"samples": 4})


@pytest.mark.parametrize(
    "options",
    [{"samples": 1}, {"samples": 2001}, {"rate_hz": 99}, {"rate_hz": 1e4}, {"delay": -0.1}, {"waveform": 1}, {"n": 1}],
)
def test_options_that_the_firmware_does_not_take_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        KIND.check_options(options)
