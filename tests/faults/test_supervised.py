"""``icefarm up`` starts each of its parts again by itself, and clients notice no more than a pause."""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from icefarm.client import Farm
from icefarm.testing.processes.farm_process import FarmProcess, command_of

pytestmark = pytest.mark.faults

CIRCUITS = sorted((Path(__file__).parents[2] / "examples" / "circuits").glob("*.bin"))
#: A word of each part's command line.
PARTS = ("icefarm-boards", "icefarm-control", "icefarm-worker", "postgres -D", "crossbar-controller")
#: Results between two killings, and after the last one.
BETWEEN = 40


def first_process(farm: FarmProcess, word: str) -> int:
    """Return the process of a part that has started the others of it."""
    found = {pid: command_of(pid) for pid in farm.processes()}
    return min(
        pid for pid, command in found.items() if word in command and "icefarm.farm.processes.child" not in command
    )


def test_each_part_of_a_farm_is_started_again_and_no_evaluation_is_lost(tmp_path: Path) -> None:
    arguments = ("--boards", "2", "--speed", "20", "--listen", "127.0.0.1:0")
    left, answers, values = list(PARTS), Counter[Path](), defaultdict[Path, set[int]](set)
    with FarmProcess(tmp_path / "farm", arguments) as process:
        process.wait_until_ready()
        with Farm(process.url, name="patient") as farm, farm.reserve(2, window=0.5) as boards:
            items = [CIRCUITS[number % len(CIRCUITS)] for number in range(BETWEEN * (len(PARTS) + 1))]
            for number, result in enumerate(boards.evaluate(items), start=1):
                answers[result.source] += 1
                values[result.source].add(result.value)
                if number % BETWEEN == 0 and left:
                    os.kill(first_process(process, left.pop(0)), signal.SIGKILL)
            assert len(boards) == 2
    assert left == []
    assert answers == Counter(items)
    assert all(len(each) == 1 for each in values.values()), "boards without an offset measure the same"
