"""The documentation builds, and its Python is Python."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```", re.DOTALL | re.MULTILINE)


def test_the_site_builds_without_warnings_and_names_every_procedure(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-d", tmp_path / "trees", ROOT / "docs", tmp_path],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    page = (tmp_path / "wamp.html").read_text()
    for name in ("control.reserve", "control.end_any", "control.worker.hello"):
        assert f"icefarm.v1.{name}" in page


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_blocks_of_python_are_python(path: Path) -> None:
    for _, block in _PYTHON.findall(path.read_text()):
        ast.parse(dedent(block))
