"""The verb ``firmware``: lists the images for boards, builds them, and installs them where workers look."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import click

from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records.columns import IMAGES
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.farm.errors import CannotStart
from icefarm.worker.flash.images import DEFAULT, NoImage, images_directory, images_in
from icefarm.worker.flash.images import file_name as file_name_of
from icefarm.worker.flash.images import install as install_images

__all__ = ["firmware", "images_option"]

#: The virtual boards' program gives its version in milliseconds; on a machine that swaps, it takes longer.
PROGRAM_LIMIT = 10.0

images_option = click.option(
    "--images",
    type=click.Path(file_okay=False, path_type=Path),
    default=lambda: images_directory(os.environ),
    envvar="ICEFARM_IMAGES",
    show_default="$XDG_DATA_HOME/icefarm/firmware or ~/.local/share/icefarm/firmware",
    help="The directory of images, the same as a worker's --images.",
)


@click.group()
def firmware() -> None:
    """Work with the firmware of real boards.

    Images are files APPLICATION-VERSION.uf2 in one directory, which workers on this host use too. A worker writes
    an image to every board whose HELLO reports another application or version.
    """


def _virtual_version() -> str | None:
    """Return the version that this icefarm comes with, from the virtual boards; None if they were not built."""
    from icefarm.virtual.images import MissingBoards, program

    try:
        asked = subprocess.run(
            [str(program()), "--version"], capture_output=True, text=True, check=True, timeout=PROGRAM_LIMIT
        )
    except (MissingBoards, OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip()


def _virtual(version: str) -> list[dict[str, Any]]:
    from twisted.logger import Logger

    from icefarm.kinds.builtin import BUILTIN
    from icefarm.kinds.registry import load_kinds

    kinds = load_kinds(BUILTIN, Logger(namespace="icefarm.cli"))
    names = {DEFAULT, *(kind.firmware for kind in kinds.by_name.values())}
    return [
        {"name": name, "version": version, "boards": "virtual", "current": True, "bytes": None, "path": None}
        for name in sorted(names)
    ]


def _real(directory: Path, version: str | None) -> list[dict[str, Any]]:
    try:
        found = images_in(directory, "real boards").by_name.values()
    except NoImage as error:
        raise CannotStart(str(error)) from None
    return [
        {
            "name": image.firmware.name,
            "version": image.firmware.version,
            "boards": "real",
            "current": version in (None, image.firmware.version),
            "bytes": len(image.blocks) // 2,
            "path": str(directory / file_name_of(image.firmware)),
        }
        for image in found
    ]


@firmware.command("list")
@output_option
@images_option
def list_(output: Output, images: Path) -> None:
    """List the images in the directory, and those of virtual boards.

    CURRENT says whether an image has the version that this icefarm comes with. BYTES is its size in flash.
    """
    version = _virtual_version()
    records = _real(images, version) + ([] if version is None else _virtual(version))
    with opened_screen() as screen:
        show(screen, records, IMAGES, output)


@firmware.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@images_option
def install(path: Path, images: Path) -> None:
    """Install the image PATH, or all in the directory PATH, where workers look, replacing other versions.

    A worker reads its images when it starts: restart it, and it flashes its boards as they become free.
    """
    try:
        installed = install_images(path, images)
    except NoImage as error:
        raise CannotStart(str(error)) from None
    for each in installed:
        click.echo(images / file_name_of(each))


@firmware.command()
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build", "firmware"),
    show_default=True,
    help="Where the images go.",
)
@click.option(
    "--source",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The directory firmware/ports/pico2_ice of a checkout.  [default: that of this icefarm]",
)
def build(into: Path, source: Path | None) -> None:
    """Build the images for real boards from their sources.

    Needs the Arm compiler, CMake and the pico-sdk (in the environment: PICO_SDK_PATH), and names everything that is
    missing at once. "icefarm firmware install" then puts the images where workers look.
    """
    from icefarm.cli.commands.admin.firmware_build import Percentage, missing, source_directory
    from icefarm.cli.commands.admin.firmware_build import build as build_images

    lacks = missing(os.environ, shutil.which, source)
    directory = source or source_directory()
    if lacks or directory is None:
        raise CannotStart("\n  ".join(["building the firmware needs what is missing here:", *lacks]))
    with opened_screen() as screen:
        screen.say("building the images; the first time takes one to two minutes")
        with screen.progress(100, "building") as advance:
            paths = build_images(directory, into / "work", into, Percentage(advance).reached)
        for path in paths:
            screen.write(f"{path}\n")
