"""The example notebook runs against a farm, and an interrupt in a cell leaves the boards to the next one.

docs/client.md sums the notebook up.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOK = EXAMPLES / "notebook.ipynb"
#: Runs a notebook in a process of its own: nbclient takes signals from the reactor of the tests.
RUNNER = Path(__file__).with_name("scripts") / "run_notebook.py"
#: Seconds for a notebook.
LIMIT = 100


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    arguments = ("--boards", "2", "--listen", "127.0.0.1:0", "--speed", "instant")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture
def environment(farm: FarmProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Have kernels find the farm, and nothing of the person's own."""
    monkeypatch.setenv("ICEFARM_URL", farm.url)
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("MPLCONFIGDIR", str(tmp_path / "matplotlib"))
    for name in ("ICEFARM_TOKEN", "ICEFARM_NAME", "ICEFARM_EXPERIMENT"):
        monkeypatch.delenv(name, raising=False)


def run(notebook: Any, directory: Path) -> Any:
    """Return the notebook as it is after all its cells ran in the directory of the examples."""
    given, done = directory / "given.ipynb", directory / "done.ipynb"
    nbformat.write(notebook, given)
    subprocess.run([sys.executable, RUNNER, given, done], cwd=EXAMPLES, check=True, timeout=LIMIT)
    return nbformat.read(done, as_version=4)


def errors(notebook: Any) -> list[list[str]]:
    return [[each.ename for each in cell.get("outputs", ()) if each.output_type == "error"] for cell in notebook.cells]


def output(notebook: Any, cell: str, kind: str) -> str:
    """Return what a cell shows in a form such as text/html."""
    (found,) = (each for each in notebook.cells if each.id == cell)
    shown = [each.data[kind] for each in found.outputs if kind in each.get("data", {})]
    assert shown, f"{cell} shows {found.outputs}"
    return str(shown[-1])


def test_the_notebook_has_no_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [cell.id for cell in notebook.cells if cell.get("outputs") or cell.get("execution_count")] == []


@pytest.mark.usefixtures("environment")
def test_the_notebook_runs_with_its_tables_and_plots(tmp_path: Path) -> None:
    done = run(nbformat.read(NOTEBOOK, as_version=4), tmp_path)
    assert [names for names in errors(done) if names] == []
    assert "2 available" in output(done, "open", "text/html")
    assert output(done, "reserve", "text/html").count("reserved") == 2
    assert "square_2khz.bin" in output(done, "evaluate", "text/html")
    assert "mean" in output(done, "spread", "text/html")
    assert "notebook" in output(done, "archive", "text/html")
    assert len(output(done, "plot", "image/png")) > 10_000
    assert "generation" in output(done, "frame", "text/html")


INTERRUPTED = """
import os, signal
from itertools import repeat
from threading import Timer
from icefarm.client import Farm, results_table

boards = Farm().reserve(2, window=0.01)
circuit = "circuits/square_2khz.bin"
Timer(3.0, os.kill, (os.getpid(), signal.SIGINT)).start()
results_table(boards.evaluate(repeat(circuit), progress=True))
"""
NEXT = """
print(sorted(result.ok for result in boards.evaluate_each([circuit])), len(boards))
boards.end()
"""


@pytest.mark.usefixtures("environment")
def test_after_an_interrupt_the_next_cell_has_the_boards(tmp_path: Path) -> None:
    cells = [nbformat.v4.new_code_cell(text) for text in (INTERRUPTED, NEXT)]
    done = run(nbformat.v4.new_notebook(cells=cells), tmp_path)
    assert errors(done) == [["KeyboardInterrupt"], []]
    assert [each.text for each in done.cells[1].outputs if each.output_type == "stream"] == ["[True, True] 2\n"]
