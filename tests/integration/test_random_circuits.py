"""Made-up circuits count what an independent simulation of their Verilog counts.

`make test` takes 20 of them, and one of DSP blocks with settings drawn at random, that were built and simulated once
(made_up.zip of tests/circuits), and builds and simulates the first one again where the tools are installed. `make
nightly` builds all. ICEFARM_CIRCUITS is how many (200), ICEFARM_CIRCUITS_SEED the first; one of DSP blocks for each 20.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from icefarm.virtual.images import program

pytestmark = pytest.mark.timeout(600)

DIRECTORY = Path(__file__).parents[1] / "circuits"
KEPT = DIRECTORY / "made_up.zip"
TOOLS = ("yosys", "nextpnr-ice40", "icepack", "iverilog")
AMOUNT = int(os.environ.get("ICEFARM_CIRCUITS", "200"))
FIRST = int(os.environ.get("ICEFARM_CIRCUITS_SEED", "1"))
#: Circuits for one of DSP blocks.
FOR_EACH_OF_DSP = 20


def module(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"circuits_{name}", DIRECTORY / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = loaded
    specification.loader.exec_module(loaded)
    return loaded


def kept() -> list[tuple[str, int, dict[int, int]]]:
    """Return the circuits that are kept: their names, windows in microseconds, and rising edges by pin."""
    with zipfile.ZipFile(KEPT) as circuits:
        lines = circuits.read("counts.txt").decode().splitlines()[1:]
    found = []
    for name, window, *pairs in map(str.split, lines):
        pins = dict(pair.split("=") for pair in pairs)
        found.append((name, int(window), {int(pin): int(edges) for pin, edges in pins.items()}))
    assert len(found) == 21
    return found


@pytest.mark.integration
@pytest.mark.parametrize(("name", "window_us", "edges"), kept())
def test_a_kept_circuit_counts_what_its_source_does(
    name: str, window_us: int, edges: dict[int, int], tmp_path: Path
) -> None:
    with zipfile.ZipFile(KEPT) as circuits:
        bitstream = Path(circuits.extract(f"{name}.bin", tmp_path))
    assert simulated(bitstream, list(edges), window_us) == list(edges.values())


def only_where_there_are_tools_and_time(request: pytest.FixtureRequest) -> None:
    each_time = request.node.get_closest_marker("integration") is not None
    if not each_time and "nightly" not in request.config.getoption("-m"):
        pytest.skip("minutes to hours: run by `make nightly`")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


@pytest.mark.parametrize(
    "seed",
    [
        pytest.param(FIRST + number, marks=[pytest.mark.nightly, *([] if number else [pytest.mark.integration])])
        for number in range(AMOUNT)
    ],
)
def test_a_made_up_circuit_counts_what_its_source_does(
    seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    only_where_there_are_tools_and_time(request)
    circuits, made_up = module("circuits"), module("made_up")
    source, bitstream = tmp_path / "made_up.v", tmp_path / "made_up.bin"
    source.write_text(made_up.made_up_source(seed))
    circuit = circuits.made_up_circuit("made_up", source)
    circuits.build(circuit, tmp_path, bitstream, seed=seed)
    counts = circuits.counts(circuit, tmp_path)
    assert simulated(bitstream, circuit.pins, circuit.window_us) == counts, source.read_text()


def simulated(bitstream: Path, pins: Sequence[int], window_us: int) -> list[int]:
    numbers = ",".join(map(str, pins))
    words = [str(program()), "--simulate", str(bitstream), "--pins", numbers, "--window", str(window_us / 1e6)]
    found = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert found["reason"] is None
    return [pin["pulses"] for pin in found["pins"]]


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(FIRST, FIRST + AMOUNT // FOR_EACH_OF_DSP))
def test_dsp_blocks_with_any_settings_count_what_their_model_does(
    seed: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    only_where_there_are_tools_and_time(request)
    circuits, bitstream = module("circuits"), tmp_path / "macs.bin"
    circuit = circuits.random_mac_circuit("macs", seed)
    circuits.build(circuit, tmp_path, bitstream, seed=seed)
    counts = circuits.counts(circuit, tmp_path)
    assert simulated(bitstream, circuit.pins, circuit.window_us) == counts, circuit.parameters
