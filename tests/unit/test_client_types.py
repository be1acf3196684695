"""A type checker finds a wrong option of `reserve` in every face, before a script ever runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_type_hints

import attrs
import pytest
from mypy import api

from icefarm.client.api import calls
from icefarm.kinds.pulsecount import PulseCount
from icefarm.kinds.variance import Variance

ROOT = Path(__file__).parents[2]
#: Each line is checked by itself in each face; a comment says what mypy finds in it.
LINES = """\
farm.reserve(2)
farm.reserve(2, window=0.5, overlap=False, wait=True, timeout=60)
farm.reserve(serials=["A"], kind="pulsecount", window=0.5)
farm.reserve(2, kind="variance", samples=100, rate_hz=1000, delay=0.1, waveform=True)
farm.reserve(2, kind="console", options={"baud": 9600})
farm.reserve(2, kind=str(1), options={"baud": 9600}, seconds=60, grace=30, keep=False)
farm.reserve(2, windw=3)  # windw
farm.reserve(2, kind="pulsecount", windw=3)  # windw
farm.reserve(2, window="3")  # window
farm.reserve(2, kind="variance", window=3)  # window
farm.reserve(2, kind="variance", samples=1.5)  # samples
farm.reserve(2, wait="yes")  # wait
farm.reserve("two")  # amount
farm.extend(seconds="long")  # seconds
"""
#: By face: how a call is awaited, and a block that uses the boards.
FACES = {
    "blocking": ("", "with farm.reserve(1) as boards:\n        for r in boards.evaluate([]): r.value"),
    "aio": (
        "await ",
        "async with await farm.reserve(1) as boards:\n        async for r in boards.evaluate([]): r.value",
    ),
    "deferred": ("await ", "async with await farm.reserve(1) as boards:\n        boards.evaluate([])"),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[int]]:
    """Run mypy over the lines in every face; return the lines with an error, by face."""
    directory = tmp_path_factory.mktemp("types")
    scripts = []
    for face, (awaited, block) in FACES.items():
        script = directory / f"use_{face}.py"
        script.write_text(
            f"from icefarm.client import {face}\n\n\n"
            f"async def use(farm: {face}.Farm) -> None:\n"
            + "".join(f"    {awaited}{line}\n" for line in LINES.splitlines())
            + f"    {block}\n"
        )
        scripts.append(str(script))
    said, wrong, _ = api.run(
        ["--config-file", str(ROOT / "pyproject.toml"), "--cache-dir", str(ROOT / ".mypy_cache"), *scripts]
    )
    assert not wrong
    lines: dict[str, set[int]] = {face: set() for face in FACES}
    for match in re.finditer(r"use_(\w+)\.py:(\d+): error", said):
        lines[match[1]].add(int(match[2]) - 5)
    return lines


@pytest.mark.thorough
@pytest.mark.parametrize("face", FACES)
def test_mypy_finds_wrong_options_and_no_others(found: dict[str, set[int]], face: str) -> None:
    wrong = {number for number, line in enumerate(LINES.splitlines()) if "#" in line}
    assert found[face] == wrong


@pytest.mark.parametrize(("kind", "call"), [(PulseCount, calls.PulseCountCall), (Variance, calls.VarianceCall)])
def test_the_options_of_a_built_in_kind_are_those_that_a_type_checker_knows(kind: type, call: type) -> None:
    options = {name: field.type for name, field in attrs.fields_dict(attrs.resolve_types(kind.Options)).items()}  # type: ignore[attr-defined]
    known = get_type_hints(call)
    common = get_type_hints(calls.ReserveOptions)
    assert {name: known[name] for name in known if name not in (*common, "kind")} == options
