"""Bitstreams of other tools than icepack, several in one file, and text in other encodings than UTF-8."""

from __future__ import annotations

import codecs
import logging
import shutil
import subprocess
from pathlib import Path

import pytest

from icefarm.bitstream import Bitstream, from_bytes, from_file, made_up_asc, made_up_bitstream, normal_form
from icefarm.bitstream.up5k import BRAM_HEIGHT, BRAM_WIDTHS, CRAM_HEIGHTS, CRAM_WIDTH, EMPTY_COMMENT, PREAMBLE, crc16
from icefarm.client.evaluation import payload
from icefarm.client.evaluation.payload import payload_of, sha256_of
from icefarm.errors import InvalidBitstream

GOOD = made_up_bitstream(1)
OTHERS = [made_up_bitstream(number) for number in range(2, 6)]
ASC = made_up_asc(1, 5)
#: A real file of iCEcube2, where it is beside the checkout.
ICECUBE2 = Path(__file__).parents[2] / "icecube2_up5k.bin"


def banks(bitstream: Bitstream) -> tuple[list[bytes], list[bytes]]:
    """Return the contents of CRAM and BRAM banks, read out of icepack's order at its known places."""
    position = len(EMPTY_COMMENT) + 8 + 9
    cram, bram = [], []
    for height in CRAM_HEIGHTS:
        position += 7
        cram.append(bitstream.data[position : position + CRAM_WIDTH * height // 8])
        position += CRAM_WIDTH * height // 8 + 2
    position += 3
    for width in BRAM_WIDTHS:
        half = width * BRAM_HEIGHT // 16
        position += 2 + 8
        first = bitstream.data[position : position + half]
        position += half + 2 + 8
        bram.append(first + bitstream.data[position : position + half])
        position += half + 2
    return cram, bram


def as_lattice_writes(bitstream: Bitstream, *, whole_bram: bool = False, backwards: bool = False) -> bytes:
    """Write a bitstream as iCEcube2 does: settings in another order, those that stay are said once, its own comment.

    ``whole_bram``: each BRAM bank in one piece.  ``backwards``: the last bank first, and BRAM before CRAM.
    """
    cram, bram = banks(bitstream)
    order = range(3, -1, -1) if backwards else range(4)
    crams, brams = [], []
    for bank in order:
        crams.append(b"\x62\x02\xb3\x72" + CRAM_HEIGHTS[bank].to_bytes(2) + b"\x82\0\0\x11" + bytes([bank]))
        crams.append(b"\x01\x01" + cram[bank] + b"\0\0")
        rows = BRAM_HEIGHT if whole_bram else BRAM_HEIGHT // 2
        brams.append(
            b"\x62" + (BRAM_WIDTHS[bank] - 1).to_bytes(2) + b"\x72" + rows.to_bytes(2) + b"\x11" + bytes([bank])
        )
        for offset in range(0, BRAM_HEIGHT, rows):
            part = bram[bank][offset * BRAM_WIDTHS[bank] // 8 : (offset + rows) * BRAM_WIDTHS[bank] // 8]
            brams.append(b"\x82" + offset.to_bytes(2) + b"\x01\x03" + part + b"\0\0")
    parts = brams + crams if backwards else crams + brams
    checked = b"\x92\x00\x20" + b"".join(parts) + b"\x22"
    comment = b"\xff\0Lattice\0iCEcube2 2017.01.27914\0Part: iCE40UP5K-SG48\0\0\xff1\0"
    return comment + PREAMBLE + b"\x51\0\x01\x05" + checked + crc16(checked).to_bytes(2) + b"\x01\x06\0"


@pytest.mark.parametrize(
    "how", [{}, {"whole_bram": True}, {"backwards": True}, {"whole_bram": True, "backwards": True}]
)
def test_another_order_of_commands_is_the_same_circuit(how: dict[str, bool]) -> None:
    written = as_lattice_writes(GOOD, **how)
    assert len(written) != len(GOOD.data)
    read = from_bytes(written)
    assert (read.data, read.sha256) == (GOOD.data, GOOD.sha256)
    assert read.note == (
        "its commands have the order of iCEcube2 2017.01.27914; they are sent in that of icepack, which configures the "
        "same circuit"
    )
    assert normal_form(written) == GOOD.data


def test_what_is_not_said_of_the_first_bank_is_0_as_in_the_fpga() -> None:
    written = as_lattice_writes(GOOD)
    start = written.index(b"\x92\x00\x20")
    checked = written[start:-5].replace(b"\x82\0\0\x11\0", b"", 1)
    assert len(checked) == len(written[start:-5]) - 5
    assert from_bytes(written[:start] + checked + crc16(checked).to_bytes(2) + b"\x01\x06\0").data == GOOD.data


def test_another_order_is_checked_as_strictly() -> None:
    written = bytearray(as_lattice_writes(GOOD))
    written[50_000] ^= 1
    with pytest.raises(InvalidBitstream, match="CRC is wrong"):
        from_bytes(bytes(written))
    with pytest.raises(InvalidBitstream, match="extra bytes follow"):
        from_bytes(as_lattice_writes(GOOD) + b"more")
    with pytest.raises(InvalidBitstream, match="cut short"):
        from_bytes(as_lattice_writes(GOOD)[:-1])


@pytest.mark.skipif(shutil.which("icepack") is None, reason="needs icepack and iceunpack (fpga-icestorm)")
def test_icestorm_reads_the_other_order_as_the_same_circuit(tmp_path: Path) -> None:
    (tmp_path / "lattice.bin").write_bytes(as_lattice_writes(GOOD))
    subprocess.run(["iceunpack", tmp_path / "lattice.bin", tmp_path / "out.asc"], check=True, timeout=60)
    subprocess.run(["icepack", tmp_path / "out.asc", tmp_path / "out.bin"], check=True, timeout=60)
    assert from_file(tmp_path / "out.bin").sha256 == GOOD.sha256


@pytest.mark.skipif(not ICECUBE2.exists(), reason="needs a file of iCEcube2, icecube2_up5k.bin, in the checkout")
def test_a_real_file_of_icecube2_is_accepted(tmp_path: Path) -> None:
    read = from_file(ICECUBE2)
    assert "iCEcube2 2017.01.27914" in (read.note or "")
    subprocess.run(["iceunpack", ICECUBE2, tmp_path / "out.asc"], check=True, timeout=60)
    assert from_file(tmp_path / "out.asc").sha256 == read.sha256


def test_a_bitstream_of_icepack_needs_no_note() -> None:
    assert from_bytes(GOOD.data).note is None
    assert from_bytes(ASC.encode()).note is None


# ------------------------------------------------------------------------------------------- several in one file


def multiboot(tmp_path: Path, *options: str, images: list[Bitstream]) -> Path:
    """Return what icemulti makes of bitstreams."""
    if shutil.which("icemulti") is None:
        pytest.skip("needs icemulti (fpga-icestorm)")
    paths = []
    for number, image in enumerate(images):
        paths.append(tmp_path / f"image{number}.bin")
        paths[-1].write_bytes(image.data)
    made = tmp_path / "multi.bin"
    subprocess.run(["icemulti", *options, "-o", made, *paths], check=True, timeout=60)
    return made


def test_an_image_of_icemulti_with_one_circuit_is_that_circuit(tmp_path: Path) -> None:
    read = from_file(multiboot(tmp_path, "-p0", images=[GOOD]))
    assert read.data == GOOD.data
    assert read.note == "it is an image of icemulti with one circuit, at byte 164; that one is taken"


@pytest.mark.parametrize("options", [(), ("-c", "-A14"), ("-p1",)])
def test_of_several_circuits_one_is_chosen_by_its_number(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = multiboot(tmp_path, *options, images=OTHERS)
    assert [from_file(f"{path}#{number}").data for number in range(4)] == [image.data for image in OTHERS]
    assert from_bytes(path.read_bytes(), image=2).data == OTHERS[2].data
    assert sha256_of(payload_of(f"{path}#3")) == OTHERS[3].sha256


def test_a_file_with_several_circuits_offers_each_of_them(tmp_path: Path) -> None:
    path = multiboot(tmp_path, "-p1", images=OTHERS)
    with pytest.raises(InvalidBitstream) as caught:
        from_file(path)
    said = caught.value.message
    assert "it holds 4 of them, and a board takes one" in said
    assert f"give {path}#0 (at byte 164), {path}#1 (at byte 104,254, which starts at power-on), {path}#2 " in said
    with pytest.raises(InvalidBitstream, match=r"from_bytes\(data, \.\.\.\), image=0 \(at byte 164\)"):
        from_bytes(path.read_bytes())


@pytest.mark.parametrize("number", [4, 9999])
def test_a_number_that_no_circuit_has_is_refused_with_those_there_are(tmp_path: Path, number: int) -> None:
    path = multiboot(tmp_path, images=OTHERS)
    with pytest.raises(InvalidBitstream, match=rf"there is no image {number} in it; give .*#0"):
        from_file(f"{path}#{number}")


def test_a_dump_of_a_flash_memory_is_read_by_number(tmp_path: Path) -> None:
    dump = tmp_path / "flash.bin"
    dump.write_bytes(GOOD.data + b"\xff" * 900_000 + b"firmware" * 1000 + b"\xff" * 100_000)
    with pytest.raises(InvalidBitstream, match=r"extra bytes follow its end; .* or give .*flash\.bin#0"):
        from_file(dump)
    assert from_file(f"{dump}#0").data == GOOD.data
    dump.write_bytes(GOOD.data + b"\xff" * 4_000_000)
    assert from_file(dump).data == GOOD.data


def test_a_damaged_circuit_in_a_dump_is_not_offered(tmp_path: Path) -> None:
    broken = bytearray(OTHERS[0].data)
    broken[60_000] ^= 1
    dump = tmp_path / "flash.bin"
    dump.write_bytes(bytes(broken) + b"\xff" * 1000 + GOOD.data)
    assert from_file(f"{dump}#0").data == GOOD.data
    with pytest.raises(InvalidBitstream, match="no complete bitstream in it"):
        from_bytes(bytes(broken), "broken.bin", image=0)


def test_a_file_full_of_preambles_is_refused_soon() -> None:
    with pytest.raises(InvalidBitstream):
        from_bytes(PREAMBLE * 2_000_000)


def test_a_plain_file_has_an_image_0_and_a_literal_number_sign_is_part_of_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "run#3"
    folder.mkdir()
    (folder / "circuit.bin").write_bytes(GOOD.data)
    assert from_file(folder / "circuit.bin").data == GOOD.data
    assert from_file(f"{folder}/circuit.bin#0").data == GOOD.data


# ------------------------------------------------------------------------------------------------------- text


@pytest.mark.parametrize(
    ("mark", "codec", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8", "UTF-8 with a byte order mark"),
        (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16 (little-endian)"),
        (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16 (big-endian)"),
        (b"", "utf-16-le", "UTF-16 (little-endian, without a byte order mark)"),
        (b"", "utf-16-be", "UTF-16 (big-endian, without a byte order mark)"),
    ],
)
def test_an_asc_in_another_encoding_is_read_and_the_encoding_named(
    tmp_path: Path, mark: bytes, codec: str, encoding: str
) -> None:
    path = tmp_path / "circuit.asc"
    path.write_bytes(mark + ASC.encode(codec))
    read = from_file(path)
    assert read.sha256 == from_bytes(ASC.encode()).sha256
    assert read.note == f"it is text in {encoding}, and is read as such"


def test_an_asc_in_another_encoding_that_is_cut_is_refused() -> None:
    with pytest.raises(InvalidBitstream):
        from_bytes(codecs.BOM_UTF16_LE + ASC.encode("utf-16-le")[:-3], "cut.asc")


def test_an_asc_that_is_cut_anywhere_in_its_last_line_is_refused() -> None:
    last = ASC.rstrip("\n").rfind("\n") + 1
    assert ASC[last:].startswith(".extra_bit")
    for length in range(last + 1, len(ASC)):
        with pytest.raises(InvalidBitstream):
            from_bytes(ASC[:length].encode())
    with pytest.raises(InvalidBitstream, match="is not ended, so digits may be missing"):
        from_bytes(ASC[: len(ASC) - 2].encode())


def test_an_asc_whose_last_line_is_a_row_of_a_tile_needs_no_end_of_line() -> None:
    assert from_bytes(ASC[: ASC.index(".extra_bit") - 1].encode()).data


# ------------------------------------------------------------------------------------------------------ said


def test_how_a_file_was_read_is_said_once_for_all_files_of_its_sort(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payload, "_said", set())
    for number, image in enumerate(OTHERS):
        (tmp_path / f"{number}.bin").write_bytes(as_lattice_writes(image))
        assert sha256_of(payload_of(tmp_path / f"{number}.bin")) == image.sha256
    assert len(caplog.records) == 1
    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].getMessage().startswith(f"{tmp_path / '0.bin'}: its commands have the order of iCEcube2")
