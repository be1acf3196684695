"""Builds the firmware of real boards, and checks what that needs."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from attrs import define

from icefarm.farm.errors import CannotStart
from icefarm.system.files import write_whole
from icefarm.usb import uf2
from icefarm.worker.flash.images import file_name, firmware_in

__all__ = ["Percentage", "Which", "build", "missing", "source_directory"]

#: `shutil.which`.
Which = Callable[[str], str | None]

COMPILER = "arm-none-eabi-gcc"
#: Programs, and the Debian packages that have them.
_PROGRAMS = {COMPILER: "gcc-arm-none-eabi", "cmake": "cmake", "make": "make", "g++": "g++"}
#: Files of the compiler's libraries, and the Debian packages that have them.
_LIBRARIES = {"nosys.specs": "libnewlib-arm-none-eabi", "libstdc++.a": "libstdc++-arm-none-eabi-newlib"}
_SDK = (
    "git clone --branch 2.2.0 https://github.com/raspberrypi/pico-sdk && "
    "git -C pico-sdk submodule update --init lib/tinyusb && export PICO_SDK_PATH=$PWD/pico-sdk"
)
#: The oldest pico-sdk that the firmware was built with.
_SDK_SINCE = (2, 2)
#: How `make` begins the line of a step: the percentage that is done.
_STEP = re.compile(r"\[ *(\d+)%\] ")
#: The boot ROM erases sectors of this size; padding the last one leaves nothing of an older image behind.
_SECTOR = 4096


def source_directory() -> Path | None:
    """Return the directory of the firmware's sources, beside the package in a checkout; None if it is not there."""
    directory = Path(__file__).resolve().parents[4] / "firmware" / "ports" / "pico2_ice"
    return directory if (directory / "CMakeLists.txt").is_file() else None


def missing(environment: Mapping[str, str], which: Which, source: Path | None = None) -> list[str]:
    """Return all that is missing for a build, each with how to get it; empty if nothing is."""
    lacks = [
        f"{program}: apt-get install {package}" for program, package in _PROGRAMS.items() if which(program) is None
    ]
    libraries = _missing_libraries(which)
    if libraries:
        lacks.append(f"libraries of {COMPILER}: apt-get install {' '.join(libraries)}")
    if (source or source_directory()) is None:
        lacks.append("the firmware's sources: run this in a checkout of icefarm, or give --source")
    return [*lacks, *_missing_in_sdk(environment)]


def _missing_libraries(which: Which) -> list[str]:
    """Return the packages of libraries that are not there."""
    if which(COMPILER) is None:
        return list(_LIBRARIES.values())
    return [package for file, package in _LIBRARIES.items() if not _compiler_has(file)]


def _compiler_has(file: str) -> bool:
    # The compiler answers with the bare name of a file that it does not have.
    asked = subprocess.run([COMPILER, f"-print-file-name={file}"], capture_output=True, text=True, check=False)
    return "/" in asked.stdout


def _missing_in_sdk(environment: Mapping[str, str]) -> list[str]:
    path = environment.get("PICO_SDK_PATH")
    if not path:
        return [f"the pico-sdk, and PICO_SDK_PATH with its directory: {_SDK}"]
    sdk = Path(path)
    if not (sdk / "pico_sdk_init.cmake").is_file():
        return [f"the pico-sdk: {sdk} (PICO_SDK_PATH) is not the pico-sdk; {_SDK}"]
    version = _sdk_version(sdk)
    if version is not None and version < _SDK_SINCE:
        return [f"a newer pico-sdk: {sdk} (PICO_SDK_PATH) is version {version[0]}.{version[1]}; {_SDK}"]
    if not (sdk / "lib" / "tinyusb" / "src" / "tusb.h").is_file() and not environment.get("PICO_TINYUSB_PATH"):
        return [f"TinyUSB, in the pico-sdk: git -C {sdk} submodule update --init lib/tinyusb"]
    return []


def _sdk_version(sdk: Path) -> tuple[int, int] | None:
    file = sdk / "pico_sdk_version.cmake"
    text = file.read_text() if file.is_file() else ""
    major, minor = (re.search(rf"PICO_SDK_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR"))
    return None if major is None or minor is None else (int(major[1]), int(minor[1]))


@define
class Percentage:
    """Advances a progress bar of 100 steps; `make` states percentages more than once, and not always in order."""

    _advance: Callable[[], None]
    _shown: int = 0

    def reached(self, percentage: int) -> None:
        for _ in range(percentage - self._shown):
            self._advance()
        self._shown = max(self._shown, percentage)


def _run(command: Sequence[str], done: Callable[[int], None]) -> None:
    """Run a command to its end, and pass on the percentages that it prints.  Raises `CannotStart`."""
    said = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            step = _STEP.match(line)
            if step is None:
                said.append(line)
            else:
                done(int(step[1]))
    if process.returncode != 0:
        raise CannotStart(f"{' '.join(command)} failed:\n{''.join(said).strip()}")


def build(source: Path, work: Path, into: Path, done: Callable[[int], None] = lambda _: None) -> list[Path]:
    """Build all images and return the files; ``work`` keeps files for the next build.  Raises `CannotStart`.

    ``done`` is called with the percentage that is done, again and again.
    """
    _run(["cmake", "-S", str(source), "-B", str(work), "-G", "Unix Makefiles"], done)
    _run(["cmake", "--build", str(work), "--parallel", str(os.cpu_count() or 1)], done)
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
