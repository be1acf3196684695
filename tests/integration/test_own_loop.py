"""The loop of docs/evolution.md: it comes nearer to its target on a farm of virtual boards."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from icefarm.testing.in_memory import FarmInMemory

pytestmark = pytest.mark.integration

EXAMPLE = Path(__file__).parents[2] / "examples" / "own_loop.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    specification = importlib.util.spec_from_file_location("own_loop", EXAMPLE)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_children_come_nearer_to_the_target_on_a_landscape(example: ModuleType) -> None:
    with FarmInMemory(boards=4, model="landscape") as farm:
        history = example.evolve(farm.client_class, children=80)
    assert len(history) == 80
    assert history == sorted(history, reverse=True)
    assert history[-1] < history[0] - 300


def test_the_loop_has_sixty_lines_as_its_page_says() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 60
