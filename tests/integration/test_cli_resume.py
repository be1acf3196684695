"""``icefarm evaluate --out``: a run that was broken off is carried on, and measures only what is missing."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from icefarm.cli import main
from icefarm.cli.results.results_file import open_results
from icefarm.testing.in_memory import FarmInMemory

pytestmark = pytest.mark.integration

CIRCUITS = sorted(str(path) for path in (Path(__file__).parents[2] / "examples" / "circuits").glob("*.bin"))


@pytest.fixture
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=3) as farm:
        yield farm


def evaluate(farm: FarmInMemory, *arguments: str) -> Result:
    farm.wait_until_available()
    environment = {"ICEFARM_URL": "", "ICEFARM_NAME": "", "ICEFARM_TOKEN": "", "ICEFARM_DATA_DIR": ""}
    done = CliRunner().invoke(
        main,
        ["evaluate", *arguments, "--window", "0.5", "-o", "csv"],
        obj=lambda _: farm.client("cli"),
        env=environment,
    )
    assert done.exit_code == 0, done.output
    return done


def rows(path: Path) -> list[tuple[str, str, str]]:
    return [(row["file"], row["serial"], row["value"]) for row in csv.DictReader(path.open())]


def test_only_what_is_missing_is_measured(farm: FarmInMemory, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    evaluate(farm, *CIRCUITS[:2], "--out", str(out))
    first = rows(out)
    said = evaluate(farm, *CIRCUITS, "--out", str(out))
    assert len(said.stdout.splitlines()) == 1 + len(CIRCUITS) - 2
    assert rows(out)[:2] == first
    assert sorted(file for file, _, _ in rows(out)) == CIRCUITS


def test_when_nothing_is_missing_no_board_is_reserved(farm: FarmInMemory, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    evaluate(farm, *CIRCUITS[:2], "--out", str(out))
    content = out.read_bytes()
    with farm.client("other").reserve(3, wait=True, timeout=10):
        said = CliRunner().invoke(
            main, ["evaluate", *CIRCUITS[:2], "--window", "0.5", "--out", str(out)], obj=lambda _: farm.client("cli")
        )
    assert said.exit_code == 0
    assert "has all of these results already" in said.output
    assert out.read_bytes() == content


def test_other_options_are_another_measurement(farm: FarmInMemory, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    evaluate(farm, CIRCUITS[0], "--out", str(out))
    evaluate(farm, CIRCUITS[0], "--out", str(out), "--repeats", "2")
    assert len(rows(out)) == 2


def test_a_placement_is_recorded_and_carried_on_as_it_was(farm: FarmInMemory, tmp_path: Path) -> None:
    whole, broken_off = tmp_path / "whole.csv", tmp_path / "broken_off.csv"
    how = ("--placement", "distinct:2", "--seed", "3", "--devices", "3", *CIRCUITS)
    evaluate(farm, *how, "--out", str(whole))
    broken_off.write_text("".join(whole.read_text().splitlines(keepends=True)[:3]))
    evaluate(farm, *how, "--out", str(broken_off))
    assert len(rows(whole)) == 2 * len(CIRCUITS)
    assert {row[:2] for row in rows(broken_off)} == {row[:2] for row in rows(whole)}
    record = json.loads(next(csv.DictReader(whole.open()))["placement"])
    assert (record["placement"], record["k"], record["seed"]) == ("distinct", 2, 3)


def test_each_board_is_carried_on_with_by_itself(farm: FarmInMemory, tmp_path: Path) -> None:
    out = tmp_path / "results.csv"
    evaluate(farm, "--each", "--devices", "2", *CIRCUITS[:2], "--out", str(out))
    lines = out.read_text().splitlines(keepends=True)
    out.write_text("".join(lines[:-1]))
    before = rows(out)
    evaluate(farm, "--each", "--devices", "2", *CIRCUITS[:2], "--out", str(out))
    assert rows(out)[:3] == before
    assert len(rows(out)) == 4
    assert len({(file, serial) for file, serial, _ in rows(out)}) == 4


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_files_with_strange_names_are_measured_once_whatever_the_form(
    farm: FarmInMemory, tmp_path: Path, form: str
) -> None:
    names = [f"caf{chr(0xDCE9)}.bin", f"a{chr(0x2028)}b.bin", f"a{chr(0x85)}b.bin", "a\nb.bin", "a\rb.bin"]
    files = [shutil.copy(CIRCUITS[0], f"{tmp_path}/{name}") for name in names]
    out = f"{tmp_path}/r{chr(0xDCE9)}{chr(0x2028)}.{form}"
    evaluate(farm, *files[:3], "--out", out)
    evaluate(farm, *files, "--out", out)
    content = Path(out).read_bytes()
    said = evaluate(farm, *files, "--out", out)
    assert "has all of these results already" in said.output
    assert Path(out).read_bytes() == content


def test_a_second_run_into_the_same_file_reserves_nothing_and_says_who_has_it(
    farm: FarmInMemory, tmp_path: Path
) -> None:
    out = str(tmp_path / "results.csv")
    with open_results(out):
        said = CliRunner().invoke(main, ["evaluate", *CIRCUITS, "--out", out], obj=lambda _: farm.client("cli"))
    assert said.exit_code == 1
    assert f"icefarm: --out {out}: process {os.getpid()} on " in said.stderr
    assert said.stderr.count("\n") == 1
    evaluate(farm, *CIRCUITS[:2], "--out", out)
    assert len(rows(Path(out))) == 2
