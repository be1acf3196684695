"""Building images: from what CMake leaves (a stand-in for it here), and in earnest where all is there."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from firmware_stack import deepest, read

from icefarm.cli.commands.admin.firmware_build import build, missing, source_directory
from icefarm.farm.errors import CannotStart
from icefarm.usb import uf2
from icefarm.worker.board.states import Firmware
from icefarm.worker.flash.images import images_in

pytestmark = pytest.mark.integration

APPLICATIONS = {"console", "default", "multi_pulse_count", "pulse_count", "variance"}
#: Of the RP2350: flash from here, and SRAM with the stack's banks at its end.
FLASH, STACK_TOP = 0x1000_0000, 0x2008_2000
#: Bytes of stack (PICO_STACK_SIZE), and those that the processor puts there when an interrupt comes: 26 words with
#: those of the FPU, aligned to 8 (Armv8-M reference manual, exception entry).
STACK, EXCEPTION = 4096, 26 * 4 + 4
#: Interrupts that are handled; all have the same priority, so none interrupts another.
INTERRUPTS = ("dcd_rp2040_irq", "on_received", "alarm_pool_irq_handler")
#: Whom calls through pointers reach: the application's table, TinyUSB's one class driver, the boot ROM, and no alarms.
POINTERS = {
    "core_poll": ("idle",),
    "evaluate_poll": ("clock_mhz", "expected_us", "start", "poll"),
    "intake_end": ("check",),
    "request_answer": ("message",),
    "tud_task_ext": ("cdcd_open", "cdcd_reset", "cdcd_control_xfer_cb", "cdcd_xfer_cb", "usbd_control_xfer_cb"),
    "usbd_control_xfer_cb": ("cdcd_control_xfer_cb",),
    "tud_rhport_init": ("cdcd_init",),
    "configuration_reset": ("cdcd_reset",),
    "dcd_event_handler": (),
    "rom_reboot": (),
    "alarm_pool_irq_handler": (),
}


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


def test_the_percentages_of_the_build_are_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work, reached = tmp_path / "work", []
    script = f"""mkdir -p {work}; printf 'icefarm-firmware:variance:1.5\\000' > {work}/variance.bin
echo '[  4%] Building'; echo 'a warning'; echo '[ 51%] Linking'; echo '[100%] Built target variance'
"""
    stand_in(tmp_path, monkeypatch, script)
    build(tmp_path, work, tmp_path / "into", reached.append)
    assert reached == [4, 51, 100] * 2  # cmake runs twice


def test_an_image_that_does_not_say_what_it_is_is_not_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "work"
    stand_in(tmp_path, monkeypatch, f"mkdir -p {work}; echo blink > {work}/blink.bin\n")
    with pytest.raises(CannotStart, match="does not say which firmware it is"):
        build(tmp_path, work, tmp_path / "into")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All images, built in earnest; what CMake leaves is in `work`."""
    if lacks := missing(os.environ, shutil.which):
        pytest.skip(f"building firmware needs {'; '.join(lacks)}")
    directory = tmp_path_factory.mktemp("firmware")
    source = source_directory()
    assert source is not None
    build(source, directory / "work", directory)
    return directory


@pytest.mark.timeout(600)
def test_the_firmware_builds_for_the_board(built: Path) -> None:
    assert set(images_in(built, "real boards").by_name) == APPLICATIONS
    for path in built.glob("*.uf2"):
        image = uf2.parse(path.read_bytes())
        stack, entry = (int.from_bytes(image.content[at : at + 4], "little") for at in (0, 4))
        assert stack == STACK_TOP
        assert FLASH < entry < FLASH + len(image.content)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("application", sorted(APPLICATIONS))
def test_the_stack_is_never_filled_to_a_quarter(built: Path, application: str) -> None:
    graph = read((built / "work" / "CMakeFiles" / f"{application}.dir").rglob("*.ci"))
    depth, calls = deepest(graph, "main", POINTERS)
    interrupt = max(deepest(graph, root, POINTERS)[0] for root in INTERRUPTS)
    assert {"main", "board_step"} <= set(calls)
    assert depth + EXCEPTION + interrupt <= STACK // 4, calls
