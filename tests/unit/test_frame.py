"""Frames of the board protocol: the vectors that the C core checks as well, any split, any corruption."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from frame_vectors import unhex, vectors
from hypothesis import given
from hypothesis import strategies as st

from icefarm.worker.protocol.frames import Damaged, Frame, FrameReader, encode

frames = st.builds(
    Frame,
    type=st.integers(0, 255),
    id=st.integers(0, 2**32 - 1),
    payload=st.binary(max_size=200),
    flags=st.integers(0, 255),
)


def event(found: Frame | Damaged) -> str:
    if isinstance(found, Damaged):
        return f"damaged:{found.type}:{found.id}"
    return f"good:{found.type}:{found.id}:{found.payload.hex() or '-'}"


def wire(frame: Frame) -> bytes:
    return encode(frame.type, frame.id, frame.payload, flags=frame.flags)


def split(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    ends = sorted(cut % (len(data) + 1) for cut in cuts)
    for start, end in zip([0, *ends], [*ends, len(data)], strict=True):
        yield data[start:end]


@pytest.mark.parametrize(("type_", "flags", "id_", "payload", "expected"), vectors("frame"))
def test_a_frame_is_written_as_the_vectors_say(type_: str, flags: str, id_: str, payload: str, expected: str) -> None:
    assert encode(int(type_), int(id_), unhex(payload), flags=int(flags)) == unhex(expected)


@pytest.mark.parametrize(("type_", "flags", "id_", "payload", "data"), vectors("frame"))
def test_a_frame_is_read_as_the_vectors_say(type_: str, flags: str, id_: str, payload: str, data: str) -> None:
    assert FrameReader().feed(unhex(data)) == [Frame(int(type_), int(id_), unhex(payload), int(flags))]


@pytest.mark.parametrize(("data", "skipped", "expected"), vectors("stream"))
@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_a_stream_is_read_as_the_vectors_say(data: str, skipped: str, expected: str, step: int) -> None:
    reader = FrameReader()
    stream = unhex(data)
    found = [item for at in range(0, len(stream), step) for item in reader.feed(stream[at : at + step])]
    assert (",".join(map(event, found)) or "-") == expected
    reader.drop_partial()
    assert reader.skipped == int(skipped)


def test_a_payload_may_come_in_parts_of_any_kind_of_bytes() -> None:
    assert encode(3, 1, b"ab", bytearray(b"cd"), memoryview(b"ef")) == encode(3, 1, b"abcdef")


def test_a_frame_longer_than_any_reply_is_not_waited_for() -> None:
    reader = FrameReader(max_payload=10)
    sound = encode(1, 2, b"short")
    found = reader.feed(encode(0x83, 1, bytes(11)) + sound)
    assert found == [Damaged(0x83, 1), Frame(1, 2, b"short")]


def test_dropping_a_partial_frame_lets_the_next_one_through() -> None:
    reader = FrameReader()
    assert reader.feed(encode(0x83, 1, bytes(100))[:50]) == []
    assert reader.partial
    reader.drop_partial()
    assert reader.feed(encode(0x83, 2, b"x")) == [Frame(0x83, 2, b"x")]
    assert not reader.partial


@given(st.lists(frames, max_size=5), st.lists(st.integers(0, 2000), max_size=10))
def test_frames_come_out_of_any_split_as_they_went_in(sent: list[Frame], cuts: list[int]) -> None:
    reader = FrameReader()
    found = [item for piece in split(b"".join(map(wire, sent)), cuts) for item in reader.feed(piece)]
    assert found == sent
    assert reader.skipped == 0
    assert not reader.partial


@given(
    st.lists(frames, min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), min_size=1, max_size=6),
    st.lists(st.integers(0, 2000), max_size=4),
)
def test_no_corruption_yields_a_frame_that_was_not_sent(
    sent: list[Frame], errors: list[tuple[int, int]], cuts: list[int]
) -> None:
    stream = bytearray(b"".join(map(wire, sent)))
    for place, bits in errors:
        stream[place % len(stream)] ^= bits
    reader = FrameReader()
    found = [item for piece in split(bytes(stream), cuts) for item in reader.feed(piece)]
    assert all(item in sent for item in found if isinstance(item, Frame))


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=5))
def test_noise_yields_no_frame_and_no_error(noise: bytes, cuts: list[int]) -> None:
    reader = FrameReader()
    assert [item for piece in split(noise, cuts) for item in reader.feed(piece)] == []


@given(frames, st.binary(max_size=100))
def test_a_frame_after_noise_and_a_pause_is_found(frame: Frame, noise: bytes) -> None:
    reader = FrameReader()
    reader.feed(noise)
    reader.drop_partial()
    assert reader.feed(wire(frame)) == [frame]
