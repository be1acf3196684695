"""The tables of the virtual FPGA are what the generator makes of Project IceStorm's chip database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ICE40 = Path(__file__).resolve().parents[2] / "firmware" / "ports" / "host" / "ice40"
CHIPDB = Path("/usr/share/fpga-icestorm/chipdb/chipdb-5k.txt")
#: Words of two bytes that the tables may take, so that the wheel grows by no more than 300 kB.
WORDS_MAX = 150_000


@pytest.mark.thorough
@pytest.mark.skipif(not CHIPDB.exists(), reason="needs Debian's fpga-icestorm-chipdb")
def test_generating_the_tables_again_gives_the_same_files(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ICE40 / "generate_chipdb.py", CHIPDB, tmp_path], check=True, capture_output=True)
    for name in ("chipdb_names.h", "chipdb_up5k.c"):
        assert (tmp_path / name).read_text() == (ICE40 / name).read_text(), f"{name}: run generate_chipdb.py again"


def test_the_tables_are_small() -> None:
    words = (ICE40 / "chipdb_up5k.c").read_text().split("chip_words[] = {")[1].split("}")[0].count(",")
    assert 10_000 < words < WORDS_MAX


def test_the_tables_name_their_source_and_its_licence() -> None:
    for name in ("chipdb_names.h", "chipdb_up5k.c"):
        text = (ICE40 / name).read_text()
        assert "Project IceStorm" in text
        assert "Permission to use, copy, modify, and/or distribute" in text
