"""What is fuzzed: a corpus each, and what must hold for any bytes whatsoever."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random

from attrs import frozen

from fuzz.mutation import mutated
from icefarm.bitstream import LENGTH, Bitstream, compress, from_bytes, made_up_asc, made_up_bitstream
from icefarm.bitstream.transfer import difference, restored
from icefarm.bitstream.up5k import crc16
from icefarm.errors import InvalidBitstream
from icefarm.kinds.circuit import Admission, Packed
from icefarm.usb import uf2
from icefarm.worker.protocol.frames import EVALUATE_MAX, REPLY_MAX, Frame, FrameReader, FrameType, encode

__all__ = ["TARGETS", "Target", "mend_bitstream", "mend_frame", "seeds_of"]

_ROOT = Path(__file__).resolve().parents[2]
_CORPUS = Path(__file__).parent / "corpus"
_VECTORS = _ROOT / "firmware" / "tests" / "vectors" / "frames.txt"
_CIRCUITS = _ROOT / "examples" / "circuits"


@frozen
class Target:
    """Something that reads bytes."""

    name: str
    #: Raises, whatever it raises, where the reader did what it must not.
    check: Callable[[bytes], None]
    seeds: Callable[[], Sequence[bytes]]
    #: Makes check sums right again, so that damage is seen by what comes after them.
    mend: Callable[[bytes], bytes] = bytes

    def inputs(self, random: Random) -> Iterator[bytes]:
        """Yield damaged inputs without end; of half of them the check sums are right."""
        seeds = seeds_of(self)
        while True:
            data = mutated(random, seeds)
            yield self.mend(data) if random.random() < 0.5 else data


def read_frames(data: bytes) -> None:
    """Frames come out the same in any split, each was really there, and a sound one gets through afterwards."""
    random = Random(zlib.crc32(data))
    whole = FrameReader(REPLY_MAX).feed(data)
    pieces, at, reader = [], 0, FrameReader(REPLY_MAX)
    while at < len(data):
        step = random.choice((1, 3, 64, 512, 4096))
        pieces += reader.feed(data[at : at + step])
        at += step
    assert pieces == whole, "another split gives other frames"
    for frame in whole:
        if isinstance(frame, Frame):
            assert encode(frame.type, frame.id, frame.payload, flags=frame.flags) in data, "a frame that nobody sent"
    reader.drop_partial()
    sound = encode(FrameType.HELLO_REPLY, 7, b"sound")
    assert reader.feed(sound) == [Frame(FrameType.HELLO_REPLY, 7, b"sound")], "a sound frame does not get through"


def read_bitstream(data: bytes) -> None:
    """Bytes are a bitstream in its normal form, of which nothing changes any more, or `InvalidBitstream`."""
    try:
        bitstream = from_bytes(data, "fuzzed")
    except InvalidBitstream as error:
        _check_message(error.message)
        return
    assert len(bitstream.data) == LENGTH
    assert from_bytes(bitstream.data) == Bitstream(bitstream.data)


def _check_message(message: str) -> None:
    assert "fuzzed" in message, "the message does not name the file"
    assert len(message) < 2000, "the message is too long for a person"


def admit_packed(data: bytes) -> None:
    """What a client packed is refused with `InvalidBitstream`, as none has the SHA-256 that is claimed here."""
    try:
        circuit = Admission().admit(Packed(lz4=data, length=LENGTH, sha256="0" * 64))
    except InvalidBitstream:
        return
    raise AssertionError(f"let in though its SHA-256 is another one: {circuit.sha256}")


def read_difference(data: bytes) -> None:
    """Bytes are a difference of a bitstream as long as its base, or `InvalidBitstream`; so is what is made of that."""
    base = _base()
    try:
        made = restored(data, base)
    except InvalidBitstream:
        return
    assert len(made) == len(base)
    shortest = difference(made, base)
    assert shortest is not None
    assert restored(shortest, base) == made


@cache
def _base() -> bytes:
    return made_up_bitstream(1).data


def read_uf2(data: bytes) -> None:
    """A file is an image of the size that it says, or `BadImage`."""
    try:
        image = uf2.parse(data)
    except uf2.BadImage:
        return
    assert uf2.parse(uf2.build(image.content, image.address)).content == image.content


def mend_frame(data: bytes) -> bytes:
    """Give a frame at the beginning its check sums (docs/protocol.md)."""
    if len(data) < 20:
        return data
    head = b"\xc5\x1f" + data[2:12]
    (length,) = struct.unpack_from("<I", head, 8)
    check = zlib.crc32(head)
    end = 16 + length
    if end + 4 > len(data):
        return head + struct.pack("<I", check) + data[16:]
    payload = data[16:end]
    return head + struct.pack("<I", check) + payload + struct.pack("<I", zlib.crc32(payload, check)) + data[end + 4 :]


def mend_bitstream(data: bytes) -> bytes:
    """Give a bitstream its CRC, where it still begins and ends as one does."""
    reset, end = data.find(b"\x01\x05"), len(data) - 5
    if not 0 <= reset < end - 2:
        return data
    return data[:end] + crc16(data[reset + 2 : end]).to_bytes(2) + data[-3:]


def _frames() -> list[bytes]:
    lines = [line.split() for line in _VECTORS.read_text().splitlines()]
    frames = [bytes.fromhex(words[-1]) for words in lines if words and words[0] == "frame"]
    large = encode(FrameType.EVALUATE, 5, bytes(range(256)) * (EVALUATE_MAX // 256))
    return [*frames, b"".join(frames), large, frames[0] + large + frames[1]]


def _bins() -> list[bytes]:
    return [*(path.read_bytes() for path in sorted(_CIRCUITS.glob("*.bin"))), made_up_bitstream(1).data]


def _ascs() -> list[bytes]:
    return [*(path.read_bytes() for path in sorted(_CIRCUITS.glob("*.asc"))), made_up_asc(1).encode()]


def _blocks() -> list[bytes]:
    return [compress(data) for data in _bins()]


def _differences() -> list[bytes]:
    lines = [line.split() for line in _VECTORS.read_text().splitlines()]
    runs = [bytes.fromhex(words[3].replace("-", "")) for words in lines if words and words[0] == "difference"]
    other = difference(made_up_bitstream(2).data, _base())
    assert other is not None
    return [*runs, other]


def _uf2s() -> list[bytes]:
    return [uf2.build(bytes(range(256)) * blocks) for blocks in (1, 4, 32)]


TARGETS = (
    Target("frame", read_frames, _frames, mend_frame),
    Target("bin", read_bitstream, _bins, mend_bitstream),
    Target("asc", read_bitstream, _ascs),
    Target("lz4", admit_packed, _blocks),
    Target("difference", read_difference, _differences),
    Target("uf2", read_uf2, _uf2s),
)


def seeds_of(target: Target) -> list[bytes]:
    """Return the corpus of a target: its own, and what was found before and is kept in ``corpus``."""
    return [*target.seeds(), *kept(target)]


def kept(target: Target) -> list[bytes]:
    """Return the inputs that were found before: each once made something fail, or nearly."""
    return [path.read_bytes() for path in sorted((_CORPUS / target.name).glob("*")) if path.is_file()]
