"""Bitstreams: what is accepted, what is refused and in which words, packing of .asc, compression."""

from __future__ import annotations

import binascii
import hashlib
import os
import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from icefarm.bitstream import (
    LENGTH,
    LENGTH_WITHOUT_BRAM,
    Bitstream,
    check,
    compress,
    decompress,
    for_loading,
    from_bytes,
    from_file,
    made_up_asc,
    made_up_bitstream,
    normal_form,
    pack_asc,
)
from icefarm.bitstream.image import body
from icefarm.bitstream.tiles import places
from icefarm.bitstream.up5k import (
    BOOT_SETTINGS,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_HEIGHTS,
    CRAM_WIDTH,
    EMPTY_COMMENT,
    PREAMBLE,
    crc16,
)
from icefarm.errors import InvalidBitstream

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
NAMES = ["square_2khz", "square_8khz", "square_32khz", "bursts"]
#: SHA-256 of what icepack (IceStorm of 2023-02-18) makes of made_up_asc(seed, sparseness).
PACKED_BY_ICEPACK = {
    (1, 1): "b613a62b2dbd19e1a9d99400c07d7a3388113a1419afaa7833160f05b834a203",
    (2, 3): "6763a0420a1b4930c414ed2c3fed4c8476bc949e4f7db4acc0b42c3f1fe51c5f",
    (3, 8): "b6832b8b6f3efb88ba6ae39d46571ec6935cbcc47dd418731d34ed52ead9abb7",
}
GOOD = made_up_bitstream(1).data
BODY = GOOD[len(EMPTY_COMMENT) :]
ASC = made_up_asc(1, 5)
#: CRAM and BRAM banks of a circuit that does nothing.
ZEROS = (
    [bytes(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS],
    [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS],
)
#: The byte that chooses the speed of the FPGA's own oscillator while it loads; it is before the CRC begins.
OSCILLATOR_BYTE = len(EMPTY_COMMENT) + len(PREAMBLE) + 1


def command_bytes() -> list[int]:
    """Positions of the bytes that are the same whatever the circuit: those of the commands."""
    clear, full = (
        body(
            0,
            [bytes([content]) * (CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS],
            [bytes([content]) * (width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS],
        )
        for content in (0, 255)
    )
    same = [at for at, (one, other) in enumerate(zip(clear, full, strict=True)) if one == other]
    return [len(EMPTY_COMMENT) + at for at in same]


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 0x80 >> bit % 8
    return bytes(changed)


def with_crc(data: bytes) -> bytes:
    """The bitstream with its CRC made right again: it is over bytes 12 to the one before the last five."""
    return data[:-5] + crc16(data[12:-5]).to_bytes(2) + data[-3:]


def refused(data: bytes, name: str | None = None) -> str:
    with pytest.raises(InvalidBitstream) as caught:
        from_bytes(data, name)
    return caught.value.message


# --- .bin: what is accepted


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_icepack_is_its_own_normal_form(name: str) -> None:
    data = (CIRCUITS / f"{name}.bin").read_bytes()
    bitstream = from_file(CIRCUITS / f"{name}.bin")
    assert bitstream.data == data
    assert len(data) == LENGTH == 104_090
    assert bitstream.sha256 == hashlib.sha256(data).hexdigest()
    assert bitstream.name == str(CIRCUITS / f"{name}.bin")


@given(st.binary(max_size=300).filter(lambda comment: PREAMBLE not in comment + PREAMBLE[:3]))
def test_a_comment_does_not_change_the_normal_form(comment: bytes) -> None:
    assert from_bytes(comment + BODY).data == GOOD


def test_equal_circuits_are_equal_under_any_name() -> None:
    assert from_bytes(GOOD, "one") == from_bytes(b"\xff\0note\0\0\xff" + BODY, "other")


def test_check_says_nothing_about_a_good_bitstream() -> None:
    check(GOOD)
    check(BODY)


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_a_made_up_bitstream_passes_the_check(seed: int, sparseness: int) -> None:
    check(made_up_bitstream(seed, sparseness).data)


# --- .bin: what is loaded of it


@pytest.mark.parametrize("name", ["square_2khz", "square_8khz", "square_32khz", "bring_up/pin_35"])
def test_a_circuit_without_block_ram_is_loaded_without_content_for_it(name: str) -> None:
    whole = from_file(CIRCUITS / f"{name}.bin").data
    short = for_loading(whole)
    assert len(short) == LENGTH_WITHOUT_BRAM == 88_698
    assert from_bytes(short).data == short  # verified as any other
    assert short[: 88_612 + 21] == whole[: 88_612 + 21]
    assert for_loading(short) == short


def test_a_circuit_with_block_ram_keeps_its_content() -> None:
    whole = from_file(CIRCUITS / "bursts.bin").data
    assert for_loading(whole) == whole


def with_tile_bit(x: int, y: int, row: int, bit: int) -> bytes:
    """A bitstream with one bit set in one tile, and no content of block RAM."""
    lines = [".device 5k"]
    for (at_x, at_y), place in places().items():
        lines.append(f".{place.kind}_tile {at_x} {at_y}")
        for at_row in range(16):
            ones = (at_x, at_y, at_row) == (x, y, row)
            lines.append("".join("1" if ones and at_bit == bit else "0" for at_bit in range(place.width)))
    return from_bytes("\n".join(lines).encode() + b"\n").data


RAM_TILES = [(x, y, place.kind) for (x, y), place in places().items() if place.kind in ("ramb", "ramt")]


@pytest.mark.thorough
@pytest.mark.parametrize(("x", "y", "kind"), RAM_TILES[::7])
def test_a_single_bit_that_may_mean_a_block_ram_in_use_keeps_the_content(x: int, y: int, kind: str) -> None:
    rows = {"ramb": [1], "ramt": range(8)}[kind]
    for row in rows:
        whole = with_tile_bit(x, y, row, 7)
        assert for_loading(whole) == whole
    for row, bit in ((8, 7), (1, 6), (1, 8)):
        assert len(for_loading(with_tile_bit(x, y, row, bit))) == LENGTH_WITHOUT_BRAM


def test_content_that_is_not_zero_is_kept_even_if_nothing_uses_it() -> None:
    whole = bytearray(from_file(CIRCUITS / "square_2khz.bin").data)
    whole[-1000] = 1
    changed = with_crc(bytes(whole))
    assert for_loading(from_bytes(changed).data) == changed


def test_block_ram_in_use_without_content_is_refused() -> None:
    cram = [bytearray(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS]
    assert len(from_bytes(body(0x20, cram, None)).data) == LENGTH_WITHOUT_BRAM
    for bank in cram:
        bank[:] = b"\xff" * len(bank)
    assert "what an earlier circuit left there; pack it without" in refused(body(0x20, cram, None))


def test_content_for_some_block_rams_only_is_refused() -> None:
    whole, short = body(0x20, *ZEROS), body(0x20, ZEROS[0], None)
    first = whole.index(b"\x01\x03")
    cut = whole[:first] + whole[first + 4 + 160 * 128 // 8 :]
    assert "no content for BRAM bank 0" in refused(with_crc(EMPTY_COMMENT + cut))
    assert len(short) < len(cut) < len(whole)


def test_what_of_several_block_rams_without_content_is_missing_first_is_named() -> None:
    whole = body(0x20, *ZEROS)
    for _ in range(2):
        first = whole.index(b"\x01\x03")
        whole = whole[:first] + whole[first + 4 + 160 * 128 // 8 :]
    assert "no content for BRAM bank 0" in refused(with_crc(EMPTY_COMMENT + whole))


@pytest.mark.parametrize("boot", BOOT_SETTINGS.values())
@pytest.mark.parametrize("bram", [ZEROS[1], None])
def test_what_icepack_writes_is_known_without_a_look_at_each_command(
    monkeypatch: pytest.MonkeyPatch, boot: int, bram: list[bytes] | None
) -> None:
    check(GOOD)  # It has the commands of `icepack` at hand from now on.
    monkeypatch.setattr("icefarm.bitstream.binary.Walk", None)
    written = body(boot, ZEROS[0], bram)
    for comment in (EMPTY_COMMENT, b"", b"\xff\0a note\0\0\xff"):
        assert normal_form(comment + written) == EMPTY_COMMENT + written
    if bram is not None:
        usual = EMPTY_COMMENT + written
        assert normal_form(usual) is usual  # It is not even copied.
    # So is what is loaded of it.
    assert for_loading(EMPTY_COMMENT + written) == EMPTY_COMMENT + body(boot, ZEROS[0], None)


# --- .bin: what is refused


@given(st.integers(8 * len(EMPTY_COMMENT), 8 * LENGTH - 1).filter(lambda bit: bit // 8 != OSCILLATOR_BYTE))
def test_a_flipped_bit_is_refused(bit: int) -> None:
    assert "not a bitstream for an iCE40UP5K" in refused(flipped(GOOD, bit))


def test_every_flipped_bit_of_a_command_is_refused() -> None:
    positions = [at for at in command_bytes() if at != OSCILLATOR_BYTE]
    assert len(positions) > 140
    accepted = []
    for bit in (8 * at + offset for at in positions for offset in range(8)):
        try:
            check(flipped(GOOD, bit))
        except InvalidBitstream:
            continue
        accepted.append(bit)
    assert accepted == []


@pytest.mark.parametrize("bit", range(8 * len(EMPTY_COMMENT)))
def test_a_flipped_bit_of_the_comment_is_harmless(bit: int) -> None:
    assert from_bytes(flipped(GOOD, bit)).data == GOOD


@pytest.mark.parametrize("speed", range(3, 256, 23))
def test_an_unknown_oscillator_speed_is_refused(speed: int) -> None:
    data = GOOD[:OSCILLATOR_BYTE] + bytes([speed]) + GOOD[OSCILLATOR_BYTE + 1 :]
    assert "unknown" in refused(data)


@pytest.mark.parametrize("speed", [0, 1, 2])
def test_each_speed_of_the_oscillator_is_kept(speed: int) -> None:
    data = GOOD[:OSCILLATOR_BYTE] + bytes([speed]) + GOOD[OSCILLATOR_BYTE + 1 :]
    assert from_bytes(data).data == data


@given(st.integers(0, LENGTH - 1))
@example(LENGTH - 1)
@example(len(EMPTY_COMMENT) + len(PREAMBLE))
def test_a_truncated_file_is_refused_with_what_to_do(length: int) -> None:
    message = refused(GOOD[:length], "cut.bin")
    assert message.startswith("cut.bin is not a bitstream for an iCE40UP5K: it ")
    assert ";" in message


def test_an_empty_file_is_called_empty() -> None:
    assert "it is empty" in refused(b"")


def test_a_half_copied_file_is_called_cut_short() -> None:
    assert "cut short, 51,996 of 104,086 bytes" in refused(GOOD[:52_000])


@given(st.binary(min_size=1, max_size=64).filter(lambda trailing: trailing.translate(None, b"\0\xff")))
def test_trailing_bytes_are_refused(trailing: bytes) -> None:
    assert f"{len(trailing)} extra bytes follow" in refused(GOOD + trailing)


@pytest.mark.parametrize("padding", [b"\0", b"\xff", b"\0\0\xff" * 100, b"\xff" * 4_000_000])
def test_padding_behind_the_end_is_left_out_and_that_is_said(padding: bytes) -> None:
    read = from_bytes(GOOD + padding)
    assert read.data == GOOD
    assert read.note == "padding follows its end at byte 104,090, as in a dump of a flash memory; it is left out"


def test_a_far_too_long_file_is_called_too_long() -> None:
    assert "too long, 1,000,000 bytes" in refused(bytes(1_000_000))


def test_a_file_without_preamble_is_told_so() -> None:
    assert "no preamble (7E AA 99 7E)" in refused(b"\x89PNG\r\n\x1a\n" + bytes(5000))


def test_a_changed_circuit_is_told_of_its_crc() -> None:
    assert "CRC is wrong" in refused(flipped(GOOD, 8 * 50_000))


def test_a_changed_circuit_with_a_right_crc_is_accepted() -> None:
    changed = with_crc(flipped(GOOD, 8 * 50_000))
    assert from_bytes(changed).data == changed != GOOD


def test_a_bank_that_is_written_twice_is_refused() -> None:
    third = GOOD.index(bytes.fromhex("1103 0101"))
    assert "writes CRAM bank 1 twice" in refused(GOOD[: third + 1] + b"\1" + GOOD[third + 2 :])


def test_a_command_behind_the_crc_is_refused() -> None:
    message = refused(GOOD[:-3] + bytes.fromhex("1100") + GOOD[-3:])
    assert "command 11 00 at byte" in message
    assert "out of place" in message


def test_a_bitstream_for_the_hx8k_is_refused_by_its_name() -> None:
    head = bytes.fromhex("ff0000ff 7eaa997e 5100 0105 920020 620367 720110 820000 1100 0101")
    assert "built for an iCE40 LP8K or HX8K" in refused(head + bytes(29_648))


def test_a_wrong_size_of_bank_is_refused() -> None:
    assert "CRAM bank 0 of 692 x 335 bits" in refused(GOOD.replace(b"\x72\x01\x50", b"\x72\x01\x4f", 1))


def test_the_error_names_file_and_reason_for_programs_too() -> None:
    with pytest.raises(InvalidBitstream) as caught:
        from_bytes(b"", "empty.bin")
    assert caught.value.fields["file"] == "empty.bin"
    assert str(caught.value.fields["reason"]).startswith("it is empty")


COMMANDS = st.sampled_from([bytes.fromhex(text) for text in (
    "0101", "0102", "0103", "0105", "0106", "0108", "1100", "1105", "220000", "5100", "620000", "6202b3", "720150",
    "72ffff", "820000", "920020", "0f", "ff", "00", "4403000000",
)])  # fmt: skip


@given(st.binary(max_size=200), st.lists(COMMANDS | st.binary(max_size=8)))
def test_any_bytes_are_refused_and_nothing_else_happens(start: bytes, commands: list[bytes]) -> None:
    refused(start)
    refused(PREAMBLE + b"".join(commands))
    refused(GOOD[:14] + b"".join(commands) + start)


# --- .asc


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_packed_to_the_bytes_of_icepack(name: str) -> None:
    assert pack_asc((CIRCUITS / f"{name}.asc").read_text()) == (CIRCUITS / f"{name}.bin").read_bytes()


@pytest.mark.parametrize(("seed", "sparseness"), PACKED_BY_ICEPACK)
def test_a_random_design_is_packed_to_the_bytes_of_icepack(seed: int, sparseness: int) -> None:
    packed = pack_asc(made_up_asc(seed, sparseness))
    assert hashlib.sha256(packed).hexdigest() == PACKED_BY_ICEPACK[seed, sparseness]


@pytest.mark.thorough
@settings(max_examples=20)
@given(st.integers(0, 2**32), st.integers(1, 12))
def test_what_is_packed_passes_the_check(seed: int, sparseness: int) -> None:
    check(pack_asc(made_up_asc(seed, sparseness)))


def test_a_file_of_either_form_gives_the_same_bitstream() -> None:
    assert from_file(CIRCUITS / "bursts.asc") == from_file(str(CIRCUITS / "bursts.bin"))


def test_a_comment_is_packed_line_by_line() -> None:
    packed = pack_asc(made_up_asc(1, 5, ".comment\nfirst\n\nthird\n"))
    assert packed.startswith(b"\xff\0first\0\0third\0\0\xff" + PREAMBLE)


def test_an_asc_without_comment_is_packed_without_comment_section() -> None:
    assert pack_asc(made_up_asc(1, 5, "")).startswith(PREAMBLE)


def test_a_comment_in_an_asc_does_not_change_its_normal_form() -> None:
    plain = from_bytes(ASC.encode())
    commented = made_up_asc(1, 5, ".comment\nof \N{GREEK SMALL LETTER MU}, or ~\N{FEMININE ORDINAL INDICATOR}\x99~\n")
    assert from_bytes(commented.encode()) == plain


def test_windows_line_ends_do_not_change_the_normal_form() -> None:
    assert from_bytes(ASC.replace("\n", "\r\n").encode()) == from_bytes(ASC.encode())


def test_warm_boot_can_be_turned_off() -> None:
    on, off = pack_asc(ASC), pack_asc(".warmboot disabled\n" + ASC)
    assert (on[14], off[14]) == (0x20, 0x00)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (".device 5k", ".device 8k", "built for an iCE40 LP8K or HX8K"),
        (".device 5k", ".device 6k", "device '6k'"),
        (".device 5k\n", "", 'comes before ".device 5k"'),
        (".device 5k", ".device 5k\n.device 5k", 'more than one ".device"'),
        (".logic_tile 3 4\n", ".logic_tile 3 4\n" + "0" * 54 + "\n", "needs 16 rows"),
        (".logic_tile 3 4\n", ".logic_tile 3 4\n2", "needs 16 rows of 54 digits"),
        (".logic_tile 3 4\n", ".logic_tile 3 4\n\n", "needs 16 rows of 54 digits"),
        (".logic_tile 3 4\n", ".io_tile 3 4\n", "no such tile there"),
        (".logic_tile 3 4\n", ".logic_tile 3 44\n", "no such tile there"),
        (".logic_tile 3 4\n", ".logic_tile 3 -4\n", "needs 2 numbers"),
        (".logic_tile 3 4\n", ".logic_tile 3\n", "needs 2 numbers"),
        (".logic_tile 3 4\n", ".logic_tile 3 5\n", "occurs twice"),
        (".logic_tile 3 4\n", ".sym 1 x\n", "data that do not belong there"),
        (".extra_bit 0", ".extra_bit 4", "outside the CRAM"),
        (".extra_bit 1 69", ".extra_bit 1 99", "outside the CRAM"),
        (".device 5k", ".device 5k\n.warmboot maybe", "not a statement"),
        (".device 5k", ".device 5k\n.nonsense 1", "not a statement"),
        (".device 5k", ".device 5k\n.", "not a statement"),
        (".device 5k", ".device 5k\n.ram_data 3 4", "no block RAM there"),
        (".device 5k", ".device 5k\n.ram_data 6 1", "needs 16 lines of 64 hex digits"),
        (".device 5k", ".device 5k\n." + "x" * 9999 + "_tile 1 2", "is too long for a statement"),
        (".comment", "comment", "first line is not a statement"),
    ],
)
def test_a_mistake_in_an_asc_is_named(old: str, new: str, words: str) -> None:
    assert old in ASC
    with pytest.raises(InvalidBitstream) as caught:
        pack_asc(ASC.replace(old, new, 1), "mine.asc")
    assert words in caught.value.message
    assert len(caught.value.message) < 250
    assert caught.value.message.startswith("mine.asc is not a bitstream for an iCE40UP5K: ")


@pytest.mark.parametrize("gap", [" ", "\r", "\t", ""])
def test_two_rows_in_one_line_are_refused(gap: str) -> None:
    start = ASC.index(".logic_tile 3 4\n") + len(".logic_tile 3 4\n")
    with pytest.raises(InvalidBitstream, match="needs 16 rows"):
        pack_asc(ASC[: start + 54] + gap + ASC[start + 55 :])


def test_blank_lines_behind_the_last_statement_are_harmless() -> None:
    assert pack_asc(ASC + "\n\n") == pack_asc(ASC + "  ") == pack_asc(ASC)


def test_hex_digits_with_gaps_are_refused() -> None:
    ram = ".ram_data 6 1\n" + ("0" * 62 + " 0\n") * 16
    with pytest.raises(InvalidBitstream, match="needs 16 lines of 64 hex digits"):
        pack_asc(".device 5k\n" + ram)


@given(st.integers(0, ASC.index(".extra_bit") - 2))
def test_an_asc_that_is_cut_within_its_tiles_is_refused(length: int) -> None:
    refused(ASC[:length].encode())


@given(st.text(max_size=300), st.lists(st.sampled_from([*ASC.splitlines()[:60], ".ram_data 6 1", ".", ".sym"])))
def test_any_text_is_refused_and_nothing_else_happens(text: str, lines: list[str]) -> None:
    for asc in (text, "\n".join(lines), ".device 5k\n" + text, ".device 5k\n." + text):
        with pytest.raises(InvalidBitstream):
            pack_asc(asc)


@given(st.binary(max_size=300))
def test_any_bytes_behind_a_statement_are_refused_and_nothing_else_happens(garbage: bytes) -> None:
    refused(b".comment\n" + garbage)
    refused(b".device 5k\n.io_tile 1 0\n" + garbage)


def test_a_far_too_long_text_is_called_too_long() -> None:
    with pytest.raises(InvalidBitstream, match="too long"):
        pack_asc(".comment\n" + "x" * 9_000_000)


# --- files


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    huge = tmp_path / "huge.bin"
    huge.touch()
    os.truncate(huge, 1 << 40)  # A hole: it takes no space.
    with pytest.raises(InvalidBitstream, match=r"huge\.bin .*too long"):
        from_file(huge)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("circuit.txt", GOOD, "neither .bin nor .asc"),
        ("circuit", GOOD, "neither .bin nor .asc"),
        ("circuit.asc", GOOD, "no text of Project IceStorm"),
        ("circuit.bin", ASC.encode(), "rename it to .asc"),
        ("circuit.bin", b"", "it is empty"),
        ("circuit.asc", b"", "no text of Project IceStorm"),
    ],
)
def test_a_file_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidBitstream) as caught:
        from_file(tmp_path / name)
    assert words in caught.value.message
    assert str(tmp_path / name) in caught.value.message


def test_a_suffix_in_capitals_will_do(tmp_path: Path) -> None:
    (tmp_path / "OLD.BIN").write_bytes(GOOD)
    assert from_file(tmp_path / "OLD.BIN").data == GOOD


def test_a_missing_file_is_called_missing(tmp_path: Path) -> None:
    with pytest.raises(InvalidBitstream, match=r"nowhere\.bin can't be read: there is no such file"):
        from_file(tmp_path / "nowhere.bin")


def test_a_directory_or_a_pipe_is_no_bitstream(tmp_path: Path) -> None:
    (tmp_path / "folder.bin").mkdir()
    os.mkfifo(tmp_path / "pipe.bin")
    for name in ("folder.bin", "pipe.bin"):
        with pytest.raises(InvalidBitstream, match="not a regular file"):
            from_file(tmp_path / name)


def test_an_impossible_file_name_is_refused() -> None:
    with pytest.raises(InvalidBitstream, match="can't be read"):
        from_file("zero\0byte.bin")


# --- compression


@given(st.integers(0, 2**32), st.integers(1, 12))
def test_a_compressed_bitstream_comes_back_whole(seed: int, sparseness: int) -> None:
    data = made_up_bitstream(seed, sparseness).data
    assert decompress(compress(data), len(data)) == data


def test_a_small_circuit_shrinks_fortyfold() -> None:
    assert len(compress(from_file(CIRCUITS / "bursts.bin").data)) < LENGTH // 40


@given(st.integers(1, LENGTH).filter(lambda length: length != LENGTH))
def test_another_length_than_the_real_one_is_refused(length: int) -> None:
    with pytest.raises(InvalidBitstream, match=r"instead of|more than"):
        decompress(compress(GOOD), length)


@pytest.mark.parametrize("length", [-1, 0, LENGTH + 1, 1 << 62])
def test_a_length_out_of_range_is_refused(length: int) -> None:
    with pytest.raises(InvalidBitstream, match="out of range"):
        decompress(compress(GOOD), length)


@given(st.binary(max_size=400), st.integers(1, LENGTH))
def test_any_compressed_bytes_give_the_length_or_are_refused(data: bytes, length: int) -> None:
    with suppress(InvalidBitstream):
        assert len(decompress(data, length)) == length


def test_a_block_that_is_longer_than_any_is_refused() -> None:
    with pytest.raises(InvalidBitstream, match="out of range"):
        decompress(bytes(LENGTH * 2))


# --- the example circuits


def test_the_list_of_frequencies_is_of_the_circuits_beside_it() -> None:
    rows = [line.split() for line in (CIRCUITS / "frequencies.txt").read_text().splitlines() if line[0] != "#"]
    assert {name: int(hz) for _, _, hz, name in rows} == {
        "square_2khz": 2000,
        "square_8khz": 8000,
        "square_32khz": 32_000,
        "bursts": 4500,
    }
    expected = set()
    for name in NAMES:
        data = from_file(CIRCUITS / f"{name}.bin").data
        expected |= {(f"{zlib.crc32(form):08x}", str(len(form)), name) for form in (data, for_loading(data))}
    assert {(crc, length, name) for crc, length, _, name in rows} == expected


def test_a_bitstream_does_not_print_its_bytes() -> None:
    assert repr(Bitstream(GOOD, "x")) == f"Bitstream(name='x', sha256='{hashlib.sha256(GOOD).hexdigest()}')"


@given(pattern=st.binary(max_size=400), length=st.integers(0, 140_000))
@example(pattern=b"\xff", length=32_767)
@example(pattern=b"\xff", length=32_769)
@example(pattern=b"", length=0)
def test_the_crc_is_that_of_binascii_whatever_the_length(pattern: bytes, length: int) -> None:
    data = (pattern * (length // max(1, len(pattern)) + 1))[:length]
    assert crc16(data) == binascii.crc_hqx(data, 0xFFFF)


def test_a_change_of_two_bits_that_the_crc_counts_in_the_same_place_is_like_none() -> None:
    """What makes folding right, and the reason why two bits 32,767 apart escape the CRC of the FPGA itself."""
    first = 8 * 12 + 1000
    assert crc16(flipped(flipped(GOOD, first), first + 32_767)[12:-5]) == crc16(GOOD[12:-5])
