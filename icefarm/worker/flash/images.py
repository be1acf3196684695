"""Firmware images, one version of each application, and their directory."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, frozen

from icefarm.system.files import write_whole
from icefarm.usb.uf2 import BadImage, parse
from icefarm.worker.board.states import Firmware

__all__ = [
    "DEFAULT",
    "FirmwareImage",
    "Images",
    "NoImage",
    "file_name",
    "firmware_in",
    "images_directory",
    "images_in",
    "install",
    "read_image",
]

#: The application that a board runs while it is not reserved.
DEFAULT = "default"
#: The name of an image's file: application, version.
_FILE_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*)-(?P<version>[0-9][0-9A-Za-z.+-]*)\.uf2")
#: The mark within images for real boards (firmware/ports/pico2_ice/board.h, BOARD_MARK).
_MARK = re.compile(rb"icefarm-firmware:([a-z][a-z0-9_]*):([0-9][0-9A-Za-z.+-]*)\0")


class NoImage(Exception):
    """There is no such image."""


@frozen
class FirmwareImage:
    """A firmware image: what it reports in HELLO, and its UF2 blocks."""

    firmware: Firmware
    blocks: bytes


@frozen
class Images:
    """The images for one type of boards."""

    #: The type of boards, for messages: "virtual boards".
    boards: str
    by_name: Mapping[str, FirmwareImage] = Factory(dict)
    #: What these boards do with a circuit if they are virtual (`icefarm.contract.DeviceReport.model`).
    model: str | None = None

    def get(self, name: str) -> FirmwareImage:
        """Raises `NoImage`."""
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise NoImage(f"this worker has no firmware {name!r} for {self.boards} (it has: {known})") from None

    @property
    def default(self) -> Firmware:
        """The default firmware; of unknown version if there is no image of it."""
        image = self.by_name.get(DEFAULT)
        return Firmware(DEFAULT, "(none)") if image is None else image.firmware


def images_directory(environment: Mapping[str, str]) -> Path:
    """Return where images for real boards are by default (XDG Base Directory Specification)."""
    data = environment.get("XDG_DATA_HOME") or ""
    # The specification says to ignore relative paths.
    base = Path(data) if data.startswith("/") else Path(environment.get("HOME") or "/", ".local", "share")
    return base / "icefarm" / "firmware"


def file_name(firmware: Firmware) -> str:
    """Return the file name of an image."""
    return f"{firmware.name}-{firmware.version}.uf2"


def firmware_in(content: bytes) -> Firmware | None:
    """Return the application and version in an image (the bytes for the flash); None if it has no mark."""
    mark = _MARK.search(content)
    return None if mark is None else Firmware(mark[1].decode(), mark[2].decode())


def read_image(path: Path) -> FirmwareImage:
    """Read a file named ``APPLICATION-VERSION.uf2``.

    Raises `NoImage` if it is not an image for an RP2350, or if its mark differs from its name: a board that runs it
    would be flashed again and again.
    """
    match = _FILE_NAME.fullmatch(path.name)
    if match is None:
        raise NoImage(f"{path}: the name must be APPLICATION-VERSION.uf2")
    named = Firmware(match["name"], match["version"])
    try:
        blocks = path.read_bytes()
        said = firmware_in(parse(blocks).content)
    except (BadImage, OSError) as error:
        raise NoImage(f"{path}: {error}") from None
    if said not in (None, named):
        raise NoImage(f"{path}: it holds {said}, so its name must be {file_name(said)}")
    return FirmwareImage(named, blocks)


def images_in(directory: Path, boards: str) -> Images:
    """Read the images of a directory: files named ``APPLICATION-VERSION.uf2``, such as ``pulse_count-1.0.0.uf2``.

    Raises `NoImage` like `read_image`, and for two of one application.
    """
    found: dict[str, FirmwareImage] = {}
    for path in sorted(directory.glob("*.uf2")):
        image = read_image(path)
        if image.firmware.name in found:
            raise NoImage(f"{path}: there is another version of {image.firmware.name}; keep one")
        found[image.firmware.name] = image
    return Images(boards, found)


def install(source: Path, directory: Path) -> list[Firmware]:
    """Install an image, or all images of a directory, into the directory of images, replacing other versions.

    It reads all before writing any, and a worker that reads meanwhile finds whole files.  Raises `NoImage`.
    """
    images = [*images_in(source, "").by_name.values()] if source.is_dir() else [read_image(source)]
    if not images:
        raise NoImage(f"{source}: there is no file APPLICATION-VERSION.uf2")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for image in images:
            _put(image, directory)
    except OSError as error:
        raise NoImage(f"{directory} cannot be written: {error.strerror}") from None
    return [image.firmware for image in images]


def _put(image: FirmwareImage, directory: Path) -> None:
    target = directory / file_name(image.firmware)
    write_whole(target, image.blocks)
    for other in directory.glob(f"{image.firmware.name}-*.uf2"):
        match = _FILE_NAME.fullmatch(other.name)
        if match is not None and match["name"] == image.firmware.name and other != target:
            other.unlink()
