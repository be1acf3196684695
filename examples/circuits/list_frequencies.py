"""Write frequencies.txt to standard output, for the circuits named on the command line."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

HEADER = """\
# Known circuits and the frequency at pin ICE_27, in Hz: what a virtual board counts when it is given one of them.
# Made by `make frequencies`: each .bin is turned back into a netlist (iceunpack, icebox_vlog), compiled (yosys
# write_cxxrtl), and clocked 48,000,000 times, one second of its 48 MHz oscillator; Hz is the number of rising edges.
# Columns: CRC-32 (zlib) of the bitstream's normal form, its length in bytes, Hz, name."""


def main(names: list[str]) -> None:
    print(HEADER)
    for name in names:
        bitstream = Path(f"{name}.bin").read_bytes()
        hz = int(Path("build", f"{name}.hz").read_text())
        print(f"{zlib.crc32(bitstream):08x} {len(bitstream)} {hz} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
