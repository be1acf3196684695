"""The verbs over the archive, against a farm in memory: what they print, save, and complete."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from icefarm.cli import main
from icefarm.cli.results.conditions import condition, fits, need_corrected
from icefarm.cli.ui.records import archive_columns
from icefarm.contract import RESULT_FIELDS
from icefarm.errors import InvalidArgument
from icefarm.testing.in_memory import FarmInMemory

CIRCUIT = str(Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin")
_names = count(1)


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=2) as farm:
        with farm.client(name="ada") as client, client.reserve(2, window=0.01) as boards:
            list(boards.evaluate_each([CIRCUIT], experiment="ga-7", labels={"generation": 3}, total=10))
            list(boards.evaluate([CIRCUIT], experiment="ga-7", labels={"generation": 4}))
            client.experiment("ga-7").log(generation=3, best_fitness=0.5)
            while client.experiment("ga-7").info().experiment.done < 3:
                pass
        yield farm


def icefarm(farm: FarmInMemory, *arguments: str, name: str | None = None) -> Result:
    """Run a verb against the farm, as somebody new or under a name."""
    mine = {
        "ICEFARM_URL": "",
        "ICEFARM_NAME": "",
        "ICEFARM_TOKEN": "",
        "ICEFARM_DATA_DIR": "",
        "ICEFARM_EXPERIMENT": "",
    }

    def sign_in(_: object) -> Any:
        return farm.client(name=name or f"reader-{next(_names)}")

    return CliRunner().invoke(main, list(arguments), obj=sign_in, env=mine, prog_name="icefarm")


def results(farm: FarmInMemory, *arguments: str) -> list[dict[str, Any]]:
    """Return the results that a verb prints."""
    done = icefarm(farm, "results", "ga-7", "-o", "json", *arguments)
    assert done.exit_code == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_experiments_are_listed_with_their_progress(farm: FarmInMemory) -> None:
    # Other tests have experiments, too.
    titles, *lines = (line.split("\t") for line in icefarm(farm, "experiments").stdout.splitlines())
    (row,) = (row for row in (dict(zip(titles, fields, strict=True)) for fields in lines) if row["NAME"] == "ga-7")
    assert (row["NAME"], row["ACCOUNT"], row["DONE"], row["PROGRESS"]) == ("ga-7", "ada", "3", "30%")
    assert json.loads(icefarm(farm, "experiments", "--account", "bob", "-o", "json").stdout) == []


def test_an_experiment_is_shown_with_its_boards(farm: FarmInMemory) -> None:
    shown = icefarm(farm, "experiment", "ga-7").stdout
    assert "done:       3\n" in shown
    assert "progress:   30%\n" in shown
    assert shown.count("\n") == 11 + 1 + 3
    whole = json.loads(icefarm(farm, "experiment", "ga-7", "-o", "json").stdout)
    assert sum(board["done"] for board in whole["boards"]) == 3


def test_an_unknown_experiment_is_one_line(farm: FarmInMemory) -> None:
    for verb in ("experiment", "results"):
        done = icefarm(farm, verb, "none")
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == "icefarm: there is no experiment 'none' that you may read\n"


def test_results_are_printed_in_each_form(farm: FarmInMemory) -> None:
    assert [row["labels"]["generation"] for row in results(farm)] == [3, 3, 4]
    rows = list(csv.DictReader(io.StringIO(icefarm(farm, "results", "ga-7", "-o", "csv").stdout)))
    assert [row["circuit"] for row in rows] == [CIRCUIT] * 3
    lines = icefarm(farm, "results", "ga-7").stdout.splitlines()
    assert (len(lines), lines[0].split("\t")[:3]) == (4, ["ENDED_AT", "SERIAL", "CIRCUIT"])


def test_results_have_corrected_values_beside_them_where_that_is_asked_for(farm: FarmInMemory, tmp_path: Path) -> None:
    plain, rows = results(farm), results(farm, "--corrected")
    # These boards have no calibration.
    assert rows == [{**row, "corrected": None, "standard_uncertainty": None} for row in plain]
    assert "CORRECTED" in icefarm(farm, "results", "ga-7", "--corrected").stdout.splitlines()[0]
    for name in ("all.csv", "all.parquet"):
        icefarm(farm, "results", "ga-7", "--corrected", "--out", str(tmp_path / name))
    head = (tmp_path / "all.csv").read_text().splitlines()[0]
    assert head.split(",")[-2:] == ["corrected", "standard_uncertainty"]
    assert parquet.read_table(tmp_path / "all.parquet").column_names == head.split(",")


def test_results_are_chosen_by_their_corrected_values_without_showing_them(farm: FarmInMemory) -> None:
    assert results(farm, "--where", "corrected=null") == results(farm)
    assert results(farm, "--where", "corrected>=0") == []


def test_a_corrected_value_has_the_places_that_its_uncertainty_has_meaning_for() -> None:
    shape = archive_columns.CORRECTED_RESULTS
    row = dict.fromkeys(shape.fields) | {"corrected": 1000.0123, "standard_uncertainty": 0.043}
    shown = {column.title: column.cell(row) for column in shape.columns if column.title == "CORRECTED"}
    assert shown == {"CORRECTED": "1000.012 ± 0.043"}


def test_progress_is_100_percent_only_when_nothing_is_missing() -> None:
    told = [archive_columns.progress({"total": 20_000, "done": done, "failed": 1}) for done in (0, 19_998, 19_999)]
    assert told == ["0%", "99%", "100%"]


def test_results_are_chosen_by_board_time_and_condition(farm: FarmInMemory) -> None:
    serial = results(farm)[0]["serial"]
    assert {row["serial"] for row in results(farm, "--board", serial)} == {serial}
    assert len(results(farm, "--where", "label.generation=4")) == 1
    assert results(farm, "--where", "number<0") == results(farm, "--failed") == []
    assert (
        len(results(farm, "--since", "1h", "--ok", "--where", f"serial={serial}", "--where", "label.generation<4")) == 1
    )


@pytest.mark.parametrize("name", ["all.csv", "all.jsonl", "all.parquet"])
def test_results_are_saved(name: str, farm: FarmInMemory, tmp_path: Path) -> None:
    path = tmp_path / name
    done = icefarm(farm, "results", "ga-7", "--out", str(path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == f"icefarm: wrote 3 results to {path}\n"
    if name.endswith("parquet"):
        assert parquet.read_table(path).column_names == list(RESULT_FIELDS)
        assert parquet.read_table(path)["labels"].to_pylist()[0] == '{"generation": 3}'
    else:
        assert path.read_text().count(CIRCUIT) == 3
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_another_sort_is_refused(farm: FarmInMemory, tmp_path: Path) -> None:
    done = icefarm(farm, "results", "ga-7", "--out", str(tmp_path / "all.xls"))
    assert (done.exit_code, list(tmp_path.iterdir())) == (2, [])
    assert "--out writes .csv, .jsonl or .parquet" in done.stderr


def test_usage_is_listed_by_account_board_and_experiment(farm: FarmInMemory) -> None:
    rows = json.loads(icefarm(farm, "usage", "--by", "experiment", "-o", "json", name="ada").stdout)
    (found,) = [each for each in rows if each["experiment"] == "ga-7"]
    assert (found["evaluations"], found["boards"], found["reservations"]) == (3, 2, 0)
    shown = icefarm(farm, "usage", "--by", "account", "--by", "board", name="ada").stdout.splitlines()
    assert shown[0].split("\t")[:3] == ["ACCOUNT", "SERIAL", "HOURS"]
    assert len([line for line in shown if line.startswith("ada\t")]) == 2
    # A reader that has used nothing.
    nothing = icefarm(farm, "usage", "-o", "json")
    assert json.loads(nothing.stdout) == []
    assert "nothing was used under your account in that time; operators see all accounts (--all)" in nothing.stderr
    assert "only an operator" in icefarm(farm, "usage", "--account", "ada").stderr


@pytest.mark.thorough
def test_a_plot_has_boards_the_best_and_the_clients_figures(farm: FarmInMemory, tmp_path: Path) -> None:
    path = tmp_path / "fitness.svg"
    done = icefarm(farm, "plot", "ga-7", "--out", str(path))
    assert done.stderr == f"icefarm: drew 3 values of 2 boards into {path}\n"
    text = path.read_text()
    assert text.startswith("<?xml")
    words = [f"board {results(farm)[0]['serial']}", "best so far (max)", "best_fitness", "generation"]
    # The letters are paths, each below a comment with the text.
    assert [word for word in words if f"<!-- {word} -->" not in text] == []


def test_a_plot_in_an_unknown_form_and_one_of_nothing_are_refused(farm: FarmInMemory, tmp_path: Path) -> None:
    done = icefarm(farm, "plot", "ga-7", "--out", str(tmp_path / "fitness.xls"))
    assert (done.exit_code, ".svg" in done.stderr) == (2, True)
    done = icefarm(farm, "plot", "none", "--out", str(tmp_path / "fitness.svg"))
    assert (done.exit_code, "no experiment 'none'" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []


def test_without_matplotlib_it_says_what_to_install(
    farm: FarmInMemory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = icefarm(farm, "plot", "ga-7", "--out", str(tmp_path / "fitness.svg"))
    assert "matplotlib is not installed: pip install 'icefarm[plot]'" in done.stderr


def test_evaluate_names_the_experiment_and_labels(farm: FarmInMemory) -> None:
    asked = (
        "--window",
        "0.01",
        "--experiment",
        "by-hand",
        "--label",
        "generation=9",
        "--label",
        "note=x",
        "--total",
        "4",
    )
    assert icefarm(farm, "evaluate", CIRCUIT, *asked).exit_code == 0
    with farm.client(name="looking") as client:
        found = client.experiment("by-hand")
        while found.info().experiment.done < 1:
            pass
        assert found.info().experiment.total == 4
        assert [result.labels for result in found.results()] == [{"generation": 9, "note": "x"}]


def test_bad_labels_and_a_total_of_no_experiment_are_refused(farm: FarmInMemory) -> None:
    assert "--label" in icefarm(farm, "evaluate", CIRCUIT, "--label", "a=[1]").stderr
    assert "--total needs --experiment" in icefarm(farm, "evaluate", CIRCUIT, "--total", "4").stderr


# -------------------------------------------------------------------------------------------------- conditions

ROW = {"number": 7.0, "circuit": "a.bin", "serial": "17", "error": None, "labels": {"generation": 3, "note": "x y"}}
ROW |= {"board_labels": {"lab": "3"}, "value": [1, 2], "corrected": 6.75, "standard_uncertainty": None}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("number=7", True), ("number != 7", False), ("number>6.5", True), ("number>=7", True), ("number<7", False),
        ("circuit=a.bin", True), ("circuit<b", True), ("serial=17", True), ("serial!=17", False),
        ("error=null", True), ("error=timed_out", False), ("error<z", False), ("number<z", False),
        ("label.generation<=3", True), ('label.note="x y"', True), ("label.other=1", False), ("label.other!=1", True),
        ("number in 6..8 and circuit=a.bin", True), ("not number=7 or label.generation in (1, 3)", True),
        ("corrected in 6.5..6.8", True), ("corrected>7", False), ("standard_uncertainty=null", True),
        ("board.lab=3", True), ("board.lab>5", False), ('value="[1,2]"', True),
    ],
)  # fmt: skip
def test_a_condition_holds_or_not(text: str, holds: bool) -> None:
    assert fits(ROW, [condition(text)]) == holds


@pytest.mark.parametrize(
    ("texts", "needed"),
    [(["number>1"], False), (["number>1", "corrected>1"], True), (["error=null and standard_uncertainty<1"], True)],
)
def test_conditions_on_corrected_values_need_them(texts: list[str], needed: bool) -> None:
    assert need_corrected(map(condition, texts)) == needed


@pytest.mark.parametrize("text", ["", "number>", "=7", "volue>7", "generation=3", "label.note=x y"])
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises((ValueError, InvalidArgument), match=r"must |names no column"):
        condition(text)
