"""Getting an image onto a board by each way, with stand-ins for a boot drive that fails, picotool and udisks.

The drive is a file that dd writes to through a library which lets the writes end as a board's do
(``stand_ins/drive.c``). picotool's options, words and exit codes are those of 2.0 to 2.3 (its main.cpp, errors.h).
"""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred

from icefarm.usb.uf2 import build, parse
from icefarm.worker.board import serial_hardware, states
from icefarm.worker.board.serial_hardware import SerialHardware
from icefarm.worker.flash import picotool
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.flash.mounted_drive import MOUNT_LIMIT, Mounts, mount_point
from icefarm.worker.flash.picotool import Picotool

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
SERIAL = "E463A8574B151439"
CONTENT = bytes(range(256)) * 150
IMAGE = build(CONTENT)

PICOTOOL = """#!/bin/sh
echo "$@" >> {here}/calls
case "$(cat {here}/fault)" in
hangs) exec sleep 1000 ;;
forbidden)
    echo "No accessible RP-series devices in BOOTSEL mode were found with serial number {serial}."
    echo
    echo "but:"
    echo
    echo "RP2350 device at bus 1, address 5 appears to be in BOOTSEL mode, but picotool was unable to connect."
    exit 249 ;;
differs)
    echo "Loading into Flash: [==============================]  100%"
    echo "ERROR: The device contents did not match the file"
    exit 245 ;;
esac
if [ "$1" = load ]; then
    cat "$4" > {here}/flash
    echo "Verifying Flash:    [==============================]  100%"
    echo "  OK"
fi
echo
echo "The device was rebooted to start the application."
"""
UDISKSCTL = """#!/bin/sh
echo "$@" >> {here}/calls
mkdir -p "{here}/a drive"
echo "Mounted $4 at {here}/a drive."
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("drive") / "drive.so"
    source = HERE / "stand_ins" / "drive.c"
    flags = ["-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["cc", *flags, "-o", str(path), str(source), "-ldl"], check=True)
    return path


class Bench:
    """A board in its boot loader, and the programs of the host."""

    def __init__(self, here: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.here = here
        self.drive = here / "sda"
        self.drive.touch()
        dd = shutil.which("dd")
        self.program("dd", f'#!/bin/sh\n. {here}/drive\nLD_PRELOAD={library} DRIVE={self.drive} exec {dd} "$@"\n')
        self.program("picotool", PICOTOOL.format(here=here, serial=SERIAL))
        monkeypatch.setenv("PATH", f"{here}/bin:{os.environ['PATH']}")
        self.drive_fails()
        self.picotool_fails()
        (here / "mounts").write_text("proc /proc proc rw 0 0\n")

    def program(self, name: str, text: str) -> None:
        path = self.here / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def drive_fails(self, **how: int) -> None:
        (self.here / "drive").write_text("".join(f"export {name.upper()}={value}\n" for name, value in how.items()))

    def picotool_fails(self, how: str = "") -> None:
        (self.here / "fault").write_text(how)

    def loading(self, with_picotool: bool = False) -> SerialHardware:
        tool = Picotool(reactor, str(self.here / "bin" / "picotool")) if with_picotool else None
        return SerialHardware(reactor, tool, Mounts(reactor, self.here / "mounts"))

    @property
    def calls(self) -> list[str]:
        try:
            return (self.here / "calls").read_text().splitlines()
        except FileNotFoundError:
            return []

    def is_there(self, path: str) -> bool:
        return Path(path).exists()

    def holds(self, path: Path) -> bool:
        """Tell whether a boot loader that got this would start the image."""
        return parse(path.read_bytes()).content == CONTENT


@pytest.fixture
def bench(tmp_path: Path, library: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(tmp_path, library, monkeypatch)


# -------------------------------------------------------------------------------------------- the boot drive


@ensureDeferred
async def test_an_image_is_written_to_the_drive_and_nothing_else_is_asked(bench: Bench) -> None:
    await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(bench.drive)
    assert bench.calls == []


@pytest.mark.parametrize("at_once", [512, 1000, 4095])
@ensureDeferred
async def test_a_drive_that_takes_little_at_once_gets_all_of_it(bench: Bench, at_once: int) -> None:
    bench.drive_fails(short=at_once)
    await bench.loading().write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(bench.drive)


@pytest.mark.parametrize("late", [errno.EIO, errno.ENODEV])
@ensureDeferred
async def test_a_board_that_restarts_after_the_last_block_was_flashed(bench: Bench, late: int) -> None:
    bench.drive_fails(late=late)
    await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.calls == []


@pytest.mark.parametrize("ends_at", [0, 512, 4096, len(IMAGE) - 512])
@ensureDeferred
async def test_a_board_that_restarts_too_early_was_not_flashed_and_is_asked_nothing_more(
    bench: Bench, ends_at: int
) -> None:
    bench.drive_fails(ends_at=ends_at, error=errno.ENODEV, leaves=1)
    with pytest.raises(FlashFailed, match="No such device; it left meanwhile"):
        await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.calls == []


@ensureDeferred
async def test_a_drive_that_fails_is_written_whole_the_next_time(bench: Bench) -> None:
    bench.drive_fails(ends_at=5000, error=errno.EIO)
    with pytest.raises(FlashFailed, match="Input/output error; it is not mounted"):
        await bench.loading().write(str(bench.drive), IMAGE, SERIAL)
    bench.drive_fails()
    await bench.loading().write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(bench.drive)


@ensureDeferred
async def test_a_drive_that_hangs_is_given_up_for_the_next_way(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serial_hardware, "BLOCKS_LIMIT", 0.5)
    bench.drive_fails(ends_at=4096, error=0)
    await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(bench.here / "flash")


# -------------------------------------------------------------------------------------------------- picotool


@ensureDeferred
async def test_picotool_loads_verifies_and_starts_what_the_drive_did_not_take(bench: Bench) -> None:
    bench.drive_fails(ends_at=0, error=errno.EACCES)
    await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(bench.here / "flash")
    (call,) = bench.calls
    verb, verify, execute, file, option, serial = call.split()
    assert (verb, verify, execute, option, serial) == ("load", "-v", "-x", "--ser", SERIAL)
    assert file.endswith(".uf2")
    assert not bench.is_there(file)


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("forbidden", f"picotool: No accessible .* were found with serial number {SERIAL}; "),
        ("differs", "picotool: The device contents did not match the file; "),
    ],
)
@ensureDeferred
async def test_what_each_way_said_is_in_the_reason(bench: Bench, fault: str, words: str) -> None:
    bench.drive_fails(ends_at=0, error=errno.EACCES)
    bench.picotool_fails(fault)
    with pytest.raises(FlashFailed, match=f"Permission denied; {words}it is not mounted"):
        await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)


@ensureDeferred
async def test_picotool_that_hangs_is_ended(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picotool, "LOAD_LIMIT", 0.5)
    bench.drive_fails(ends_at=0, error=errno.EIO)
    bench.picotool_fails("hangs")
    with pytest.raises(FlashFailed, match=r"picotool: it did not end within 0\.5 s"):
        await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)


@ensureDeferred
async def test_a_flash_that_nobody_wants_any_more_ends_picotool_and_removes_its_file(bench: Bench) -> None:
    bench.drive_fails(ends_at=0, error=errno.EIO)
    bench.picotool_fails("hangs")
    writing = Deferred.fromCoroutine(bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL))
    while not bench.calls:
        await _a_moment()
    writing.cancel()
    with pytest.raises(CancelledError):
        await writing
    assert not bench.is_there(bench.calls[0].split()[3])


def _a_moment() -> Deferred[None]:
    moment: Deferred[None] = Deferred()
    reactor.callLater(0.01, moment.callback, None)  # type: ignore[attr-defined]
    return moment


# ------------------------------------------------------------------------------------------------- the mount


@ensureDeferred
async def test_a_drive_that_somebody_mounted_is_copied_to_last(bench: Bench) -> None:
    point = bench.here / "RP 2350"
    point.mkdir()
    (bench.here / "mounts").write_text(f"{bench.drive}1 {str(point).replace(' ', chr(92) + '040')} vfat rw 0 0\n")
    bench.drive_fails(ends_at=0, error=errno.EACCES)
    bench.picotool_fails("forbidden")
    await bench.loading(with_picotool=True).write(str(bench.drive), IMAGE, SERIAL)
    assert bench.holds(point / "firmware.uf2")


@ensureDeferred
async def test_udisks_is_asked_to_mount_a_drive_that_nobody_has(bench: Bench) -> None:
    bench.program("udisksctl", UDISKSCTL.format(here=bench.here))
    bench.drive_fails(ends_at=0, error=errno.EACCES)
    await bench.loading().write(str(bench.drive), IMAGE, SERIAL)
    assert bench.calls == [f"mount --no-user-interaction -b {bench.drive}"]
    assert bench.holds(bench.here / "a drive" / "firmware.uf2")


def test_another_drive_with_a_longer_name_is_not_taken_for_it() -> None:
    mounts = "/dev/sdab1 /one vfat rw 0 0\n/dev/sda /two vfat rw 0 0\n/dev/sdc2 /three vfat rw 0 0\n"
    assert [mount_point(mounts, drive) for drive in ("/dev/sda", "/dev/sdc", "/dev/sdb")] == [
        Path("/two"),
        Path("/three"),
        None,
    ]


def test_all_ways_together_end_before_the_board_is_given_up() -> None:
    assert (
        serial_hardware.BLOCKS_LIMIT + picotool.LOAD_LIMIT + MOUNT_LIMIT + serial_hardware.COPY_LIMIT
        <= states.WRITE_LIMIT
    )
    assert serial_hardware.TOUCH_LIMIT + picotool.REBOOT_LIMIT < states.DRIVE_LIMIT


# ------------------------------------------------------------------------------------------------- the touch


@pytest.fixture
def port() -> Iterator[str]:
    """A serial port that takes the touch."""
    ours, theirs = os.openpty()
    name = os.ttyname(theirs)
    os.close(theirs)
    yield name
    os.close(ours)


@pytest.mark.parametrize("left", [True, False])
@ensureDeferred
async def test_picotool_restarts_a_board_that_does_not_mind_the_touch(
    bench: Bench, port: str, left: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_hardware, "TOUCH_LIMIT", 0.1)
    await bench.loading(with_picotool=True).start_loader(port, SERIAL, lambda: left)
    assert bench.calls == ([] if left else [f"reboot -f -u --ser {SERIAL}"])


@ensureDeferred
async def test_a_board_that_may_be_leaving_is_not_failed_by_picotool(
    bench: Bench, port: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serial_hardware, "TOUCH_LIMIT", 0.1)
    bench.picotool_fails("forbidden")
    await bench.loading(with_picotool=True).start_loader(port, SERIAL, lambda: False)


@ensureDeferred
async def test_a_port_that_cannot_be_touched_leaves_it_to_picotool(bench: Bench) -> None:
    await bench.loading(with_picotool=True).start_loader("/nowhere", SERIAL, lambda: False)
    assert bench.calls == [f"reboot -f -u --ser {SERIAL}"]


@ensureDeferred
async def test_without_picotool_a_port_that_cannot_be_touched_fails(bench: Bench) -> None:
    with pytest.raises(FlashFailed, match="1200 baud"):
        await bench.loading().start_loader("/nowhere", SERIAL, lambda: False)
