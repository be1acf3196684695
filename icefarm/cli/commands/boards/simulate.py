"""The verb ``simulate``: what a circuit does, without a board and without a farm."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from math import nan
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import click

from icefarm.bitstream import from_file
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.floor_plan import floor_plan_svg
from icefarm.cli.ui.parameter_types import ParsedText
from icefarm.farm.errors import CannotStart
from icefarm.kinds.clock import DEFAULT_MHZ
from icefarm.text.outside_json import parse_json

__all__ = ["simulate"]

#: Pins of the package that are inputs or outputs, and how many of them the program counts at once.
PINS = (2, 3, 4, 6, *range(9, 22), 23, 25, 26, 27, 28, 31, 32, *range(34, 49))
PINS_MAX = 16
_CELLS = {
    "look_up_tables": ("look-up table", "look-up tables"),
    "carries": ("carry", "carries"),
    "flip_flops": ("flip-flop", "flip-flops"),
    "block_rams": ("block RAM", "block RAMs"),
    "sprams": ("SPRAM", "SPRAMs"),
    "dsp_blocks": ("DSP block", "DSP blocks"),
}


#: Seconds after which a user at a terminal reads that it takes longer.
PATIENCE = 3.0
#: Seconds of a window.
SHORTEST, LONGEST = 1e-6, 600.0


def _window(text: str) -> float:
    try:
        window = float(text)
    except ValueError:
        window = nan
    if not SHORTEST <= window <= LONGEST:  # also of what is not a number
        raise ValueError(f"must be seconds from {SHORTEST:g} to {LONGEST:g}, as in 0.5, not {text!r}")
    return window


def _pins(text: str) -> Sequence[int]:
    words = text.split(",")
    pins = [int(word) for word in words if word.isascii() and word.isdigit()]
    if len(pins) != len(words) or len(pins) > PINS_MAX:
        raise ValueError(f"must be up to {PINS_MAX} pins of the FPGA, as in 27,25, not {text!r}")
    unknown = [pin for pin in pins if pin not in PINS]
    if unknown:
        raise ValueError(
            f"must be inputs or outputs of the FPGA ({_ranges(PINS)}), and its pin {unknown[0]} is neither"
        )
    return pins


def _ranges(numbers: Sequence[int]) -> str:
    """Write numbers in ascending order, with those that follow one another as in 9 to 21."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]} to {run[-1]}" for run in runs)


def _amount(n: int, one: str, several: str) -> str:
    return f"{n:,} {one if n == 1 else several}"


def _number(value: float) -> str:
    return f"{value:,.10g}"


def _clock(clock: Mapping[str, Any]) -> str:
    frequency = "" if clock["hz"] is None else f", {_number(clock['hz'])} Hz"
    edges = [f"{clock[edge]} by its {edge} edge" for edge in ("rising", "falling") if clock[edge] > 0]
    return f"{clock['clock']}{frequency}: flip-flops, {' and '.join(edges) or 'none'}"


def lines_of(found: Mapping[str, Any], vcd: Path | None, svg: Path | None = None) -> Iterator[str]:
    """Yield what the program found, for people."""
    for pin in found["pins"]:
        yield f"pin {pin['pin']}: driven by {pin['driver']}"
        pulses = f"{_amount(pin['pulses'], 'pulse', 'pulses')} in {_number(found['window_s'])} s"
        yield f"  {pulses}: {_number(pin['hz'])} Hz ({found['origin']})"
    cells = ", ".join(_amount(n, *_CELLS[name]) for name, n in found["cells"].items() if n > 0)
    yield f"depends on: {cells or 'no cells'}"
    for clock in found["clocks"]:
        yield f"clocked by: {_clock(clock)}"
    if found["period_s"] is not None:
        yield f"repeats after: {_number(found['period_s'])} s"
    if svg is not None:
        yield f"picture: {svg}"
    if vcd is not None:
        yield f"waveform: {vcd}, the first {_number(found['waveform_s'])} s"


def _run(bitstream: bytes, arguments: Sequence[str]) -> dict[str, Any]:
    # Imported on demand: it imports Twisted.
    from icefarm.virtual.images import MissingBoards, program

    try:
        command = [str(program()), "--simulate", "-", *arguments]
    except MissingBoards as error:
        raise CannotStart(str(error)) from None
    code, out, err = _output(command, bitstream)
    if code != 0:
        raise CannotStart(err.decode(errors="replace").strip() or f"the simulator ended with {code}")
    found: dict[str, Any] = parse_json(out)
    return found


def _output(command: Sequence[str], bitstream: bytes) -> tuple[int, bytes, bytes]:
    """Return the exit code and the output of the simulator, which reads the circuit from its standard input."""
    with TemporaryFile() as circuit:
        circuit.write(bitstream)
        circuit.seek(0)
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=circuit, stdout=pipe, stderr=pipe) as simulator:
            out, err = _wait(simulator)
    return simulator.returncode, out, err


def _wait(simulator: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Return the output. A user at a terminal reads when it takes long."""
    try:
        return simulator.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        if sys.stderr.isatty():
            click.echo("icefarm: still simulating: a circuit that never repeats can take half a minute", err=True)
        return simulator.communicate()
    finally:
        simulator.kill()  # where Ctrl-C ended the wait


def _draw(found: dict[str, Any], title: str, path: Path) -> None:
    try:
        path.write_text(floor_plan_svg(found, title), "utf-8")
    except OSError as error:
        raise CannotStart(f"{path} can't be written: {error.strerror}") from None
    del found["plan"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--window",
    type=ParsedText("seconds", _window),
    default="1",
    metavar="SECONDS",
    show_default=True,
    help="Seconds to count pulses for, from the start of the circuit.",
)
@click.option(
    "--pins",
    type=ParsedText("pins", _pins),
    default="27",
    metavar="N,...",
    show_default=True,
    help="Pins of the FPGA to count on. Boards count on 27.",
)
@click.option(
    "--clock-mhz",
    type=click.IntRange(0, 200),
    default=DEFAULT_MHZ,
    show_default=True,
    help="The clock that the board supplies at pin 35; 0: none.",
)
@click.option("--vcd", type=click.Path(path_type=Path, dir_okay=False), help="Write a waveform, for GTKWave.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), help="Draw where the circuit is on the chip.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def simulate(
    file: Path, window: float, pins: Sequence[int], clock_mhz: int, vcd: Path | None, svg: Path | None, output: str
) -> None:
    """Show what a circuit does, without a board or a farm: what drives a pin, its clocks, and its pulses.

    FILE is a .bin or an .asc for the iCE40UP5K. A virtual board counts the same.
    """
    arguments = [
        "--window", repr(window), "--pins", ",".join(map(str, pins)), "--clock-mhz", str(clock_mhz),
        *([] if vcd is None else ["--vcd", str(vcd)]),
        *([] if svg is None else ["--plan"]),
    ]  # fmt: skip
    found = _run(from_file(file).data, arguments)
    if svg is not None and found["reason"] is None:
        _draw(found, file.name, svg)
    if output == "json":
        click.echo(json.dumps(found))
    elif found["reason"] is None:
        for line in lines_of(found, vcd, svg):
            click.echo(line)
    if found["reason"] is not None:
        click.echo(
            f"icefarm: {file} can't be simulated: {found['reason']}. Only a real board can tell what it does", err=True
        )
        raise click.exceptions.Exit(Exit.FAILED)
