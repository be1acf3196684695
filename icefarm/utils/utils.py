"""Circuits of a given frequency, and lists in parts, under the names that existing scripts use."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from icefarm.bitstream import pack_asc
from icefarm.errors import InvalidArgument
from icefarm.system.files import write_whole

__all__ = ["batch", "generate_circuit"]

T = TypeVar("T")

#: Seconds for each of the tools; placing this circuit takes one or two.
TOOL_LIMIT = 300.0
#: The oscillator of the pico2-ice's FPGA clock pin, Hz.
CLOCK = 48_000_000
#: Pins of the pico2-ice ("Signals definition" of pico-ice-sdk): the clock from the RP2350, the measured pin.
_PINS = "set_io CLK 35\nset_io ICE_27 27\n"

_VERILOG = """\
// A pulse on ICE_27 for one cycle in {period}.
module top (input CLK, output reg ICE_27);
    reg [{top_bit}:0] count = 0;
    wire last = count == {last};

    always @(posedge CLK) begin
        count <= last ? 0 : count + 1;
        ICE_27 <= last;
    end
endmodule
"""


def batch(l: Iterable[T], amount: Any) -> list[list[T]]:  # noqa: E741 - scripts give it by this name
    """Distribute items over ``amount`` lists in turn.  Raises `InvalidArgument` for fewer than one."""
    count = round(_number("amount", amount))
    if count < 1:
        raise InvalidArgument(f"amount must be a number of lists, at least 1, not {amount!r}")
    every = list(l)
    return [every[index::count] for index in range(count)]


def generate_circuit(
    hz: Any, build_dir: Any, build_script: Any = None, pcf_path: Any = None, clk: Any = CLOCK
) -> tuple[str, float]:
    """Build a circuit with that many pulses a second on pin ICE_27, from the clock ``clk`` (Hz) at the pin CLK.

    Returns the path of ``top.bin`` in ``build_dir``, and its frequency in kilohertz: ``clk`` divided by a whole
    number.  Needs yosys and nextpnr-ice40; with ``build_script``, runs ``bash build_script build_dir pcf_path``
    instead, which must make top.bin from top.v.  Raises `InvalidArgument`, CalledProcessError.
    """
    clk = _number("clk", clk)
    period = _period(_number("hz", hz), clk)
    directory = Path(build_dir)
    directory.mkdir(parents=True, exist_ok=True)
    last = period - 1
    source = _VERILOG.format(period=period, last=last, top_bit=max(0, last.bit_length() - 1))
    write_whole(directory / "top.v", source)
    pins = Path(pcf_path) if pcf_path is not None else directory / "top.pcf"
    if pcf_path is None:
        write_whole(pins, _PINS)
    made = directory / "top.bin"
    if build_script is not None:
        _run("bash", os.fspath(build_script), os.fspath(build_dir), os.fspath(pins))
    else:
        _build(directory, pins, made)
    return str(made), clk / period / 1000


def _number(name: str, value: Any) -> float:
    """Return a number, which may be text.  Raises `InvalidArgument`."""
    try:
        number = math.nan if isinstance(value, bool | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidArgument(f"{name} must be a number, not {value!r:.80}")
    return number


def _period(hz: float, clock: float) -> int:
    if not 0 < hz <= clock / 2:
        raise InvalidArgument(f"the frequency must be above 0 and at most half the clock's {clock:g} Hz, not {hz:g}")
    return round(clock / hz)


def _build(directory: Path, pins: Path, made: Path) -> None:
    net, placed = directory / "top.json", directory / "top.asc"
    _run("yosys", "-q", "-p", f"read_verilog {directory / 'top.v'}; synth_ice40 -top top -json {net}")
    _run(
        "nextpnr-ice40", "--quiet", "--up5k", "--package", "sg48", "--freq", "48", "--seed", "1",
        "--pcf", str(pins), "--json", str(net), "--asc", str(placed),
    )  # fmt: skip
    write_whole(made, pack_asc(placed.read_text(encoding="ascii")))


def _run(program: str, *arguments: str) -> None:
    found = shutil.which(program)
    if found is None:
        raise InvalidArgument(f"{program} is not installed; on Debian: apt-get install yosys nextpnr-ice40")
    subprocess.run([found, *arguments], check=True, capture_output=True, text=True, timeout=TOOL_LIMIT)
