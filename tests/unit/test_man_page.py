"""The manual page is made from docs/cli.md, is well formed, and is in the wheel."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

from icefarm.cli import VERBS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "build_backend")
    import man_page

    return man_page


def test_it_names_every_verb(maker: ModuleType) -> None:
    page = maker.man_page(maker.SOURCE.read_text(encoding="utf-8"))
    assert [verb for verb in VERBS if verb not in page] == []


def test_what_roff_would_take_for_its_own_is_text(maker: ModuleType) -> None:
    page = maker.man_page("## Files\n\n.profile has `a\\b` and [a link](x.md), --so\n\n```sh\n'quoted'\n```\n")
    assert "\\&.profile has \\fBa\\eb\\fR and a link, \\-\\-so" in page
    assert ".SH FILES" in page
    assert "\\&'quoted'" in page


def test_groff_finds_nothing_wrong_with_it(maker: ModuleType, tmp_path: Path) -> None:
    groff = shutil.which("groff")
    if groff is None:
        pytest.skip("groff is not installed")
    page = tmp_path / "icefarm.1"
    page.write_text(maker.man_page(maker.SOURCE.read_text(encoding="utf-8")), encoding="utf-8")
    done = subprocess.run([groff, "-man", "-ww", "-Kutf8", "-Tutf8", "-z", page], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.thorough
def test_the_wheel_has_it_where_man_looks(tmp_path: Path) -> None:
    subprocess.run(
        [
            sys.executable,
            "setup.py",
            "-q",
            "build",
            "-b",
            tmp_path / "b",
            "bdist_wheel",
            "-b",
            tmp_path / "w",
            "-d",
            tmp_path,
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        env={"PATH": "/usr/bin:/bin", "ICEFARM_BOARDS": "none"},
    )
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert [name for name in names if name.endswith("data/share/man/man1/icefarm.1")]
