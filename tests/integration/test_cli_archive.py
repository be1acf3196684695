"""The verbs over the archive against a real farm: over HTTP, and as a client that follows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
from pyarrow import parquet

from icefarm.testing.processes.farm_process import FarmProcess, OwnProcess

pytestmark = pytest.mark.integration

SQUARE = str(Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin")
LIMIT = 60


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    arguments = ("--boards", "2", "--listen", "127.0.0.1:0", "--speed", "instant")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


def environment(farm: FarmProcess) -> dict[str, str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ICEFARM_")}
    return {**plain, "ICEFARM_URL": farm.url, "ICEFARM_DATA_DIR": str(farm.data_dir)}


def icefarm(farm: FarmProcess, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = forked.icefarm(*arguments)
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LIMIT, env={**environment(farm), **more}
    )


def evaluate(farm: FarmProcess, account: str, experiment: str, amount: int) -> None:
    """Evaluate a circuit so many times, and wait until the archive has it all."""
    words = ("--window", "0.01", "--devices", "2", "--wait", "--name", account, "--label", "generation=3")
    done = icefarm(farm, "evaluate", *[SQUARE] * amount, *words, ICEFARM_EXPERIMENT=experiment)
    assert done.returncode == 0, done.stderr
    for _ in range(LIMIT):
        found = icefarm(farm, "experiment", experiment, "-o", "json")
        if found.returncode == 0 and json.loads(found.stdout)["experiment"]["done"] == amount:
            return
    pytest.fail(f"the archive has not got it all: {found}")


def test_an_experiment_is_listed_read_saved_drawn_and_accounted_for(farm: FarmProcess, tmp_path: Path) -> None:
    evaluate(farm, "ada", "ga 7/é", 6)
    (listed,) = json.loads(icefarm(farm, "experiments", "--account", "ada", "-o", "json").stdout)
    assert (listed["name"], listed["account"], listed["done"]) == ("ga 7/é", "ada", 6)
    rows = [json.loads(line) for line in icefarm(farm, "results", "ga 7/é", "-o", "json").stdout.splitlines()]
    assert [(row["circuit"], row["labels"]) for row in rows] == [(SQUARE, {"generation": 3})] * 6
    board = rows[0]["serial"]
    some = icefarm(farm, "results", "ga 7/é", "--board", board, "--since", "1h", "-o", "json").stdout.splitlines()
    assert 0 < len(some) == sum(row["serial"] == board for row in rows)
    assert icefarm(farm, "results", "ga 7/é", "--out", str(tmp_path / "all.parquet")).returncode == 0
    assert parquet.read_table(tmp_path / "all.parquet")["seq"].to_pylist() == [row["seq"] for row in rows]
    drawn = icefarm(farm, "plot", "ga 7/é", "--out", str(tmp_path / "fitness.svg"))
    assert (drawn.returncode, drawn.stdout) == (0, ""), drawn.stderr
    assert (tmp_path / "fitness.svg").stat().st_size > 5000
    used = json.loads(icefarm(farm, "usage", "--by", "account", "-o", "json").stdout)
    (own,) = [each for each in used if each["account"] == "ada"]
    assert (own["boards"], own["reservations"], own["evaluations"]) == (2, 2, 6)
    assert own["seconds"] > 0


def test_an_experiment_that_there_is_not_is_an_error_of_one_line(farm: FarmProcess) -> None:
    done = icefarm(farm, "results", "none")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "icefarm: there is no experiment 'none' that you may read\n"


def test_results_are_followed_until_ctrl_c(farm: FarmProcess) -> None:
    evaluate(farm, "bob", "followed", 1)
    command = forked.icefarm("results", "followed", "--follow", "-o", "json")
    with OwnProcess(command, stdout=subprocess.PIPE, env=environment(farm)) as following:
        assert following.stdout is not None
        first = json.loads(following.stdout.readline())
        evaluate_more = icefarm(
            farm, "evaluate", SQUARE, "--experiment", "followed", "--name", "bob", "--window", "0.01"
        )
        assert evaluate_more.returncode == 0
        second = json.loads(following.stdout.readline())
        following.send_signal(signal.SIGINT)
        assert following.wait(LIMIT) == 130
    assert second["seq"] > first["seq"]
