"""Made-up circuits count what an independent simulation of their Verilog counts.

`make test` takes the first 20 where the tools are installed, `make nightly` all. ICEFARM_CIRCUITS is how many (200),
ICEFARM_CIRCUITS_SEED the first.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
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
    circuit = circuits.Circuit("made_up", str(source), "made_up", pins=(27, 25), window_us=WINDOW_US)
    circuits.build(circuit, tmp_path, bitstream, seed=seed)
    words = [str(program()), "--simulate", str(bitstream), "--pins", "27,25", "--window", str(WINDOW_US / 1e6)]
    found = json.loads(subprocess.run(words, capture_output=True, check=True).stdout)
    assert found["reason"] is None
    assert [pin["pulses"] for pin in found["pins"]] == circuits.counts(circuit, tmp_path), source.read_text()
