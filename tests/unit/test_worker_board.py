"""The worker's side of the board protocol, against a board in memory."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel

from icefarm.kinds.circuit import Circuit
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware
from icefarm.worker.protocol.board_client import ASK_LIMIT, BoardClient
from icefarm.worker.protocol.frames import FrameType, encode
from icefarm.worker.protocol.health import Outcome, Tally
from icefarm.worker.protocol.messages import Failure as Failed
from icefarm.worker.protocol.pipeline import (
    EVALUATION_MARGIN,
    RESENDS,
    STRIKES,
    BoardUnusable,
    ParametersRefused,
    Refused,
    TakenBack,
    Unsupported,
)

CIRCUIT = Circuit(b"packed", True, 104_090, "00" * 32)
#: Of pulse_count: a window of a second, once.
PARAMETERS = struct.pack("<IHH", 1_000_000, 1, 0)


class Bench:
    """A board, the protocol that speaks to it, and what that says."""

    def __init__(self, **board: Any) -> None:
        self.clock = Clock()
        self.events: list[Any] = []
        self.peer = MemoryBoard(self.clock, "0123456789ABCDEF", self.events.append, **board)
        self.peer.plug()
        self.failed: list[str] = []
        self.lost: list[str] = []
        self.said: list[tuple[LogLevel, str]] = []
        self.tally = Tally(self)
        self.open()

    def open(self) -> None:
        """Open its port, once more if it was open before."""
        self.board = BoardClient(self.clock, self, self.tally)
        MemoryHardware([self.peer]).open(self.peer.tty_path, self.board)

    def board_failed(self, client: BoardClient, why: str) -> None:
        assert client is self.board
        self.failed.append(why)

    def port_lost(self, client: BoardClient, why: str) -> None:
        assert client is self.board
        self.lost.append(why)

    def board_said(self, level: LogLevel, text: str) -> None:
        self.said.append((level, text))

    def did_well(self) -> None:
        """For `TallyListener`."""

    def did_badly(self, why: str, again: bool) -> None:
        """For `TallyListener`."""

    @property
    def retries(self) -> int:
        return self.tally.retries

    @property
    def timeouts(self) -> int:
        return self.tally.health.outcomes.count(Outcome.TIMEOUT)

    def result(self, waiting: Any) -> Any:
        """Let the board answer, and return what came of a call; raises what it failed with."""
        results: list[Any] = []
        deferred = waiting if isinstance(waiting, Deferred) else Deferred.fromCoroutine(waiting)
        deferred.addBoth(results.append)
        for _ in range(20):
            self.clock.advance(0)
        assert results, "nothing came of it"
        if hasattr(results[0], "raiseException"):
            results[0].raiseException()
        return results[0]

    def greet(self) -> None:
        self.result(self.board.hello())
        self.peer.asked.clear()

    def evaluate(self, *, overlap: bool = True, window: float = 1.0, key: str | None = None) -> Deferred[Any]:
        return self.board.pipeline.evaluate(CIRCUIT, PARAMETERS, window, overlap, key)

    def refuse(self, place: int, code: int, text: str = "") -> None:
        """Have the board refuse an evaluation that it has; 0: the one in progress."""
        refused = self.peer.evaluating.pop(place)
        self.peer.say(encode(FrameType.FAILED, refused.id, struct.pack("<H", code) + text.encode()))
        self.settle()

    def settle(self) -> None:
        for _ in range(20):
            self.clock.advance(0)


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.greet()
    return bench


@pytest.fixture
def patient() -> Bench:
    """A bench whose board answers evaluations when the test says so."""
    bench = Bench(patient=True)
    bench.greet()
    return bench


def swallow(*deferreds: Deferred[Any]) -> list[Any]:
    """Return the list in which failures of the Deferreds are gathered."""
    failures: list[Any] = []
    for deferred in deferreds:
        deferred.addErrback(failures.append)
    return failures


def test_hello_says_who_the_board_is() -> None:
    bench = Bench(runs="pulse_count 1.2", buffers=5)
    hello = bench.result(bench.board.hello())
    assert (hello.serial, hello.app, hello.version) == ("0123456789ABCDEF", "pulse_count", "1.2")


def test_an_evaluation_gives_what_the_board_measured(bench: Bench) -> None:
    answer = bench.result(bench.evaluate())
    assert struct.unpack_from("<I", answer.content) == (100,)
    assert (answer.sequence, answer.window_us, answer.load_us, answer.temperature_c) == (1, 1_000_000, 34_600, 25.0)


def test_a_board_gets_as_many_evaluations_as_it_has_buffers(patient: Bench) -> None:
    swallow(*(patient.evaluate() for _ in range(4)))
    assert patient.peer.asked == [FrameType.EVALUATE] * 2
    patient.peer.finish()
    patient.settle()
    assert len(patient.peer.asked) == 3


def test_evaluations_without_overlap_are_sent_one_at_a_time(patient: Bench) -> None:
    swallow(patient.evaluate(overlap=False), patient.evaluate(overlap=False), patient.evaluate())
    assert len(patient.peer.asked) == 1
    patient.peer.finish()
    patient.settle()
    assert len(patient.peer.asked) == 2


def test_nothing_is_sent_while_an_evaluation_without_overlap_runs(patient: Bench) -> None:
    swallow(patient.evaluate(), patient.evaluate(overlap=False), patient.evaluate())
    assert len(patient.peer.asked) == 1


def test_a_test_passes_on_a_good_board(bench: Bench) -> None:
    assert bench.result(bench.board.test()).temperature == 25.0


def test_a_test_fails_on_a_board_that_finds_itself_faulty(bench: Bench) -> None:
    bench.peer.faults.add("faulty")
    with pytest.raises(BoardUnusable, match="found itself faulty"):
        bench.result(bench.board.test())


def test_a_request_without_an_answer_is_sent_again() -> None:
    bench = Bench()
    bench.peer.faults.add("silent")
    hello = Deferred.fromCoroutine(bench.board.hello())
    bench.peer.faults.clear()
    bench.clock.advance(ASK_LIMIT)
    assert bench.result(hello).app == "default"


def test_a_board_that_never_answers_hello_is_given_up() -> None:
    bench = Bench(faults={"silent"})
    hello = Deferred.fromCoroutine(bench.board.hello())
    failures = swallow(hello)
    bench.clock.pump([ASK_LIMIT] * 3)
    assert failures[0].check(BoardUnusable)


def test_a_silent_board_fails_its_evaluations_after_window_and_margin(patient: Bench) -> None:
    failures = swallow(patient.evaluate(window=2.0), patient.evaluate(window=2.0))
    patient.clock.advance(2.0 + EVALUATION_MARGIN - 0.01)
    assert failures == []
    patient.clock.advance(0.02)
    assert patient.failed == ["does not answer"]
    assert [failure.check(BoardUnusable) for failure in failures] == [BoardUnusable] * 2


def test_each_evaluation_has_a_time_limit_of_its_own(patient: Bench) -> None:
    swallow(patient.evaluate(), patient.evaluate())
    patient.clock.advance(4.0)
    patient.peer.finish()
    patient.settle()
    patient.clock.advance(4.0)
    assert patient.failed == []
    patient.clock.advance(1.1)
    assert patient.failed == ["does not answer"]
    assert (patient.timeouts, patient.retries) == (1, 0)


def test_a_damaged_answer_has_the_evaluation_sent_again(bench: Bench) -> None:
    bench.peer.garble = 2
    assert bench.result(bench.evaluate()).sequence == 3
    assert bench.retries == 2


def test_an_answer_garbled_beyond_recognition_has_the_evaluation_sent_again(patient: Bench) -> None:
    answer = patient.evaluate()
    patient.peer.say(b"\x00garbage")
    patient.settle()
    patient.peer.evaluating.pop(0)
    patient.peer.finish()
    assert patient.result(answer).sequence == 1
    assert patient.retries == 1


def test_an_answer_that_was_lost_is_noticed_by_the_one_after_it(patient: Bench) -> None:
    first, second = patient.evaluate(), patient.evaluate()
    patient.peer.evaluating.pop(0)
    patient.peer.finish()
    assert patient.result(second).sequence == 1
    patient.peer.finish()
    assert patient.result(first).sequence == 2


@pytest.mark.parametrize(
    "refusal", [(FrameType.FAILED, code, 0) for code in (1, 2, 3, 4, 5, 8, 99)] + [(FrameType.NAK, 2, 3)]
)
def test_an_evaluation_that_is_refused_as_it_arrives_leaves_those_before_it_alone(
    patient: Bench, refusal: tuple[FrameType, int, int]
) -> None:
    first, second = patient.evaluate(), patient.evaluate()
    type_, *payload = refusal
    patient.peer.say(encode(type_, patient.peer.evaluating.pop().id, bytes(payload)))
    with pytest.raises(Refused):
        patient.result(second)
    patient.peer.finish()
    assert patient.result(first).sequence == 1
    assert patient.peer.asked == [FrameType.EVALUATE] * 2
    assert patient.retries == 0


def test_many_refused_evaluations_are_no_fault_of_the_board(patient: Bench) -> None:
    first = patient.evaluate()
    for _ in range(RESENDS + 1):
        refused = patient.evaluate()
        patient.peer.say(encode(FrameType.FAILED, patient.peer.evaluating.pop().id, struct.pack("<H", 4)))
        with pytest.raises(Refused, match="bad_parameters"):
            patient.result(refused)
    patient.peer.finish()
    assert patient.result(first).sequence == 1
    assert patient.failed == []


def test_an_answer_to_an_evaluation_of_before_the_port_was_opened_is_nobodys(patient: Bench) -> None:
    failures = swallow(patient.evaluate())
    left = patient.peer.evaluating[:]
    patient.board.close("the worker starts again")
    patient.settle()
    assert len(failures) == 1
    patient.open()
    patient.greet()
    # The board has noticed nothing of it.
    answer = patient.evaluate()
    patient.peer.evaluating[:0] = left
    patient.peer.finish()
    patient.settle()
    assert not answer.called
    patient.peer.finish()
    assert patient.result(answer).sequence == 2


def test_a_board_that_only_garbles_is_given_up(bench: Bench) -> None:
    bench.peer.faults.add("garbled")
    failures = swallow(bench.evaluate())
    bench.settle()
    assert bench.failed == ["keeps garbling what is sent"]
    assert len(failures) == 1
    assert bench.peer.asked == [FrameType.EVALUATE] * (1 + RESENDS)


def test_a_failed_load_is_tried_once_more_and_then_refused(bench: Bench) -> None:
    bench.peer.faults.add("cdone")
    with pytest.raises(Refused, match="cdone"):
        bench.result(bench.evaluate())
    assert bench.peer.asked == [FrameType.EVALUATE] * 2
    assert bench.failed == []


def test_a_board_that_fails_one_evaluation_after_the_other_is_to_blame(bench: Bench) -> None:
    bench.peer.faults.add("stuck")
    failures = swallow(*(bench.evaluate() for _ in range(STRIKES)))
    bench.settle()
    assert len(bench.failed) == 1
    assert len(failures) == STRIKES


# ------------------------------------------------------------------------------------------ what comes of an evaluation


def test_an_answer_says_when_the_evaluation_was_sent_and_answered_and_where_it_ran(patient: Bench) -> None:
    patient.clock.advance(10.0)
    answer = patient.evaluate()
    patient.clock.advance(1.5)
    patient.peer.finish()
    found = patient.result(answer)
    assert (found.started_at, found.ended_at) == (10.0, 11.5)
    assert (found.usb_bytes_in_window, found.origin) == (0, "measured")


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (Failed.BAD_PARAMETERS, ParametersRefused),
        (Failed.NOT_SUPPORTED, Unsupported),
        (Failed.NOT_MEASURED, Refused),
    ],
)
def test_a_refusal_has_the_type_of_its_reason_and_the_words_of_the_board(
    patient: Bench, code: Failed, error: type[Refused]
) -> None:
    answer = patient.evaluate()
    patient.refuse(0, code, "not that")
    with pytest.raises(Refused, match=rf"^the board refused the evaluation \({code.name.lower()}: not that\)$") as one:
        patient.result(answer)
    assert type(one.value) is error


def test_a_second_failure_of_the_fpga_says_what_happened(bench: Bench) -> None:
    bench.peer.faults.add("cdone")
    with pytest.raises(Refused, match=r"^the board could not carry out the evaluation \(cdone\)$"):
        bench.result(bench.evaluate())
    assert bench.retries == 1


def test_an_evaluation_that_the_board_did_not_take_names_the_code(patient: Bench) -> None:
    answer = patient.evaluate()
    patient.peer.say(encode(FrameType.NAK, patient.peer.evaluating.pop().id, bytes([2, 3])))
    with pytest.raises(Refused, match=r"^the board did not take the evaluation \(NAK 2\)$"):
        patient.result(answer)


def test_the_next_evaluation_is_sent_whatever_became_of_the_one_before(patient: Bench) -> None:
    def board_ends_one(how: str) -> None:
        match how:
            case "result":
                patient.peer.finish()
            case "refused":
                patient.refuse(0, Failed.BAD_PARAMETERS)
            case "nak":
                patient.peer.say(encode(FrameType.NAK, patient.peer.evaluating.pop(0).id, bytes([2, 3])))
            case "cdone":
                patient.refuse(0, Failed.CDONE)
                patient.refuse(-1, Failed.CDONE)
        patient.settle()

    for how in ("result", "refused", "nak", "cdone"):
        first, second = patient.evaluate(overlap=False), patient.evaluate(overlap=False)
        swallow(first)
        patient.settle()
        board_ends_one(how)
        assert first.called, how
        patient.peer.finish()
        assert patient.result(second).window_us == 1_000_000
    assert patient.failed == []


def test_failures_of_the_fpga_in_a_row_are_the_boards_and_a_result_begins_a_new_row(patient: Bench) -> None:
    for _ in range(2):
        for _ in range((STRIKES - 1) // 2):
            swallow(patient.evaluate())
            for _ in range(2):
                patient.refuse(0, Failed.WATCHDOG)
        lone = patient.evaluate()
        patient.refuse(0, Failed.WATCHDOG)
        patient.peer.finish()
        patient.result(lone)
    assert patient.failed == []


@pytest.mark.parametrize("code", [Failed.CDONE, Failed.WATCHDOG])
def test_a_board_that_is_given_up_says_what_it_fails_with_and_whether_its_fpga_takes_nothing(
    patient: Bench, code: Failed
) -> None:
    failures = swallow(*(patient.evaluate() for _ in range(STRIKES)))
    while not patient.failed:
        patient.refuse(0, code)
    assert patient.failed == [f"fails one evaluation after the other ({code.name.lower()})"]
    assert patient.board.pipeline.load_failed is (code == Failed.CDONE)
    assert [failure.type for failure in failures].count(BoardUnusable) == len(failures) - 1


def test_a_board_that_was_given_up_gets_nothing_and_says_why(patient: Bench) -> None:
    patient.board.close("was restarted")
    patient.peer.asked.clear()
    with pytest.raises(BoardUnusable, match=r"^was restarted$"):
        patient.result(patient.evaluate())
    assert patient.peer.asked == []


# ---------------------------------------------------------------------------------------------------------- time limits


def test_the_time_limit_goes_over_to_the_next_evaluation_when_the_first_one_is_refused(patient: Bench) -> None:
    swallow(patient.evaluate(window=1.0), patient.evaluate(window=3.0))
    patient.clock.advance(2.0)
    patient.refuse(0, Failed.BAD_PARAMETERS)
    patient.clock.advance(3.0 + EVALUATION_MARGIN - 0.1)
    assert patient.failed == []
    patient.clock.advance(0.2)
    assert patient.failed == ["does not answer"]


def test_a_refusal_of_a_later_evaluation_does_not_prolong_the_first_one(patient: Bench) -> None:
    swallow(patient.evaluate(window=1.0), patient.evaluate(window=1.0))
    patient.clock.advance(2.0)
    patient.refuse(1, Failed.BAD_PARAMETERS)
    patient.clock.advance(1.0 + EVALUATION_MARGIN - 2.0 + 0.1)
    assert patient.failed == ["does not answer"]


def test_a_short_evaluation_after_a_long_one_is_noticed_at_its_own_limit(patient: Bench) -> None:
    swallow(patient.evaluate(window=60.0))
    patient.peer.finish()
    patient.settle()
    swallow(patient.evaluate(window=1.0))
    patient.clock.advance(1.0 + EVALUATION_MARGIN + 0.1)
    assert patient.failed == ["does not answer"]


def test_an_evaluation_that_is_sent_again_has_its_whole_time(patient: Bench) -> None:
    swallow(patient.evaluate())
    patient.clock.advance(3.0)
    patient.peer.evaluating.clear()
    patient.peer.say(b"\x00garbage")
    patient.settle()
    patient.clock.advance(1.0 + EVALUATION_MARGIN - 0.1)
    assert patient.failed == []
    patient.clock.advance(0.2)
    assert patient.failed == ["does not answer"]


def test_a_board_with_nothing_to_do_has_no_limit(patient: Bench) -> None:
    answer = patient.evaluate()
    patient.peer.finish()
    patient.result(answer)
    patient.clock.advance(100.0)
    assert (patient.failed, patient.timeouts) == ([], 0)
    patient.peer.say(b"\x00garbage")
    patient.settle()
    assert (patient.failed, patient.retries) == ([], 0)


# -------------------------------------------------------------------------------------- evaluations that are taken back


def test_what_is_taken_back_is_cancelled_once_and_what_nobody_named_goes_on(patient: Bench) -> None:
    running, buffered, waiting, other = (patient.evaluate(key=key) for key in ("a", "b", "c", "d"))
    failures = swallow(buffered, waiting)
    for _ in range(2):
        patient.board.pipeline.take_back({"a", "b", "c"})
    # At once: it was not sent.
    assert [failure.type for failure in failures] == [TakenBack]
    patient.settle()
    assert [failure.type for failure in failures] == [TakenBack] * 2
    assert patient.peer.asked.count(FrameType.CANCEL) == 1
    for one in (running, other):
        patient.peer.finish()
        patient.result(one)
    assert (patient.retries, patient.failed) == (0, [])


def test_a_cancelled_evaluation_that_was_on_its_way_already_ends_as_if_nobody_had_asked(patient: Bench) -> None:
    first, second = patient.evaluate(key="a"), patient.evaluate(key="b")
    for _ in range(2):
        patient.peer.finish()
    patient.board.pipeline.take_back({"b"})
    assert [patient.result(each).sequence for each in (first, second)] == [1, 2]


def test_a_cancelled_evaluation_whose_answer_was_damaged_is_not_sent_again(patient: Bench) -> None:
    failures = swallow(patient.evaluate(key="a"), patient.evaluate(key="b"))
    patient.peer.garble = 1
    patient.board.pipeline.take_back({"b"})
    patient.settle()
    patient.peer.finish()
    patient.settle()
    assert [failure.type for failure in failures] == [TakenBack]
    assert patient.peer.asked.count(FrameType.EVALUATE) <= 3


def test_a_cancelled_evaluation_that_fails_in_the_fpga_is_not_tried_once_more(patient: Bench) -> None:
    failures = swallow(patient.evaluate(key="a"), patient.evaluate(key="b"))
    begun = patient.peer.evaluating[1]
    patient.peer.finish()
    patient.board.pipeline.take_back({"b"})
    patient.peer.evaluating = []
    patient.peer.say(encode(FrameType.FAILED, begun.id, struct.pack("<H", Failed.WATCHDOG)))
    patient.settle()
    assert [failure.type for failure in failures] == [TakenBack]
    assert patient.peer.asked.count(FrameType.EVALUATE) == 2


def test_an_application_message_gets_its_reply(bench: Bench) -> None:
    assert bench.result(bench.board.message(0x41, b"hey")) == b"hey"


def test_what_the_application_sends_of_its_own_accord_reaches_the_listener(bench: Bench) -> None:
    heard: list[tuple[int, bytes]] = []
    bench.result(bench.board.message(0x41, b"nobody listens"))
    bench.board.listener = lambda type_, payload: heard.append((type_, payload))
    bench.result(bench.board.message(0x41, b"hey"))
    bench.settle()
    assert heard == [(0xC1, b"yeh")]


def test_an_application_message_that_is_damaged_on_its_way_back_is_sent_again(bench: Bench) -> None:
    bench.peer.garble = 1
    assert bench.result(bench.board.message(0x41, b"hey")) == b"hey"


def test_a_lost_connection_fails_what_waits(patient: Bench) -> None:
    failures = swallow(patient.evaluate())
    patient.peer.unplug()
    assert len(patient.lost) == 1
    assert failures[0].check(BoardUnusable)


def test_closing_tells_nobody_but_those_who_wait(patient: Bench) -> None:
    failures = swallow(patient.evaluate())
    patient.board.close("was restarted")
    assert (patient.failed, patient.lost) == ([], [])
    assert failures[0].check(BoardUnusable)
    assert patient.clock.getDelayedCalls() == []


def test_a_caller_that_gives_up_leaves_the_evaluation_alone(patient: Bench) -> None:
    answer = patient.evaluate()
    failures = swallow(answer)
    answer.cancel()
    patient.peer.finish()
    patient.settle()
    assert len(failures) == 1
    assert patient.failed == []
    later = patient.evaluate()
    patient.peer.finish()
    assert patient.result(later).sequence == 2


def test_a_reply_that_makes_no_sense_fails_the_board(bench: Bench) -> None:
    bench.peer.say(encode(FrameType.RESULT, 1, b"short"))
    bench.settle()
    assert len(bench.failed) == 1


def test_lines_of_the_boards_own_log_are_handed_on_with_their_level(bench: Bench) -> None:
    for level, text in [(30, "no CDONE"), (40, "\u00b5"), (77, "a level of a later version")]:
        bench.peer.say(encode(FrameType.LOG, 0, bytes([level]) + text.encode()))
    bench.settle()
    assert bench.said == [
        (LogLevel.warn, "no CDONE"),
        (LogLevel.error, "\u00b5"),
        (LogLevel.info, "a level of a later version"),
    ]
