"""Bitstreams that go to a board as differences: what its worker believes that it holds, and what it loads."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from random import Random
from typing import Any
from zlib import crc32

import pytest
from attrs import Factory, define, field
from core_board import CoreBoard, made_by_core
from hypothesis import given, settings
from hypothesis import strategies as st
from test_worker_board import PARAMETERS, Bench, swallow
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.bitstream import compress
from icefarm.bitstream.transfer import restored
from icefarm.errors import InvalidBitstream
from icefarm.kinds.circuit import Circuit
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.frames import EVALUATE_MAX, FrameType, encode
from icefarm.worker.protocol.health import Tally
from icefarm.worker.protocol.held import SMALLEST, SMALLEST_ALONE, CircuitDifference, Held
from icefarm.worker.protocol.messages import Encoding
from icefarm.worker.protocol.messages import Failure as Failed
from icefarm.worker.protocol.pipeline import EVALUATION_MARGIN, Refused, TakenBack

RANDOM = Random(3)


def circuit(plain: bytes) -> Circuit:
    packed = compress(plain)
    name = f"{crc32(plain):064x}"
    if len(packed) < len(plain):
        return Circuit(packed, True, len(plain), name)
    return Circuit(plain, False, len(plain), name)


def changed(plain: bytes, *places: int) -> bytes:
    data = bytearray(plain)
    for place in places:
        data[place] ^= 0x10
    return bytes(data)


BASE = RANDOM.randbytes(300)
PARENT = RANDOM.randbytes(SMALLEST + 5)
HALF = RANDOM.randbytes(SMALLEST + 100) + bytes(20_000)
#: A dense parent and its children, one that is related to none, one of another length, a pair that compresses, and a
#: small one.
PLAIN = [
    PARENT,
    changed(PARENT, 7),
    changed(PARENT, 7, 900, 16_388),
    RANDOM.randbytes(len(PARENT)),
    RANDOM.randbytes(len(PARENT) + 1),
    HALF,
    changed(HALF, 30_000),
    bytes(1000),
]
CIRCUITS = [circuit(plain) for plain in PLAIN]
DENSE, CHILD, GRANDCHILD, STRANGER, LONGER, PACKED, PACKED_CHILD, SMALL = CIRCUITS


def test_a_related_circuit_goes_as_what_differs() -> None:
    held = Held(2)
    held.sent(5, DENSE)
    found = held.difference_for(CHILD)
    assert found == CircuitDifference(5, bytes([7, 1, PLAIN[1][7]]), crc32(PLAIN[1]))
    assert restored(found.runs, PLAIN[0]) == PLAIN[1]


def test_a_circuit_that_the_board_holds_goes_as_no_difference_at_all() -> None:
    held = Held(2)
    held.sent(5, DENSE)
    held.sent(6, CHILD)
    assert held.difference_for(DENSE) == CircuitDifference(5, b"", crc32(PLAIN[0]))


def test_the_base_is_the_bitstream_that_is_most_alike() -> None:
    held = Held(3)
    for id_, each in enumerate((STRANGER, GRANDCHILD, LONGER), 5):
        held.sent(id_, each)
    found = held.difference_for(CHILD)
    assert found is not None
    assert found.base == 6


def test_circuits_that_compress_go_as_differences_of_what_they_decode_to() -> None:
    held = Held(2)
    held.sent(5, PACKED)
    found = held.difference_for(PACKED_CHILD)
    assert found is not None
    assert restored(found.runs, HALF) == PLAIN[6]


@pytest.mark.parametrize("other", [STRANGER, LONGER, PACKED, SMALL])
def test_a_circuit_that_is_not_related_goes_whole(other: Circuit) -> None:
    held = Held(2)
    held.sent(5, DENSE)
    assert held.difference_for(other) is None


def test_a_difference_of_more_than_half_of_the_circuit_is_not_worth_it() -> None:
    held = Held(2)
    held.sent(5, DENSE)
    # It is compared at the beginning of each 1024 bytes; these stay as they are.
    quarter, more = ([place for place in range(16_384) if place % 1024 >= first] for first in (768, 256))
    assert held.difference_for(circuit(changed(PARENT, *quarter))) is not None
    assert held.difference_for(circuit(changed(PARENT, *more))) is None


def test_a_small_circuit_goes_whole_even_if_the_board_holds_it() -> None:
    held = Held(2)
    held.sent(5, SMALL)
    assert held.difference_for(SMALL) is None


def test_a_circuit_of_middle_size_goes_as_a_difference_if_the_board_has_nothing_else_to_do() -> None:
    plain = RANDOM.randbytes(SMALLEST_ALONE) + bytes(30_000)
    held = Held(2)
    held.sent(5, circuit(plain))
    child = circuit(changed(plain, 3))
    assert held.difference_for(child) is None
    found = held.difference_for(child, alone=True)
    assert found is not None
    assert restored(found.runs, plain) == changed(plain, 3)


def test_of_a_board_that_takes_no_differences_nothing_is_known() -> None:
    held = Held(0)
    held.sent(5, DENSE)
    assert held.ids == []
    assert held.difference_for(CHILD) is None


def test_the_oldest_bitstream_that_is_not_in_use_gives_way() -> None:
    held = Held(2)
    held.sent(5, DENSE)
    held.sent(6, CHILD)
    held.answered(6)
    held.sent(7, STRANGER)
    assert held.ids == [5, 7]
    held.answered(5)
    held.sent(8, GRANDCHILD)
    assert held.ids == [7, 8]


def test_a_bitstream_that_may_be_cancelled_is_no_base_until_its_answer_says_that_it_was_not() -> None:
    held = Held(2)
    held.sent(5, DENSE)
    held.cancelling(5)
    assert held.difference_for(CHILD) is None
    held.answered(5)
    assert held.ids == [5]
    held.failed(5)
    assert held.ids == []


def test_a_worker_that_lost_count_knows_nothing() -> None:
    held = Held(1)
    held.sent(5, DENSE)
    held.sent(6, CHILD)  # though the only buffer is in use
    assert held.ids == [6]


# ------------------------------------------------------------------------------------ what the pipeline makes of them


@define(eq=False)
class Seen:
    """A board in memory that notes which bitstreams it carries out, and the pipeline to it."""

    patient: bool = False
    bench: Bench = field(init=False)
    bitstreams: list[bytes] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.bench = Bench(buffers=4, patient=self.patient, pulses=self._carried_out)
        self.bench.greet()

    def _carried_out(self, bitstream: bytes, _: int) -> int:
        self.bitstreams.append(bitstream)
        return 100

    def evaluate(self, circuit: Circuit, key: str | None = None) -> list[Any]:
        """Send a circuit; its outcome appears in the list."""
        outcome: list[Any] = []
        self.bench.board.pipeline.evaluate(circuit, PARAMETERS, 1.0, True, key).addBoth(outcome.append)
        self.bench.settle()
        return outcome

    def answer(self, place: int, code: Failed) -> None:
        """Have the board answer an evaluation that it has with a failure."""
        frame = self.bench.peer.evaluating.pop(place)
        self.bench.peer.say(encode(FrameType.FAILED, frame.id, struct.pack("<H", code)))
        self.bench.settle()

    @property
    def sent(self) -> int:
        """How many evaluations were sent, repeated ones too."""
        return self.bench.peer.asked.count(FrameType.EVALUATE)


def test_a_board_carries_out_what_a_difference_makes() -> None:
    seen = Seen()
    for each in (DENSE, CHILD, GRANDCHILD):
        (answer,) = seen.evaluate(each)
        assert answer.window_us == 1_000_000
    assert seen.bitstreams == PLAIN[:3]
    assert (seen.sent, seen.bench.retries) == (3, 0)


def test_a_circuit_goes_in_the_form_that_it_has_and_at_the_speed_that_its_board_takes() -> None:
    seen = Seen(patient=True)
    seen.bench.board.pipeline.slower = 3
    for each in (DENSE, CHILD, PACKED):
        seen.evaluate(each)
    heads = [(frame.payload[0], frame.payload[1]) for frame in seen.bench.peer.evaluating]
    # The board in memory keeps what it made of the difference.
    assert heads == [(Encoding.RAW, 3), (Encoding.RAW, 3), (Encoding.LZ4, 3)]


def test_a_circuit_whose_base_the_board_has_forgotten_goes_whole_and_has_its_whole_time() -> None:
    seen = Seen()
    seen.evaluate(DENSE)
    seen.bench.peer.held.clear()
    seen.bench.peer.patient = True
    outcome = seen.evaluate(CHILD)
    assert (seen.sent, seen.bench.retries, outcome) == (3, 0, [])
    seen.bench.clock.advance(1.0 + EVALUATION_MARGIN - 0.1)
    assert seen.bench.failed == []
    seen.bench.peer.finish()
    seen.bench.settle()
    assert seen.bitstreams[-1] == PLAIN[1]
    assert len(outcome) == 1


def test_a_difference_that_makes_something_else_counts_as_damaged_and_goes_whole() -> None:
    seen = Seen(patient=True)
    seen.evaluate(DENSE)
    outcome = seen.evaluate(CHILD)
    seen.answer(1, Failed.BAD_DIFFERENCE)
    assert (seen.sent, seen.bench.retries) == (3, 1)
    for _ in range(2):
        seen.bench.peer.finish()
    seen.bench.settle()
    assert seen.bitstreams == PLAIN[:2]
    assert not isinstance(outcome[0], Failure)


def test_a_board_that_names_a_difference_where_there_was_none_refuses_the_evaluation() -> None:
    seen = Seen(patient=True)
    outcome = seen.evaluate(DENSE)
    seen.answer(0, Failed.UNKNOWN_BASE)
    assert seen.sent == 1
    assert outcome[0].check(Refused)


def test_a_cancelled_circuit_that_the_board_could_not_make_is_not_sent_whole() -> None:
    seen = Seen(patient=True)
    seen.evaluate(DENSE)
    outcome = seen.evaluate(CHILD, "b")
    lost = seen.bench.peer.evaluating.pop()
    seen.bench.board.pipeline.take_back({"b"})
    seen.bench.peer.say(encode(FrameType.FAILED, lost.id, struct.pack("<H", Failed.UNKNOWN_BASE)))
    seen.bench.settle()
    assert outcome[0].check(TakenBack)
    assert seen.sent == 2


def test_a_circuit_whose_relative_was_refused_or_is_being_cancelled_goes_whole() -> None:
    refused = Seen()
    refused.bench.peer.faults.add("parameters")
    refused.evaluate(DENSE)
    refused.bench.peer.faults.clear()
    refused.evaluate(CHILD)
    assert refused.sent == 2
    cancelled = Seen(patient=True)
    cancelled.evaluate(SMALL)
    cancelled.evaluate(DENSE, "b")
    cancelled.bench.board.pipeline.take_back({"b"})
    cancelled.evaluate(CHILD)
    assert cancelled.sent == 3


# ------------------------------------------------------------------------------------------------ with the firmware


class Silent:
    """What a board's client calls; nothing is expected of it here."""

    def board_failed(self, client: BoardClient, why: str) -> None:
        """The board is given up."""

    def port_lost(self, client: BoardClient, why: str) -> None:
        """Its port broke."""

    def board_said(self, level: Any, text: str) -> None:
        """A line of its log."""

    def did_well(self) -> None:
        """For `Judge`."""

    def did_badly(self, why: str, again: bool) -> None:
        """For `Judge`."""


@define(eq=False)
class Line:
    """The firmware's core as a board, the worker's end, and what became of each evaluation."""

    buffers: int
    clock: Clock = Factory(Clock)
    board: CoreBoard = field(init=False)
    client: BoardClient = field(init=False)
    outcomes: dict[str, list[Any]] = Factory(dict)
    asked: dict[str, int] = Factory(dict)
    #: Nothing was damaged or lost, so the worker knows all that the board holds.
    exact: bool = True

    def __attrs_post_init__(self) -> None:
        self.board = CoreBoard(self.clock, self.buffers)
        self.open()

    def open(self) -> None:
        """Open its port, once more if it was open before."""
        self.client = BoardClient(self.clock, Silent(), Tally(Silent()))
        self.board.connect(self.client)
        swallow(Deferred.fromCoroutine(self.client.hello()))
        self.settle()

    def settle(self) -> None:
        for _ in range(20):
            self.clock.advance(0)

    def evaluate(self, which: int, parameters: bytes = PARAMETERS) -> str:
        key = f"e{len(self.outcomes)}"
        found = self.outcomes[key] = []
        self.asked[key] = which
        self.client.pipeline.evaluate(CIRCUITS[which], parameters, 1.0, True, key).addBoth(found.append)
        return key

    def step(self, what: str, which: int) -> None:
        match what:
            case "evaluate":
                self.evaluate(which)
            case "refuse":
                self.evaluate(-1, PARAMETERS[1:])
            case "end":
                self.board.end_one()
            case "fail":
                self.board.end_one(well=False)
            case "withdraw":
                self.client.pipeline.take_back({key for number, key in enumerate(self.outcomes) if number % 8 <= which})
            case "spoil request":
                self.board.spoil_request, self.exact = True, False
            case "spoil reply":
                self.board.spoil_reply, self.exact = True, False
            case "test":
                self.exact = False
                swallow(Deferred.fromCoroutine(self.client.test()))
            case "reopen":
                self.exact = False
                self.client.close("is opened again")
                self.open()

    def check(self) -> None:
        known, held = set(self.client.pipeline.held.ids), self.board.held()
        assert known <= held
        if self.exact:
            assert known == held
            assert self.client._tally.retries == 0
        for key, outcomes in self.outcomes.items():
            assert len(outcomes) <= 1
            for outcome in outcomes:
                if not isinstance(outcome, Failure):
                    assert struct.unpack_from("<I", outcome.content)[0] == crc32(PLAIN[self.asked[key]])


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line(4)
    yield line
    line.board.free()


def steps(*kinds: str) -> st.SearchStrategy[list[tuple[str, int]]]:
    one = st.tuples(st.sampled_from(["evaluate", "evaluate", "end", *kinds]), st.integers(0, len(CIRCUITS) - 1))
    return st.lists(one, max_size=40)


@pytest.mark.thorough
@settings(deadline=None, max_examples=80)
@given(st.integers(1, 4), steps("fail", "refuse", "withdraw"))
def test_a_worker_knows_what_its_board_holds(buffers: int, taken: list[tuple[str, int]]) -> None:
    _carried_out(buffers, taken)


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 4), steps("fail", "refuse", "withdraw", "spoil request", "spoil reply", "test", "reopen"))
def test_a_board_holds_what_its_worker_believes_whatever_is_damaged(buffers: int, taken: list[tuple[str, int]]) -> None:
    _carried_out(buffers, taken)


def _carried_out(buffers: int, taken: list[tuple[str, int]]) -> None:
    line = Line(buffers)
    try:
        for step in taken:
            line.step(*step)
            line.settle()
            line.check()
    finally:
        line.board.free()


#: Gaps and lengths that are near what is allowed, and bytes.
RUNS = st.lists(st.tuples(st.integers(0, 320), st.integers(0, 5), st.binary(max_size=4)), max_size=6)


@settings(deadline=None, max_examples=150)
@given(RUNS.map(lambda runs: b"".join(bytes([gap & 0x7F | 0x80, gap >> 7, n]) + data for gap, n, data in runs)))
def test_worker_and_firmware_agree_about_what_is_a_difference_and_what_it_makes(runs: bytes) -> None:
    try:
        expected = restored(runs, BASE)
    except InvalidBitstream:
        expected = None
    assert made_by_core(runs, BASE) == expected


def test_relatives_take_a_few_bytes_each(line: Line) -> None:
    line.evaluate(0)
    line.settle()
    before = line.board.written
    for which in (1, 2, 0):
        line.evaluate(which)
    line.settle()
    assert line.board.written - before < 300
    for _ in range(4):
        line.board.end_one()
        line.settle()
    line.check()
    assert [len(outcomes) for outcomes in line.outcomes.values()] == [1, 1, 1, 1]


def test_a_circuit_whose_base_has_just_failed_is_sent_whole(line: Line) -> None:
    line.evaluate(0)
    line.settle()
    line.board.end_one(well=False)  # its answer is on its way
    child = line.evaluate(1)
    other = line.evaluate(3)
    line.exact = False
    line.settle()
    line.check()
    for _ in range(2):
        line.board.end_one()
        line.settle()
    line.check()
    assert [type(line.outcomes[key][0]).__name__ for key in (child, other)] == ["Answer", "Answer"]
    assert line.client._tally.retries == 0


def test_what_the_firmware_refuses_at_once_does_not_repeat_what_it_measures(line: Line) -> None:
    first = line.evaluate(0)
    for _ in range(4):
        line.evaluate(-1, PARAMETERS[1:])
        line.settle()
    assert [len(outcomes) for outcomes in line.outcomes.values()] == [0, 1, 1, 1, 1]
    line.board.end_one()
    line.settle()
    line.check()
    assert line.outcomes[first][0].sequence == 1
    assert line.client._tally.retries == 0


def test_a_board_of_version_1_gets_whole_circuits() -> None:
    bench = Bench(protocol=1, pulses=lambda circuit, _: len(circuit))
    bench.greet()
    for which in (0, 1, 0):
        answer = bench.result(bench.board.pipeline.evaluate(CIRCUITS[which], PARAMETERS, 1.0, True))
        assert struct.unpack_from("<I", answer.content) == (len(PARENT),)
    assert bench.board.pipeline.held.ids == []


def test_a_board_that_holds_less_than_it_should_gets_whole_circuits() -> None:
    bench = Bench(pulses=lambda circuit, _: crc32(circuit))
    bench.greet()
    bench.peer.faults.add("forgets")
    for which in (0, 1, 2, 0):
        answer = bench.result(bench.board.pipeline.evaluate(CIRCUITS[which], PARAMETERS, 1.0, True))
        assert struct.unpack_from("<I", answer.content) == (crc32(PLAIN[which]),)
    assert bench.retries == 0


def test_a_board_whose_memory_is_bad_gets_the_whole_circuit_and_has_that_counted(monkeypatch: Any) -> None:
    bench = Bench(pulses=lambda circuit, _: crc32(circuit))
    bench.greet()
    bench.result(bench.board.pipeline.evaluate(DENSE, PARAMETERS, 1.0, True))
    monkeypatch.setattr("icefarm.worker.protocol.held.crc32", lambda _: 0)
    answer = bench.result(bench.board.pipeline.evaluate(CHILD, PARAMETERS, 1.0, True))
    assert struct.unpack_from("<I", answer.content) == (crc32(PLAIN[1]),)
    assert bench.retries == 1


def test_the_longest_difference_fits_into_a_request() -> None:
    assert EVALUATE_MAX > 104_090 // 2 + 8 + 256 + 8
