"""The packer and the checks against IceStorm's own icepack, where that is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from icefarm.bitstream import for_loading, from_bytes, made_up_asc, made_up_bitstream, pack_asc
from icefarm.errors import InvalidBitstream

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(shutil.which("icepack") is None, reason="needs icepack and iceunpack (fpga-icestorm)"),
]

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
HEADS = ["", ".comment\n", ".comment on the line\n", ".comment\nfirst\n\nthird\n", ".warmboot disabled\n"]


def icepack(directory: Path, asc: str, *options: str) -> bytes:
    source, target = directory / "design.asc", directory / "design.bin"
    source.write_text(asc)
    subprocess.run(["icepack", *options, source, target], check=True, timeout=60)
    return target.read_bytes()


@pytest.mark.parametrize("sparseness", [1, 3, 8])
@pytest.mark.parametrize("seed", range(3))
def test_a_random_design_is_packed_to_the_bytes_of_icepack(tmp_path: Path, seed: int, sparseness: int) -> None:
    asc = made_up_asc(seed, sparseness)
    assert pack_asc(asc) == icepack(tmp_path, asc)


@pytest.mark.parametrize("head", HEADS)
def test_comment_and_warm_boot_are_packed_as_icepack_does(tmp_path: Path, head: str) -> None:
    asc = made_up_asc(7, 4, head)
    assert pack_asc(asc) == icepack(tmp_path, asc)


@pytest.mark.parametrize("head", HEADS)
def test_what_icepack_writes_is_accepted(tmp_path: Path, head: str) -> None:
    packed = icepack(tmp_path, made_up_asc(8, 4, head))
    assert from_bytes(packed).data.endswith(packed[-104_086:])


def test_a_made_up_bitstream_is_unpacked_and_packed_again_to_the_same_bytes(tmp_path: Path) -> None:
    bitstream = made_up_bitstream(3, 2)
    (tmp_path / "made_up.bin").write_bytes(bitstream.data)
    subprocess.run(["iceunpack", tmp_path / "made_up.bin", tmp_path / "made_up.asc"], check=True, timeout=60)
    text = (tmp_path / "made_up.asc").read_text()
    assert from_bytes(text.encode()).sha256 == bitstream.sha256


def test_a_bitstream_that_never_lets_its_flash_sleep_is_accepted(tmp_path: Path) -> None:
    assert len(from_bytes(icepack(tmp_path, made_up_asc(9, 4), "-s")).data) == 104_090


def test_block_ram_in_use_without_content_is_refused(tmp_path: Path) -> None:
    packed = icepack(tmp_path, made_up_asc(9, 4), "-n")
    with pytest.raises(InvalidBitstream, match="uses block RAM without content"):
        from_bytes(packed)


def test_a_circuit_without_block_ram_is_loaded_as_icepack_packs_it_without_content(tmp_path: Path) -> None:
    asc = (CIRCUITS / "square_2khz.asc").read_text()
    whole, short = icepack(tmp_path, asc), icepack(tmp_path, asc, "-n")
    assert from_bytes(short).data == for_loading(from_bytes(whole).data)
    assert len(short) < len(whole) - 15_000


@pytest.mark.parametrize(
    ("device", "tile", "named"),
    [
        ("384", ".logic_tile 1 1", "LP384"),
        ("1k", ".logic_tile 1 1", "HX1K"),
        ("8k", ".logic_tile 1 1", "HX8K"),
        ("u4k", ".logic_tile 1 1", "iCE5LP4K"),
        ("lm4k", ".logic_tile 1 1", "LM4K"),
    ],
)
def test_a_bitstream_for_another_device_is_refused_by_its_name(
    tmp_path: Path, device: str, tile: str, named: str
) -> None:
    packed = icepack(tmp_path, f".comment\n.device {device}\n{tile}\n")
    with pytest.raises(InvalidBitstream, match=named):
        from_bytes(packed)
