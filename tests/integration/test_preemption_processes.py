"""Boards of a farm of real processes change hands while an experiment runs, and come back to it (docs/sharing.md)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread

import pytest

from icefarm.client import Farm
from icefarm.client.connection.events import BoardsChange
from icefarm.client.evaluation.results import Result
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

CIRCUITS = sorted((Path(__file__).resolve().parents[2] / "examples" / "circuits").glob("square_*.bin"))
HANDOVERS = 5


def until(condition: Callable[[], object]) -> None:
    limit = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_an_experiment_gives_boards_to_a_higher_priority_and_loses_and_repeats_nothing(short_directory: Path) -> None:
    results: list[Result] = []
    changes: list[BoardsChange] = []
    done: list[bool] = []
    fed = []

    def files() -> Iterator[Path]:
        while not done:
            fed.append(CIRCUITS[len(fed) % len(CIRCUITS)])
            yield fed[-1]

    with FarmProcess(short_directory / "hands", ("--boards", "3", "--speed", "20", "--listen", "127.0.0.1:0")) as farm:
        farm.wait_until_ready()
        with Farm(farm.url, "ada") as ada, Farm(farm.url, "bob") as bob:
            terms = {"at_least": 1, "preemptible": True, "priority": 10.0}
            boards = ada.reserve(3, **terms, on_boards_changed=changes.append)  # type: ignore[call-overload]
            running = Thread(target=lambda: results.extend(boards.evaluate(files())))
            running.start()
            try:
                for number in range(HANDOVERS):
                    taken = bob.reserve(1 + number % 2, wait=True, timeout=60)
                    assert len(boards) == 3 - len(taken)
                    taken.end()
                    until(lambda: len(boards) == 3)
            finally:
                done.append(True)
                running.join(60)
    assert not running.is_alive()
    assert sum(len(change.left) for change in changes) >= HANDOVERS
    assert [result.error for result in results if result.error is not None] == []
    assert Counter(result.source for result in results) == Counter(fed)
    assert {result.measurement.attempt for result in results} == {1}
    measured = [result.measurement for result in results]
    assert len({each.evaluation_id for each in measured}) == len(fed)
