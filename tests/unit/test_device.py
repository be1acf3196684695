"""A device of the worker, over boards in memory and the test's own clock."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from typing import Any

import pytest
from attrs import Factory, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.bitstream import from_file
from icefarm.contract import Assignment, BoardHealth, DeviceStatus
from icefarm.errors import DeviceFailed, InvalidArgument, ReservationEnded, UnknownKind
from icefarm.kinds import Kinds, Parameters, register, reservable
from icefarm.kinds.circuit import Admission
from icefarm.kinds.pulsecount import PulseCount
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware, memory_images
from icefarm.worker.board.context import Observer, WorkerContext
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.board.states import DRIVE_LIMIT, REPLUG_LIMIT, RESTART_LIMIT, RETEST_FIRST, Firmware
from icefarm.worker.protocol.frames import FrameType, encode
from icefarm.worker.protocol.health import RUN, WINDOW, Outcome
from icefarm.worker.protocol.pipeline import EVALUATION_MARGIN
from icefarm.worker.reservation.measuring import RERUNS

SERIAL = "0123456789ABCDEF"
IMAGES = memory_images("default", "pulse_count", "hooked")
BITSTREAM = from_file("examples/circuits/square_2khz.bin").data
ASSIGNMENT = Assignment("r1", "alice", "pulsecount", {"window": 1.0})


@reservable("hooked", firmware="hooked")
class Hooked:
    """Records its hooks."""

    @frozen
    class Options:
        pass

    def __init__(self, device: Any, _: Any) -> None:
        self.device = device
        self.happened: list[str] = []

    async def started(self) -> None:
        self.happened.append("started")

    def board_lost(self) -> None:
        self.happened.append("board_lost")

    def stopped(self) -> None:
        self.happened.append("stopped")
        raise RuntimeError("a fault of the kind")

    @register("shout")
    async def shout(self, word: str) -> list[str]:
        self.device.emit("shouted", word=word)
        return self.happened


@pytest.mark.parametrize(
    ("version", "since", "older"),
    [
        ("1.0", "1.1", True),
        ("1.9.3", "1.10", True),
        ("1.1.0", "1.1", False),
        ("2", "1.1", False),
        ("1.0", "", False),
        ("new", "1.1", False),
    ],
)
def test_a_firmware_is_older_than_its_kind_needs_by_its_numbers(version: str, since: str, older: bool) -> None:
    assert Firmware("pulse_count", version).is_older_than(since) is older


@reservable("pins", firmware="hooked")
class Pins:
    """Counts on several pins, as a kind may that declares what it measures."""

    @frozen
    class Options:
        window: float = 0.5

    @frozen
    class EvaluationOptions:
        pins: list[int] = Factory(lambda: [1, 2])
        window: float | None = None

    def __init__(self, _: Any, options: Options) -> None:
        self.options = options

    def parameters(self, options: EvaluationOptions) -> Parameters:
        if 0 in options.pins:
            raise InvalidArgument("there is no pin 0")
        window = options.window or self.options.window
        return Parameters(struct.pack("<IHH", round(window * 1e6), len(options.pins), 0), window, overlap=False)

    def decode(self, content: bytes, options: EvaluationOptions) -> dict[str, list[int]]:
        counts = [count for count, _ in struct.iter_unpack("<II", content)]
        return {str(pin): [count] for pin, count in zip(options.pins, counts, strict=True)}


class Shelf(Observer):
    """A device, its board, and what is told of them."""

    def __init__(self, plugged: bool = True, switches_power: bool = False, slow_load: Collection[str] = ()) -> None:
        self.clock = Clock()
        self.hardware = MemoryHardware(switches_power=switches_power)
        self.reports: list[Any] = []
        self.notes: list[str] = []
        self.levels: list[str] = []
        self.emitted_events: list[Any] = []
        kinds = Kinds.of(PulseCount, Hooked, Faulty, Pins)
        around = WorkerContext("w1", self.clock, self.hardware, kinds, Admission(), self, slow_load)
        self.device = ManagedBoard(SERIAL, IMAGES, around)
        self.board = MemoryBoard(self.clock, SERIAL, self.device.post)
        self.hardware.boards.append(self.board)
        if plugged:
            self.board.plug()
            self.settle()

    def changed(self, device: ManagedBoard) -> None:
        self.reports.append(device.report())

    def noted(self, _: ManagedBoard, level: str, message: str) -> None:
        self.levels.append(level)
        self.notes.append(message)

    def emitted(self, _: ManagedBoard, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        self.emitted_events.append((reservation, event, dict(fields)))

    def settle(self, seconds: float = 1.0) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    @property
    def status(self) -> DeviceStatus:
        return self.device.report().status

    def prepare(self, assignment: Assignment = ASSIGNMENT) -> list[Any]:
        return gathered(self.device.prepare(assignment))

    def call(self, method: str, **arguments: Any) -> list[Any]:
        reservation = self.device.reservation
        assert reservation is not None

        async def answer() -> Any:
            return await reservation.call(method, (), arguments)

        return gathered(answer())

    def evaluate(self, evaluation_id: str = "e1", **arguments: Any) -> list[Any]:
        return self.call("evaluate", evaluation_id=evaluation_id, bitstream=BITSTREAM, **arguments)


def gathered(coroutine: Any) -> list[Any]:
    """Run a coroutine; its result or error appears in the list."""
    results: list[Any] = []
    Deferred.fromCoroutine(coroutine).addBoth(
        lambda result: results.append(result.value if isinstance(result, Failure) else result)
    )
    return results


@reservable("faulty", firmware="hooked")
class Faulty(Hooked):
    """Can't be made."""

    def __init__(self, device: Any, options: Any) -> None:
        super().__init__(device, options)
        raise RuntimeError("a fault of the kind")


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def reserved(shelf: Shelf) -> Shelf:
    shelf.prepare()
    shelf.settle()
    assert shelf.status is DeviceStatus.RESERVED
    return shelf


def test_a_good_board_becomes_available(shelf: Shelf) -> None:
    assert {report.status for report in shelf.reports[:-1]} == {DeviceStatus.TESTING}
    assert shelf.reports[-1].status is DeviceStatus.AVAILABLE
    assert shelf.board.flashed == 0


def test_a_board_whose_test_fails_is_set_aside_with_the_reason() -> None:
    shelf = Shelf(plugged=False)
    shelf.board.faults.add("faulty")
    shelf.board.plug()
    shelf.settle(3)
    assert shelf.device.report().status is DeviceStatus.BROKEN
    assert shelf.notes == [f"board {SERIAL} is set aside: found itself faulty (test bits 0x1)"]


def test_a_broken_board_is_taken_back_when_it_passes_its_test_again() -> None:
    shelf = Shelf(plugged=False)
    shelf.board.faults.add("silent")
    shelf.board.plug()
    shelf.settle(20)
    assert shelf.status is DeviceStatus.BROKEN
    shelf.board.faults.clear()
    shelf.settle(RETEST_FIRST)
    assert shelf.status is DeviceStatus.AVAILABLE
    assert "back in service" in shelf.notes[-1]


def test_a_board_that_says_another_serial_is_set_aside() -> None:
    shelf = Shelf(plugged=False)
    shelf.board.serial = "FEDCBA9876543210"
    shelf.board.plug()
    shelf.settle(3)
    assert shelf.device.report().reason == "says that it is FEDCBA9876543210"


def test_a_board_that_speaks_another_version_of_the_protocol_is_flashed() -> None:
    shelf = Shelf(plugged=False)
    shelf.board.faults.add("old_protocol")
    shelf.board.plug()
    shelf.settle()
    assert (shelf.status, shelf.board.flashed) == (DeviceStatus.AVAILABLE, 1)


def test_preparing_answers_when_the_board_is_usable(shelf: Shelf) -> None:
    prepared = shelf.prepare()
    assert prepared == []
    shelf.settle()
    assert prepared == [None]
    report = shelf.device.report()
    assert (report.status, report.reservation, report.firmware) == (DeviceStatus.RESERVED, "r1", "pulse_count")


def test_preparing_what_is_prepared_answers_at_once(reserved: Shelf) -> None:
    assert reserved.prepare() == [None]
    assert reserved.board.flashed == 1


def test_a_switch_of_firmware_is_told_in_two_reports(shelf: Shelf) -> None:
    shelf.reports.clear()
    shelf.prepare()
    shelf.settle()
    assert [report.status for report in shelf.reports[-1:]] == [DeviceStatus.RESERVED]
    assert {report.status for report in shelf.reports[:-1]} == {DeviceStatus.FLASHING}


@pytest.mark.parametrize(
    ("assignment", "error"),
    [
        (Assignment("r1", "alice", "juggling"), UnknownKind),
        (Assignment("r1", "alice", "pulsecount", {"window": -1}), InvalidArgument),
    ],
)
def test_an_assignment_that_makes_no_sense_leaves_the_board_alone(
    shelf: Shelf, assignment: Assignment, error: type[Exception]
) -> None:
    (result,) = shelf.prepare(assignment)
    assert isinstance(result, error)
    assert shelf.status is DeviceStatus.AVAILABLE


def test_preparing_a_board_that_is_not_there_fails_at_once() -> None:
    (result,) = Shelf(plugged=False).prepare()
    assert isinstance(result, DeviceFailed)


def test_preparing_a_board_that_does_not_come_back_fails_with_the_reason(shelf: Shelf) -> None:
    shelf.board.faults.add("fails_to_boot")
    prepared = shelf.prepare()
    shelf.settle(RESTART_LIMIT + 1)
    assert "did not come back" in str(prepared[0])
    assert shelf.status is DeviceStatus.BROKEN


def test_a_board_that_does_not_mind_the_touch_is_set_aside(shelf: Shelf) -> None:
    shelf.board.faults.add("no_loader")
    prepared = shelf.prepare()
    shelf.settle(60)
    assert "did not start its boot loader" in str(prepared[0])


def test_an_evaluation_answers_with_the_measurement_and_where_it_came_from(reserved: Shelf) -> None:
    answers = reserved.evaluate(attempt=2)
    reserved.settle(0.1)
    measurement = answers[0]
    assert measurement["value"] == 100
    assert measurement["serial"] == SERIAL
    assert measurement["options"] == {"window": 1.0, "overlap": True, "clock_mhz": 48, "repeats": 1}
    assert (measurement["attempt"], measurement["firmware"], measurement["sequence"]) == (2, "pulse_count", 1)


def test_a_kind_may_declare_a_value_of_any_shape_and_options_of_an_evaluation(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "pins"))
    shelf.settle()
    usual = shelf.evaluate("usual")
    other = shelf.evaluate("other", options={"pins": [7], "window": 0.25})
    shelf.settle(0.1)
    assert usual[0]["options"] == {"window": 0.5, "pins": [1, 2]}
    assert usual[0]["value"] == {"1": [100], "2": [101]}
    assert other[0]["options"] == {"window": 0.25, "pins": [7]}
    assert other[0]["value"] == {"7": [100]}


def test_an_id_stands_for_the_options_as_well(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "pins"))
    shelf.settle()
    shelf.evaluate("a", options={"pins": [7]})
    (refused,) = shelf.evaluate("a", options={"pins": [8]})
    assert "used for another evaluation" in str(refused)


def test_what_a_kind_cannot_ask_for_is_refused_before_the_board_is_asked(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "pins"))
    shelf.settle()
    (refused,) = shelf.evaluate(options={"pins": [0]})
    assert isinstance(refused, InvalidArgument)
    assert shelf.device.tally.failures == 0


def test_counters_belong_to_the_last_kind_also_when_the_reservation_has_ended(reserved: Shelf) -> None:
    reserved.evaluate()
    reserved.settle(0.1)
    reserved.device.release("r1", "it is over")
    reserved.settle()
    reading = reserved.device.reading()
    assert (reserved.status, reading.kind, reading.evaluations) == (DeviceStatus.AVAILABLE, "pulsecount", 1)


def test_counters_of_a_board_that_is_borrowed_belong_to_no_kind(reserved: Shelf) -> None:
    reserved.device.release("r1", "it is over")
    reserved.settle()
    reserved.device.borrow(Assignment("references", "farm", "pulsecount"))
    reserved.settle()
    assert reserved.device.reading().kind is None
    reserved.prepare(Assignment("r2", "alice", "pulsecount"))
    reserved.settle()
    assert reserved.device.reading().kind == "pulsecount"


def test_repeats_give_a_list_of_counts(reserved: Shelf) -> None:
    answers = reserved.evaluate(options={"repeats": 3})
    reserved.settle(0.1)
    assert answers[0]["value"] == [100, 101, 102]


def test_a_release_ends_evaluations_and_brings_the_default_firmware_back(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    reserved.device.release("r1", "ended by its client")
    assert isinstance(answers[0], ReservationEnded)
    reserved.settle()
    report = reserved.device.report()
    assert (report.status, report.firmware, report.reservation) == (DeviceStatus.AVAILABLE, "default", None)


def test_a_release_of_an_older_reservation_means_nothing(reserved: Shelf) -> None:
    reserved.device.release("r0", "late")
    assert reserved.status is DeviceStatus.RESERVED


def test_a_release_while_the_firmware_is_written_fails_the_preparation(shelf: Shelf) -> None:
    shelf.hardware.patient = True
    prepared = shelf.prepare()
    shelf.settle()
    shelf.device.release("r1", "changed my mind")
    assert isinstance(prepared[0], ReservationEnded)


def test_the_next_reservation_takes_the_place_of_the_last_one(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    prepared = reserved.prepare(Assignment("r2", "bob", "pulsecount"))
    reserved.settle()
    assert isinstance(answers[0], ReservationEnded)
    assert prepared == [None]
    assert reserved.board.flashed == 1


def test_an_evaluation_is_carried_out_again_after_the_board_was_plugged_in_again(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    reserved.board.unplug()
    assert reserved.status is DeviceStatus.OFFLINE
    reserved.board.patient = False
    reserved.board.plug()
    reserved.settle()
    assert answers[0]["value"] == 100
    assert reserved.device.tally.retries == 1
    assert reserved.board.flashed == 1


def test_a_firmware_too_old_for_the_parameters_is_named_with_what_to_do(reserved: Shelf) -> None:
    reserved.board.faults.add("parameters")
    answers = reserved.evaluate()
    reserved.settle()
    (answer,) = answers
    assert isinstance(answer, DeviceFailed)
    assert "pulse_count 1.0 is older than kind pulsecount needs (1.1)" in str(answer)
    assert "icefarm firmware build" in str(answer)
    assert reserved.device.tally.retries == 0


def test_the_clock_of_pin_35_is_in_the_parameters_and_in_the_result(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "pulsecount", {"window": 0.5, "clock_mhz": 12}))
    shelf.settle()
    shelf.board.patient = True
    answers = shelf.evaluate()
    shelf.settle()
    assert struct.unpack_from("<IHH", shelf.board.evaluating[0].payload, 8) == (500_000, 1, 12)
    shelf.board.finish()
    shelf.settle()
    assert answers[0]["options"]["clock_mhz"] == 12


def test_only_a_board_that_is_named_for_it_is_loaded_slowly() -> None:
    for slow_load, divided_by in (((SERIAL,), 2), (("FEDCBA9876543210",), 0)):
        shelf = Shelf(slow_load=slow_load)
        shelf.prepare()
        shelf.settle()
        shelf.board.patient = True
        shelf.evaluate()
        shelf.settle()
        assert shelf.board.evaluating[0].payload[1] == divided_by


def test_an_unplugged_board_fails_its_evaluation(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    reserved.board.unplug()
    reserved.settle(REPLUG_LIMIT + 1)
    assert isinstance(answers[0], DeviceFailed)
    assert "unplugged" in str(answers[0])
    assert isinstance(reserved.evaluate("e2")[0], DeviceFailed)


def test_a_board_that_comes_back_later_still_serves_its_reservation(reserved: Shelf) -> None:
    reserved.board.unplug()
    reserved.settle(REPLUG_LIMIT + 1)
    reserved.board.plug()
    reserved.settle()
    assert reserved.status is DeviceStatus.RESERVED


def test_a_board_replaced_by_one_with_other_firmware_is_flashed_for_its_reservation(reserved: Shelf) -> None:
    reserved.board.unplug()
    reserved.board.runs = "default 1.0"
    reserved.board.plug()
    reserved.settle()
    assert reserved.status is DeviceStatus.RESERVED
    assert reserved.board.runs == "pulse_count 1.0"


def test_a_board_that_falls_silent_is_recovered_and_the_evaluation_carried_out(reserved: Shelf) -> None:
    reserved.board.faults.add("silent")
    answers = reserved.evaluate()
    reserved.settle(1 + EVALUATION_MARGIN + 0.2)
    reserved.board.faults.clear()
    reserved.settle(5)
    assert answers[0]["value"] == 100
    assert reserved.device.life.tries == 0


def test_a_board_that_stays_silent_fails_its_evaluation_and_is_set_aside(reserved: Shelf) -> None:
    reserved.board.faults.add("silent")
    answers = reserved.evaluate()
    reserved.settle(40)
    assert isinstance(answers[0], DeviceFailed)
    assert reserved.status is DeviceStatus.BROKEN
    assert reserved.device.tally.failures == 1


def test_an_evaluation_that_breaks_its_board_each_time_is_given_up(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    for _ in range(RERUNS + 1):
        assert answers == []
        reserved.board.unplug()
        reserved.board.plug()
        reserved.settle()
    assert isinstance(answers[0], DeviceFailed)
    assert reserved.status is DeviceStatus.RESERVED


def test_a_reboot_keeps_the_reservation_and_its_evaluations(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    rebooted = reserved.device.reboot()
    assert not rebooted.called
    reserved.board.patient = False
    reserved.settle()
    assert rebooted.called
    assert answers[0]["value"] == 100
    assert reserved.board.flashed == 2


def test_a_reboot_of_a_board_that_is_not_there_fails_at_once(shelf: Shelf) -> None:
    shelf.board.unplug()
    shelf.clock.advance(REPLUG_LIMIT)
    failures: list[Any] = []
    shelf.device.reboot().addErrback(failures.append)
    assert failures[0].check(DeviceFailed)
    assert "unplugged" in str(failures[0].value)


def test_a_reboot_of_a_board_that_is_unplugged_meanwhile_fails(reserved: Shelf) -> None:
    failures: list[Any] = []
    reserved.device.reboot().addErrback(failures.append)
    reserved.board.unplug()
    reserved.clock.advance(REPLUG_LIMIT + DRIVE_LIMIT)
    assert failures[0].check(DeviceFailed)


def test_deleting_a_board_ends_everything(reserved: Shelf) -> None:
    reserved.board.patient = True
    answers = reserved.evaluate()
    reserved.device.delete()
    assert isinstance(answers[0], ReservationEnded)
    assert reserved.board.port is None
    assert reserved.clock.getDelayedCalls() == []


def test_a_caller_that_gives_up_preparing_leaves_the_board_to_its_reservation(shelf: Shelf) -> None:
    preparing = Deferred.fromCoroutine(shelf.device.prepare(ASSIGNMENT))
    failures: list[Any] = []
    preparing.addErrback(failures.append)
    preparing.cancel()
    shelf.settle()
    assert failures[0].check(CancelledError)
    assert shelf.status is DeviceStatus.RESERVED


def test_a_kind_is_told_of_the_life_of_its_board(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "hooked"))
    shelf.settle()
    (happened,) = shelf.call("shout", word="hey")
    shelf.board.unplug()
    shelf.board.plug()
    shelf.settle()
    assert happened == ["started", "board_lost", "started"]
    assert shelf.emitted_events == [("r1", "shouted", {"word": "hey"})]


def test_a_fault_of_a_kind_does_not_keep_its_board_from_being_released(shelf: Shelf) -> None:
    shelf.prepare(Assignment("r1", "alice", "hooked"))
    shelf.settle()
    shelf.device.release("r1", "done")
    shelf.settle()
    assert shelf.status is DeviceStatus.AVAILABLE


def test_a_kind_that_cannot_be_made_leaves_its_board_available(shelf: Shelf) -> None:
    (result,) = shelf.prepare(Assignment("r1", "alice", "faulty"))
    assert isinstance(result, DeviceFailed)
    assert shelf.status is DeviceStatus.AVAILABLE


def test_a_silent_board_comes_back_to_its_client_after_its_power_was_cycled() -> None:
    reserved = Shelf(switches_power=True)
    reserved.prepare()
    reserved.settle()
    reserved.hardware.cures = {"silent"}
    reserved.board.faults.add("silent")
    answers = reserved.evaluate()
    reserved.settle(40)
    assert reserved.hardware.cycled == ["1-1"]
    assert answers[0]["value"] == 100
    assert (reserved.status, reserved.device.tally.failures) == (DeviceStatus.RESERVED, 0)


def test_a_board_whose_hub_cannot_switch_is_set_aside_with_both_reasons() -> None:
    shelf = Shelf(plugged=False, switches_power=True)
    shelf.board.faults |= {"silent", "ganged"}
    shelf.board.plug()
    shelf.settle(20)
    reason = shelf.device.report().reason
    assert reason == ("does not answer; its power could not be cycled: its hub switches all ports at once")


def test_a_dead_board_is_set_aside_and_found_when_its_power_helps_later() -> None:
    shelf = Shelf(plugged=False, switches_power=True)
    shelf.board.faults |= {"silent", "dead"}
    shelf.board.plug()
    shelf.settle(40)
    assert "did not come back after its power was cycled" in (shelf.device.report().reason or "")
    shelf.board.faults.clear()
    shelf.settle(RETEST_FIRST)
    assert (shelf.status, len(shelf.hardware.cycled)) == (DeviceStatus.AVAILABLE, 2)


def test_a_board_plugged_in_and_out_leaves_no_timer_behind(shelf: Shelf) -> None:
    for _ in range(5):
        shelf.board.unplug()
        shelf.board.plug()
    shelf.settle()
    shelf.device.stop()
    assert shelf.clock.getDelayedCalls() == []


def test_a_board_that_needs_too_many_attempts_is_flashed_and_then_set_aside(reserved: Shelf) -> None:
    for expected in (DeviceStatus.RESERVED, DeviceStatus.BROKEN):
        before = reserved.board.flashed
        for _ in range(WINDOW):
            reserved.device.tally.went_wrong(Outcome.RETRY)
        reserved.settle()
        assert reserved.status is expected
        assert reserved.board.flashed == before + (expected is DeviceStatus.RESERVED)
    report = reserved.device.report()
    assert report.reason == f"is unreliable: {WINDOW} of its last {WINDOW} attempts failed"
    assert report.health == BoardHealth(attempts=WINDOW, retries=WINDOW, set_aside=1)


def test_what_a_board_says_of_itself_reaches_the_farms_log() -> None:
    shelf = Shelf()
    for level, text in [(30, "started by the watchdog"), (10, "a detail")]:
        shelf.board.say(encode(FrameType.LOG, 0, bytes([level]) + text.encode()))
    shelf.settle()
    assert shelf.levels == ["warn"]
    assert shelf.notes == [f"board {SERIAL} says: started by the watchdog"]


def test_only_a_run_of_results_makes_the_next_retest_of_a_board_come_early_again(reserved: Shelf) -> None:
    for _ in range(2 * WINDOW):
        reserved.device.tally.went_wrong(Outcome.RETRY)
        reserved.settle(0.1)
    reserved.settle()
    assert reserved.status is DeviceStatus.BROKEN
    reserved.device.release("r1", "it failed")
    reserved.device.retest()
    reserved.settle()
    assert reserved.status is DeviceStatus.AVAILABLE
    reserved.prepare(Assignment("r2", "alice", "pulsecount"))
    reserved.settle()
    for number in range(RUN):
        assert reserved.device.report().health.set_aside == 1
        reserved.evaluate(f"e{number}")
        reserved.settle(0.2)
    assert reserved.device.report().health.set_aside == 0


def test_a_silent_board_is_counted_as_such(reserved: Shelf) -> None:
    reserved.board.faults.add("silent")
    reserved.evaluate()
    reserved.settle(6)
    reserved.board.faults.clear()
    reserved.settle(10)
    health = reserved.device.report().health
    assert (health.timeouts, health.retries, health.failures) == (1, 1, 0)
    assert health.attempts == 3
