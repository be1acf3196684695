"""The verb ``replay``: measure a run again, and say whether it agrees."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import click

from icefarm.cli.commands.boards.evaluate import check_timeout, serial_option, timeout_option, wait_option
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reserving import Wanted, reserved
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import NAME
from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.errors import InvalidArgument

if TYPE_CHECKING:
    from icefarm.client.runs.replay import CircuitFolder, Original
    from icefarm.runs.agreement import Agreement

__all__ = ["replay"]

_ID = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


@click.command()
@click.argument("source", metavar="FILE|ID")
@click.option("--circuits", type=click.Path(), metavar="DIR", help="A folder with the run's circuits, under any names.")
@click.option("--from", "origin", metavar="URL", help="The farm that has the run, if it is another one.")
@serial_option
@click.option(
    "--clock-ppm",
    type=click.FloatRange(0, 1e6),
    help="The largest difference between two boards' clocks, in millionths.  [default: 60]",
)
@click.option("--experiment", type=NAME, help="Keep the measurements under this name.  [default: replay-ID]")
@wait_option
@timeout_option
@output_option
@with_access(named=True)
def replay(
    access: SignIn,
    output: Output,
    source: str,
    circuits: str | None,
    origin: str | None,
    serials: tuple[str, ...],
    clock_ppm: float | None,
    experiment: str | None,
    wait: bool,
    timeout: float | None,
) -> None:
    """Measure a run again, here or on another farm, and say whether it agrees.

    FILE is a file of "icefarm run ID --out FILE"; ID is a run of the farm.  It reserves the same boards if the farm
    has them, or else substitutes.  It first prints the differences in provenance; then each
    value with the difference, its standard uncertainty, and whether it agrees (docs/runs.md has the formula).  With
    "-o json" it prints one object.

    The exit code is 0 if every value of the run was measured again and agrees, and 1 if not.
    """
    check_timeout({"wait": wait, "timeout": timeout})
    with opened_screen() as screen:
        from icefarm.client.runs.replay import CircuitFolder, measured_again, wanted_boards
        from icefarm.runs.agreement import CLOCK_PPM

        folder = None if circuits is None else CircuitFolder.of(circuits)
        original = _original(access, source, origin, folder)
        bitstreams = original.bitstreams()
        with farm_of(access) as farm:
            amount, chosen = wanted_boards(farm, original, tuple(dict.fromkeys(serials)) or None)
            wanted = Wanted(amount, chosen, original.kind, original.manifest["options"], wait, timeout)
            count = sum(map(original.measurable, original.lines))
            with reserved(farm, wanted.steady, screen) as boards, screen.progress(count, "measuring again") as advance:
                tolerance = CLOCK_PPM if clock_ppm is None else clock_ppm
                found = measured_again(farm, boards, original, bitstreams, experiment, tolerance, advance)
        _show(screen, original, found, output)
    sys.exit(Exit.OK if found.agrees else Exit.FAILED)


def _original(access: SignIn, source: str, origin: str | None, folder: CircuitFolder | None) -> Original:
    from icefarm.client.runs.replay import Original
    from icefarm.runs.package import Package

    more = () if folder is None else (folder,)
    if Path(source).exists() or not _ID.fullmatch(source):
        if origin is not None:
            raise click.UsageError("--from is for an ID; a FILE has the whole run")
        if not Path(source).exists():
            raise InvalidArgument(f"there is no file {source}, and a run's id is 8 to 64 hexadecimal digits")
        with Package.open(Path(source)) as package:
            # Its circuits are read later.
            return Original.of_file(package, *more).with_bitstreams()
    with farm_of(access if origin is None else attrs.evolve(access, url=origin)) as farm:
        return Original.of_run(farm.archived_run(source), *more).with_bitstreams()


def _show(screen: Screen, original: Original, found: Agreement, output: Output) -> None:
    cells = [attrs.asdict(cell) for cell in found.cells]
    if output.form == "json":
        whole = {
            "run": original.id,
            "agrees": found.agrees,
            "summary": found.summary,
            "differences": [attrs.asdict(each) for each in found.differences],
            "noise": [attrs.asdict(each) for each in found.noise],
            "coverage": found.coverage,
            "cells": cells,
        }
        screen.write(json.dumps(whole, indent=2) + "\n")
        return
    for line in _provenance(original, found):
        screen.say(line)
    show(screen, cells, archive_columns.AGREEMENT, output)
    screen.say(found.summary)


def _provenance(original: Original, found: Agreement) -> Sequence[str]:
    if not found.differences:
        return [f"run {original.id[:12]}: boards, firmware, origin and versions are the same"]
    return [
        f"run {original.id[:12]}: what differs in where the values come from:",
        *(f"  {each.what}: {each.first} then, {each.second} now" for each in found.differences),
    ]
