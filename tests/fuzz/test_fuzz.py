"""What fuzzing found before stays found; the corpus itself is sound."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest

from fuzz.targets import TARGETS, Target, mend_bitstream, mend_frame, seeds_of
from icefarm.bitstream import from_bytes, made_up_bitstream
from icefarm.errors import InvalidBitstream
from icefarm.worker.protocol.frames import Frame, FrameReader, FrameType, encode

#: Mutations of each target that every run of the tests tries, always the same ones.
FEW = 40


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_the_corpus_and_some_mutations_of_it_do_no_harm(target: Target) -> None:
    for data in [*seeds_of(target), *islice(target.inputs(Random(target.name)), FEW)]:
        target.check(data)


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_mutations_differ(target: Target) -> None:
    assert len(set(islice(target.inputs(Random(target.name)), FEW))) > FEW // 2


def test_a_mended_frame_gets_past_its_check_sums() -> None:
    data = bytearray(encode(FrameType.TEST, 10, b"ping"))
    data[17] ^= 1
    assert FrameReader().feed(mend_frame(bytes(data))) == [Frame(FrameType.TEST, 10, b"phng")]


def test_a_mended_bitstream_gets_past_its_crc() -> None:
    data = bytearray(made_up_bitstream(1).data)
    data[5000] ^= 1
    with pytest.raises(InvalidBitstream, match="CRC"):
        from_bytes(bytes(data))
    assert from_bytes(mend_bitstream(bytes(data))).data[5000] == data[5000]
