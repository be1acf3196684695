"""The verb ``evaluate``: files are checked, boards reserved, results printed as they come, boards given back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from recording_farm import RecordingFarm

from icefarm.bitstream import made_up_bitstream
from icefarm.cli.ui.records.formatting import shown
from icefarm.cli.ui.records.measurements import shape_of
from icefarm.errors import DeviceFailed, TimedOut, Unavailable, UnknownKind


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"c{number}.bin" for number in range(3)]
    for number, path in enumerate(paths):
        path.write_bytes(made_up_bitstream(number).data)
    return [str(path) for path in paths]


def asked(farm: RecordingFarm) -> tuple[Any, ...]:
    (call,) = [call for call in farm.calls if call[0] == "reserve"]
    return call[1:]


def test_each_result_is_a_row_with_where_it_came_from(files: list[str]) -> None:
    result = RecordingFarm().run("evaluate", *files)
    lines = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert lines[0] == ["FILE", "SERIAL", "WORKER", "VALUE", "WINDOW_US", "LOAD_US", "TEMP_C", "FIRMWARE", "ATTEMPT",
                        "SHA256", "ORIGIN", "ERROR"]  # fmt: skip
    assert [line[0] for line in lines[1:]] == files
    assert lines[1][1:] == ["A", "w1", "1234", "1000001", "34000", "25.5", "pulse_count/1.0", "1", "abababababab",
                            "-", "-"]  # fmt: skip
    assert result.stderr == ""


def test_by_default_one_board_is_reserved(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files)
    assert asked(farm) == (1, None, {"kind": "pulsecount", "options": {}, "wait": False, "timeout": None})


def test_options_reach_the_reservation_and_the_evaluations(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--devices", "2", "--window", "0.5", "--repeats", "3", "--option", "overlap=false",
             "--option", "label=x y", "--kind", "other", "--wait", "--timeout", "9")  # fmt: skip
    options = {"overlap": False, "label": "x y", "window": 0.5}
    assert asked(farm) == (2, None, {"kind": "other", "options": options, "wait": True, "timeout": 9.0})
    assert ("stream", ["A", "B"], {"repeats": 3}, False) in farm.calls


def test_a_run_may_begin_with_fewer_boards_and_give_some_to_others(files: list[str]) -> None:
    farm = RecordingFarm()
    shared = ("--at-least", "2", "--preemptible", "--priority", "20")
    assert farm.run("evaluate", *files, "--devices", "8", *shared).exit_code == 0
    usual = {"kind": "pulsecount", "options": {}, "wait": False, "timeout": None}
    assert asked(farm) == (8, None, {**usual, "at_least": 2, "preemptible": True, "priority": 20})


def test_a_run_may_share_its_boards(files: list[str]) -> None:
    farm = RecordingFarm()
    assert farm.run("evaluate", *files, "--devices", "2", "--shared").exit_code == 0
    usual = {"kind": "pulsecount", "options": {}, "wait": False, "timeout": None}
    assert asked(farm) == (2, None, {**usual, "shared": True})


def test_a_run_may_keep_its_boards_where_the_farm_has_others_give_them_up(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--serial", "A", "--each", "--not-preemptible")
    assert asked(farm)[2]["preemptible"] is False


@pytest.mark.parametrize("how", [["--each"], ["--placement", "spread"], ["--placement", "distinct:2"]])
def test_a_run_that_needs_each_of_its_boards_keeps_them_whatever_the_farm_is_set_to(
    files: list[str], how: list[str]
) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--devices", "2", *how)
    assert asked(farm)[2]["preemptible"] is False


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--serial", "A", "--at-least", "1"], "go with --devices, not with --serial"),
        (["--shared", "--at-least", "1"], "go with boards of your own, not with --shared"),
        (["--devices", "2", "--each", "--preemptible"], "need --any"),
        (["--priority", "101"], "must be a number from 0 to 100"),
        (["--at-least", "0"], "must be a whole number of boards"),
    ],
)
def test_sharing_that_cannot_be_is_refused(arguments: list[str], words: str, files: list[str]) -> None:
    farm = RecordingFarm()
    result = farm.run("evaluate", *files, *arguments)
    assert result.exit_code == 2
    assert words in result.stderr.replace("\n", " ")
    assert not farm.calls


def test_pins_are_an_option_of_the_reservation(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--kind", "multipulsecount", "--pins", "27,9", "--window", "2")
    assert asked(farm)[2]["options"] == {"window": 2.0, "pins": [27, 9]}


def test_the_value_of_several_pins_names_each() -> None:
    value = next(column for column in shape_of([], []).columns if column.title == "VALUE")
    record = {"kind": "multipulsecount", "options": {"pins": [27, 9]}, "value": [2000, 0]}
    assert shown(value.cell(record)) == "27=2000,9=0"
    assert shown(value.cell({**record, "value": [[2000, 0], [1999, 1]]})) == "27=[2000,1999],9=[0,1]"
    assert shown(value.cell({**record, "value": None})) == "-"
    assert shown(value.cell({**record, "kind": "pulsecount", "value": [1, 2]})) == "1,2"


def test_named_boards_are_reserved_once_each(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--serial", "X", "--serial", "Y", "--serial", "X")
    assert asked(farm)[:2] == (None, ("X", "Y"))


def test_with_each_every_file_goes_to_every_board(files: list[str]) -> None:
    result = RecordingFarm().run("evaluate", "--each", "--devices", "2", *files, "-o", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [(row["file"], row["serial"]) for row in rows] == [(file, serial) for file in files for serial in "AB"]


def test_json_is_one_line_for_each_result(files: list[str]) -> None:
    error = DeviceFailed("silent")
    result = RecordingFarm(errors={files[1]: error}).run("evaluate", *files, "-o", "json")
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["file"] for record in records] == files
    assert [record["value"] for record in records] == [1234, None, 1234]
    assert (records[1]["error"], records[1]["message"]) == ("device_failed", "silent")
    assert (records[1]["serial"], records[1]["worker"]) == ("A", "w1")
    assert records[0]["sha256"] == "ab" * 32
    assert {tuple(record) for record in records} == {tuple(records[0])}


def test_evaluations_without_result_are_counted_and_have_an_exit_code(files: list[str]) -> None:
    result = RecordingFarm(errors=dict.fromkeys(files[:2], DeviceFailed("silent"))).run("evaluate", *files)
    assert result.exit_code == 6
    assert result.stderr == "icefarm: 2 of 3 evaluations have no result\n"
    assert result.stdout.splitlines()[1].endswith("device_failed: silent")


def test_bad_files_are_all_named_before_anything_is_reserved(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(b"\xff\x00")
    farm = RecordingFarm()
    result = farm.run("evaluate", files[0], str(tmp_path / "short.bin"), str(tmp_path / "missing.asc"), str(tmp_path))
    assert result.exit_code == 2
    for name in ("short.bin", "missing.asc"):
        assert name in result.stderr
    assert "3 of 4 files can't be evaluated; nothing is reserved" in result.stderr
    assert farm.signed_in == []


def test_boards_are_given_back_at_the_end(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files)
    assert farm.calls[-2:] == [("boards end",), ("close",)]


def test_ctrl_c_ends_the_reservations_and_says_so(files: list[str]) -> None:
    farm = RecordingFarm(interrupt_after=1)
    result = farm.run("evaluate", "--devices", "2", *files)
    assert result.exit_code == 130
    assert result.stdout.count("\n") == 2
    assert result.stderr == "icefarm: interrupted; ended the reservations of A, B\n"
    assert ("end", ["A", "B"]) in farm.calls
    assert farm.calls[-1] == ("close",)


def test_too_few_boards_is_unavailable_and_points_to_waiting(files: list[str]) -> None:
    error = Unavailable("1 suitable board, it is reserved", suitable=1)
    result = RecordingFarm(answers={"reserve": error}).run("evaluate", *files)
    assert (result.exit_code, result.stdout) == (3, "")
    assert result.stderr == "icefarm: 1 suitable board, it is reserved; --wait waits for them\n"


def test_waiting_is_not_recommended_for_boards_that_do_not_exist(files: list[str]) -> None:
    error = Unavailable("2 suitable boards", suitable=2)
    result = RecordingFarm(answers={"reserve": error}).run("evaluate", "--devices", "3", *files)
    assert result.stderr == "icefarm: 2 suitable boards\n"


def test_a_vain_wait_is_unavailable(files: list[str]) -> None:
    farm = RecordingFarm(answers={"reserve": TimedOut("waited 1 s in vain")})
    assert farm.run("evaluate", "--wait", "--timeout", "1", *files).exit_code == 3


def test_the_place_in_the_queue_is_said_when_it_changes(files: list[str]) -> None:
    words = [{"place": 2, "reason": "all reserved"}] * 2 + [{"place": 1, "reason": "all reserved"}]
    result = RecordingFarm(answers={"progress": words}).run("evaluate", "--wait", *files)
    assert result.stderr.splitlines() == [
        "icefarm: waiting, place 2: all reserved",
        "icefarm: waiting, place 1: all reserved",
    ]


def test_an_unknown_kind_fails(files: list[str]) -> None:
    result = RecordingFarm(answers={"reserve": UnknownKind("no worker offers kind 'x'")}).run("evaluate", *files)
    assert (result.exit_code, result.stderr) == (3, "icefarm: no worker offers kind 'x'\n")


def test_a_mistyped_kind_is_answered_with_one_that_is_alike(files: list[str]) -> None:
    farm = RecordingFarm(answers={"reserve": UnknownKind("no worker offers kind 'pulscount'")})
    result = farm.run("evaluate", *files, "--kind", "pulscount")
    assert (result.exit_code, result.stderr) == (
        3,
        "icefarm: no worker offers kind 'pulscount'; did you mean pulsecount?\n",
    )


def test_the_name_can_be_chosen(files: list[str]) -> None:
    farm = RecordingFarm()
    farm.run("evaluate", *files, "--name", "bob", ICEFARM_NAME="alice")
    farm.run("evaluate", *files, ICEFARM_NAME="alice")
    assert [access.name for access in farm.signed_in] == ["bob", "alice"]


def test_a_file_name_that_is_no_text_comes_out_as_it_went_in(tmp_path: Path) -> None:
    name = str(tmp_path / "c\udcff.bin")
    Path(name).write_bytes(made_up_bitstream(1).data)
    farm = RecordingFarm()
    assert name.encode("utf-8", "surrogateescape") in farm.run("evaluate", name, "-o", "csv").stdout_bytes
    assert json.loads(farm.run("evaluate", name, "-o", "json").stdout)["file"] == name
    assert farm.run("evaluate", name).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "Missing argument"),
        (["c.bin", "--devices", "0"], "--devices"),
        (["c.bin", "--devices", "many"], "must be a whole number of boards, at least 1, not 'many'"),
        (["c.bin", "--devices", "1.5"], "a whole number of boards"),
        (["c.bin", "--wait", "--timeout", "1e12"], "a number of seconds above 0, at most 30 days, not '1e12'"),
        (["c.bin", "--wait", "--timeout", "nan"], "not 'nan'"),
        (["c.bin", "--repeats", "300"], "repeats must be 1 to 256, not 300"),
        (["c.bin", "--option", "window=NaN"], "--option['window'] must be a finite number, not nan"),
        (["c.bin", "--devices", "1", "--serial", "A"], "mutually exclusive"),
        (["c.bin", "--window", "0"], "--window"),
        (["c.bin", "--window", "inf"], "--window"),
        (["c.bin", "--repeats", "0"], "--repeats"),
        (["c.bin", "--timeout", "5"], "--timeout needs --wait"),
        (["c.bin", "--wait", "--timeout", "-5"], "--timeout"),
        (["c.bin", "--option", "overlap"], "NAME=VALUE"),
        (["c.bin", "--option", "=1"], "NAME=VALUE"),
        (["c.bin", "--pins", "27;9"], "such as 9,27"),
        (["c.bin", "--name", ""], "is not a valid name"),
        (["c.bin", "--name", "x" * 101], "is not a valid name"),
        (["c.bin", "-o", "pdf"], "'pdf' is not one of"),
    ],
)
def test_bad_input_is_refused_before_anybody_signs_in(arguments: list[str], words: str) -> None:
    farm = RecordingFarm()
    result = farm.run("evaluate", *arguments)
    assert result.exit_code == 2
    assert words in result.stderr
    assert farm.signed_in == []
