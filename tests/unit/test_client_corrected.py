"""Corrected values of results: what a board without its deviation would have measured."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve

from icefarm.calibration.records import Calibration
from icefarm.client import Measurement, Result
from icefarm.client.api.notebook.archived import ArchivedResult, page_of
from icefarm.client.api.notebook.tables import arrow_table, pandas_frame
from icefarm.contract import CORRECTED_FIELDS, RESULT_FIELDS
from icefarm.errors import DeviceFailed

CALIBRATION = Calibration(
    id="c1",
    serial="A",
    reference="oscillator",
    offset_ppm=200.0,
    noise_ppm=2.0,
    session_noise_ppm=0.0,
    drift_ppm_per_day=0.0,
    ppm_per_kelvin=0.0,
    reference_time=1e9,
    reference_temperature_c=25.0,
    covariance=(1.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    readings=30,
    degrees_of_freedom=28.0,
    coldest_c=25.0,
    hottest_c=25.0,
    first_time=1e9,
    valid_from=1e9,
    firmware="pulse_count 1.1",
)
MEASURED = Measurement(
    1_000_200, "e1", "A", "w1", "pulsecount", {"window": 1.0}, "pulse_count", "1.1", "0" * 64, 1_000_000, 30_000, 0,
    25.0, 1, 1, 1e9, 1e9 + 1, calibration="c1",
)  # fmt: skip


def result(measured: Measurement | None, known: dict[str, Calibration] | None = None, **more: Any) -> Result:
    return Result("a.bin", "A", measured, calibrations={"c1": CALIBRATION} if known is None else known, **more)


def test_the_value_stays_and_the_corrected_one_is_beside_it() -> None:
    found = result(MEASURED)
    assert found.value == 1_000_200
    assert found.corrected is not None
    assert found.corrected.value == pytest.approx(1_000_000, abs=0.1)
    assert 2.0 < found.corrected.standard_uncertainty < 3.0
    assert (found.corrected.calibration, found.why_not_corrected) == ("c1", None)


def test_of_several_windows_the_mean_is_corrected_and_is_more_certain() -> None:
    one, several = result(MEASURED), result(evolve(MEASURED, value=[1_000_199, 1_000_201] * 8))
    assert several.corrected is not None
    assert one.corrected is not None
    assert several.corrected.value == pytest.approx(1_000_000, abs=0.1)
    assert several.corrected.standard_uncertainty < one.corrected.standard_uncertainty


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (evolve(MEASURED, calibration=None), "board A had no calibration when it measured"),
        (evolve(MEASURED, calibration="c2"), "calibration c2 of board A is not known here"),
        (evolve(MEASURED, kind="variance", value=[0.5, [1]]), "a value of kind variance is no count of pulses"),
        (evolve(MEASURED, value=10**400), "the value is too large to be corrected"),
        (evolve(MEASURED, value=[1e200]), "the value is too large to be corrected"),
    ],
)
def test_without_a_corrected_value_a_result_says_why(measured: Measurement, why: str) -> None:
    found = result(measured)
    assert (found.corrected, found.why_not_corrected) == (None, why)


def test_a_failed_evaluation_has_no_corrected_value_but_its_error() -> None:
    with pytest.raises(DeviceFailed):
        _ = result(None, error=DeviceFailed("gone")).corrected


def archived(**fields: Any) -> ArchivedResult:
    """Return the measurement as the archive has it."""
    told = {name: getattr(MEASURED, name, None) for name in RESULT_FIELDS}
    answer = {"fields": list(RESULT_FIELDS), "results": [list({**told, "seq": 1, **fields}.values())]}
    (found,) = page_of({**answer, "next": "1", "more": False}, {"c1": CALIBRATION}).results
    return found


def test_a_result_of_the_archive_is_corrected_as_it_was_when_it_was_measured() -> None:
    assert archived().corrected == result(MEASURED).corrected
    assert (
        archived(value=[1_000_200, 1_000_400]).corrected
        == result(evolve(MEASURED, value=[1_000_200, 1_000_400])).corrected
    )
    assert (archived(calibration=None).corrected, archived(calibration=None).why_not_corrected) == (
        None, "board A had no calibration when it measured"
    )  # fmt: skip


def test_a_failure_of_the_archive_has_no_corrected_value() -> None:
    failed = archived(error="device_failed", message="silent", value=None)
    assert (failed.corrected, failed.why_not_corrected) == (None, "the evaluation failed: device_failed")


def test_tables_have_corrected_values_where_they_are_asked_for() -> None:
    results = [archived(), archived(calibration=None)]
    corrected = result(MEASURED).corrected
    assert corrected is not None
    frame = pandas_frame(results, corrected=True)
    assert list(frame.columns) == [*RESULT_FIELDS, *CORRECTED_FIELDS]
    assert frame["corrected"][0] == corrected.value
    assert frame["standard_uncertainty"][0] == corrected.standard_uncertainty
    assert frame["corrected"].isna().tolist() == [False, True]
    assert list(pandas_frame(results).columns) == list(RESULT_FIELDS)
    table = arrow_table(results, corrected=True)
    assert table.column("corrected").to_pylist() == [corrected.value, None]
