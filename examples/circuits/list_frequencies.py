"""Write frequencies.txt to standard output, for the circuits named on the command line."""

from __future__ import annotations

import sys
import zlib
from pathlib import Path

from icefarm.bitstream import for_loading, from_file

HEADER = """\
# The frequency of the example circuits at pin ICE_27, in Hz; tests compare what virtual boards count with it.
# Made by `make frequencies`: each .bin is turned back into a netlist (iceunpack, icebox_vlog), compiled (yosys
# write_cxxrtl), and clocked 48,000,000 times, one second of its 48 MHz oscillator; Hz is the number of rising edges.
# Columns: CRC-32 (zlib) of the bitstream as it is loaded, its length in bytes, Hz, name.  A worker leaves content for
# block RAM out that a circuit does not use, so such a circuit has a second line, which is the file itself."""


def main(names: list[str]) -> None:
    print(HEADER)
    for name in names:
        bitstream = from_file(f"{name}.bin").data
        hz = int(Path("build", f"{name}.hz").read_text())
        for form in dict.fromkeys((for_loading(bitstream), bitstream)):
            print(f"{zlib.crc32(form):08x} {len(form)} {hz} {name}")


if __name__ == "__main__":
    main(sys.argv[1:])
