"""The first script of the guide does what the guide says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "getting-started.md"
LIMIT = 100


def test_the_first_script_counts_what_the_guide_says(url: str, token: str | None, amount: int) -> None:
    if amount < 2:
        pytest.skip("the script takes two boards; see --devices")
    (script,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    environment = {**os.environ, "ICEFARM_TOKEN": token or ""}
    done = subprocess.run(
        [sys.executable, "-c", script.replace("http://127.0.0.1:8080", url)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    values = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert values == pytest.approx([800, 800], rel=0.1)
