"""Bitstreams are read, checked and compressed before anything is sent."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from icefarm.bitstream import decompress, from_bytes, from_file, made_up_bitstream
from icefarm.client.evaluation.payload import item_of, payload_of
from icefarm.contract import MAX_CIRCUIT_NAME
from icefarm.errors import InvalidArgument, InvalidBitstream

CIRCUIT = made_up_bitstream(1)
OTHER = made_up_bitstream(2)


def written(path: Path, data: bytes, age: float = 60.0) -> Path:
    path.write_bytes(data)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


@pytest.mark.parametrize("form", [bytes, bytearray, memoryview])
def test_bytes_of_any_form_are_packed(form: type) -> None:
    payload = payload_of(form(CIRCUIT.data))
    assert isinstance(payload, dict)
    assert decompress(payload["lz4"], payload["length"]) == CIRCUIT.data
    assert payload["sha256"] == CIRCUIT.sha256


@pytest.mark.parametrize("form", [str, Path])
def test_a_path_of_any_form_is_read(form: type, tmp_path: Path) -> None:
    payload = payload_of(form(written(tmp_path / "a.bin", CIRCUIT.data)))
    assert isinstance(payload, dict)
    assert payload["sha256"] == CIRCUIT.sha256


@pytest.mark.parametrize("read", [os.fspath, Path, from_file])
def test_a_path_that_is_no_utf8_names_its_circuit_as_a_message_can_hold_it(
    read: Callable[[str], object], tmp_path: Path
) -> None:
    path = written(tmp_path / "caf\udce9.bin", CIRCUIT.data)
    name = item_of(read(os.fspath(path))).name
    assert name is not None
    assert name.endswith("/caf\N{REPLACEMENT CHARACTER}.bin")


def test_a_name_is_noted_up_to_the_longest_that_the_archive_has() -> None:
    assert item_of(from_bytes(CIRCUIT.data, "x" * 500 + ".bin")).name == "x" * (MAX_CIRCUIT_NAME - 4) + ".bin"


def test_what_does_not_shrink_is_sent_as_it_is() -> None:
    dense = made_up_bitstream(1, sparseness=1)
    assert payload_of(dense) == {"plain": dense.data, "sha256": dense.sha256}


def test_a_bad_file_is_refused_naming_file_and_reason(tmp_path: Path) -> None:
    path = written(tmp_path / "cut.bin", CIRCUIT.data[:5000])
    item = item_of(path)
    assert item.payload is None
    assert isinstance(item.error, InvalidBitstream)
    assert "cut.bin" in item.error.message


def test_a_missing_file_is_refused_naming_it(tmp_path: Path) -> None:
    assert "nowhere.bin" in str(item_of(tmp_path / "nowhere.bin").error)


@pytest.mark.parametrize("path", ["\ud83d.bin", "a\0b.bin"])
def test_a_path_that_no_file_can_have_is_an_error_of_its_item(path: str) -> None:
    item = item_of(path)
    assert isinstance(item.error, InvalidBitstream)
    assert (item.source, item.payload) == (path, None)


@pytest.mark.parametrize("wrong", [None, 7, ["a.bin"], object()])
def test_what_is_neither_path_nor_bytes_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidArgument, match="path or bytes"):
        payload_of(wrong)


def test_a_file_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.bin", CIRCUIT.data)
    first = payload_of(path)
    path.write_bytes(OTHER.data)
    second = payload_of(path)
    path.write_bytes(CIRCUIT.data)
    third = payload_of(path)
    assert [first, second, third] == [payload_of(each) for each in (CIRCUIT, OTHER, CIRCUIT)]


def test_a_file_written_again_with_its_times_set_back_is_read_again(tmp_path: Path) -> None:
    path = written(tmp_path / "a.bin", CIRCUIT.data)
    status = path.stat()
    payload_of(path)
    path.write_bytes(OTHER.data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert payload_of(path) == payload_of(OTHER)
