"""Made-up circuits count what an independent simulation of their Verilog counts.

`make test` takes the first 20 where the tools are installed, and one circuit of DSP blocks with settings drawn at
random; `make nightly` all. ICEFARM_CIRCUITS is how many (200), ICEFARM_CIRCUITS_SEED the first; one of DSP blocks for
each 20.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest

from icefarm.virtual.images import program

pytestmark = pytest.mark.timeout(600)

DIRECTORY = Path(__file__).parents[1] / "circuits"
TOOLS = ("yosys", "nextpnr-ice40", "icepack", "iverilog")
AMOUNT = int(os.environ.get("ICEFARM_CIRCUITS", "200"))
FIRST = int(os.environ.get("ICEFARM_CIRCUITS_SEED", "1"))
#: Of them, those that `make test` takes: half a minute.
EACH_TIME = 20
#: Microseconds: 48,000 edges, enough for stretches to be passed over.
WINDOW_US = 1000


def module(name: str) -> ModuleType:
    specification = importlib.util.spec_from_file_location(f"circuits_{name}", DIRECTORY / f"{name}.py")
    assert specification is not None
    assert specification.loader is not None
    loaded = importlib.util.module_from_spec(specification)
    sys.modules[specification.name] = loaded
    specification.loader.exec_module(loaded)
    return loaded


@pytest.fixture(autouse=True)
def tools_and_time(request: pytest.FixtureRequest) -> None:
    each_time = request.node.get_closest_marker("integration") is not None
    if not each_time and "nightly" not in request.config.getoption("-m"):
        pytest.skip("minutes to hours: run by `make nightly`")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")


def marks(number: int) -> list[pytest.MarkDecorator]:
    return [pytest.mark.nightly, *([pytest.mark.integration] if number < EACH_TIME else [])]


@pytest.mark.parametrize("seed", [pytest.param(FIRST + number, marks=marks(number)) for number in range(AMOUNT)])
def test_a_made_up_circuit_counts_what_its_source_does(seed: int, tmp_path: Path) -> None:
    circuits, made_up = module("circuits"), module("made_up")
    source, bitstream = tmp_path / "made_up.v", tmp_path / "made_up.bin"
    source.write_text(made_up.made_up_source(seed))
    circuit = circuits.Circuit("made_up", str(source), "made_up", pins=(27, 25), window_us=WINDOW_US, dsp=True)
    circuits.build(circuit, tmp_path, bitstream, seed=seed)
    assert simulated(bitstream, circuit.pins, WINDOW_US) == circuits.counts(circuit, tmp_path), source.read_text()


def simulated(bitstream: Path, pins: Sequence[int], window_us: int) -> list[int]:
    numbers = ",".join(map(str, pins))
    words = [str(program()), "--simulate", str(bitstream), "--pins", numbers, "--window", str(window_us / 1e6)]
    found = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert found["reason"] is None
    return [pin["pulses"] for pin in found["pins"]]


@pytest.mark.parametrize(
    "seed", [pytest.param(FIRST + number, marks=marks(number * EACH_TIME)) for number in range(AMOUNT // EACH_TIME)]
)
def test_dsp_blocks_with_any_settings_count_what_their_model_does(seed: int, tmp_path: Path) -> None:
    circuits, bitstream = module("circuits"), tmp_path / "macs.bin"
    settings = circuits.random_settings(1000 + seed)
    circuit = circuits.mac_circuit("macs", settings)
    circuits.build(circuit, tmp_path, bitstream, seed=seed)
    assert simulated(bitstream, circuit.pins, circuit.window_us) == circuits.counts(circuit, tmp_path), settings
