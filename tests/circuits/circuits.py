#!/usr/bin/env python3
"""Builds circuits for the iCE40UP5K, and counts what an independent functional simulation of their Verilog does.

    circuits.py build [NAME...]    NAME.bin of each circuit (yosys, nextpnr-ice40, icepack)
    circuits.py count [NAME...]    counts.txt: rising edges in a window, by simulation of the source (iverilog)
    circuits.py keep               made_up.zip: bitstreams and counts of made-up circuits, for each run of the tests

The first two do all circuits if no names are given.
On Debian: apt-get install yosys nextpnr-ice40 fpga-icestorm iverilog
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from attrs import frozen

HERE = Path(__file__).resolve().parent
CELLS = Path("/usr/share/yosys/ice40/cells_sim.v")
#: Of these cells clocks_sim.v has models.
OTHER_CELLS = ("SB_HFOSC", "SB_LFOSC", "SB_PLL40_CORE", "SB_PLL40_PAD", "SB_RGBA_DRV")
#: Units of simulated time in a microsecond.
UNITS = 384
OUTPUTS = (27, 25, 26, 23, 2, 3)
#: Seeds of the made-up circuits that are kept.
KEPT = range(1, 21)


@frozen
class Circuit:
    """A module with its parameters: what it is called, and how many microseconds of it are counted."""

    name: str
    source: str
    top: str
    parameters: Mapping[str, str | int] = {}
    pins: Sequence[int] = (27,)
    window_us: int = 3000
    #: Whether yosys may put arithmetic into DSP blocks.
    dsp: bool = False
    #: Names of cells, with * and ?, and where nextpnr must put them.
    places: Mapping[str, str] = {}
    #: Bits that nextpnr does not know, to be set: the heading of the tile in the .asc, row and column.
    bits: Sequence[tuple[str, int, int]] = ()


def _divider(clock: str, half_period: int, window_us: int = 3000) -> Circuit:
    parameters = {"CLOCK": clock, "HALF_PERIOD": half_period}
    return Circuit(f"divider_{clock}", "dividers.v", "divider", parameters, window_us=window_us)


def mac_settings(
    registers: int = 0,
    top: tuple[int, int, int, int] = (0, 0, 0, 0),
    bottom: tuple[int, int, int, int] = (0, 0, 0, 0),
    narrow: bool = False,
    signed: int = 0,
) -> int:
    """Return the 25 settings of a DSP block, in the order of Lattice's CBIT[24:0].

    ``registers``: C, A, B, D, F, G, J and K, H, the lowest bit first. ``top`` and ``bottom``: OUTPUT_SELECT, and
    ADDSUB's LOWERINPUT, UPPERINPUT and CARRYSELECT. ``signed``: A, B.
    """
    halves = [output | lower << 2 | upper << 4 | carry << 5 for output, lower, upper, carry in (top, bottom)]
    return registers | halves[0] << 8 | halves[1] << 15 | narrow << 22 | signed << 23


#: Products: of 16 bits without a sign, with signs, with all registers and mixed signs; of eight bits without
#: registers, with them, with those of the upper half alone; registers in the middle alone; the last register
#: alone.
PRODUCTS = (
    mac_settings(top=(3, 0, 0, 0), bottom=(3, 0, 0, 0)),
    mac_settings(top=(3, 0, 0, 0), bottom=(3, 0, 0, 0), signed=3),
    mac_settings(0b11110110, (3, 0, 0, 0), (3, 0, 0, 0), signed=1),
    mac_settings(0, (2, 0, 0, 0), (2, 0, 0, 0), narrow=True),
    mac_settings(0b00110110, (2, 0, 0, 0), (2, 0, 0, 0), narrow=True, signed=3),
    mac_settings(0b00010000, (2, 0, 0, 0), (2, 0, 0, 0), narrow=True, signed=1),
    mac_settings(0b01110000, (3, 0, 0, 0), (3, 0, 0, 0), signed=2),
    mac_settings(0b10000000, (3, 0, 0, 0), (3, 0, 0, 0), signed=2),
)
#: Sums: accumulators of 32 bits (the second with signs, registers, and the other way to chain carries); a sum of
#: 32 bits with CI; two accumulators of products of eight bits; C and D in registers, carries that are always 1; a
#: sign extended; a product plus C and D; halves that differ.
SUMS = (
    mac_settings(0, (1, 2, 0, 2), (1, 2, 0, 0)),
    mac_settings(0b11111111, (1, 2, 0, 3), (1, 2, 0, 3), signed=3),
    mac_settings(0, (0, 0, 1, 2), (0, 0, 1, 3)),
    mac_settings(0b00110000, (1, 1, 0, 0), (1, 1, 0, 1), narrow=True, signed=3),
    mac_settings(0b00001111, (1, 0, 1, 1), (1, 0, 1, 1)),
    mac_settings(0b00000110, (1, 3, 0, 2), (1, 0, 0, 0)),
    mac_settings(0, (0, 2, 1, 2), (0, 2, 1, 0), signed=3),
    mac_settings(0b00000101, (0, 1, 0, 3), (1, 2, 1, 2), signed=1),
)


#: The DSP blocks, each above the one before it in its column.
MAC_PLACES = [f"X{x}/Y{y}/mac16_0" for x in (0, 25) for y in (5, 10, 15, 23)]


def random_settings(seed: int) -> list[int]:
    """Return settings of eight DSP blocks; the same seed gives the same ones."""
    random = Random(seed)
    return [random.getrandbits(25) for _ in range(8)]


def mac_circuit(name: str, settings: Sequence[int], window_us: int = 200) -> Circuit:
    """Return a circuit of eight DSP blocks with these settings."""
    number = sum(each << 25 * place for place, each in enumerate(settings))
    configs = {"CONFIGS": f"200'h{number:x}"}
    places = {f"blocks?{i}?.block.block": place for i, place in enumerate(MAC_PLACES)}
    return Circuit(name, "mac.v", "mac", configs, (27, 25, 26, 23), window_us, places=places)


def made_up_circuit(name: str, source: Path, window_us: int = 1000) -> Circuit:
    """Return one whose source made_up.py wrote.  48,000 edges are enough for stretches to be passed over."""
    return Circuit(name, str(source), "made_up", pins=(27, 25), window_us=window_us, dsp=True)


def random_mac_circuit(name: str, seed: int) -> Circuit:
    """Return one of DSP blocks with settings drawn at random, none of which is in `CIRCUITS`."""
    return mac_circuit(name, random_settings(1000 + seed))


def _cascade(name: str, parameters: Mapping[str, int], bits: Sequence[tuple[str, int, int]] = ()) -> Circuit:
    places = {"lower": MAC_PLACES[0], "upper": MAC_PLACES[1]}
    return Circuit(name, "mac_cascade.v", "mac_cascade", parameters, (27, 25, 26), places=places, bits=bits)


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
    Circuit("multiply", "multiply.v", "multiply", pins=OUTPUTS, dsp=True),
    mac_circuit("mac_products", PRODUCTS),
    mac_circuit("mac_sums", SUMS),
    mac_circuit("mac_random", random_settings(1)),
    *(_cascade(f"mac_cascade_{signed}", {"SIGNED": signed}) for signed in range(2)),
    _cascade("mac_falling", {"SIGNED": 1, "NEGATIVE": 1}, [(".dsp2_tile 0 7", 0, 0), (".dsp2_tile 0 12", 0, 0)]),
    Circuit("led", "led.v", "led", pins=(27, 39, 40, 41)),
    *(
        Circuit(name, "loops.v", "loops", {"KIND": kind}, window_us=0)
        for kind, name in enumerate(("ring", "latch", "spi", "i2c", "led_pwm", "trimmed", "asleep"))
    ),
)


def build(circuit: Circuit, directory: Path, target: Path, seed: int = 1) -> None:
    """Write a circuit's bitstream to ``target``; what is made on the way goes to ``directory``."""
    chparam = " ".join(f"-set {name} {_value(value)}" for name, value in circuit.parameters.items())
    script = f'read_verilog "{HERE / circuit.source}"; '
    if chparam:
        script += f"chparam {chparam} {circuit.top}; "
    places = " ".join(f'setattr -set BEL "{place}" c:{cell};' for cell, place in circuit.places.items())
    design, text = directory / f"{circuit.name}.json", directory / f"{circuit.name}.asc"
    script += f'synth_ice40 {"-dsp " if circuit.dsp else ""}-top {circuit.top}; {places} write_json "{design}"'
    _run("yosys", "-q", "-p", script)
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
    text.write_text(_with_bits(text.read_text(), circuit.bits))
    _run("icepack", str(text), str(target))


def _with_bits(asc: str, bits: Sequence[tuple[str, int, int]]) -> str:
    lines = asc.splitlines()
    for heading, row, column in bits:
        at = lines.index(heading) + 1 + row
        lines[at] = lines[at][:column] + "1" + lines[at][column + 1 :]
    return "\n".join(lines) + "\n"


def counts(circuit: Circuit, directory: Path) -> list[int]:
    """Return the rising edges at each of a circuit's pins, as iverilog simulates its source."""
    bench, program = directory / f"{circuit.name}_bench.v", directory / f"{circuit.name}.vvp"
    cells = directory / "cells.v"
    cells.write_text(_without(CELLS.read_text(), OTHER_CELLS))
    bench.write_text(_bench(circuit))
    sources = [str(path) for path in (cells, HERE / "clocks_sim.v", HERE / circuit.source, bench)]
    _run("iverilog", "-g2012", "-DNO_ICE40_DEFAULT_ASSIGNMENTS", "-o", str(program), "-s", "bench", *sources)
    return [int(number) for number in _run("vvp", "-n", str(program)).split()]


def _value(value: str | int) -> str:
    is_text = isinstance(value, str) and "'" not in value
    return f'"{value}"' if is_text else str(value)


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
    end = f'#{circuit.window_us * UNITS} $display("{template}", {shown}); $finish(0);'
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


def keep(directory: Path) -> None:
    """Write made_up.zip: of each circuit the bitstream, and a line in its counts.txt.  Nothing in it has a date."""
    from made_up import made_up_source

    circuits = [(random_mac_circuit("macs_1", 1), 1)]
    for seed in KEPT:
        source = directory / f"made_up_{seed}.v"
        source.write_text(made_up_source(seed))
        circuits.append((made_up_circuit(source.stem, source), seed))
    edges = listed(directory, [circuit for circuit, _ in circuits])
    with zipfile.ZipFile(HERE / "made_up.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as kept:
        for circuit, seed in circuits:
            bitstream = directory / f"{circuit.name}.bin"
            build(circuit, directory, bitstream, seed)
            kept.writestr(zipfile.ZipInfo(bitstream.name), bitstream.read_bytes(), zipfile.ZIP_DEFLATED)
        kept.writestr(zipfile.ZipInfo("counts.txt"), edges, zipfile.ZIP_DEFLATED)


def main(arguments: Sequence[str]) -> int:
    what, names = arguments[:1], arguments[1:]
    chosen = [circuit for circuit in CIRCUITS if not names or circuit.name in names]
    if what not in (["build"], ["count"], ["keep"]) or len(names) > len(chosen):
        print(__doc__, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        if what == ["build"]:
            for circuit in chosen:
                build(circuit, directory, HERE / f"{circuit.name}.bin")
        elif what == ["keep"]:
            keep(directory)
        else:
            simulated = [circuit for circuit in chosen if circuit.window_us > 0]
            (HERE / "counts.txt").write_text(listed(directory, simulated))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
