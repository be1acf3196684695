"""The worker over the router in memory: hello, heartbeats, reports, orders, and the door to boards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure

from icefarm.bitstream import from_file
from icefarm.contract import (
    AUTHENTICATOR,
    Assignment,
    Role,
    control_worker_procedure,
    device_procedure,
    to_wire,
    worker_procedure,
)
from icefarm.errors import (
    Busy,
    DeviceFailed,
    InvalidArgument,
    InvalidBitstream,
    LinkLost,
    NoSuchProcedure,
    NotAuthorized,
    NotYours,
    ReservationEnded,
    TimedOut,
    Unavailable,
    UnknownBitstream,
    UnknownDevice,
    UnknownKind,
    error_in_answer,
)
from icefarm.kinds import Kinds
from icefarm.kinds.pulsecount import PulseCount
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware, memory_images
from icefarm.testing.memory.fake_control import RecordingControl, let_in
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.wamp import MemoryRouter
from icefarm.usb.usb_events import UsbEvent
from icefarm.worker.control_link.alive import AliveFile
from icefarm.worker.control_link.link import HEARTBEAT_LIMIT, WorkerIdentity
from icefarm.worker.control_link.settling import SETTLE_LIMIT
from icefarm.worker.flash.images import Images

SERIAL, OTHER = "0123456789ABCDEF", "FEDCBA9876543210"
BITSTREAM = from_file("examples/circuits/square_2khz.bin").data
ASSIGNMENT = Assignment("r1", "alice", "pulsecount")


@define(eq=False)
class MemorySource:
    """Boards in memory as a source."""

    hardware: MemoryHardware
    tell: Callable[[UsbEvent], None] | None = None
    stopped: bool = False

    async def images(self, _: Kinds) -> Images:
        return memory_images("default", "pulse_count")

    async def start(self, tell: Callable[[UsbEvent], None]) -> None:
        self.tell = tell
        for board in self.hardware.boards:
            board.tell = tell
            board.plug()

    async def stop(self) -> None:
        self.stopped = True


class Farm:
    """A worker with two boards, a router, and control as recorded."""

    def __init__(self, alive: AliveFile | None = None) -> None:
        self.clock = Clock()
        self.control = RecordingControl()
        self.failures: list[Failure] = []
        #: When the worker wanted to leave.
        self.departures: list[float] = []
        self.router = MemoryRouter(self.clock)
        (self.bus,) = run(self.control.serve(self.router))
        self.boards = [MemoryBoard(self.clock, serial, lambda _: None) for serial in (SERIAL, OTHER)]
        hardware = MemoryHardware(self.boards)
        self.source = MemorySource(hardware)
        self.worker = MemoryProcess(self.router, self.clock).worker(
            WorkerIdentity("w1", "instance", "host", "1.0"), hardware, Kinds.of(PulseCount), self.source,
            failed=self.failures.append, left=lambda: self.departures.append(self.clock.seconds()), alive=alive,
        )  # fmt: skip

    def start(self) -> None:
        self.worker.startService()
        self.settle()

    def settle(self, seconds: float = 1.0) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def order(self, name: str, **arguments: Any) -> list[Any]:
        return run(self.control.order("w1", name, **arguments))

    def prepare(self, serial: str = SERIAL, assignment: Assignment = ASSIGNMENT) -> list[Any]:
        prepared = self.order("prepare", serial=serial, assignment=to_wire(assignment))
        self.settle()
        return prepared

    def call(self, client: str, method: str = "evaluate", serial: str = SERIAL, **arguments: Any) -> list[Any]:
        bus = self.router.join(client, Role.CLIENT)
        answers = run(bus.call(device_procedure(serial, method), (), arguments, timeout=60))
        self.settle(0.1)
        return answers

    def evaluate(self, client: str = "alice", **arguments: Any) -> list[Any]:
        return self.call(client, **{"reservation": "r1", "evaluation_id": "e1", "bitstream": BITSTREAM, **arguments})

    def lose_link(self) -> None:
        session = next(bus for bus in self.router.sessions.values() if bus.role is Role.WORKER)
        session.drop("lost")

    def status(self, serial: str = SERIAL) -> str:
        return str(self.control.devices[serial]["status"])


def run(coroutine: Any) -> list[Any]:
    """Run a coroutine (or wait for a Deferred); its result or error appears in the list."""
    results: list[Any] = []
    running = coroutine if isinstance(coroutine, Deferred) else Deferred.fromCoroutine(coroutine)
    running.addBoth(lambda result: results.append(result.value if isinstance(result, Failure) else result))
    return results


@pytest.fixture
def farm() -> Iterator[Farm]:
    farm = Farm()
    farm.start()
    yield farm
    assert run(farm.worker.stopService()) == [None]
    assert farm.failures == []


def test_a_worker_introduces_itself_with_kinds_and_devices(farm: Farm) -> None:
    (hello,) = farm.control.hellos
    assert (hello["name"], hello["instance"], hello["host"]) == ("w1", "instance", "host")
    assert [kind["name"] for kind in hello["kinds"]] == ["pulsecount"]
    assert {device["serial"] for device in hello["devices"]} == {SERIAL, OTHER}


def test_devices_are_reported_until_they_are_available(farm: Farm) -> None:
    assert (farm.status(SERIAL), farm.status(OTHER)) == ("available", "available")


def test_a_prepared_board_evaluates_for_its_client(farm: Farm) -> None:
    assert farm.prepare() == [None]
    (measurement,) = farm.evaluate()
    assert (measurement["value"], measurement["worker"]) == (100, "w1")


def test_a_call_with_the_same_id_gets_the_same_answer(farm: Farm) -> None:
    farm.prepare()
    assert farm.evaluate() == farm.evaluate(attempt=2)
    assert farm.boards[0].sequence == 1


def test_an_evaluation_goes_on_without_its_caller_and_its_result_is_kept(farm: Farm) -> None:
    farm.prepare()
    farm.boards[0].patient = True
    farm.evaluate()
    client = next(bus for bus in farm.router.sessions.values() if bus.role is Role.CLIENT)
    client.drop("the script crashed")
    farm.boards[0].finish()
    farm.settle(0.1)
    (measurement,) = farm.evaluate()
    assert measurement["sequence"] == 1


@pytest.mark.parametrize(
    ("client", "reservation", "error"),
    [
        ("bob", "r1", NotYours),
        ("bob", "r0", NotYours),
        ("alice", "r0", ReservationEnded),
        ("alice", 1, InvalidArgument),
        ("alice", None, InvalidArgument),
    ],
)
def test_a_call_under_another_reservation_is_refused(
    farm: Farm, client: str, reservation: Any, error: type[Exception]
) -> None:
    farm.prepare()
    (answer,) = farm.evaluate(client, reservation=reservation)
    assert isinstance(answer, error)


def test_a_call_after_the_end_of_its_reservation_is_told_so(farm: Farm) -> None:
    farm.prepare()
    farm.order("release", serial=SERIAL, reservation="r1", reason="expired")
    farm.prepare(assignment=Assignment("r2", "bob", "pulsecount"))
    (answer,) = farm.evaluate("alice")
    assert isinstance(answer, ReservationEnded)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"bitstream": b"junk"}, InvalidBitstream),
        ({"bitstream": "text"}, InvalidArgument),
        ({"evaluation_id": ""}, InvalidArgument),
        ({"evaluation_id": "x" * 65}, InvalidArgument),
        ({"evaluation_id": 5}, InvalidArgument),
        ({"options": {"repeats": 257}}, InvalidArgument),
        ({"surprise": 1}, InvalidArgument),
        ({"method": "no_such_method"}, InvalidArgument),
        ({"method": "__init__"}, InvalidArgument),
        ({"method": "evaluate.evaluate"}, InvalidArgument),
    ],
)
def test_bad_input_gets_a_named_error_and_does_no_harm(
    farm: Farm, arguments: dict[str, Any], error: type[Exception]
) -> None:
    farm.prepare()
    (answer,) = farm.evaluate(**arguments)
    assert isinstance(answer, error)
    (measurement,) = farm.evaluate(evaluation_id="good")
    assert measurement["value"] == 100


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("prepare", {"serial": "nobody", "assignment": to_wire(ASSIGNMENT)}, UnknownDevice),
        ("prepare", {"serial": SERIAL, "assignment": {"reservation": "r"}}, InvalidArgument),
        ("prepare", {"serial": SERIAL, "assignment": to_wire(Assignment("r", "a", "juggling"))}, UnknownKind),
        ("prepare", {"serial": 1, "assignment": to_wire(ASSIGNMENT)}, InvalidArgument),
        ("release", {"serial": SERIAL}, InvalidArgument),
        ("release", {"serial": "nobody", "reservation": "r1", "reason": ""}, UnknownDevice),
        ("reboot", {"serial": "nobody"}, UnknownDevice),
        ("delete", {"serial": "nobody"}, UnknownDevice),
        ("retest", {"serial": "nobody"}, UnknownDevice),
        ("drain", {"now": True}, InvalidArgument),
        ("leave", {"now": True}, InvalidArgument),
        ("explode", {}, InvalidArgument),
    ],
)
def test_orders_that_make_no_sense_get_a_named_error(
    farm: Farm, name: str, arguments: dict[str, Any], error: type[Exception]
) -> None:
    (answer,) = farm.order(name, **arguments)
    assert isinstance(answer, error)
    assert farm.status() == "available"


async def _refuse(_: Any, __: str, ___: Any, ____: Any) -> dict[str, str]:
    raise NotAuthorized("the farm does not know that token")


def test_a_worker_that_is_not_let_in_ends_at_once_with_the_reason() -> None:
    farm = Farm()
    run(farm.bus.register(AUTHENTICATOR, _refuse, replace=True))
    farm.start()
    (failure,) = farm.failures
    assert str(failure.value) == "the farm does not know that token"
    assert farm.control.hellos == []


def test_a_worker_that_was_let_in_before_tries_on_while_it_is_refused(farm: Farm) -> None:
    run(farm.bus.register(AUTHENTICATOR, _refuse, replace=True))
    farm.lose_link()
    farm.settle(20)
    assert farm.failures == []
    assert len(farm.control.hellos) == 1
    run(farm.bus.register(AUTHENTICATOR, let_in, replace=True))
    farm.settle(20)
    assert len(farm.control.hellos) == 2


def test_control_that_does_not_know_the_worker_gets_its_hello_again(farm: Farm) -> None:
    farm.control.known = False
    farm.settle(6)
    assert len(farm.control.hellos) == 2


def test_a_file_is_touched_as_long_as_control_answers(tmp_path: Path) -> None:
    file = tmp_path / "alive"
    farm = Farm(AliveFile(file))
    assert not file.exists()
    farm.start()
    file.unlink()
    farm.settle(5.5)
    assert farm.control.heartbeats == 1
    file.unlink()

    async def never(*_: Any) -> Any:
        return await Deferred()

    run(farm.bus.register(control_worker_procedure("heartbeat"), never, replace=True))
    farm.settle(HEARTBEAT_LIMIT)
    assert not file.exists()
    run(farm.worker.stopService())


def test_a_file_that_cannot_be_touched_is_said_once_and_costs_nothing_else(tmp_path: Path) -> None:
    with capturedLogs() as events:
        farm = Farm(AliveFile(tmp_path / "absent" / "alive"))
        farm.start()
        farm.settle(20)
        run(farm.worker.stopService())
    assert farm.control.heartbeats == 4
    said = [event for event in events if "cannot touch" in str(event.get("log_format"))]
    assert len(said) == 1


def test_a_worker_whose_heartbeat_is_not_answered_drops_its_link(farm: Farm) -> None:
    async def never(*_: Any) -> Any:
        await Deferred()

    run(farm.bus.register(control_worker_procedure("heartbeat"), never, replace=True))
    first = next(number for number, bus in farm.router.sessions.items() if bus.role is Role.WORKER)
    farm.settle(5 + HEARTBEAT_LIMIT + 1)
    assert first not in farm.router.sessions
    assert len(farm.control.hellos) == 2


def test_a_worker_waits_for_a_control_that_is_away(farm: Farm) -> None:
    farm.bus.drop("restarted")
    farm.settle(30)
    bus = farm.router.join("control", Role.CONTROL)
    farm.control.known = False
    run(farm.control.join(bus))
    farm.settle(6)
    assert len(farm.control.hellos) == 2


def test_reservations_outlive_a_lost_link(farm: Farm) -> None:
    farm.prepare()
    farm.control.assignments = {SERIAL: ASSIGNMENT}
    flashed = farm.boards[0].flashed
    farm.lose_link()
    farm.settle()
    (measurement,) = farm.evaluate()
    assert measurement["value"] == 100
    assert farm.boards[0].flashed == flashed


def test_a_board_that_control_does_not_want_reserved_any_more_is_released(farm: Farm) -> None:
    farm.prepare()
    farm.lose_link()
    farm.settle(2)
    assert farm.status() == "available"


def test_a_board_that_control_wants_reserved_is_prepared() -> None:
    farm = Farm()
    farm.control.assignments = {SERIAL: ASSIGNMENT}
    farm.start()
    assert (farm.status(SERIAL), farm.status(OTHER)) == ("reserved", "available")


def test_an_order_during_the_hello_counts_more_than_its_answer() -> None:
    farm = Farm()
    farm.start()
    answer = farm.control.held["hello"] = Deferred[None]()
    farm.lose_link()
    while len(farm.control.hellos) < 2:
        farm.settle(0.1)
    prepared = farm.order("prepare", serial=SERIAL, assignment=to_wire(ASSIGNMENT))
    farm.settle(0.1)
    answer.callback(None)
    farm.settle(5)
    assert prepared == [None]
    assert farm.status() == "reserved"


def test_a_call_before_control_has_said_whose_the_boards_are_waits_for_that() -> None:
    farm = Farm()
    farm.control.assignments = {SERIAL: ASSIGNMENT}
    farm.control.errors["hello"] = Busy("the database is away")
    farm.start()
    answers = farm.evaluate()
    assert answers == []
    del farm.control.errors["hello"]
    farm.settle(7)
    assert answers[0]["value"] == 100


def test_a_call_does_not_wait_for_ever_for_control() -> None:
    farm = Farm()
    farm.control.errors["hello"] = Busy("the database is away")
    farm.start()
    answers = farm.evaluate()
    farm.settle(SETTLE_LIMIT + 1)
    assert isinstance(answers[0], TimedOut)


def test_an_event_of_a_kind_is_told_to_control(farm: Farm) -> None:
    (device, _) = farm.worker.boards
    device.emit("r1", "shouted", {"word": b"ho"})
    farm.settle()
    told = {"serial": device.serial, "reservation": "r1", "name": "shouted", "fields": {"word": b"ho"}}
    assert ("event", told) in farm.control.words


def test_a_report_that_does_not_arrive_is_sent_again_in_its_latest_form(farm: Farm) -> None:
    farm.control.errors["reports"] = Busy("the database is away")
    farm.prepare()
    farm.order("release", serial=SERIAL, reservation="r1", reason="x")
    farm.settle()
    farm.prepare(assignment=Assignment("r2", "bob", "pulsecount"))
    farm.control.reports.clear()
    del farm.control.errors["reports"]
    farm.settle(6)
    assert [(report["status"], report["reservation"]) for report in farm.control.reports] == [("reserved", "r2")]


@pytest.mark.parametrize("arrives", [True, False])
def test_a_board_that_is_deleted_while_its_report_is_on_its_way_is_neither_reported_nor_offered_again(
    farm: Farm, arrives: bool
) -> None:
    answer = farm.control.held["reports"] = Deferred[None]()
    farm.boards[1].unplug()
    farm.settle(11)
    farm.order("delete", serial=OTHER)
    del farm.control.held["reports"]
    reported = len(farm.control.reports)
    if arrives:
        answer.callback(None)
    else:
        answer.errback(LinkLost("the connection was lost"))
    farm.settle(30)
    assert [report["serial"] for report in farm.control.reports[reported:]] == []
    with pytest.raises(NoSuchProcedure):
        raise farm.call("alice", "ping", OTHER, reservation="r1")[0]


def test_boards_that_change_at_the_same_time_are_reported_together(farm: Farm) -> None:
    farm.settle()
    farm.control.reports.clear()
    farm.control.together.clear()
    for board in farm.boards:
        board.unplug()
    farm.settle(11)
    assert sorted({report["serial"] for report in farm.control.reports}) == [SERIAL, OTHER]
    assert max(farm.control.together) == 2


def test_a_lone_report_is_sent_at_once(farm: Farm) -> None:
    farm.settle()
    farm.control.reports.clear()
    farm.order("prepare", serial=SERIAL, assignment=to_wire(ASSIGNMENT))
    assert [report["serial"] for report in farm.control.reports] == [SERIAL]


def test_a_control_of_an_earlier_version_gets_one_report_at_a_time() -> None:
    farm = Farm()
    farm.control.lists = False
    farm.start()
    farm.settle()
    farm.control.together.clear()
    for board in farm.boards:
        board.unplug()
    farm.settle(11)
    assert farm.status(SERIAL) == farm.status(OTHER) == "offline"
    assert set(farm.control.together) == {1}
    assert run(farm.worker.stopService()) == [None]


def test_a_report_that_is_refused_does_not_hold_up_others_and_is_sent_again(farm: Farm) -> None:
    farm.settle()
    farm.control.refused[OTHER] = "another worker has it"
    farm.control.reports.clear()
    for board in farm.boards:
        board.unplug()
    farm.settle(11)
    assert farm.status(SERIAL) == "offline"
    del farm.control.refused[OTHER]
    farm.settle(6)
    assert farm.status(OTHER) == "offline"


def test_an_order_for_many_boards_says_which_of_them_failed_and_why(farm: Farm) -> None:
    wanted = {serial: to_wire(Assignment(f"r-{serial}", "alice", "pulsecount")) for serial in (SERIAL, "NONE")}
    answers = farm.order("prepare_all", assignments=wanted, seconds=30.0)
    farm.settle()
    ((answer),) = answers
    assert list(answer["failed"]) == ["NONE"]
    assert isinstance(error_in_answer(answer["failed"]["NONE"]), UnknownDevice)
    assert farm.status() == "reserved"
    ended = {SERIAL: f"r-{SERIAL}", OTHER: "another one"}
    assert farm.order("release_all", reservations=ended, reason="ended") == [{"failed": {}}]
    farm.settle()
    assert farm.status() == farm.status(OTHER) == "available"


def test_a_board_that_takes_too_long_keeps_no_other_one_of_its_order(farm: Farm) -> None:
    farm.boards[1].faults.add("silent")
    wanted = {serial: to_wire(Assignment(f"r-{serial}", "alice", "pulsecount")) for serial in (SERIAL, OTHER)}
    answers = farm.order("prepare_all", assignments=wanted, seconds=3.0)
    farm.settle(4)
    ((answer),) = answers
    assert list(answer["failed"]) == [OTHER]
    assert isinstance(error_in_answer(answer["failed"][OTHER]), TimedOut)
    farm.boards[1].faults.clear()


def test_counters_are_reported_now_and_then(farm: Farm) -> None:
    farm.prepare()
    farm.evaluate()
    farm.settle(20)
    assert farm.control.devices[SERIAL]["evaluations"] == 1


def test_an_unplugged_board_is_reported_offline(farm: Farm) -> None:
    farm.boards[0].unplug()
    farm.settle()
    assert farm.status() == "offline"


def test_a_deleted_board_is_forgotten_until_it_is_plugged_in_again(farm: Farm) -> None:
    farm.boards[0].unplug()
    farm.settle(11)
    assert farm.order("delete", serial=SERIAL) == [None]
    (answer,) = farm.order("reboot", serial=SERIAL)
    assert isinstance(answer, UnknownDevice)
    assert isinstance(farm.evaluate()[0], NoSuchProcedure)
    farm.boards[0].plug()
    farm.settle()
    assert farm.status() == "available"


def test_a_board_set_aside_is_told_as_a_log_line(farm: Farm) -> None:
    farm.boards[0].faults.add("silent")
    farm.order("reboot", serial=SERIAL)
    farm.settle(30)
    ((name, words),) = farm.control.words
    assert (name, words["level"], words["serial"]) == ("log", "warn", SERIAL)


def test_an_evaluation_that_failed_is_told_as_a_log_line_but_not_one_whose_bitstream_is_to_be_sent(farm: Farm) -> None:
    farm.prepare()
    (answer,) = farm.evaluate(bitstream={"sha256": "a" * 64})
    assert isinstance(answer, UnknownBitstream)
    farm.evaluate(bitstream=b"junk")
    ((name, words),) = farm.control.words
    assert (name, words["level"], words["evaluation"]) == ("log", "info", "e1")
    assert words["message"].startswith("evaluation e1 failed: invalid_bitstream: ")


def test_a_worker_that_may_leave_does_so_at_once_where_nobody_has_its_boards(farm: Farm) -> None:
    assert farm.order("leave") == [None]
    farm.settle()
    assert len(farm.departures) == 1


def test_a_worker_that_may_leave_waits_until_its_boards_are_released_and_flashed_back(farm: Farm) -> None:
    farm.prepare()
    farm.order("leave")
    farm.settle(60)
    assert farm.departures == []
    flashed = farm.boards[0].flashed
    farm.order("release", serial=SERIAL, reservation="r1", reason="x")
    farm.settle(30)
    assert len(farm.departures) == 1
    assert farm.boards[0].flashed > flashed
    assert farm.status() == "available"


def test_a_broken_board_keeps_no_worker_from_leaving(farm: Farm) -> None:
    farm.boards[0].faults.add("silent")
    farm.order("reboot", serial=SERIAL)
    farm.order("leave")
    farm.settle(40)
    assert farm.status() == "broken"
    assert len(farm.departures) == 1


def test_a_worker_that_is_resumed_stays(farm: Farm) -> None:
    farm.prepare()
    farm.order("leave")
    farm.settle()
    farm.order("resume")
    farm.order("release", serial=SERIAL, reservation="r1", reason="x")
    farm.settle(30)
    assert farm.departures == []


def test_clients_cannot_call_what_is_controls(farm: Farm) -> None:
    bus = farm.router.join("mallory", Role.CLIENT)
    (answer,) = run(bus.call(worker_procedure("w1", "release"), (), {}, timeout=5))
    assert isinstance(answer, Exception)
    assert farm.status() == "available"


def test_a_stopped_worker_leaves_nothing_behind() -> None:
    farm = Farm()
    farm.start()
    farm.prepare()
    assert run(farm.worker.stopService()) == [None]
    assert farm.source.stopped
    assert farm.boards[0].port is None
    assert farm.boards[0].runs == "pulse_count 1.0"
    assert farm.clock.getDelayedCalls() == []


REFERENCE = {"name": "oscillator", "bitstream": BITSTREAM, "times": 2}


def lend(farm: Farm, serial: str = SERIAL, *circuits: Any) -> list[Any]:
    """Order a board to measure references."""
    return farm.order(
        "measure_references",
        serial=serial,
        reservation="calibration-1",
        window=0.1,
        circuits=[*circuits] or [REFERENCE],
    )


def test_a_free_board_measures_references_and_is_free_all_the_time(farm: Farm) -> None:
    shown: list[str] = []
    measured = lend(farm)
    for _ in range(200):
        farm.settle(0.05)
        shown.append(farm.status())
    (measurements,) = measured
    assert [(each["reference"], each["value"]) for each in measurements] == [("oscillator", 100)] * 2
    assert set(shown) == {"available"}
    assert farm.boards[0].runs == "default 1.0"
    assert farm.control.devices[SERIAL]["reservation"] is None


def test_a_reservation_gets_a_board_that_measures_references_at_once(farm: Farm) -> None:
    farm.boards[0].patient = True
    measured = lend(farm)
    farm.settle(10.0)
    assert farm.boards[0].runs == "pulse_count 1.0"
    assert farm.prepare() == [None]
    assert measured == [[]]
    assert farm.status() == "reserved"
    farm.boards[0].patient = False
    (answer,) = farm.evaluate()
    assert answer["value"] == 100


def test_a_board_that_is_reserved_measures_no_references(farm: Farm) -> None:
    farm.prepare()
    (error,) = lend(farm)
    assert isinstance(error, Unavailable)
    (answer,) = farm.evaluate()
    assert answer["value"] == 100


def test_a_board_that_fails_with_references_is_recovered_as_any_other(farm: Farm) -> None:
    farm.boards[0].faults.add("silent")
    measured = lend(farm)
    farm.settle(300.0)
    (error,) = measured
    assert isinstance(error, DeviceFailed)
    assert farm.status() in ("broken", "offline")
    farm.boards[0].faults.clear()
    farm.settle(300.0)
    assert farm.status() == "available"
