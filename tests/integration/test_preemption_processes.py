"""Boards of a farm of real processes change hands while an experiment runs, and are shared (docs/sharing.md)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from threading import Event, Thread

import pytest
from waiting import wait_until

from icefarm.client import Farm
from icefarm.client.connection.events import BoardsChange
from icefarm.client.evaluation.results import Result
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

CIRCUITS = sorted((Path(__file__).resolve().parents[2] / "examples" / "circuits").glob("square_*.bin"))
HANDOVERS = 5


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    with FarmProcess(short_directory / "hands", ("--boards", "3", "--speed", "20", "--listen", "127.0.0.1:0")) as farm:
        farm.wait_until_ready()
        yield farm


def test_an_experiment_gives_boards_to_a_higher_priority_and_loses_and_repeats_nothing(farm: FarmProcess) -> None:
    results: list[Result] = []
    changes: list[BoardsChange] = []
    done: list[bool] = []
    fed: list[Path] = []

    def files() -> Iterator[Path]:
        while not done:
            fed.append(CIRCUITS[len(fed) % len(CIRCUITS)])
            yield fed[-1]

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
                wait_until(lambda: len(boards) == 3, "the boards are back", 60.0)
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


class Sharer(Thread):
    """A client that evaluates on shared boards until it is told to stop."""

    def __init__(self, url: str, name: str, serials: Sequence[str], window: float) -> None:
        super().__init__()
        self.name, self.url, self.serials, self.window = name, url, serials, window
        self.results: list[Result] = []
        self.fed = 0
        self.stops = Event()

    def _files(self) -> Iterator[Path]:
        while not self.stops.is_set():
            self.fed += 1
            yield CIRCUITS[self.fed % len(CIRCUITS)]

    def run(self) -> None:
        with (
            Farm(self.url, self.name) as farm,
            farm.reserve(serials=self.serials, shared=True, window=self.window) as boards,
        ):
            for result in boards.evaluate(self._files()):
                self.results.append(result)

    def board_time(self, begin: float, end: float) -> float:
        """Return the seconds of windows that were measured for it between two times."""
        measured = [result.measurement for result in self.results]
        return sum(each.window_us / 1e6 for each in measured if begin <= each.started_at and each.ended_at <= end)


def test_six_clients_share_two_boards_and_each_gets_its_part_and_every_answer_once(farm: FarmProcess) -> None:
    with Farm(farm.url, "onlooker") as onlooker:
        wait_until(lambda: len(onlooker.available()) == 3, "three boards are free", 60.0)
        serials = sorted(onlooker.available())[:2]
        sharers = [Sharer(farm.url, f"sharer{number}", serials, 1.0 + number % 2) for number in range(6)]
        try:
            for sharer in sharers:
                sharer.start()
            wait_until(lambda: all(len(sharer.results) > 2 for sharer in sharers), "each has three results", 60.0)
            begin, so_far = time.time(), [len(sharer.results) for sharer in sharers]
            shown = {board.serial: board for board in onlooker.devices()}
            wait_until(
                lambda: min(len(s.results) - n for s, n in zip(sharers, so_far, strict=True)) >= 12,
                "each has twelve results more", 60.0,
            )  # fmt: skip
            end = time.time()
        finally:
            for sharer in sharers:
                sharer.stops.set()
            for sharer in sharers:
                sharer.join(60)
        assert [sorted(shown[serial].shares.values()) for serial in serials] == [[s.name for s in sharers]] * 2
        wait_until(lambda: set(serials) <= set(onlooker.available()), "the shared boards are free again", 60.0)
    parts = [sharer.board_time(begin, end) for sharer in sharers]
    # One evaluation of each and two quanta, on each of the boards; and what was under way at both ends.
    assert max(parts) - min(parts) <= 2 * (2.1 + 1.1 + 0.2) + 2 * 2 * 2.0
    assert [(len(sharer.results), sharer.is_alive()) for sharer in sharers] == [(s.fed, False) for s in sharers]
    measured = [result.measurement for sharer in sharers for result in sharer.results]
    assert {each.attempt for each in measured} == {1}
    assert len({(each.serial, each.sequence) for each in measured}) == len(measured)
    assert {each.options["window"] for each in measured} == {1.0, 2.0}
