"""Files that are part of a release agree with each other."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from icefarm import __version__

ROOT = Path(__file__).resolve().parents[2]
_MODULE = re.compile(r"`(icefarm(?:\.\w+)*)`")


def test_the_citation_names_the_version() -> None:
    found = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert found is not None
    assert found[1] == __version__


def test_the_changelog_has_room_for_changes_and_a_dated_section_for_each_release() -> None:
    newest, *releases = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest == "Unreleased"
    assert [each for each in releases if not re.fullmatch(r"\d+\.\d+\.\d+ - \d{4}-\d\d-\d\d", each)] == []
    is_release = re.fullmatch(r"\d+\.\d+\.\d+", __version__) is not None
    assert [each for each in releases if each.startswith(f"{__version__} - ")] == releases[: int(is_release)]


def test_modules_that_are_promised_to_be_stable_exist_and_say_what_is_public() -> None:
    row = next(
        line for line in (ROOT / "docs" / "versions.md").read_text().splitlines() if line.startswith("| Python:")
    )
    names = _MODULE.findall(row.split("|")[1])
    assert {"icefarm.client", "icefarm.errors", "icefarm.kinds", "icefarm.testing.in_memory"} <= set(names)
    assert [name for name in names if not hasattr(import_module(name), "__all__")] == []
