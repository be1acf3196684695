"""The farm in memory that users test with: real control, worker, client and firmware, without router and database."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from waiting import wait_until

from icefarm.client import Result
from icefarm.client.drivers import PulseCountClient, VarMaxClient
from icefarm.client.lib.BatchClient import EvaluationFailed
from icefarm.client.placement import Distinct, Given, Spread, alternating
from icefarm.errors import DeviceFailed, Unavailable, UnknownKind
from icefarm.testing.in_memory import URL, FarmInMemory
from icefarm.virtual import images, usb_bus
from icefarm.virtual.images import MissingBoards

pytestmark = pytest.mark.integration

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
MADE_FOR_TESTS = Path(__file__).parents[1] / "circuits"
SLOW, FAST = CIRCUITS / "square_2khz.bin", CIRCUITS / "square_32khz.bin"


@pytest.fixture
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=2) as farm:
        yield farm


def test_circuits_are_measured_by_the_firmware_itself(farm: FarmInMemory) -> None:
    with farm.client().reserve(2, window=0.5) as boards:
        results = list(boards.evaluate_each([SLOW, FAST]))
    assert {(result.source, result.value) for result in results} == {(SLOW, 1000), (FAST, 16_000)}
    assert {result.measurement.origin for result in results} == {"simulated"}
    assert {result.serial for result in results} == set(farm.serials)


def test_repeats_are_as_many_values_of_one_evaluation(farm: FarmInMemory) -> None:
    with farm.client().reserve(1, window=0.5) as boards:
        (result,) = boards.evaluate([SLOW], options={"repeats": 5})
    assert result.value == [1000] * 5
    assert (result.measurement.window_us, result.measurement.sequence) == (2_500_000, 1)
    assert result.measurement.options["repeats"] == 5


def test_a_short_list_needs_one_hand_over_to_the_clients_thread(
    farm: FarmInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = farm.client()
    with client.reserve(1, window=0.5) as boards:
        handed = _noted(client._engine.reactor, monkeypatch)
        assert [result.value for result in boards.evaluate([SLOW, FAST])] == [1000, 16_000]
        assert len(handed) <= 2
        handed.clear()
        assert [result.value for result in boards.evaluate([SLOW])] == [1000]
        assert len(handed) == 1


def test_a_short_list_needs_one_hand_over_from_an_event_loop(
    farm: FarmInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def evaluated() -> int:
        client = farm.async_client_class(URL, "asyncio")
        async with client, await client.reserve(1, window=0.5) as boards:
            handed = _noted(client._engine.reactor, monkeypatch)
            assert [result.value async for result in boards.evaluate([SLOW])] == [1000]
            return len(handed)

    assert asyncio.run(evaluated()) == 1


def _noted(reactor: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the main thread hands over to the reactor's from now on."""
    handed, hand_over = list[Any](), reactor.callFromThread

    def noted(*call: Any) -> None:
        if threading.current_thread() is threading.main_thread():
            handed.append(call)
        hand_over(*call)

    monkeypatch.setattr(reactor, "callFromThread", noted)
    return handed


def test_noise_makes_the_values_of_repeats_differ() -> None:
    with FarmInMemory(boards=1, noise_ppm=10_000) as farm, farm.client().reserve(1) as boards:
        (result,) = boards.evaluate([FAST], options={"repeats": 20})
    assert len(set(result.value)) > 10
    assert all(29_000 < value < 35_000 for value in result.value)


def test_a_faster_output_moves_more(farm: FarmInMemory) -> None:
    # Samples must come at least twice in a period.
    with farm.client().reserve(1, kind="variance", rate_hz=100_000) as boards:
        slow, fast = boards.evaluate([SLOW, FAST], depth=1)
    assert 0 < slow.value < fast.value


def test_the_waveform_is_what_the_value_is_made_from(farm: FarmInMemory) -> None:
    with farm.client().reserve(1, kind="variance", samples=300, delay=0.0) as boards:
        (result,) = boards.evaluate([FAST], options={"waveform": True})
    fitness, samples = result.value
    assert len(samples) == 300
    assert fitness == sum(abs(b - a) for a, b in pairwise(samples)) / 300
    assert result.measurement.window_us == 30_000


def test_repeats_of_samples_are_values_of_one_evaluation() -> None:
    # Few samples: a board has their time and 4 s for its answer, and simulates them on a machine that may be busy.
    reserved = {"kind": "variance", "samples": 100}
    with FarmInMemory(boards=1, noise_ppm=10_000) as farm, farm.client().reserve(1, **reserved) as boards:
        plain, waves = (
            next(boards.evaluate([FAST], options=options))
            for options in ({"repeats": 20}, {"repeats": 4, "waveform": True})
        )
    assert len(plain.value) == 20
    assert len(set(plain.value)) > 10
    assert plain.measurement.window_us == 20 * 10_000
    for fitness, samples in waves.value:
        assert fitness == sum(abs(b - a) for a, b in pairwise(samples)) / 100


def test_existing_scripts_measure_variance(farm: FarmInMemory) -> None:
    client_class = farm.existing_client(VarMaxClient)
    with client_class(URL, "old", logging.getLogger("old")) as client:
        assert isinstance(client, VarMaxClient)
        serials = client.reserve(2)
        rows = list(client.evaluateBitstreams([SLOW]))
    assert {serial for serial, _, _ in rows} == set(serials)
    assert all(path is SLOW and isinstance(value, float) for _, path, value in rows)


def test_existing_scripts_get_the_waveform_as_a_tuple(farm: FarmInMemory) -> None:
    client_class = farm.existing_client(VarMaxClient)
    with client_class(URL, "old", logging.getLogger("old"), send_waveform=True) as client:
        client.reserve(1)
        (good,) = client.evaluateBitstreams([SLOW])
        (bad,) = client.evaluateBitstreams([b"rubbish"])
    fitness, samples = good.value
    assert isinstance(good.value, tuple)
    assert isinstance(fitness, float)
    assert len(samples) == 500
    assert bad.value is EvaluationFailed


def test_existing_scripts_that_count_pulses_work_as_well(farm: FarmInMemory) -> None:
    with farm.existing_client(PulseCountClient)(URL, "old", logging.getLogger("old")) as client:
        client.reserve(1)
        assert [value for _, _, value in client.evaluateBitstreams([SLOW])] == [2000]


def test_a_fault_of_a_board_shows_as_it_would_on_a_farm(farm: FarmInMemory) -> None:
    with farm.client().reserve(1) as boards:
        farm.fault(boards.serials[0], "cdone")
        (result,) = boards.evaluate([SLOW])
    assert isinstance(result.error, DeviceFailed)


def test_boards_that_are_taken_are_not_available(farm: FarmInMemory) -> None:
    client = farm.client()
    with client.reserve(2), pytest.raises(Unavailable):
        client.reserve(1)
    farm.wait_until_available()
    assert len(client.available()) == 2


def test_an_unknown_kind_is_named_beside_those_there_are(farm: FarmInMemory) -> None:
    with pytest.raises(UnknownKind, match=r"pulsecount.*variance"):
        farm.client().reserve(1, kind="juggling")


def test_it_starts_quickly_and_leaves_nothing_behind() -> None:
    began = time.monotonic()
    with FarmInMemory(boards=8) as farm:
        assert len(farm.serials) == 8
        threads = threading.active_count()
        pid = farm._bus.pid
    assert time.monotonic() - began < 5
    assert not Path(f"/proc/{pid}").exists()
    with FarmInMemory(boards=8):
        assert threading.active_count() == threads


def placed(result: Result) -> Mapping[str, Any]:
    assert result.placement is not None
    return result.placement


def test_a_placement_with_a_seed_is_the_same_again_and_recorded(farm: FarmInMemory) -> None:
    with farm.client().reserve(2, window=0.01) as boards:
        runs = [
            {placed(result)["index"]: result.serial for result in boards.evaluate([SLOW] * 12, placement=Spread(5))}
            for _ in range(2)
        ]
        (result,) = boards.evaluate([SLOW], placement=Given(boards.serials[:1]))
    assert runs[0] == runs[1]
    assert set(runs[0].values()) == set(farm.serials)
    assert result.placement == {"placement": "given", "serials": [result.serial], "index": 0}


def test_alternating_circuits_are_measured_in_that_order(farm: FarmInMemory) -> None:
    with farm.client().reserve(1, window=0.01) as boards:
        results = list(boards.evaluate_each(alternating([SLOW, FAST], 4)))
    results.sort(key=lambda result: result.measurement.sequence)
    assert [result.source for result in results] == [SLOW, FAST, FAST, SLOW, SLOW, FAST, FAST, SLOW]


def test_the_asyncio_face_places_as_well(farm: FarmInMemory) -> None:
    async def measured() -> list[Result]:
        async with farm.async_client_class(URL, "async") as client, await client.reserve(2, window=0.01) as boards:
            return [result async for result in boards.evaluate([SLOW] * 3, placement=Distinct(2, seed=1))]

    results = asyncio.run(measured())
    pairs = {(placed(result)["index"], result.serial) for result in results}
    assert len(pairs) == 6


PLUGGED = """
import pytest

CIRCUIT = {circuit!r}

@pytest.mark.icefarm(boards=3)
def test_boards(icefarm_farm):
    assert len(icefarm_farm.serials) == 3

def test_client(icefarm_client):
    with icefarm_client.reserve(2) as boards:
        assert [result.value for result in boards.evaluate([CIRCUIT])] == [2000]

def test_noise(icefarm_client):
    assert len(icefarm_client.available()) == 2
"""


def test_the_plug_in_gives_tests_a_farm_and_a_client(tmp_path: Path) -> None:
    (tmp_path / "test_mine.py").write_text(PLUGGED.format(circuit=str(SLOW)))
    command = [
        sys.executable, "-m", "pytest", "-q", "--strict-markers", "-p", "icefarm.testing.pytest_plugin",
        "-p", "no:cacheprovider", str(tmp_path),
    ]  # fmt: skip
    done = subprocess.run(
        command,
        env={"PATH": "/usr/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "3 passed" in done.stdout, done.stdout + done.stderr


def test_the_plug_in_is_announced_to_pytest() -> None:
    import tomllib

    project = tomllib.loads((CIRCUITS.parents[1] / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"icefarm": "icefarm.testing.pytest_plugin"}


@pytest.fixture
def simulating() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=1, model="simulated") as farm:
        yield farm


def test_several_pins_of_a_circuit_count_what_a_simulation_of_its_source_does(simulating: FarmInMemory) -> None:
    with simulating.client().reserve(1, kind="multipulsecount", window=0.003, pins=[27, 25, 26, 23]) as boards:
        (result,) = boards.evaluate([MADE_FOR_TESTS / "edges.bin"])
    assert result.value == [1125, 27_000, 1125, 36_000]  # tests/circuits/counts.txt
    assert result.measurement.origin == "simulated"


def test_a_circuit_that_cannot_be_simulated_fails_alone_and_says_why(simulating: FarmInMemory) -> None:
    with simulating.client().reserve(1, window=0.5) as boards:
        ring, square = boards.evaluate([MADE_FOR_TESTS / "ring.bin", SLOW])
    assert isinstance(ring.error, DeviceFailed)
    assert "a loop of 3 gates without a flip-flop" in str(ring.error)
    assert square.value == 1000


def test_the_clock_at_pin_35_is_the_reservations(simulating: FarmInMemory) -> None:
    with simulating.client().reserve(1, window=0.299, clock_mhz=12) as boards:
        (result,) = boards.evaluate([MADE_FOR_TESTS / "divider_pin.bin"])
    assert result.value == 6000


def test_two_clients_share_a_board_and_each_has_its_own_results(farm: FarmInMemory) -> None:
    serial, circuits = farm.serials[0], [SLOW, FAST] * 6
    clients = {name: farm.client(name) for name in ("ada", "bob")}
    boards = {
        name: client.reserve(serials=[serial], shared=True, window=window)
        for (name, client), window in zip(clients.items(), (0.5, 0.25), strict=True)
    }
    streams = [boards[name].evaluate(circuits, experiment=f"of {name}") for name in clients]
    pairs = list(zip(*streams, strict=True))
    of_ada, of_bob = zip(*pairs, strict=True)
    assert sorted(result.value for result in of_ada) == [1000] * 6 + [16_000] * 6
    assert sorted(result.value for result in of_bob) == [500] * 6 + [8_000] * 6
    turns = sorted(
        (result.measurement.sequence, name) for pair in pairs for name, result in zip(clients, pair, strict=True)
    )
    assert [sequence for sequence, _ in turns] == list(range(1, 25))
    assert sum(one[1] != other[1] for one, other in pairwise(turns)) >= 4
    for name, client in clients.items():
        (record,) = boards[name].reservations
        experiment = client.experiment(f"of {name}")
        wait_until(partial(_done, experiment, 12), "all results are in the archive")
        archived = list(experiment.results())
        assert {(each.client, each.reservation) for each in archived} == {(name, record.id)}
    boards["ada"].end()
    (result,) = boards["bob"].evaluate([SLOW])
    assert result.value == 500


def _done(experiment: Any, amount: int) -> bool:
    return bool(experiment.info().experiment.done >= amount)


def test_without_the_boards_program_the_farm_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Path:
        raise MissingBoards

    for module in (images, usb_bus):
        monkeypatch.setattr(module, "program", missing)
    with pytest.raises(MissingBoards):
        FarmInMemory(boards=1).start()
