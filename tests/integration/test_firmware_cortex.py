"""The core on an emulated Cortex-M33: the firmware's own tests, and what it costs that processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

FIRMWARE = Path(__file__).parents[2] / "firmware"
CAPACITY = 104_090
#: Cycles that the RP2350 has (150 MHz) for each byte that USB can bring at full speed, 1.216 MB/s.
CYCLES_A_BYTE = 123


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Run all of it; what it said, line by line."""
    for program, package in (("arm-none-eabi-gcc", "gcc-arm-none-eabi"), ("qemu-system-arm", "qemu-system-arm")):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install {package}")
    specs = subprocess.run(
        ["arm-none-eabi-gcc", "-print-file-name=rdimon.specs"], capture_output=True, text=True, check=True
    )
    if "/" not in specs.stdout:
        pytest.skip("needs newlib: apt-get install libnewlib-arm-none-eabi")
    command = ["make", "-C", str(FIRMWARE), "cortex", f"BUILD={tmp_path_factory.mktemp('cortex')}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.splitlines()


def test_the_core_passes_its_tests_compiled_for_the_boards_processor(said: list[str]) -> None:
    passed = {line.removeprefix("ok ") for line in said if line.startswith("ok ")}
    assert {
        "a_stream_is_read_as_the_vectors_say",
        "a_block_decodes_as_the_vectors_say",
        "differences_may_be_split_anywhere",
    } <= passed
    assert any(line.startswith("20000 frames") for line in passed)


def test_receiving_takes_a_small_part_of_the_processor(said: list[str]) -> None:
    words = [line.split() for line in said]
    costs = {name: int(cost) for name, cost in (pair for pair in words if len(pair) == 2 and pair[1].isdigit())}
    # Two instructions a round and a million rounds: time is what the measurement takes it for.
    assert costs["calibration"] == pytest.approx(2_000_000, rel=0.001)
    # An instruction may take several cycles where flash and its cache are slow: a tenth leaves room for that.
    assert costs["raw"] < CAPACITY * CYCLES_A_BYTE / 10
    # Tokens as dense as LZ4 can make them: 7 bytes on USB for 8 of the bitstream.
    assert costs["lz4"] < CAPACITY * CYCLES_A_BYTE / 3
    # docs/protocol.md: about 4 ms, at a cycle for each instruction.
    assert costs["difference"] < 5 * 150_000
    # docs/protocol.md: some milliseconds; two buffers here, four on the board.
    assert 2 * costs["test"] < 10 * 150_000
