"""Scripts in the form that people wrote for icefarm 0.1.x run against a real farm: ``scripts/``."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest

from icefarm.client import Farm
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

HERE = Path(__file__).resolve().parent
CIRCUITS = sorted((HERE.parents[1] / "examples" / "circuits").glob("*.bin"))
FOUR_PINS = HERE.parents[1] / "examples" / "circuits" / "four_pins" / "four_pins.bin"
BOARDS = 3
#: Seconds for a script.
LIMIT = 90.0


@pytest.fixture(scope="module")
def url(short_directory: Path) -> Iterator[str]:
    """A farm that runs for the tests of this module."""
    arguments = ("--boards", str(BOARDS), "--listen", "127.0.0.1:0", "--speed", "instant")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm.url


def run(name: str, *arguments: object) -> None:
    """Run a script to its end: it says "done", and leaves no reservation."""
    command = forked.python(str(HERE / "scripts" / name), *map(str, arguments))
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert "Traceback" not in done.stderr
    with Farm(str(arguments[0]), name="onlooker") as farm:
        assert farm.reservations() == []


def test_a_script_that_counts_pulses_runs_unchanged(url: str) -> None:
    run("count_pulses.py", url, *CIRCUITS)


def test_an_evolution_runs_unchanged(url: str, tmp_path: Path) -> None:
    run("evaluations.py", url, tmp_path, *CIRCUITS)


def test_a_script_that_measures_variance_runs_unchanged(url: str) -> None:
    run("variance.py", url, CIRCUITS[0])


def test_a_script_that_counts_on_several_pins_runs_unchanged(url: str) -> None:
    run("multi_pulses.py", url, FOUR_PINS)


def test_the_command_line_shows_each_pin_with_its_count(url: str) -> None:
    command = forked.icefarm("evaluate", "--url", url, "--kind", "multipulsecount")
    done = subprocess.run(
        [*command, "--pins", "27,18,9", "--window", "0.5", str(FOUR_PINS)],
        capture_output=True, text=True, timeout=LIMIT, check=True,
    )  # fmt: skip
    head, row = (line.split("\t") for line in done.stdout.splitlines())
    assert row[head.index("VALUE")] == "27=4000,18=0,9=500"


def test_a_script_with_event_handlers_runs_unchanged(url: str) -> None:
    run("events.py", url, CIRCUITS[0])


def test_a_script_that_looks_after_boards_runs_unchanged(url: str) -> None:
    run("managing.py", url, CIRCUITS[0])


@pytest.mark.skipif(shutil.which("yosys") is None, reason="yosys is not installed")
@pytest.mark.skipif(shutil.which("nextpnr-ice40") is None, reason="nextpnr-ice40 is not installed")
def test_a_script_that_makes_its_circuits_runs_unchanged(url: str, tmp_path: Path) -> None:
    run("circuits.py", url, tmp_path)
