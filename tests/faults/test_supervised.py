"""``icefarm up`` starts each of its parts again by itself, and clients notice no more than a pause."""

from __future__ import annotations

import os
import signal
from collections import Counter, defaultdict
from pathlib import Path

import pytest
from waiting import wait_until

from faults.logs import LogCheck
from icefarm.client import Farm
from icefarm.farm.router.turn import STANDS_BY
from icefarm.testing.processes.farm_process import FarmProcess, command_of

pytestmark = pytest.mark.faults

CIRCUITS = sorted((Path(__file__).parents[2] / "examples" / "circuits").glob("*.bin"))
#: A word of each part's command line.
PARTS = ("icefarm-boards", "icefarm-control", "icefarm-worker", "postgres -D", "crossbar-controller")
#: Results between two killings, and after the last one.
BETWEEN = 40
#: Seconds until the second router stands by, on a busy machine.
STANDBY_LIMIT = 120.0


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
    LogCheck(tmp_path / "farm" / "log").check()
    assert left == []
    assert answers == Counter(items)
    assert all(len(each) == 1 for each in values.values()), "boards without an offset measure the same"


def wait_for_standby(log: Path) -> None:
    """Wait until the router whose log this is stands by."""
    wait_until(
        lambda: log.exists() and STANDS_BY in log.read_text(),
        f"a router stands by; its log is {log}",
        STANDBY_LIMIT,
    )


@pytest.mark.parametrize("word", ["crossbar-controller", "crossbar-worker"])
def test_a_router_that_is_killed_is_replaced_by_the_one_that_stands_by_and_nothing_is_lost(
    tmp_path: Path, word: str
) -> None:
    arguments = ("--boards", "2", "--speed", "20", "--listen", "127.0.0.1:0", "--standby")
    answers = Counter[Path]()
    with FarmProcess(tmp_path / "farm", arguments) as process:
        process.wait_until_ready()
        wait_for_standby(tmp_path / "farm" / "log" / "router-2.log")
        with Farm(process.url, name="patient") as farm, farm.reserve(2, window=0.5) as boards:
            reserved = {record.serial: record.id for record in boards.reservations}
            items = [CIRCUITS[number % len(CIRCUITS)] for number in range(2 * BETWEEN)]
            for number, result in enumerate(boards.evaluate(items), start=1):
                answers[result.source] += 1
                if number == BETWEEN:
                    os.kill(first_process(process, word), signal.SIGKILL)
            assert {record.serial: record.id for record in boards.reservations} == reserved
            found = {record.serial: record.id for record in farm.snapshot().reservations if record.ended_at is None}
            assert found == reserved
        line = process.next_line("^router ")
        left = process.processes()
    LogCheck(tmp_path / "farm" / "log").check()
    assert answers == Counter(items)
    assert line.endswith("; the one that stood by takes over\n")
    assert [pid for pid in left if command_of(pid)] == []
