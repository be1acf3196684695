"""Boards that differ by known offsets: the example of docs/calibration.md finds how far, and calibrations find each."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import stdev
from types import ModuleType
from typing import Any

import pytest
from attrs import evolve

from bench.virtual_model import REFERENCE_C, ModelOptions, VirtualModel, model_library
from icefarm.bitstream import made_up_bitstream
from icefarm.calibration.correction import corrected
from icefarm.calibration.distributions import t_quantile
from icefarm.calibration.estimation import Prior, calibrate
from icefarm.calibration.records import Reading
from icefarm.client import Farm, Result
from icefarm.testing.in_memory import FarmInMemory

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "across_boards.py"
BOARDS, OFFSET_PPM, NOISE_PPM = 6, 2_000.0, 50.0
#: Of virtual time; the boards are instant.
WINDOW, REPEATS = 10.0, 10
#: These boards depend on neither time nor temperature.
STEADY = Prior(drift_ppm_per_day=1, ppm_per_kelvin=10)


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=BOARDS, offset_ppm=OFFSET_PPM, noise_ppm=NOISE_PPM, model="landscape") as farm:
        yield farm


@pytest.fixture(scope="module")
def client(farm: FarmInMemory) -> Farm:
    return farm.client()


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> VirtualModel:
    """Boards with these offsets, and without noise."""
    library = model_library(Path(tmp_path_factory.mktemp("model")))
    return VirtualModel.of(ModelOptions(offset_ppm=OFFSET_PPM), library)


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("across_boards", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def circuits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    paths = [tmp_path_factory.mktemp("circuits") / f"{number}.bin" for number in (1, 2)]
    for number, path in enumerate(paths):
        path.write_bytes(made_up_bitstream(number, sparseness=10).data)
    return [str(path) for path in paths]


def of_board(exact: VirtualModel, serial: str) -> float:
    return exact.pace_ppm(serial, 0, REFERENCE_C)


def as_readings(result: Result, expected_hz: float) -> list[Reading]:
    """Return a result's repeats as readings, one after the other."""
    at, window_us = result.measurement.started_at, round(WINDOW * 1e6)
    celsius: Any = result.measurement.temperature_c
    return [
        Reading(result.measurement.serial, "landscape", expected_hz, pulses, window_us, at + number, celsius, "1")
        for number, pulses in enumerate(result.value)
    ]


def test_the_example_finds_how_far_boards_differ(
    farm: FarmInMemory,
    client: Farm,
    exact: VirtualModel,
    example: ModuleType,
    circuits: Sequence[str],
) -> None:
    values = example.measured(client, circuits, BOARDS, WINDOW, REPEATS)
    rows = example.rows_of(values)
    true = stdev(of_board(exact, serial) for serial in farm.serials)
    for circuit in circuits:
        found = rows[circuit].measured
        assert found.between_ppm == pytest.approx(true, rel=0.05)
        assert found.low_ppm < true < found.high_ppm
        assert found.noise_ppm == pytest.approx(NOISE_PPM, rel=0.3)
    lines = example.table(rows).splitlines()[1:]
    assert [line[:20].strip() for line in lines] == [Path(path).stem for path in circuits]
    assert all(line.endswith(" -") for line in lines)


def test_what_is_left_of_calibrated_boards_is_what_their_uncertainty_says(
    client: Farm, exact: VirtualModel, example: ModuleType, circuits: Sequence[str]
) -> None:
    hertz = exact.frequency(Path(circuits[0]).read_bytes())
    with client.reserve(BOARDS, window=WINDOW) as boards:
        of_reference = boards.evaluate_each([circuits[0]], options={"repeats": 50})
        calibrations = {each.serial: calibrate(as_readings(each, hertz), prior=STEADY) for each in of_reference}
        results = [
            evolve(
                result,
                measurement=evolve(result.measurement, calibration=calibrations[result.serial].id),
                calibrations={calibrations[result.serial].id: calibrations[result.serial]},
            )
            for result in boards.evaluate_each([circuits[1]], options={"repeats": REPEATS})
        ]
    (row,) = example.rows_of(example.by_circuit(results)).values()
    assert row.measured.between_ppm > 20 * row.expected_ppm
    assert 0.3 * row.expected_ppm < row.corrected.between_ppm < 2.2 * row.expected_ppm
    assert example.table({"a.bin": row}).endswith(f"({row.expected_ppm:.0f})")


def test_the_example_draws_what_it_found(example: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    values = {"a.bin": example.OnBoards({"A": [100.0, 101.0], "B": [103.0, 102.0]})}
    example.plot(values, example.rows_of(values), tmp_path / "spread.svg")
    assert (tmp_path / "spread.svg").read_text(encoding="utf-8").count('<g id="line2d') > 4


def test_a_known_offset_is_estimated_within_its_uncertainty(
    client: Farm, exact: VirtualModel, circuits: Sequence[str]
) -> None:
    hertz = exact.frequency(Path(circuits[0]).read_bytes())
    with client.reserve(BOARDS, window=WINDOW) as boards:
        for result in boards.evaluate_each([circuits[0]], options={"repeats": REPEATS}):
            found = calibrate(as_readings(result, hertz))
            assert found is not None
            limit = t_quantile(0.9995, found.degrees_of_freedom) * found.offset_uncertainty_ppm
            assert abs(found.offset_ppm - of_board(exact, found.serial)) < limit
            assert limit < NOISE_PPM * 2
            last = as_readings(result, hertz)[-1]
            fixed = corrected(last.pulses, found, time=last.time, temperature_c=last.temperature_c)
            low, high = fixed.interval(0.999)
            assert low < last.expected_pulses < high
