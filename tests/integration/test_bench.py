"""The benchmark as its user runs it: figures of a farm, and nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from icefarm.testing.processes.farm_process import OwnProcess, Witness, descendants

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
QUICK = ("--repeats", "1", "--files", "40", "--part", "instant", "--boards", "2")


def bench(*arguments: str) -> OwnProcess:
    return OwnProcess([sys.executable, "-m", "bench", *QUICK, *arguments], cwd=ROOT, stdout=subprocess.PIPE)


def test_a_short_benchmark_measures_every_party_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with bench("--seconds", "0.5", "--json", str(tmp_path / "figures.json")) as process:
        output, _ = process.communicate(timeout=100)
    assert process.returncode == 0, output
    (figures,) = json.loads((tmp_path / "figures.json").read_text())["instant"]
    (stretch,) = figures["stretches"]
    assert stretch["evaluations"] > 0
    # A call without its bitstream, which the worker has already, has some 250 bytes.
    assert stretch["sent"] > 100
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["p99"]
    # It takes the same way, and more.
    assert 0 < figures["lone_call_ms"]["p50"] < figures["latency_ms"]["p99"]
    parties = {"client", "router", "control", "worker", "PostgreSQL", "boards", "supervisor"}
    assert parties == set(figures["accounts"])
    assert all(account["processes"] >= 1 for account in figures["accounts"].values())


def test_a_benchmark_that_is_terminated_stops_its_farm() -> None:
    with bench("--seconds", "600") as process:
        assert process.stdout is not None
        assert any("a farm of 2 boards" in line for line in process.stdout)
        farm = Witness(descendants(process.pid))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=100)
    assert farm.left() == []
