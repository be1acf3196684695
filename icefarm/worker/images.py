"""Firmware images: by the name of the application in them, in one version each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from attrs import Factory, frozen

from icefarm.worker.states import Firmware
from icefarm.worker.uf2 import BadImage, parse

__all__ = ["DEFAULT", "Image", "Images", "NoImage", "images_in"]

#: The application that a board runs while nobody has reserved it.
DEFAULT = "default"
#: Of a file that holds an image: application, version.
_FILE_NAME = re.compile(r"(?P<name>[a-z][a-z0-9_]*)-(?P<version>[0-9][0-9A-Za-z.+-]*)\.uf2")


class NoImage(Exception):
    """There is no such image."""


@frozen
class Image:
    """A firmware image: what it says of itself in HELLO, and its UF2 blocks."""

    firmware: Firmware
    blocks: bytes


@frozen
class Images:
    """The images for one sort of boards."""

    #: What boards these are for, for messages: "virtual boards".
    boards: str
    by_name: Mapping[str, Image] = Factory(dict)

    def get(self, name: str) -> Image:
        """Raises `NoImage`."""
        try:
            return self.by_name[name]
        except KeyError:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise NoImage(f"this worker has no firmware {name!r} for {self.boards} (it has: {known})") from None

    @property
    def default(self) -> Firmware:
        """The default firmware; one of an unknown version where there is no image of it."""
        image = self.by_name.get(DEFAULT)
        return Firmware(DEFAULT, "(none)") if image is None else image.firmware


def images_in(directory: Path, boards: str) -> Images:
    """Read the images of a directory: files named ``APPLICATION-VERSION.uf2``, such as ``pulse_count-1.0.0.uf2``.

    Raises `NoImage` for a file that is no image for an RP2350, or two of one application.
    """
    found: dict[str, Image] = {}
    for path in sorted(directory.glob("*.uf2")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise NoImage(f"{path}: the name must be APPLICATION-VERSION.uf2")
        if match["name"] in found:
            raise NoImage(f"{path}: there is another version of {match['name']}; keep one")
        try:
            content = path.read_bytes()
            parse(content)
        except (BadImage, OSError) as error:
            raise NoImage(f"{path}: {error}") from None
        found[match["name"]] = Image(Firmware(match["name"], match["version"]), content)
    return Images(boards, found)
