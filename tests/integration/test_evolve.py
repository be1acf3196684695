"""The example that evolves: it gets better, the same seed gives the same history, and its plot is a file."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from icefarm.testing.in_memory import URL, FarmInMemory

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    specification = importlib.util.spec_from_file_location("evolve", ROOT / "examples" / "evolve.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    # attrs looks annotations up in the module.
    sys.modules["evolve"] = module
    specification.loader.exec_module(module)
    yield module
    del sys.modules["evolve"]


def evolved(example: ModuleType, *arguments: str, boards: int = 2, **farm: Any) -> Any:
    words = ["--url", URL, "--boards", str(boards), "--generations", "4", "--population", "10", *arguments]
    with FarmInMemory(boards=boards, model="landscape", **farm) as running:
        return example.main(words, running.async_client_class)


def test_later_generations_are_nearer_to_the_target(example: ModuleType) -> None:
    history = evolved(example, "--generations", "12")
    best = [generation.best for generation in history.generations]
    assert best == sorted(best, reverse=True)
    assert best[-1] < best[0] - 300


def test_the_same_seed_gives_the_same_history_on_any_number_of_boards(example: ModuleType) -> None:
    assert evolved(example, "--seed", "7") == evolved(example, "--seed", "7", boards=3)


def test_another_seed_gives_another_history(example: ModuleType) -> None:
    assert evolved(example, "--seed", "7") != evolved(example, "--seed", "8")


def test_the_plot_is_a_file_and_the_same_each_time(example: ModuleType, tmp_path: Path) -> None:
    history = evolved(example)
    for name in ("one.svg", "other.svg"):
        example.plot(history, example.Plan(), tmp_path / name)
    picture = (tmp_path / "one.svg").read_bytes()
    assert picture.startswith(b"<?xml")
    assert picture == (tmp_path / "other.svg").read_bytes()


def test_a_circuit_keeps_all_but_its_truth_tables(example: ModuleType) -> None:
    template = example.Template(example.CIRCUIT, 40)
    assert template.length == 40 * 8 * 16
    assert template.grown(template.genes).data == example.from_bytes(example.CIRCUIT.read_bytes()).data
    assert template.grown(template.genes ^ 1).data != template.grown(template.genes).data
