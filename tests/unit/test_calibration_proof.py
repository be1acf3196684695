"""What calibrations promise, held by virtual boards with known offset, noise, drift and temperature."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from bench.calibration import Proof, prove
from bench.virtual_model import model_library

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="the boards' model is compiled: it needs cc")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return model_library(Path(tmp_path_factory.mktemp("model")))


def missed(proof: Proof) -> list[tuple[str, str, str]]:
    return [(name, goal, measured) for name, goal, measured, met in proof.rows() if not met]


@pytest.mark.thorough
def test_sixty_boards_hold_the_promises_in_twenty_days(library: Any) -> None:
    assert missed(prove(library, boards=60, days=20, seed=2)) == []


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_hundred_boards_hold_the_promises_in_ninety_days(library: Any) -> None:
    assert missed(prove(library, boards=200, days=90, seed=1)) == []
