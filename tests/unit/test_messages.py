"""What requests and replies of the board protocol say."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import pulse_counts
import pytest
from frame_vectors import vector
from hypothesis import given
from hypothesis import strategies as st

from icefarm.bitstream.transfer import difference
from icefarm.worker.protocol import messages
from icefarm.worker.protocol.frames import Frame, FrameReader, FrameType
from icefarm.worker.protocol.messages import Encoding, MalformedReply


def decoded(name: str) -> messages.Reply:
    (frame,) = FrameReader().feed(vector(name))
    assert isinstance(frame, Frame)
    return messages.decode(frame)


def test_requests_are_written_as_the_vectors_say() -> None:
    assert messages.hello(1) == vector("hello_2")
    assert messages.status(0xFFFFFFFF) == vector("status")
    assert messages.cancel(7) == vector("cancel_all")
    assert messages.cancel(8, 7) == vector("cancel_one")
    assert messages.reboot(9, to_loader=True) == vector("reboot_loader")
    assert messages.test(10, b"ping") == vector("test")


def test_evaluate_is_written_as_the_vectors_say() -> None:
    bitstream = b"\xff\x00\x00\xff\x7e\xaa\x99\x7e" + bytes(8)
    parameters = pulse_counts.parameters(1_000_000)
    assert messages.evaluate(11, bitstream, 16, Encoding.RAW, parameters) == vector("evaluate_raw")


def test_a_difference_is_written_as_the_vectors_say() -> None:
    base = bytes.fromhex("ff0000ff7eaa997e") + bytes(32)
    changed = bytearray(base)
    changed[17], changed[20], changed[39] = 0x55, 0x66, 0x77
    runs = difference(bytes(changed), base)
    assert runs is not None
    parameters = pulse_counts.parameters(1_000_000)
    sent = messages.evaluate_difference(13, 11, runs, zlib.crc32(changed), len(base), parameters)
    assert sent == vector("evaluate_difference")
    sent = messages.evaluate_difference(14, 11, b"", zlib.crc32(base), len(base), parameters)
    assert sent == vector("evaluate_again")


def test_hello_is_understood() -> None:
    expected = messages.Hello(1, 2, 104960, 104090, "0123456789ABCDEF", "pulse_count", "1.0.0")
    assert decoded("hello_reply") == expected


def test_status_is_understood() -> None:
    assert decoded("status_reply") == messages.Status(10**12, 25.5, 1, 2, 100, 3, 17, 42, 1)


def test_a_result_is_understood() -> None:
    result = decoded("result")
    assert result == messages.ResultReply(11, 1, 34600, 123456789012, 1_000_000, 104126, 27.31, result.value)
    assert pulse_counts.counts(result.value) == [(2000, 1_000_000)]


def test_a_result_of_zero_pulses_below_freezing_is_a_result() -> None:
    result = decoded("result_cold")
    assert isinstance(result, messages.ResultReply)
    assert result.temperature == -5.12
    assert pulse_counts.counts(result.value) == [(0, 1_000_000)]


@pytest.mark.parametrize(
    ("number", "origin"),
    [(0, "measured"), (1, "simulated"), (2, "extrapolated"), (3, "landscape"), (4, "origin 4"), (7, "origin 7")],
)
def test_a_result_says_how_it_came_to_be(number: int, origin: str) -> None:
    payload = struct.pack("<IIQIIhH", 1, 34600, 0, 1000, 0, 2500, number)
    result = messages.decode(Frame(FrameType.RESULT, 11, payload))
    assert isinstance(result, messages.ResultReply)
    assert result.origin == origin


def test_failures_and_refusals_are_understood() -> None:
    failed = decoded("failed")
    assert failed == messages.FailureReply(11, messages.Failure.CDONE, "CDONE did not rise")
    assert isinstance(failed, messages.FailureReply)
    assert failed.reason == "cdone"
    assert decoded("unknown_base") == messages.FailureReply(13, messages.Failure.UNKNOWN_BASE, "send all")
    assert decoded("nak") == messages.Nak(11, messages.NakCode.CORRUPT, FrameType.EVALUATE)


def test_a_failure_of_a_later_version_has_its_number_as_reason() -> None:
    assert messages.FailureReply(1, 77, "").reason == "code 77"


def test_the_other_replies_are_understood() -> None:
    assert decoded("log") == messages.Log(30, "hello")
    assert decoded("cancelled") == messages.Cancelled(7, 2)
    assert decoded("tested") == messages.Tested(10, 0, b"ping")
    assert messages.decode(Frame(0x85, 3, b"")) == messages.Rebooting(3)
    assert messages.decode(Frame(0xC1, 3, b"x")) == messages.Message(3, 0xC1, b"x")


@given(st.integers(0, 255), st.binary(max_size=60))
def test_any_payload_is_understood_or_malformed(type_: int, payload: bytes) -> None:
    reply = None
    with suppress(MalformedReply):
        reply = messages.decode(Frame(type_, 1, payload))
    assert reply is None or isinstance(reply, messages.Reply)


def test_more_than_a_board_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="more than a board takes"):
        messages.evaluate(1, bytes(104_960), 104_090, Encoding.RAW, b"")
    with pytest.raises(ValueError, match="more than a board takes"):
        messages.evaluate(1, b"x", 1, Encoding.RAW, bytes(257))
    with pytest.raises(ValueError, match="1024"):
        messages.test(1, bytes(1025))
    for type_, payload in ((0x20, b""), (0x80, b""), (0x40, bytes(1025))):
        with pytest.raises(ValueError, match="0x40"):
            messages.message(type_, 1, payload)


def sent(request: bytes) -> Frame:
    (frame,) = FrameReader(max_payload=200_000).feed(request)
    assert isinstance(frame, Frame)
    return frame


def test_as_much_as_a_board_takes_is_sent() -> None:
    parameters = bytes(range(256))
    whole = sent(messages.evaluate(5, bytes(104_960 - 8 - 256), 104_090, Encoding.LZ4, parameters, slower=2))
    assert (whole.type, whole.id, len(whole.payload)) == (FrameType.EVALUATE, 5, 104_960)
    assert struct.unpack_from("<BBHI", whole.payload) == (Encoding.LZ4, 2, 256, 104_090)
    assert whole.payload[8:].startswith(parameters)
    assert sent(messages.test(6, bytes(1024))) == Frame(FrameType.TEST, 6, bytes(1024))
    for type_ in (0x40, 0x7F):
        assert sent(messages.message(type_, 7, bytes(1024))) == Frame(type_, 7, bytes(1024))
