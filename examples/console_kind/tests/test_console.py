"""The console on virtual boards, whose circuits echo, and shout each line back (docs/virtual-boards.md)."""

from __future__ import annotations

import os
import zlib

import pytest
from icefarm_console import kind
from icefarm_console.client import Console

from icefarm.bitstream import for_loading, from_file
from icefarm.errors import DeviceFailed, InvalidArgument, InvalidBitstream

CIRCUIT = os.environ.get("CIRCUIT", "../circuits/square_2khz.bin")

pytestmark = pytest.mark.icefarm(boards=1, kinds=[kind.Console])


@pytest.fixture
def console(icefarm_client):
    with Console.reserve(icefarm_client, 1) as (console,):
        yield console


def test_the_circuit_that_was_loaded_says_who_it_is(console):
    console.open(CIRCUIT)
    crc = zlib.crc32(for_loading(from_file(CIRCUIT).data))
    assert console.read_until(b"> ") == b"circuit %08x\r\n> " % crc


def test_a_line_is_echoed_and_answered(console):
    console.open(CIRCUIT)
    console.read_until(b"> ")
    console.write(b"hello\r")
    assert console.read_until(b"> ") == b"hello\r\nHELLO\r\n> "


def test_much_text_arrives_whole_and_in_order(console):
    console.open(CIRCUIT)
    console.read_until(b"> ")
    lines = [b"line %d" % number for number in range(500)]
    console.write(b"\r".join(lines) + b"\r")
    for line in lines:
        assert console.read_until(b"> ") == line + b"\r\n" + line.upper() + b"\r\n> "


def test_what_was_missed_can_be_read_again(console):
    console.open(CIRCUIT)
    said = console.read_until(b"> ")
    assert console.ask("read", position=0) == {"position": 0, "data": said}
    assert console.ask("read", position=len(said) - 2) == {"position": len(said) - 2, "data": b"> "}


def test_opening_again_starts_afresh(console):
    console.open(CIRCUIT)
    console.write(b"unfinished")
    console.open(CIRCUIT)
    assert console.read_until(b"> ").startswith(b"circuit ")
    console.write(b"\r")
    assert console.read_until(b"> ") == b"\r\n> "


def test_a_board_that_is_unplugged_closes_the_console(icefarm_farm, console):
    console.open(CIRCUIT)
    console.read_until(b"> ")
    icefarm_farm.unplug(console.serial)
    with pytest.raises(DeviceFailed, match="open the circuit again"):
        console.read_until(b"never")
    icefarm_farm.plug(console.serial)
    console.open(CIRCUIT)
    assert console.read_until(b"> ").startswith(b"circuit ")


def test_mistakes_are_named(console):
    with pytest.raises(InvalidArgument, match="open first"):
        console.write(b"too early")
    with pytest.raises(InvalidBitstream):
        console.open(b"no bitstream")
    with pytest.raises(InvalidArgument, match="data: must be bytes"):
        console.ask("write", data="text")


def test_options_out_of_range_are_refused(icefarm_client):
    with pytest.raises(InvalidArgument, match="baud"):
        Console.reserve(icefarm_client, 1, baud=1)
