"""The code in the documentation runs: every Python block of these pages, on a farm in memory."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]


def blocks(page: str) -> list[str]:
    """Return the Python blocks of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.M | re.S)


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env={"PATH": "/usr/bin:/bin", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_tests_in_the_page_on_testing_pass(tmp_path: Path) -> None:
    tests, script = blocks("testing.md")
    (tmp_path / "test_page.py").write_text(tests)
    said = run(
        "-m", "pytest", "-q", "-p", "icefarm.testing.plugin", "-p", "no:cacheprovider",
        "--rootdir", str(tmp_path), str(tmp_path),
    )  # fmt: skip
    assert "2 passed" in said
    run("-c", script + "\nassert len(results) == 1\n")
