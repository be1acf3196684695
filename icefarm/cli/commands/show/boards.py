"""The verb ``boards``: how the boards of a farm compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import click

from icefarm.calibration.records import Calibration
from icefarm.cli.completing import complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.contract import from_wire

__all__ = ["boards"]

#: What boards can be sorted by; the largest deviation comes first, in either direction.
_ORDERS = {
    "serial": lambda record: record["serial"],
    "offset": lambda record: -abs(record["offset_ppm"]),
    "noise": lambda record: -record["noise_ppm"],
    "drift": lambda record: -abs(record["drift_ppm_per_day"]),
}


@click.group()
def boards() -> None:
    """Compare the boards of a farm."""


@boards.command()
@click.argument("serials", metavar="[SERIAL]...", nargs=-1, shell_complete=complete_serials)
@click.option(
    "--reference",
    type=click.Choice(("oscillator", "crystal", "ring")),
    default="oscillator",
    show_default=True,
    help="The reference circuit: the FPGA's own oscillator, the board's crystal, a ring of inverters.",
)
@click.option(
    "--sort", type=click.Choice(tuple(_ORDERS)), default="serial", show_default=True, help="The order of the table."
)
@output_option
@with_access()
def compare(access: SignIn, output: Output, serials: tuple[str, ...], reference: str, sort: str) -> None:
    """List how boards deviate: offset, noise, drift with time and with temperature.

    Idle boards measure reference circuits every 19 hours, and the figures come from the readings of the last 90 days.
    The number after "±" is one standard uncertainty. A board that measures unlike the others, or unlike its own past,
    is suspect.
    """
    with opened_screen() as screen:
        found = Reader(access).calibrations(reference, serials)
        records = [_record(each, found["suspects"]) for each in found["calibrations"]]
        show(screen, sorted(records, key=_ORDERS[sort]), archive_columns.compared(found["time"]), output)
        if not records:
            screen.say("no board is calibrated yet: boards calibrate when they have been free for a minute")


def _record(wire: Mapping[str, Any], suspects: Mapping[str, str]) -> dict[str, Any]:
    calibration = from_wire(wire, Calibration, "a calibration")
    return {
        **attrs.asdict(calibration),
        "offset_uncertainty_ppm": calibration.offset_uncertainty_ppm,
        "drift_uncertainty": calibration.drift_uncertainty,
        "kelvin_uncertainty": calibration.kelvin_uncertainty,
        "temperature_c": calibration.reference_temperature_c,
        "measured_at": calibration.valid_from,
        "suspect": suspects.get(calibration.serial),
    }
