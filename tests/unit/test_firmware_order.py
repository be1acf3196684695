"""The order of the firmware's core: no two of its C files call each other, not even through a third."""

from __future__ import annotations

import os
import shutil
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

CORE = Path(__file__).parents[2] / "firmware" / "core"
COMPILER = os.environ.get("CC", "cc")


def symbols(source: Path, into: Path) -> tuple[set[str], set[str]]:
    """Compile a file; return the names of the functions and tables that it defines, and of those that it needs."""
    compiled = into / f"{source.stem}.o"
    subprocess.run([COMPILER, "-std=c11", "-O0", f"-I{CORE}", "-c", source, "-o", compiled], check=True)
    listed = subprocess.run(["nm", "-g", compiled], capture_output=True, text=True, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return {row[-1] for row in rows if row[-2] != "U"}, {row[-1] for row in rows if row[-2] == "U"}


@pytest.mark.thorough
@pytest.mark.skipif(not (shutil.which(COMPILER) and shutil.which("nm")), reason="needs a C compiler and nm")
def test_each_file_of_the_core_uses_only_files_below_it(tmp_path: Path) -> None:
    files = {source.stem: symbols(source, tmp_path) for source in sorted(CORE.glob("*.c"))}
    home = {name: stem for stem, (defined, _) in files.items() for name in defined}
    uses = {stem: {home[name] for name in needed if name in home} for stem, (_, needed) in files.items()}
    assert uses["intake"] >= {"evaluate", "outbox", "requests"}  # the comparison compares something
    order = list(TopologicalSorter(uses).static_order())  # raises CycleError where there is a circle
    assert order[-1] == "core"
