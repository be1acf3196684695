"""Events in the form that existing scripts handle them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import pytest
from memory_faces import Faces

from icefarm.bitstream import made_up_bitstream
from icefarm.client.lib import AbstractEventHandler, Event, EventServer, register
from icefarm.client.lib.utils import (
    AvailabilityWaiter,
    DefaultBaseEventHandler,
    ReservationExtender,
)
from icefarm.contract import event_topic
from icefarm.errors import TimedOut

URL = "http://127.0.0.1:8080"
#: Seconds for what another thread does at once.
SOON = 10.0


class Log:
    """Stands for a logger of any make."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def _note(self, message: str, *args: Any) -> None:
        self.lines.append(message % args)

    debug = info = warning = error = exception = _note


class Recorder(DefaultBaseEventHandler):
    """Puts what it handles into a queue."""

    def __init__(self, event_server: EventServer) -> None:
        super().__init__(event_server)
        self.seen: SimpleQueue[tuple[Any, ...]] = SimpleQueue()
        self.ended = 0

    def handleReservationEnd(self, serial: str) -> None:
        self.seen.put(("end", serial, threading.current_thread().name))

    @register("byte", "serial", "value")
    def byte(self, serial: str, value: Any) -> None:
        self.seen.put(("byte", serial, value))

    def exit(self) -> None:
        self.ended += 1


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def faces() -> Faces:
    return Faces()


@pytest.fixture
def client(faces: Faces, log: Log) -> Iterator[Any]:
    with faces.OldClient(URL, "exp", log) as client:  # type: ignore[arg-type]
        yield client


def server(log: Log) -> EventServer:
    return EventServer("exp", [], log)  # type: ignore[arg-type]


# ---------------------------------------------------------------------------------------------- dispatching


def test_a_registered_method_gets_the_fields_that_it_named(log: Log) -> None:
    recorder = Recorder(server(log))
    recorder.handleEvent(Event("A", "byte", {"event": "byte", "serial": "A", "value": 7}))
    assert recorder.seen.get(timeout=SOON) == ("byte", "A", 7)


@pytest.mark.parametrize("value", [0, 0.0, "", None, False])
def test_a_field_that_is_nothing_counts_as_a_field(value: Any, log: Log) -> None:
    recorder = Recorder(server(log))
    recorder.handleEvent(Event("A", "byte", {"serial": "A", "value": value}))
    assert recorder.seen.get(timeout=SOON) == ("byte", "A", value)


def test_an_event_without_a_field_is_not_handled(log: Log) -> None:
    assert Recorder(server(log)).handleEvent(Event("A", "byte", {"serial": "A"})) is False


def test_an_event_that_nobody_registered_is_not_handled(log: Log) -> None:
    assert Recorder(server(log)).handleEvent(Event("A", "unheard-of", {})) is False


def test_an_overriding_method_is_called_without_being_registered_again(log: Log) -> None:
    recorder = Recorder(server(log))
    recorder.handleEvent(Event("A", "reservation end", {"serial": "A"}))
    assert recorder.seen.get(timeout=SOON)[:2] == ("end", "A")


def test_a_method_may_be_registered_for_several_events(log: Log) -> None:
    class Both(AbstractEventHandler):
        heard = ()

        @register("a", "serial")
        @register("b", "serial")
        def note(self, serial: str) -> None:
            self.heard = (*self.heard, serial)

    both = Both(server(log))
    for name in ("a", "b"):
        both.handleEvent(Event(name, name, {"serial": name}))
    assert both.heard == ("a", "b")


def test_handlers_get_an_event_in_the_order_in_which_they_were_added(log: Log) -> None:
    order = []

    class Noting(AbstractEventHandler):
        def handleEvent(self, _: Event) -> None:
            order.append(self)

    events = server(log)
    handlers = [Noting(events) for _ in range(3)]
    for handler in handlers:
        events.addEventHandler(handler)
    events.handleEvent(Event("A", "any", {}))
    assert order == handlers


def test_a_handler_that_fails_is_logged_and_the_next_one_gets_the_event(log: Log) -> None:
    class Broken(AbstractEventHandler):
        def handleEvent(self, _: Event) -> None:
            raise ZeroDivisionError

    events = server(log)
    recorder = Recorder(events)
    events.addEventHandler(Broken(events))
    events.addEventHandler(recorder)
    events.handleEvent(Event("A", "byte", {"serial": "A", "value": 1}))
    assert recorder.seen.get(timeout=SOON) == ("byte", "A", 1)
    assert any("Broken" in line for line in log.lines)


def test_an_event_that_a_handler_sends_reaches_all_handlers(log: Log) -> None:
    events = server(log)
    recorder = Recorder(events)
    events.addEventHandler(recorder)
    recorder.sendEvent(Event("A", "byte", {"serial": "A", "value": 2}))
    assert recorder.seen.get(timeout=SOON) == ("byte", "A", 2)
    events.exit()


# ------------------------------------------------------------------------------------------- from the farm


def test_the_end_of_a_reservation_is_handled_outside_the_engines_thread(faces: Faces, client: Any) -> None:
    recorder = Recorder(client.server)
    client.addEventHandler(recorder)
    client.reserve(2)
    faces.there(faces.farm.tell, "exp", "ended", "A")
    assert recorder.seen.get(timeout=SOON) == ("end", "A", "icefarm-events")
    assert client.getSerials() == ["B"]


def test_an_event_of_the_kind_has_its_own_name_and_fields(faces: Faces, client: Any) -> None:
    recorder = Recorder(client.server)
    client.addEventHandler(recorder)
    client.reserve(1)
    faces.there(faces.farm.tell, "exp", "byte", "A")
    faces.there(faces.farm.tell, "exp", "ended", "A")
    # "byte" came without its value, so it was not handled; the next one was.
    assert recorder.seen.get(timeout=SOON)[0] == "end"


def test_a_handler_may_call_the_client(faces: Faces, client: Any, log: Log) -> None:
    client.addEventHandler(ReservationExtender(client.server, client, log))  # type: ignore[arg-type]
    recorder = Recorder(client.server)
    client.addEventHandler(recorder)
    client.reserve(1)
    faces.there(faces.farm.tell, "exp", "ending_soon", "A")
    faces.there(faces.farm.tell, "exp", "ended", "A")
    recorder.seen.get(timeout=SOON)
    assert "extended the reservation of board A" in log.lines


def test_events_are_logged_where_the_script_asks_for_it(faces: Faces, log: Log) -> None:
    class Logging(faces.OldClient):  # type: ignore[name-defined, misc]
        pass

    with Logging(URL, "exp", log, log_events=True) as client:
        recorder = Recorder(client.server)
        client.addEventHandler(recorder)
        client.reserve(1)
        faces.there(faces.farm.tell, "exp", "ended", "A")
        recorder.seen.get(timeout=SOON)
    assert any("event reservation end of board A" in line for line in log.lines)


def test_the_end_of_the_client_tells_handlers_once(client: Any) -> None:
    recorder = Recorder(client.server)
    client.addEventHandler(recorder)
    client.stop()
    client.stop()
    assert recorder.ended == 1


def test_a_handler_may_stop_the_client(faces: Faces, client: Any) -> None:
    done = threading.Event()

    class Stopping(DefaultBaseEventHandler):
        def handleFailure(self, _: str) -> None:
            client.stop()
            done.set()

    client.addEventHandler(Stopping(client.server))
    client.reserve(1)
    faces.there(faces.farm.tell, "exp", "failure", "A")
    assert done.wait(SOON)
    assert faces.farm.reservations == {}


# --------------------------------------------------------------------------------------------- availability


def test_the_number_of_boards_is_told_when_some_become_available(faces: Faces, client: Any) -> None:
    numbers: SimpleQueue[int] = SimpleQueue()

    class Counting(AbstractEventHandler):
        @register("devices_available", "amount")
        def available(self, amount: int) -> None:
            numbers.put(amount)

    client.addEventHandler(Counting(client.server))
    faces.there(faces.farm.control.publish, event_topic("available"), (), {"amount": 1, "serials": ["A"]})
    assert numbers.get(timeout=SOON) == 2


def test_a_waiter_returns_when_there_are_enough_boards(faces: Faces, client: Any) -> None:
    with faces.Farm(URL, name="other") as other:
        boards = other.reserve(2)
        waiter = AvailabilityWaiter(client.server, client)
        client.addEventHandler(waiter)
        waiting = threading.Thread(target=waiter.waitForAmountAvailable, args=["2"], daemon=True)
        waiting.start()
        boards.end()
        faces.there(faces.farm.control.publish, event_topic("available"), (), {"amount": 2, "serials": ["A", "B"]})
        waiting.join(SOON)
        assert not waiting.is_alive()


def test_a_waiter_gives_up_in_the_callers_thread(client: Any) -> None:
    client.reserve(2)
    with pytest.raises(TimedOut):
        client.waiter.waitForAmountAvailable(1, timeout=0.05)


# ----------------------------------------------------------------------------------------- requests to boards


class Results(AbstractEventHandler):
    """Collects what requests bring."""

    def __init__(self, event_server: EventServer) -> None:
        super().__init__(event_server)
        self.seen: SimpleQueue[tuple[Any, ...]] = SimpleQueue()

    @register("results", "batch_id", "serial", "results")
    def results(self, batch_id: str, serial: str, results: list[Any]) -> None:
        self.seen.put((batch_id, serial, results))

    @register("request failed", "serial", "request", "reason")
    def failed(self, serial: str, request: str, reason: str) -> None:
        self.seen.put(("failed", serial, request, reason))


@pytest.fixture
def results(client: Any) -> Results:
    results = Results(client.server)
    client.addEventHandler(results)
    return results


def test_a_batch_request_brings_results_of_each_board_as_events(client: Any, results: Results) -> None:
    client.reserve(2)
    files = {"files": {"one": made_up_bitstream(1).data}, "batch_id": "b1"}
    assert client.requestBatchWorker(["A", "B"], "evaluate", files) == []
    found = sorted(results.seen.get(timeout=SOON) for _ in range(2))
    assert found == [("b1", "A", [["one", 1000]]), ("b1", "B", [["one", 1000]])]


def test_a_request_to_a_board_that_is_not_reserved_is_false(client: Any, log: Log) -> None:
    client.reserve(1)
    assert client.requestWorker("B", "evaluate", {"files": {}}) is False
    assert client.requestBatchWorker(["B"], "evaluate", {"files": {}}) == ["B"]
    assert any("B" in line for line in log.lines)


def test_a_request_that_fails_is_an_event_and_a_line_in_the_log(client: Any, results: Results, log: Log) -> None:
    client.reserve(1)
    assert client.requestWorker("A", "evaluate", {"files": {"bad": b"rubbish"}, "batch_id": "b"}) is True
    assert results.seen.get(timeout=SOON)[:3] == ("failed", "A", "evaluate")
    assert any("request evaluate to board A failed" in line for line in log.lines)


def test_the_event_server_sends_requests_as_the_client_does(client: Any, results: Results) -> None:
    client.reserve(1)
    request = {"serial": ["A"], "event": "evaluate", "contents": {"files": {"x": made_up_bitstream(2).data}}}
    assert client.server.sendWorker(client.getConnectionInfo("A"), "request", request) is True
    assert results.seen.get(timeout=SOON) == (None, "A", [["x", 1000]])


def test_an_event_server_of_its_own_signs_in(faces: Faces, log: Log) -> None:
    class Alone(EventServer):
        _open = faces.Farm

    recorder = Recorder(server(log))
    alone = Alone("lone", [recorder], log)  # type: ignore[arg-type, list-item]
    alone.connectControl(URL)
    alone.connectWorker(URL)
    assert alone.sendWorker(URL, "request", {"serial": "A", "event": "x"}) is False
    alone.exit()
    assert recorder.ended == 1
