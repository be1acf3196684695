"""Pure: no I/O, no clock.  Finds bitstreams in what a flash memory holds: images of ``icemulti``, and dumps.

An image of ``icemulti`` begins with five headers of 32 bytes.  Each is a preamble and commands that send the FPGA to a
circuit elsewhere in the flash; the first one is for power-on (Project IceStorm, ``icemulti``).
"""

from __future__ import annotations

import re

from attrs import frozen

from icefarm.bitstream.binary import WrongBinary, bitstream_at
from icefarm.bitstream.up5k import PREAMBLE

__all__ = ["FlashContents", "FlashImage", "contents_of"]

#: Places that look like a preamble and begin no bitstream, after which the search ends.
_MOST_FAILURES = 10_000
#: A preamble, boot mode, the address of a circuit, and a restart from there.
_HEADER = re.compile(re.escape(PREAMBLE) + rb"\x92\x00.\x44\x03(...)\x82\x00\x00\x01\x08", re.DOTALL)
_PADDING = b"\x00\xff"


@frozen
class FlashImage:
    """A complete bitstream for the iCE40UP5K: where it is, from its preamble to its end, and its normal form."""

    start: int
    end: int
    normal_form: bytes


@frozen
class FlashContents:
    """The bitstreams in the order in which they are stored."""

    images: tuple[FlashImage, ...]
    #: The addresses in the headers of ``icemulti``, the one for power-on first; empty if there are none.
    boots: tuple[int, ...]
    #: Bytes other than 0 and 255 after the end of the last bitstream.
    extra: int

    @property
    def power_on(self) -> int | None:
        """Which image starts at power-on, if headers say so: the first one at or after their address."""
        if not self.boots:
            return None
        return next((place for place, image in enumerate(self.images) if image.start >= self.boots[0]), None)


def contents_of(data: bytes) -> FlashContents:
    """Return the bitstreams in ``data``."""
    images: list[FlashImage] = []
    boots: list[int] = []
    position, failures = 0, 0
    while (start := data.find(PREAMBLE, position)) >= 0 and failures < _MOST_FAILURES:
        header = _HEADER.match(data, start)
        if header is not None:
            boots.append(int.from_bytes(header[1]))
            position = header.end()
            continue
        try:
            normal_form, position = bitstream_at(data, start)
        except WrongBinary:
            failures += 1
            position = start + 1
        else:
            images.append(FlashImage(start, position, normal_form))
    rest = data[images[-1].end :] if images else b""
    return FlashContents(tuple(images), tuple(boots), len(rest.translate(None, _PADDING)) and len(rest))
