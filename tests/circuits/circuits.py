#!/usr/bin/env python3
"""Builds circuits for the iCE40UP5K, and counts what an independent functional simulation of their Verilog does.

    circuits.py build [NAME...]    NAME.bin of each circuit (yosys, nextpnr-ice40, icepack)
    circuits.py count [NAME...]    counts.txt: rising edges in a window, by simulation of the source (iverilog)

Both do all circuits if no names are given. On Debian: apt-get install yosys nextpnr-ice40 fpga-icestorm iverilog
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

HERE = Path(__file__).resolve().parent
CELLS = Path("/usr/share/yosys/ice40/cells_sim.v")
#: Of these cells clocks_sim.v has models.
CLOCK_CELLS = ("SB_HFOSC", "SB_LFOSC", "SB_PLL40_CORE", "SB_PLL40_PAD")
#: Units of simulated time in a microsecond.
UNITS = 384
OUTPUTS = (27, 25, 26, 23, 2, 3)


@frozen
class Circuit:
    """A module with its parameters: what it is called, and how many microseconds of it are counted."""

    name: str
    source: str
    top: str
    parameters: Mapping[str, str | int] = {}
    pins: Sequence[int] = (27,)
    window_us: int = 3000


def _divider(clock: str, half_period: int, window_us: int = 3000) -> Circuit:
    parameters = {"CLOCK": clock, "HALF_PERIOD": half_period}
    return Circuit(f"divider_{clock}", "dividers.v", "divider", parameters, window_us=window_us)


CIRCUITS = (
    _divider("hf48", 300),
    _divider("hf24", 77),
    _divider("hf12", 33),
    _divider("hf6", 5),
    _divider("lf", 3, 100_000),
    _divider("pin", 299),
    _divider("pad", 41),
    Circuit("pll", "pll.v", "pll"),
    *(
        Circuit(f"carry_{width}", "carry.v", "carry", {"WIDTH": width}, (27, 25, 26, 23))
        for width in (3, 7, 8, 9, 16, 17, 33)
    ),
    Circuit("registers", "registers.v", "registers", pins=(27, 25, 26, 23, 2, 3)),
    Circuit("lfsr", "lfsr.v", "lfsr", pins=(27, 25, 26)),
    *(Circuit(f"memory_{mode}", "memory.v", "memory", {"MODE": mode}, (27, 25)) for mode in range(4)),
    Circuit("memory_edges", "memory_edges.v", "memory_edges", pins=(27, 25)),
    Circuit("spram", "spram.v", "spram"),
    Circuit("levels", "levels.v", "levels", pins=(27, 25, 26, 23)),
    Circuit("edges", "edges.v", "edges", pins=(27, 25, 26, 23)),
    Circuit("decade", "decade.v", "decade", pins=(27, 25)),
    Circuit("pins", "pins.v", "pins", pins=(27, 25, 26, 23, 2)),
    Circuit("clocks", "clocks.v", "clocks", pins=(27, 25), window_us=20_000),
    Circuit("counter_12", "counters.v", "counters", {"WIDTH": 12}),
    Circuit("counter_24", "counters.v", "counters", {"WIDTH": 24}, window_us=1_000_000),
    Circuit("restarted_24", "counters.v", "counters", {"WIDTH": 24, "LIMIT": 9_999_999}, window_us=1_000_000),
    Circuit("endless", "endless.v", "endless"),
    *(Circuit(f"busy_{cells}", "busy.v", "busy", {"CELLS": cells}, window_us=20) for cells in (50, 500, 5000)),
    Circuit("ring", "loops.v", "loops", {"KIND": 0}, window_us=0),
    Circuit("latch", "loops.v", "loops", {"KIND": 1}, window_us=0),
    Circuit("multiplier", "loops.v", "loops", {"KIND": 2}, window_us=0),
)


def build(circuit: Circuit, directory: Path, target: Path, seed: int = 1) -> None:
    """Write a circuit's bitstream to ``target``; what is made on the way goes to ``directory``."""
    chparam = " ".join(f"-set {name} {_value(value)}" for name, value in circuit.parameters.items())
    script = f"read_verilog {HERE / circuit.source}; "
    if chparam:
        script += f"chparam {chparam} {circuit.top}; "
    design, text = directory / f"{circuit.name}.json", directory / f"{circuit.name}.asc"
    _run("yosys", "-q", "-p", f"{script}synth_ice40 -top {circuit.top} -json {design}")
    place = ["nextpnr-ice40", "--quiet", "--up5k", "--package", "sg48", "--freq", "48", "--seed", str(seed), "--force"]
    _run(
        *place,
        "--ignore-loops",
        "--timing-allow-fail",
        "--pcf",
        str(HERE / "pins.pcf"),
        "--json",
        str(design),
        "--asc",
        str(text),
    )
    _run("icepack", str(text), str(target))


def counts(circuit: Circuit, directory: Path) -> list[int]:
    """Return the rising edges at each of a circuit's pins, as iverilog simulates its source."""
    bench, program = directory / f"{circuit.name}_bench.v", directory / f"{circuit.name}.vvp"
    cells = directory / "cells.v"
    cells.write_text(_without(CELLS.read_text(), CLOCK_CELLS))
    bench.write_text(_bench(circuit))
    sources = [str(path) for path in (cells, HERE / "clocks_sim.v", HERE / circuit.source, bench)]
    _run("iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-o", str(program), "-s", "bench", *sources)
    return [int(number) for number in _run("vvp", "-n", str(program)).split()]


def _value(value: str | int) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def _without(cells: str, names: Sequence[str]) -> str:
    for name in names:
        cells = re.sub(rf"^module {name}\s*\(.*?^endmodule", "", cells, flags=re.DOTALL | re.MULTILINE)
    return cells


def _bench(circuit: Circuit) -> str:
    """Return a test bench that counts rising edges after the start, none shorter than a unit of time."""
    parameters = ", ".join(f".{name}({_value(value)})" for name, value in circuit.parameters.items())
    has_clock = "input wire ICE_35" in (HERE / circuit.source).read_text()
    ports = [".ICE_35(clock)"] * has_clock + [f".ICE_{pin}(pin_{pin})" for pin in circuit.pins]
    lines = ["`timescale 1ns / 1ns", "module bench;", "reg clock = 0;", "always #4 clock = ~clock;"]
    for pin in circuit.pins:
        lines += [f"wire pin_{pin}; pulldown (pin_{pin}); wire #1 slow_{pin} = pin_{pin} === 1;"]
        lines += [f"integer count_{pin} = 0;"]
        lines += [f"always @(posedge slow_{pin}) if ($time > 2) count_{pin} = count_{pin} + 1;"]
    settings = f"#({parameters}) " if parameters else ""
    shown = ", ".join(f"count_{pin}" for pin in circuit.pins)
    template = " ".join(["%0d"] * len(circuit.pins))
    end = f'#{circuit.window_us * UNITS} $display("{template}", {shown}); $finish;'
    return "\n".join(
        [*lines, f"{circuit.top} {settings}circuit ({', '.join(ports)});", f"initial begin {end} end", "endmodule", ""]
    )


def listed(directory: Path, chosen: Sequence[Circuit]) -> str:
    """Return the lines of counts.txt: name, window in microseconds, and PIN=COUNT for each pin."""
    lines = [f"# Made by {Path(__file__).name} count: circuit, window in microseconds, rising edges at pins.\n"]
    for circuit in chosen:
        pairs = [f"{pin}={n}" for pin, n in zip(circuit.pins, counts(circuit, directory), strict=True)]
        lines.append(" ".join([circuit.name, str(circuit.window_us), *pairs]) + "\n")
    return "".join(lines)


def main(arguments: Sequence[str]) -> int:
    what, names = arguments[:1], arguments[1:]
    chosen = [circuit for circuit in CIRCUITS if not names or circuit.name in names]
    if what not in (["build"], ["count"]) or len(names) > len(chosen):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        if what == ["build"]:
            for circuit in chosen:
                build(circuit, directory, HERE / f"{circuit.name}.bin")
        else:
            simulated = [circuit for circuit in chosen if circuit.window_us > 0]
            (HERE / "counts.txt").write_text(listed(directory, simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
