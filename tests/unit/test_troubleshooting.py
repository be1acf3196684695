"""The reasons that docs/troubleshooting.md explains are reasons that the worker gives."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
#: What the worker and the firmware say, whatever stands between two words of it in the source.
SOURCES = " ".join(
    path.read_text(encoding="utf-8")
    for pattern in ("icefarm/worker/**/*.py", "icefarm/kinds/*.py", "firmware/core/*.c")
    for path in ROOT.glob(pattern)
)


def _reasons() -> list[str]:
    section = PAGE.partition("## A board is broken")[2].partition("\n## ")[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [reason for first in firsts for reason in re.findall("`([^`]+)`", first)]


@pytest.mark.parametrize("reason", _reasons())
def test_a_reason_on_the_page_is_one_that_is_given(reason: str) -> None:
    for part in filter(None, (part.strip() for part in reason.split("..."))):
        assert re.search(re.escape(part), SOURCES, re.IGNORECASE), part


def test_the_page_explains_many() -> None:
    assert len(_reasons()) > 15
