#!/usr/bin/env python3
"""Write chipdb_names.h and chipdb_up5k.c: the wires and switches of the iCE40UP5K as tables in C.

    python3 generate_chipdb.py [CHIPDB] [DIRECTORY]

CHIPDB is Project IceStorm's chip database for the device (Debian: package fpga-icestorm-chipdb); DIRECTORY is where the
two files go, by default the one of this script.

The database lists 103,383 nets and 201,460 switches. Most tiles are alike, so the tables say each thing once, relative
to a tile: the switches of a tile ("patterns"), and for each name of a wire in a tile the next tile, and name, of the
same net ("links"). chipdb.c turns them back into nets when the program starts.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

CHIPDB = Path("/usr/share/fpga-icestorm/chipdb/chipdb-5k.txt")
WIDTH, HEIGHT = 26, 32
PACKAGE = "sg48"

#: Wires that the simulator asks for by name: C constant, name, how many. They get the lowest numbers, in this order.
FAMILIES: tuple[tuple[str, Sequence[str]], ...] = (
    ("LUT_IN", [f"lutff_{lut}/in_{i}" for lut in range(8) for i in range(4)]),
    ("LUT_OUT", [f"lutff_{lut}/out" for lut in range(8)]),
    ("LUT_COUT", [f"lutff_{lut}/cout" for lut in range(8)]),
    ("LUT_LOUT", [f"lutff_{lut}/lout" for lut in range(8)]),
    ("CARRY_IN", ["carry_in"]),
    ("CARRY_IN_MUX", ["carry_in_mux"]),
    ("CLK", ["lutff_global/clk"]),
    ("CEN", ["lutff_global/cen"]),
    ("SR", ["lutff_global/s_r"]),
    ("D_IN", [f"io_{io}/D_IN_{i}" for io in range(2) for i in range(2)]),
    ("D_OUT", [f"io_{io}/D_OUT_{i}" for io in range(2) for i in range(2)]),
    ("OUT_ENB", [f"io_{io}/OUT_ENB" for io in range(2)]),
    ("IO_INCLK", ["io_global/inclk"]),
    ("IO_OUTCLK", ["io_global/outclk"]),
    ("IO_CEN", ["io_global/cen"]),
    ("IO_LATCH", ["io_global/latch"]),
    ("FABOUT", ["fabout"]),
    ("PADIN", ["padin_0", "padin_1"]),
    ("GLB", [f"glb_netwk_{i}" for i in range(8)]),
    ("RDATA", [f"ram/RDATA_{i}" for i in range(16)]),
    ("WDATA", [f"ram/WDATA_{i}" for i in range(16)]),
    ("MASK", [f"ram/MASK_{i}" for i in range(16)]),
    ("RADDR", [f"ram/RADDR_{i}" for i in range(11)]),
    ("WADDR", [f"ram/WADDR_{i}" for i in range(11)]),
    ("RCLK", ["ram/RCLK"]),
    ("RCLKE", ["ram/RCLKE"]),
    ("RE", ["ram/RE"]),
    ("WCLK", ["ram/WCLK"]),
    ("WCLKE", ["ram/WCLKE"]),
    ("WE", ["ram/WE"]),
    ("SLF_OP", [f"slf_op_{i}" for i in range(8)]),
    ("MULT_O", [f"mult/O_{i}" for i in range(32)]),
)

#: Kinds of cells at fixed places, in the order of enum chip_cell_kind.
CELL_KINDS = ("HFOSC", "LFOSC", "PLL", "SPRAM", "MAC16", "I2C", "SPI", "LEDDA_IP", "RGBA_DRV", "IO_I3C", "WARMBOOT")
#: Of these kinds the simulator asks for ports by name.
NAMED_PORTS = ("HFOSC", "LFOSC", "PLL", "SPRAM", "MAC16", "RGBA_DRV")
#: Of these kinds of tiles it asks for configuration bits by name.
NAMED_BITS = {"logic": ("NegClk", "CarryInSet"), "io": ("IOB_", "IoCtrl.REN", "NegClk"), "ramb": ("NegClk",)}
NAMED_BITS["ramt"] = ("NegClk", "RamConfig")
NAMED_BITS["dsp2"] = ("NegClk",)
_BIT = re.compile(r"B(\d+)\[(\d+)\]")


@dataclass(frozen=True)
class Switch:
    """A switch of a tile, in the tile's own names."""

    target: str
    bits: tuple[int, ...]
    #: Value of the bits, first bit highest, and the wire that it connects.
    choices: tuple[tuple[int, str], ...]


@dataclass
class Database:
    kinds: dict[tuple[int, int], str] = field(default_factory=dict)
    #: For each net its wires: x, y, name.
    nets: list[list[tuple[int, int, str]]] = field(default_factory=list)
    #: x, y, target net, bits, and (value, source net).
    switches: list[tuple[int, int, int, tuple[int, ...], list[tuple[int, int]]]] = field(default_factory=list)
    #: Bits by kind of tile and function.
    functions: dict[str, dict[str, list[int]]] = field(default_factory=lambda: defaultdict(dict))
    #: kind, x, y, z and (port, x, y, name).
    cells: list[tuple[str, int, int, int, list[tuple[str, int, int, str]]]] = field(default_factory=list)
    lists: dict[str, list[list[str]]] = field(default_factory=lambda: defaultdict(list))


def read(path: Path) -> Database:
    database = Database()
    section: list[str] = [""]
    with path.open(encoding="ascii") as lines:
        for line in lines:
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if line.startswith("."):
                section = words
                _begin(database, words)
            else:
                _take(database, section, words)
    return database


def _begin(database: Database, words: list[str]) -> None:
    kind = words[0]
    if kind.endswith("_tile"):
        database.kinds[int(words[1]), int(words[2])] = kind[1:-5]
    elif kind == ".net":
        database.nets.append([])
    elif kind in (".buffer", ".routing"):
        bits = tuple(_bit(name) for name in words[4:])
        database.switches.append((int(words[1]), int(words[2]), int(words[3]), bits, []))
    elif kind == ".extra_cell":
        z = int(words[3]) if len(words) == 5 else 0
        database.cells.append((words[-1], int(words[1]), int(words[2]), z, []))


def _take(database: Database, section: list[str], words: list[str]) -> None:
    kind = section[0]
    if kind == ".net":
        database.nets[-1].append((int(words[0]), int(words[1]), words[2]))
    elif kind in (".buffer", ".routing"):
        database.switches[-1][4].append((int(words[0], 2), int(words[1])))
    elif kind == ".extra_cell":
        if words[0] != "LOCKED":
            database.cells[-1][4].append((words[0], int(words[1]), int(words[2]), words[3]))
    elif kind.endswith("_tile_bits"):
        database.functions[kind[1:-10]][words[0]] = [_bit(name) for name in words[1:]]
    else:
        database.lists[" ".join(section)].append(words)


def _bit(name: str) -> int:
    """Return the number of a bit within a tile: 64 times its row, plus its column."""
    match = _BIT.fullmatch(name)
    assert match is not None, name
    return 64 * int(match[1]) + int(match[2])


class Tables:
    """The database, said once for all tiles that are alike."""

    def __init__(self, database: Database) -> None:
        self.database = database
        structural = [name for _, names in FAMILIES for name in names]
        others = sorted({name for net in database.nets for _, _, name in net} - set(structural))
        self.names = [*structural, *others]
        self.number = {name: number for number, name in enumerate(self.names)}
        assert len(self.names) < 1024
        self.words: list[int] = []
        self.offsets: dict[tuple[int, ...], int] = {}
        self.switch_lists = self._switch_lists()
        self.link_lists = self._link_lists()

    def _place(self, words: tuple[int, ...]) -> int:
        """Return where these words are in the one big array; equal sequences are stored once."""
        if words not in self.offsets:
            self.offsets[words] = len(self.words)
            self.words.extend(words)
        return self.offsets[words]

    def _switch_lists(self) -> dict[tuple[int, int], int]:
        """Return for each tile where the list of its switches is: their number, and two words of offset for each."""
        names: list[dict[tuple[int, int], str]] = [{} for _ in self.database.nets]
        for net, wires in zip(names, self.database.nets, strict=True):
            for x, y, name in sorted(wires, reverse=True):
                net[x, y] = name
        tiles: dict[tuple[int, int], list[tuple[int, ...]]] = defaultdict(list)
        for x, y, target, bits, choices in self.database.switches:
            local = [(value, self.number[names[source][x, y]]) for value, source in choices]
            tiles[x, y].append(self._switch(self.number[names[target][x, y]], bits, local))
        return {tile: self._list(sorted(switches)) for tile, switches in sorted(tiles.items())}

    @staticmethod
    def _switch(target: int, bits: tuple[int, ...], choices: list[tuple[int, int]]) -> tuple[int, ...]:
        assert len(bits) <= 6, bits
        return (target, len(bits) << 8 | len(choices), *bits, *(value << 10 | source for value, source in choices))

    def _link_lists(self) -> dict[tuple[int, int], int]:
        """Return for each tile where its lists of links are, one for each family of wires.

        A link is three words: name, tile of the next wire of the net (dx, dy), and that wire's name; the last wire of
        a net links to itself.
        """
        tiles: dict[tuple[int, int], list[tuple[int, int, int]]] = defaultdict(list)
        for net in self.database.nets:
            wires = sorted((x, y, self.number[name]) for x, y, name in net)
            for here, there in zip(wires, [*wires[1:], wires[-1]], strict=True):
                dx, dy = there[0] - here[0], there[1] - here[1]
                assert 0 <= dx < 256
                assert -128 <= dy < 128
                tiles[here[:2]].append((here[2], dx << 8 | dy & 0xFF, there[2]))
        return {tile: self._list(self._families(links)) for tile, links in sorted(tiles.items())}

    def _families(self, links: list[tuple[int, int, int]]) -> Iterator[tuple[int, ...]]:
        families: dict[str, list[int]] = defaultdict(list)
        counts: dict[str, int] = defaultdict(int)
        for link in sorted(links):
            family = re.sub(r"_?\d+$", "", self.names[link[0]])
            families[family].extend(link)
            counts[family] += 1
        # Wires with names of their own in one tile alone are in no family's way: they are one list.
        for family, words in families.items():
            yield (counts[family], *words)

    def _list(self, parts: Iterable[tuple[int, ...]]) -> int:
        offsets = [self._place(part) for part in parts]
        return self._place((len(offsets), *(half for offset in offsets for half in (offset & 0xFFFF, offset >> 16))))

    def tile_words(self) -> list[tuple[int, int]]:
        """Return offsets of switches and links for each tile, by y and x; a tile without any has 0xFFFFFF."""
        nothing = 0xFFFFFF
        return [
            (self.switch_lists.get((x, y), nothing), self.link_lists.get((x, y), nothing))
            for y in range(HEIGHT)
            for x in range(WIDTH)
        ]

    def cells(self) -> Iterator[tuple[int, int, int, int, list[tuple[int, int, int]]]]:
        """Yield kind, x, y, z and, in the order of their names, the ports: x, y, and a wire or 0x8000 plus a bit."""
        for kind, x, y, z, ports in self.database.cells:
            listed = sorted(set(ports), key=lambda port: _natural(port[0]))
            yield CELL_KINDS.index(kind), x, y, z, [(px, py, self._what(px, py, name)) for _, px, py, name in listed]

    def port_names(self, kind: str) -> list[str]:
        ports = next(ports for name, *_, ports in self.database.cells if name == kind)
        return [port for port, *_ in sorted(set(ports), key=lambda port: _natural(port[0]))]

    def _what(self, x: int, y: int, name: str) -> int:
        kind = self.database.kinds[x, y]
        for prefix in ("PLL.", "IpConfig."):
            bits = self.database.functions[kind].get(prefix + name)
            if bits is not None:
                return 0x8000 | bits[0]
        # The database calls the clock of two cells by a name that its nets do not have.
        aliases = {"clk": "clk", "0": "padin_0", "1": "padin_1"}
        return self.number[aliases.get(name, name)]


def _natural(name: str) -> list[str | int]:
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def header(tables: Tables) -> str:
    lines = [_ORIGIN, "#ifndef CHIPDB_NAMES_H", "#define CHIPDB_NAMES_H", "", "enum chip_name {"]
    lines += [f"    NAME_{constant} = {tables.number[names[0]]}," for constant, names in FAMILIES]
    lines += [f"    NAME_IP_CLK = {tables.number['clk']},", f"    NAMES = {len(tables.names)},", "};", ""]
    lines += ["enum chip_cell_kind {", *(f"    CELL_{kind}," for kind in CELL_KINDS), "    CELL_KINDS,", "};", ""]
    for kind in NAMED_PORTS:
        ports = tables.port_names(kind)
        lines += [f"enum {kind.lower()}_port {{", *(f"    {kind}_{port}," for port in ports), "};", ""]
    lines += ["enum chip_bit {"]
    for kind, wanted in NAMED_BITS.items():
        for name, bits in tables.database.functions[kind].items():
            if name.startswith(wanted):
                lines.append(f"    BIT_{kind.upper()}_{name.replace('.', '_').upper()} = {bits[0]},")
    return "\n".join([*lines, "};", "", "#endif", ""])


def source(tables: Tables) -> str:
    lists = tables.database.lists
    cells = list(tables.cells())
    ports = [port for *_, listed in cells for port in listed]
    starts, start = [], 0
    for *_, listed in cells:
        starts.append(start)
        start += len(listed)
    pins = [(int(pin), int(x), int(y), int(z)) for pin, x, y, z in lists[f".pins {PACKAGE}"]]
    enables = [tuple(map(int, words)) for words in lists[".ieren"]]
    pads = {int(glb): (int(x), int(y), int(z)) for x, y, z, glb in lists[".gbufpin"]}
    fabric = {int(glb): (int(x), int(y)) for x, y, glb in lists[".gbufin"]}
    bits = {int(name.rpartition(".")[2]): (int(b), int(x), int(y)) for name, b, x, y in lists[".extra_bits"]}
    globals_ = [(*pads[glb], *fabric[glb], *bits[glb]) for glb in range(8)]
    parts = [
        _ORIGIN,
        '#include "chipdb.h"\n',
        _array("const uint16_t chip_words[]", (f"0x{word:x}" for word in tables.words)),
        _array("const struct chip_tile chip_tiles[]", (f"{{{a}, {b}}}" for a, b in tables.tile_words())),
        _array(
            "const struct chip_cell chip_cells[]",
            (f"{{{k}, {x}, {y}, {z}, {s}, {len(p)}}}" for (k, x, y, z, p), s in zip(cells, starts, strict=True)),
        ),
        f"const uint16_t chip_n_cells = {len(cells)};\n",
        _array("const struct chip_port chip_ports[]", (f"{{{x}, {y}, {what}}}" for x, y, what in ports)),
        _array("const struct chip_pin chip_pins[]", map(_braced, sorted(pins))),
        f"const uint8_t chip_n_pins = {len(pins)};\n",
        _array("const struct chip_enable chip_enables[]", map(_braced, enables)),
        f"const uint8_t chip_n_enables = {len(enables)};\n",
        _array("const struct chip_global chip_globals[8]", map(_braced, globals_)),
    ]
    return "\n".join(parts)


def _braced(numbers: Sequence[int]) -> str:
    return f"{{{', '.join(map(str, numbers))}}}"


def _array(declaration: str, items: Iterable[str]) -> str:
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) > 120:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join([f"{declaration} = {{", *lines, line, "};", ""])


_ORIGIN = """\
/* Made by generate_chipdb.py from chipdb-5k.txt of Project IceStorm; not written by hand.
 *
 * Project IceStorm, https://github.com/YosysHQ/icestorm, has this licence (ISC):
 *
 * Copyright (C) 2012-2017 Claire Xenia Wolf <claire@yosyshq.com>, 2015 Marcus Comstedt <marcus@mc.pp.se>,
 * 2015 Mathias Lasser, 2017 Roland Lutz, 2018 Piotr Esden-Tempski <piotr@esden.net>
 *
 * Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby
 * granted, provided that the above copyright notice and this permission notice appear in all copies.
 *
 * THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH REGARD TO THIS SOFTWARE INCLUDING ALL
 * IMPLIED WARRANTIES OF MERCHANTABILITY AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
 * INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM LOSS OF USE, DATA OR PROFITS, WHETHER IN
 * AN ACTION OF CONTRACT, NEGLIGENCE OR OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
 * PERFORMANCE OF THIS SOFTWARE. */"""


def main(arguments: Sequence[str]) -> int:
    chipdb = Path(arguments[0]) if arguments else CHIPDB
    directory = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).resolve().parent
    if not chipdb.exists():
        print(f"{chipdb} is not there: install fpga-icestorm-chipdb, or name the file", file=sys.stderr)
        return 1
    tables = Tables(read(chipdb))
    (directory / "chipdb_names.h").write_text(header(tables), encoding="ascii")
    (directory / "chipdb_up5k.c").write_text(source(tables), encoding="ascii")
    print(f"{len(tables.words)} words, {len(tables.names)} names of wires")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
