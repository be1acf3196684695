"""The verb ``boards compare``, and where other verbs show what is known of boards."""

from __future__ import annotations

import csv
import io
import json

import pytest
from recording_farm import RecordingFarm, board_calibration, calibration, device, snapshot

from icefarm.cli.ui.records.archive_columns import with_uncertainty

WHY = "offset 900 ppm at oscillator, where the median of all boards is 0 ppm"
SUSPECTS = snapshot(
    devices=[device("A", calibration=board_calibration()), device("B", calibration=board_calibration(suspect=WHY))]
)


def test_boards_are_compared_side_by_side_with_uncertainties() -> None:
    farm = RecordingFarm(SUSPECTS)
    done = farm.run("boards", "compare")
    assert done.exit_code == 0, done.output
    head, first, second = done.stdout.splitlines()
    assert head.split("\t")[:2] == ["SERIAL", "OFFSET_PPM"]
    assert first.split("\t")[:2] == ["A", "123.46 ± 0.50"]
    assert second.split("\t")[-1] == WHY
    assert ("calibration", "oscillator", None) in farm.calls


@pytest.mark.parametrize(
    ("value", "uncertainty", "shown"),
    [(-0.005, 99.9, "0 ± 100"), (1344.56, 25.48, "1345 ± 25"), (-3.14159, 0.0123, "-3.142 ± 0.012"), (7.0, 0.0, "7")],
)
def test_a_figure_has_the_places_that_its_uncertainty_allows(value: float, uncertainty: float, shown: str) -> None:
    assert with_uncertainty(value, uncertainty) == shown


def test_a_reference_and_boards_can_be_chosen_and_the_largest_deviation_comes_first() -> None:
    farm = RecordingFarm(SUSPECTS)
    farm.answers["calibration"] = [calibration("A", offset_ppm=5.0), calibration("B", offset_ppm=-50.0)]
    done = farm.run("boards", "compare", "A", "B", "--reference", "crystal", "--sort", "offset", "--columns", "serial")
    assert done.stdout.split() == ["SERIAL", "B", "A"]
    assert ("calibration", "crystal", ["A", "B"]) in farm.calls


def test_json_and_csv_have_all_figures() -> None:
    first, second = json.loads(RecordingFarm(SUSPECTS).run("boards", "compare", "-o", "json").stdout)
    assert (first["offset_ppm"], first["offset_uncertainty_ppm"], first["suspect"]) == (123.456, 0.5, None)
    assert second["suspect"] == WHY
    rows = list(csv.DictReader(io.StringIO(RecordingFarm(SUSPECTS).run("boards", "compare", "-o", "csv").stdout)))
    assert [row["kelvin_uncertainty"] for row in rows] == ["0.2", "0.2"]


def test_a_farm_without_calibrations_says_when_boards_measure() -> None:
    farm = RecordingFarm()
    farm.answers["calibration"] = []
    done = farm.run("boards", "compare")
    assert done.exit_code == 0
    assert "boards calibrate when they have been free for a minute" in done.stderr


def test_the_status_and_the_list_of_boards_show_suspects() -> None:
    done = RecordingFarm(SUSPECTS).run("status")
    assert f"          B is suspect: {WHY}" in done.stdout.splitlines()
    assert json.loads(RecordingFarm(SUSPECTS).run("status", "-o", "json").stdout)["suspects"] == 1
    listed = RecordingFarm(SUSPECTS).run("devices", "--columns", "serial,health").stdout
    assert listed.splitlines()[1:] == ["A\t-", "B\tsuspect"]
    chosen = RecordingFarm(SUSPECTS).run("devices", "--where", "suspect", "--columns", "serial").stdout
    assert chosen.split() == ["SERIAL", "B"]


def test_a_board_reads_in_words() -> None:
    first, second = (
        {
            field: text.strip()
            for field, _, text in (
                line.partition(":") for line in RecordingFarm(SUSPECTS).run("board", name).stdout.splitlines()
            )
        }
        for name in "AB"
    )
    assert first["calibration"].startswith("123.46 ± 0.50 ppm, by the oscillator at 1970-01-1")
    assert second["calibration"].endswith(f"; suspect: {WHY}")
    assert first["health"] == "no faults in 0 attempts"
    assert second["shares"] == "-"
