"""Files of results: every form keeps what was written, tells what it has, and survives being cut off."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from recording_farm import measurement

from icefarm.cli.results.results_file import COLUMNS, open_results
from icefarm.cli.ui.records.measurements import record_of
from icefarm.client import Result
from icefarm.errors import DeviceFailed
from icefarm.system.writing import CannotWrite

SHA = "ab" * 32
ASKED = '{"kind": "pulsecount", "window": 0.5}'
FORMS = ("results.csv", "results.jsonl", "results.parquet")


def record(file: str = "a.bin", serial: str = "A", **measured: Any) -> dict[str, Any]:
    return record_of(Result(file, serial, measurement(serial, **measured)), {})


def failure(file: str = "a.bin") -> dict[str, Any]:
    return record_of(Result(file, "A", error=DeviceFailed("silent")), {"A": "w1"})


@pytest.fixture(params=FORMS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path / request.param)


def test_what_was_written_is_known_again(path: str) -> None:
    with open_results(path) as file:
        file.add(record(), ASKED)
    with open_results(path) as file:
        assert file.has("a.bin", SHA, ASKED)
        assert file.has("a.bin", SHA, ASKED, "A")
        assert file.serials(ASKED) == ["A"]


@pytest.mark.parametrize(
    "other", [("b.bin", SHA, ASKED), ("a.bin", "cd" * 32, ASKED), ("a.bin", SHA, "{}"), ("a.bin", SHA, ASKED, "B")]
)
def test_another_file_content_option_or_board_is_something_else(path: str, other: tuple[Any, ...]) -> None:
    with open_results(path) as file:
        file.add(record(), ASKED)
    with open_results(path) as file:
        assert not file.has(*other)


def test_a_failure_is_written_and_counts_as_missing(path: str) -> None:
    with open_results(path) as file:
        file.add(failure(), ASKED)
    with open_results(path) as file:
        assert not file.has("a.bin", SHA, ASKED)
        file.add(record(), ASKED)
    with open_results(path) as file:
        assert file.has("a.bin", SHA, ASKED)


@pytest.mark.parametrize("name", ["results.csv", "results.jsonl"])
def test_a_line_that_was_cut_off_is_dropped_and_the_rest_kept(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with open_results(str(path)) as file:
        file.add(record("ä.bin"), ASKED)
        file.add(record("b.bin"), ASKED)
    path.write_bytes(path.read_bytes()[:-20])
    with open_results(str(path)) as file:
        assert file.has("ä.bin", SHA, ASKED)
        assert not file.has("b.bin", SHA, ASKED)
        file.add(record("b.bin"), ASKED)
    with open_results(str(path)) as file:
        assert file.has("b.bin", SHA, ASKED)


@pytest.mark.thorough
def test_a_parquet_file_that_was_not_finished_is_carried_on_from_its_journal(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    with open_results(str(path)) as file:
        file.add(record("a.bin"), ASKED)
    killed = f"""
import os, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_results_file import ASKED, open_results, record
open_results({str(path)!r}).add(record("b.bin"), ASKED)
os._exit(9)
"""
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    with open_results(str(path)) as file:
        assert file.has("a.bin", SHA, ASKED)
        assert file.has("b.bin", SHA, ASKED)
    assert not path.with_name("results.parquet.journal").exists()


def test_csv_has_every_field_of_a_measurement(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with open_results(str(path)) as file:
        file.add(record(value=[1, 2], options={"window": 0.5}), ASKED)
    (row,) = csv.DictReader(path.open())
    assert tuple(row) == COLUMNS
    assert (row["value"], row["options"], row["temperature_c"], row["error"]) == (
        "[1, 2]",
        '{"window": 0.5}',
        "25.5",
        "",
    )


def test_json_lines_keep_their_types(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    with open_results(str(path)) as file:
        file.add(record(value=0.0, options={"window": 0.5}), ASKED)
    (line,) = map(json.loads, path.read_text().splitlines())
    assert (line["value"], line["options"], line["error"]) == (0.0, {"window": 0.5}, None)


def test_parquet_has_numbers_as_numbers(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = tmp_path / "results.parquet"
    with open_results(str(path)) as file:
        file.add(record(value=0), ASKED)
        file.add(record(value=2.5), ASKED)
        file.add(failure(), ASKED)
    table = pyarrow.parquet.read_table(path)
    assert table.column("value").to_pylist() == [0.0, 2.5, None]
    assert table.column("window_us").to_pylist() == [1_000_001, 1_000_001, None]
    assert table.column("error").to_pylist() == [None, None, "device_failed"]


def test_parquet_with_lists_for_values_has_them_as_json(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = tmp_path / "results.parquet"
    with open_results(str(path)) as file:
        file.add(record(value=[1, 2]), ASKED)
        file.add(record(value=0), ASKED)
    assert pyarrow.parquet.read_table(path).column("value").to_pylist() == ["[1, 2]", "0"]


@pytest.mark.parametrize("name", FORMS)
def test_a_file_of_something_else_is_left_alone(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("some notes\nof mine")
    with pytest.raises(click.UsageError, match=name):
        open_results(str(path))
    assert path.read_text() == "some notes\nof mine"


def test_a_form_that_is_unknown_is_refused(tmp_path: Path) -> None:
    with pytest.raises(click.UsageError, match=r"\.csv, \.jsonl or \.parquet"):
        open_results(str(tmp_path / "results.xlsx"))


#: Names that a file may have, and that are not plain text on one line: bytes that are no UTF-8 among them.
STRANGE = [
    "caf\udce9.bin",
    "a\u2028b.bin",
    "a\u0085b.bin",
    "a\nb.bin",
    "a\rb.bin",
    "a\r\nb.bin",
    'a"b,c.bin',
    "a\x1cb\x0b.bin",
]


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_name_of_a_bitstream_is_known_again(path: str, name: str) -> None:
    with open_results(path) as file:
        file.add(record(name), ASKED)
        file.add(record("after.bin"), ASKED)
    for _ in range(2):
        with open_results(path) as file:
            assert file.has(name, SHA, ASKED, "A")
            assert file.has("after.bin", SHA, ASKED)
            assert not file.has("b.bin", SHA, ASKED)


@pytest.mark.parametrize("name", STRANGE)
def test_csv_and_json_lines_give_a_strange_name_back_byte_for_byte(tmp_path: Path, name: str) -> None:
    for form in ("results.csv", "results.jsonl"):
        with open_results(str(tmp_path / form)) as file:
            file.add(record(name), ASKED)
    text = (tmp_path / "results.csv").open(encoding="utf-8", errors="surrogateescape", newline="")
    assert [row["file"] for row in csv.DictReader(text)] == [name]
    assert json.loads((tmp_path / "results.jsonl").read_text())["file"] == name


def test_parquet_shows_bytes_that_are_no_text_as_escapes(tmp_path: Path) -> None:
    import pyarrow.parquet

    path = tmp_path / "results.parquet"
    with open_results(str(path)) as file:
        file.add(record("caf\udce9\u2028.bin"), ASKED)
    assert pyarrow.parquet.read_table(path).column("file").to_pylist() == ["caf\\udce9\u2028.bin"]


@pytest.mark.parametrize("folder", ["caf\udce9", "a\u2028b", "a\u0085b", "a\nb"])
@pytest.mark.parametrize("form", FORMS)
def test_the_file_of_results_may_have_a_strange_name_itself(tmp_path: Path, folder: str, form: str) -> None:
    (tmp_path / folder).mkdir()
    path = f"{tmp_path}/{folder}/{folder}{form}"
    for _ in range(2):
        with open_results(path) as file:
            file.add(record(), ASKED)
    with open_results(path) as file:
        assert file.has("a.bin", SHA, ASKED)
    assert os.listdir(tmp_path / folder) == [f"{folder}{form}"]


def test_a_csv_that_was_cut_off_inside_of_a_quoted_name_keeps_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    with open_results(str(path)) as file:
        file.add(record("first.bin"), ASKED)
    whole = path.read_bytes()
    path.write_bytes(whole + b'"sec\nond')
    with open_results(str(path)) as file:
        assert file.has("first.bin", SHA, ASKED)
    assert path.read_bytes() == whole


def test_a_second_writer_is_told_who_has_the_file_since_when(path: str) -> None:
    with open_results(path), pytest.raises(CannotWrite) as refused:
        open_results(path)
    words = str(refused.value)
    assert f"process {os.getpid()} on " in words
    assert "since 20" in words
    assert "another file" in words
    with open_results(path):
        pass


def test_the_same_file_by_another_path_has_one_writer_too(tmp_path: Path) -> None:
    link = tmp_path / "link.csv"
    link.symlink_to(tmp_path / "results.csv")
    with open_results(str(tmp_path / "results.csv")), pytest.raises(CannotWrite):
        open_results(str(link))


@pytest.mark.thorough
def test_a_writer_that_was_killed_keeps_nobody_out(path: str) -> None:
    killed = (
        f"import os; from icefarm.cli.results.results_file import open_results; open_results({path!r}); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == 9
    assert os.path.exists(path + ".lock")
    with open_results(path) as file:
        file.add(record(), ASKED)
    assert not os.path.exists(path + ".lock")


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_one_sentence_and_leaves_whole_rows(
    tmp_path: Path, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / form)
    with open_results(path) as file:
        file.add(record("first.bin"), ASKED)
        written = os.write

        def full(descriptor: int, data: memoryview) -> int:
            if len(data) < 100:
                raise OSError(28, "No space left on device")
            return written(descriptor, data[:100])

        with monkeypatch.context() as disk:
            disk.setattr(os, "write", full)
            with pytest.raises(CannotWrite, match=f"{form}: No space left on device"):
                file.add(record("second.bin"), ASKED)
    with open_results(path) as file:
        assert file.has("first.bin", SHA, ASKED)
        assert not file.has("second.bin", SHA, ASKED)
