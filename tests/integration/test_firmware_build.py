"""Building images: from what CMake leaves (a stand-in for it here), and in earnest where all is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from icefarm.cli.firmware_build import build, missing, source_directory
from icefarm.farm.errors import CannotStart
from icefarm.worker import uf2
from icefarm.worker.images import images_in
from icefarm.worker.states import Firmware

pytestmark = pytest.mark.integration

APPLICATIONS = {"console", "default", "pulse_count", "variance"}
#: Of the RP2350: flash from here, and SRAM with the stack's banks at its end.
FLASH, STACK_TOP = 0x1000_0000, 0x2008_2000


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = tmp_path / "bin" / "cmake"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n" + script)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)


def test_what_cmake_leaves_becomes_an_image_of_whole_sectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, into = tmp_path / "work", tmp_path / "into"
    script = f"mkdir -p {work}; printf 'abc icefarm-firmware:variance:1.5\\000 def' > {work}/variance.bin\n"
    stand_in(tmp_path, monkeypatch, script)
    into.mkdir()
    (into / "variance-1.4.uf2").touch()
    assert build(tmp_path, work, into) == [into / "variance-1.5.uf2"]
    assert images_in(into, "").by_name["variance"].firmware == Firmware("variance", "1.5")
    image = uf2.parse((into / "variance-1.5.uf2").read_bytes())
    assert (image.address, len(image.content)) == (uf2.FLASH_ADDRESS, 4096)


def test_a_build_that_fails_shows_what_the_compiler_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(tmp_path, monkeypatch, "echo 'board.c:7: error: no such pin'; exit 2\n")
    with pytest.raises(CannotStart, match="no such pin"):
        build(tmp_path, tmp_path / "work", tmp_path / "into")


def test_an_image_that_does_not_say_what_it_is_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    stand_in(tmp_path, monkeypatch, f"mkdir -p {work}; echo blink > {work}/blink.bin\n")
    with pytest.raises(CannotStart, match="does not say which firmware it is"):
        build(tmp_path, work, tmp_path / "into")


@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(missing(os.environ, shutil.which)), reason="needs the Arm compiler, CMake and PICO_SDK_PATH")
def test_the_firmware_builds_for_the_board(tmp_path: Path) -> None:
    made = build(source_directory(), tmp_path / "work", tmp_path)
    assert set(images_in(tmp_path, "real boards").by_name) == APPLICATIONS
    for path in made:
        image = uf2.parse(path.read_bytes())
        stack, entry = (int.from_bytes(image.content[at : at + 4], "little") for at in (0, 4))
        assert stack == STACK_TOP
        assert FLASH < entry < FLASH + len(image.content)
