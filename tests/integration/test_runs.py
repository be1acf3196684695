"""Runs of real farms: cited, exported, measured again elsewhere; and closed after a crash of whatever takes part."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from attrs import frozen
from waiting import wait_until

from icefarm.client import Farm
from icefarm.runs.package import Package
from icefarm.testing.processes.farm_process import FarmProcess, OwnProcess

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
CIRCUITS = [str(path) for path in sorted((ROOT / "examples" / "circuits").glob("square*.bin"))]
#: Seconds for a run to be closed; and for a command.
LIMIT, COMMAND = 90.0, 120.0
#: Evaluates until it is killed; says when the first result is there.
ENDLESS = f"""
import itertools, sys
from icefarm.client import Farm
farm = Farm(name="doomed", experiment="doomed")
boards = farm.reserve(1, window=0.05)
for number, result in enumerate(boards.evaluate(itertools.cycle({CIRCUITS!r}))):
    print(number, flush=True)
"""


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    arguments = ("--boards", "2", "--listen", "127.0.0.1:0", "--speed", "instant", "--grace", "2")
    with FarmProcess(short_directory / "first", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture(scope="module")
def fast(short_directory: Path) -> Iterator[FarmProcess]:
    """A farm whose boards' clocks are wrong, and scatter."""
    arguments = ("--boards", "1", "--listen", "127.0.0.1:0", "--speed", "instant", "--name", "fast")
    arguments += ("--offset-ppm", "20000")
    with FarmProcess(short_directory / "fast", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@frozen
class Cited:
    """A run as it was read."""

    id: str
    manifest: dict[str, Any]
    results: list[dict[str, Any]]


def closed(url: str, experiment: str, amount: int = 1) -> list[Cited]:
    """Return the runs of an experiment, the first one first, once all are closed."""
    runs: list[Any] = []

    def are_closed() -> bool:
        if experiment in [each.name for each in farm.experiments()]:
            runs[:] = farm.experiment(experiment).runs()
        return len(runs) == amount and all(run.state == "closed" for run in runs)

    with Farm(url, name="reader") as farm:
        wait_until(are_closed, lambda: f"{amount} closed runs of {experiment}: {runs}", LIMIT)
        found = [farm.archived_run(run.id) for run in reversed(runs)]
        return [Cited(run.id, run.manifest, run.results()) for run in found]


def icefarm(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ICEFARM_URL": url}
    command = forked.icefarm(*arguments)
    return subprocess.run(
        command, capture_output=True, text=True, timeout=COMMAND, check=False, cwd=ROOT, env=environment
    )


def test_a_run_is_exported_and_measured_again_on_another_farm(
    farm: FarmProcess, fast: FarmProcess, tmp_path: Path
) -> None:
    done = icefarm(farm.url, "evaluate", *CIRCUITS, "--window", "0.1", "--repeats", "3", "--experiment", "cited")
    assert done.returncode == 0, done.stderr
    (run,) = closed(farm.url, "cited")
    file = str(tmp_path / "run.icefarm.zip")
    done = icefarm(farm.url, "run", run.id, "--out", file, "--circuits", "examples/circuits")
    assert done.returncode == 0, done.stderr
    with Package.open(Path(file)) as package:
        assert (package.id, len(package.circuits)) == (run.id, 3)
    same = icefarm(farm.url, "replay", file)
    assert same.returncode == 0, same.stderr
    # The script of docs/runs.md.
    script = (ROOT / "docs" / "runs.md").read_text().rpartition("```python\n")[2].partition("```")[0]
    own = {**os.environ, "ICEFARM_URL": farm.url}
    command = forked.python("-c", script)
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND, check=False, cwd=tmp_path, env=own)
    assert done.stdout.startswith("True 3 of 3 values agree"), done.stderr
    other = icefarm(fast.url, "replay", file, "-o", "json")
    assert other.returncode == 1, other.stderr
    found = json.loads(other.stdout)
    assert found["run"] == run.id
    assert found["differences"][0]["what"] == "board"
    assert all(not cell["agrees"] and abs(cell["difference"] / cell["first"]) > 1e-3 for cell in found["cells"])
    fetched = icefarm(fast.url, "replay", run.id, "--from", farm.url, "--circuits", "examples/circuits", "-o", "csv")
    assert fetched.returncode == 1, fetched.stderr
    assert len(fetched.stdout.splitlines()) == 4


def test_the_example_compares_two_farms(farm: FarmProcess, fast: FarmProcess) -> None:
    def compared(second: str) -> tuple[int, list[str]]:
        command = forked.python("examples/compare_farms.py", farm.url, second, *CIRCUITS)
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMMAND, check=False, cwd=ROOT)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()

    code, lines = compared(fast.url)
    assert code == 1
    assert sum(line.endswith("  NO") for line in lines) == 3
    assert lines[-1].startswith("0 of 3 values agree")
    code, lines = compared(farm.url)
    assert code == 0
    assert lines[-1].startswith("3 of 3 values agree")


def test_a_run_whose_client_is_killed_is_closed_with_what_was_measured(farm: FarmProcess) -> None:
    environment = {**os.environ, "ICEFARM_URL": farm.url}
    with OwnProcess(forked.python("-c", ENDLESS), stdout=subprocess.PIPE, env=environment) as script:
        assert script.stdout is not None
        seen = 0
        for line in script.stdout:
            seen = int(line)
            if seen >= 20:
                script.kill()
        script.wait(COMMAND)
    (run,) = closed(farm.url, "doomed")
    assert run.manifest["answered"] is None
    assert run.manifest["results"]["count"] >= seen
    lines = run.results
    assert [line["index"] for line in lines] == list(range(len(lines)))


@pytest.mark.parametrize("part", ["icefarm-control", "icefarm-worker"])
def test_a_run_during_which_a_part_of_the_farm_is_killed_is_whole(farm: FarmProcess, part: str) -> None:
    experiment = f"without {part}"
    with Farm(farm.url, name="steady", experiment=experiment) as client, client.reserve(2, window=0.05) as boards:
        values = []
        for number, result in enumerate(boards.evaluate(CIRCUITS * 40)):
            values.append(result.value)
            if number == 30:
                os.kill(farm.processes(part)[0], signal.SIGKILL)
        # It answers again.
        client.snapshot()
    assert len(values) == len(CIRCUITS) * 40
    (run,) = closed(farm.url, experiment)
    manifest, lines = run.manifest, run.results
    assert manifest["answered"] == {"results": len(values), "failed": 0}
    assert (manifest["results"]["count"], len(lines)) == (len(values), len(values))
    assert sorted(line["value"] for line in lines) == sorted(values)
    assert hashlib.sha256(json.dumps(manifest, sort_keys=True, separators=(",", ":")).encode()).hexdigest() == run.id
