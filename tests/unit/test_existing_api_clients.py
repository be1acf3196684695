"""Clients in the form that existing scripts use them: what is False, what is raised, what numbers may be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from memory_faces import Faces
from test_existing_api_events import URL, Log

from icefarm.bitstream import made_up_bitstream
from icefarm.client.lib.BatchClient import BatchClient, Evaluation, EvaluationFailed
from icefarm.client.lib.pulsecount import PulseCountEvaluation
from icefarm.errors import (
    Busy,
    DeviceFailed,
    InvalidArgument,
    LinkLost,
    NotAuthorized,
    TimedOut,
    Unavailable,
    UnknownKind,
)

CIRCUIT = made_up_bitstream(1).data


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


def failing(error: Exception) -> Callable[..., Any]:
    """Return a function that raises."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


# --------------------------------------------------------------------------------------------------- reserving


def test_too_few_boards_are_raised_in_the_caller(client: Any) -> None:
    with pytest.raises(Unavailable):
        client.reserve(3)


def test_too_few_of_the_named_boards_are_false_with_the_reason_logged(client: Any, log: Log) -> None:
    client.reserveSpecific(["A"])
    assert client.reserveSpecific(["A"]) is False
    assert any("could not reserve boards" in line for line in log.lines)


@pytest.mark.parametrize("error", [TimedOut("late"), LinkLost("gone"), NotAuthorized("no")])
def test_a_wait_in_vain_and_a_farm_out_of_reach_are_raised(
    error: Exception, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client._farm, "reserve", failing(error))
    with pytest.raises(type(error)):
        client.reserve(1)


@pytest.mark.parametrize("error", [UnknownKind("none such"), Busy("none such"), DeviceFailed("none such")])
def test_another_failure_to_reserve_is_false(
    error: Exception, client: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client._farm, "reserve", failing(error))
    assert client.reserve(1, kind="perpetuum") is False
    assert any("none such" in line for line in log.lines)


def test_numbers_may_be_text_and_the_words_of_the_old_transport_do_nothing(faces: Faces, client: Any) -> None:
    assert client.reserve("1", True, "60", "pulsecount", "10", 25.0) == ["A"]
    assert client.reserveSpecific("B", flush_interval_seconds=1, flush_at_bitstreams_remaining="5") == ["B"]
    asked = [arguments[3:6] for name, arguments in faces.farm.calls if name == "reserve"]
    assert asked == [[{}, True, 60.0], [{}, False, None]]


def test_a_driver_of_ones_own_reserves_with_its_own_arguments(faces: Faces, log: Log) -> None:
    class Driver(BatchClient):
        _open = faces.Farm

        def reserve(self, amount: Any) -> Any:  # type: ignore[override]
            return super().reserve(amount, "variance", {"send_waveform": True, "flush_interval_seconds": 3})

    with Driver(URL, "own", log) as driver:  # type: ignore[arg-type]
        assert driver.reserve(2) == ["A", "B"]
    (arguments,) = [arguments for name, arguments in faces.farm.calls if name == "reserve"]
    assert arguments[2:4] == ["variance", {"waveform": True}]


# ----------------------------------------------------------------------------------------- what is asked of control


def test_how_many_boards_there_are_is_false_where_control_is_away(
    client: Any, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client._farm, "available", failing(LinkLost("gone")))
    assert client.available() is False
    assert client.availableDevices() is False
    assert any("gone" in line for line in log.lines)


def test_endpoints_are_asked_over_the_clients_own_session(client: Any) -> None:
    asked = {"name": "somebody else", "amount": 1, "kind": "pulsecount", "args": {"flush_interval_seconds": 1}}
    assert client.requestControl("available", {}) == {"amount": 2}
    assert client.requestControl("/api/reserve", asked) == [{"serial": "A", "url": URL}]
    assert client.requestControl("reserveserials", {**asked, "serials": ["B"]}) == [{"serial": "B", "url": URL}]
    assert client.requestControl("devices", {}) == []
    assert client.requestControl("extendall", {}) == ["A", "B"]
    assert client.request(URL, "extend", {"serials": ["A"]}) == ["A"]
    assert client.requestControl("reboot", {"serials": ["A"]}) == ["A"]
    assert client.requestControl("end", {"serials": ["A"]}) == ["A"]
    assert client.requestControl("endall", {}) == ["B"]


def test_unknown_endpoints_and_other_hosts_are_false(client: Any, log: Log) -> None:
    assert client.requestControl("clear-workers", {}) is False
    assert client.request("http://worker:8081", "reserve", {}) is False
    assert len(log.lines) == 2


def test_clearing_workers_is_refused_and_says_who_may(client: Any, log: Log) -> None:
    assert client.clearWorkers() is False
    assert "icefarm delete" in log.lines[0]


def test_a_serial_that_is_removed_stays_reserved_but_is_left_out(faces: Faces, client: Any) -> None:
    client.reserve(2)
    assert client.getConnectionInfo("A") == "w1"
    assert client.removeSerial("A") is True
    assert client.removeSerial("A") is False
    assert client.getSerials() == ["B"]
    assert client.getConnectionInfo("A") is None
    assert client.usingConnection("w1")
    assert set(faces.farm.reservations) == {"A", "B"}


# ------------------------------------------------------------------------------------------------- evaluations


def test_an_evaluation_needs_a_serial() -> None:
    with pytest.raises(InvalidArgument, match="serial"):
        PulseCountEvaluation([], CIRCUIT)


def test_evaluations_are_told_apart_by_identity_and_serve_as_keys(tmp_path: Path) -> None:
    path = tmp_path / "c.bin"
    path.write_bytes(CIRCUIT)
    one, other = PulseCountEvaluation("A", path), PulseCountEvaluation("A", path)
    assert one != other
    assert {one: 1, other: 2}[one] == 1
    assert one.filepath is path
    assert one.toJson("b") == {"files": {one.id: CIRCUIT}, "batch_id": "b"}


def test_an_evaluation_of_ones_own_may_make_its_bitstream(client: Any) -> None:
    class Made(Evaluation):
        def _toJson(self) -> dict[str, Any]:
            return {"files": {self.id: CIRCUIT}}

    client.reserve(1)
    made = Made({"A"})
    (result,) = client.evaluateEvaluations([made])
    assert tuple(result) == ("A", made, 1000)


def test_an_evaluation_of_nothing_fails_alone(client: Any, log: Log) -> None:
    client.reserve(1)
    results = list(client.evaluateEvaluations([Evaluation("A"), PulseCountEvaluation("A", CIRCUIT)]))
    assert sorted(str(result.value) for result in results) == ["1000", str(EvaluationFailed)]
    assert any("neither a filepath" in line for line in log.lines)


def test_evaluating_without_boards_yields_nothing(client: Any) -> None:
    assert list(client.evaluateBitstreams([CIRCUIT])) == []


def test_a_board_that_does_not_answer_in_time_is_rebooted_and_its_value_is_a_failure(faces: Faces, client: Any) -> None:
    client.reserve(2)
    faces.farm.holding = True
    evaluations = [PulseCountEvaluation({"A", "B"}, CIRCUIT)]
    results = list(client.evaluateEvaluations(evaluations, result_timeout="0.2"))
    assert {(result.serial, result.value) for result in results} == {("A", EvaluationFailed), ("B", EvaluationFailed)}
    for reboot in client._reboots.values():
        reboot.result(timeout=10)
    assert sorted(kwargs["serials"] for name, kwargs in faces.farm.calls if name == "reboot") == [["A"], ["B"]]
    assert client.getSerials() == ["A", "B"]


def test_a_board_that_does_not_come_back_from_its_reboot_is_named(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    client.reserve(2)
    assert client.reboot(["A", "B"]) == []
    monkeypatch.setattr(client._farm, "reboot", failing(DeviceFailed("silent", serials=["B"])))
    assert client.reboot(["A", "B"], timeout="5") == ["B"]
    monkeypatch.setattr(client._farm, "reboot", failing(TimedOut("late")))
    assert client.reboot(["A", "B"], timeout=5) == ["A", "B"]
