"""Builds the firmware of real boards, and checks what that needs."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from icefarm import uf2
from icefarm.farm.errors import CannotStart
from icefarm.files import write_whole
from icefarm.worker.flash.images import file_name, firmware_in

__all__ = ["Which", "build", "missing", "source_directory"]

#: `shutil.which`.
Which = Callable[[str], str | None]

COMPILER = "arm-none-eabi-gcc"
#: Programs, and the Debian packages that have them.
_PROGRAMS = {COMPILER: "gcc-arm-none-eabi", "cmake": "cmake", "make": "make", "g++": "g++"}
_LIBRARIES = ("libnewlib-arm-none-eabi", "libstdc++-arm-none-eabi-newlib")
_SDK = "git clone --branch 2.2.0 https://github.com/raspberrypi/pico-sdk"
#: The boot ROM erases sectors of this size; padding the last one leaves nothing of an older image behind.
_SECTOR = 4096


def source_directory() -> Path:
    """Return the directory of the firmware's sources, beside the package in a checkout.  Raises `CannotStart`."""
    directory = Path(__file__).resolve().parents[2] / "firmware" / "ports" / "pico2_ice"
    if not (directory / "CMakeLists.txt").is_file():
        raise CannotStart("the firmware's sources are not here: run this in a checkout of icefarm, or give --source")
    return directory


def _newlib_is_there() -> bool:
    # The compiler answers with the bare name of a file that it does not have.
    asked = subprocess.run([COMPILER, "-print-file-name=nosys.specs"], capture_output=True, text=True, check=False)
    return "/" in asked.stdout


def missing(environment: Mapping[str, str], which: Which) -> list[str]:
    """Return what is missing for a build, each with how to get it; empty if nothing is."""
    lacks = [
        f"{program}: apt-get install {package}" for program, package in _PROGRAMS.items() if which(program) is None
    ]
    if which(COMPILER) is None or not _newlib_is_there():
        lacks.append(f"its C library: apt-get install {' '.join(_LIBRARIES)}")
    path = environment.get("PICO_SDK_PATH")
    if not path:
        return [*lacks, f"the pico-sdk, and PICO_SDK_PATH with its directory: {_SDK}"]
    sdk = Path(path)
    if not (sdk / "pico_sdk_init.cmake").is_file():
        return [*lacks, f"the pico-sdk: {sdk} (PICO_SDK_PATH) is not the pico-sdk; {_SDK}"]
    if not (sdk / "lib" / "tinyusb" / "src" / "tusb.h").is_file() and not environment.get("PICO_TINYUSB_PATH"):
        lacks.append(f"TinyUSB, in the pico-sdk: git -C {sdk} submodule update --init lib/tinyusb")
    return lacks


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise CannotStart(f"{' '.join(command)} failed:\n{done.stdout.strip()}")


def build(source: Path, work: Path, into: Path) -> list[Path]:
    """Build all images and return the files; ``work`` keeps files for the next build.  Raises `CannotStart`."""
    _run(["cmake", "-S", str(source), "-B", str(work), "-G", "Unix Makefiles"])
    _run(["cmake", "--build", str(work), "--parallel"])
    into.mkdir(parents=True, exist_ok=True)
    made = [_image(binary, into) for binary in sorted(work.glob("*.bin"))]
    if not made:
        raise CannotStart(f"the build left no image in {work}")
    return made


def _image(binary: Path, into: Path) -> Path:
    content = binary.read_bytes()
    firmware = firmware_in(content)
    if firmware is None:
        raise CannotStart(f"{binary} does not say which firmware it is")
    for other in into.glob(f"{firmware.name}-[0-9]*.uf2"):
        other.unlink()
    target = into / file_name(firmware)
    write_whole(target, uf2.build(content + b"\xff" * (-len(content) % _SECTOR)))
    return target
