"""``icefarm simulate`` (docs/cli.md), with the program that runs virtual boards."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from vcd.reader import TokenKind, tokenize

from icefarm.cli import main
from icefarm.cli.commands.boards.simulate import PINS

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples" / "circuits"
CIRCUITS = Path(__file__).parents[1] / "circuits"
DRAWN = Path(__file__).parents[2] / "docs" / "images" / "bursts.svg"


def simulate(*words: str | Path) -> Result:
    return CliRunner().invoke(main, ["simulate", *map(str, words)])


def found(*words: str | Path) -> dict[str, object]:
    answer: dict[str, object] = json.loads(simulate(*words, "-o", "json").stdout)
    return answer


def test_it_says_what_drives_a_pin_and_what_it_counts() -> None:
    result = simulate(EXAMPLES / "bursts.asc")
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "pin 27: driven by flip-flop 2 in tile (18, 30)",
        "  4,500 pulses in 1 s: 4,500 Hz (simulated)",
        "depends on: 36 look-up tables, 20 carries, 32 flip-flops, 1 block RAM",
        "clocked by: HFOSC, 48,000,000 Hz: flip-flops, 32 by its rising edge",
        "repeats after: 0.128 s",
    ]


@pytest.mark.parametrize("line", (EXAMPLES / "frequencies.txt").read_text().splitlines())
def test_the_examples_count_what_another_simulation_says(line: str) -> None:
    if line.startswith("#"):
        return
    _, _, hertz, name = line.split()
    answer = found(EXAMPLES / f"{name}.bin", "--window", "2")
    assert answer["origin"] == "simulated"
    assert [(pin["pulses"], pin["hz"]) for pin in answer["pins"]] == [(2 * int(hertz), int(hertz))]  # type: ignore[attr-defined]


def test_several_pins_and_another_clock() -> None:
    answer = found(CIRCUITS / "levels.bin", "--pins", "27,25,23", "--clock-mhz", "12", "--window", "0.256")
    # A counter of ten bits: 12 MHz / 1024. Pin 27 has the inverse, which is high at first; pin 25 is always 1.
    assert [pin["pulses"] for pin in answer["pins"]] == [3000, 0, 3000]  # type: ignore[attr-defined]


def test_a_waveform_has_each_change(tmp_path: Path) -> None:
    vcd = tmp_path / "wave.vcd"
    assert simulate(EXAMPLES / "square_32khz.bin", "--window", "0.001", "--vcd", vcd).exit_code == 0
    lines = vcd.read_text().splitlines()
    (identifier,) = [line.split()[3] for line in lines if line.endswith(" ICE_27 $end")]
    assert lines.count(f"1{identifier}") == 32
    assert lines.count(f"0{identifier}") == 33  # one of them is how it starts
    assert lines[-1] == f"#{10**9}"  # picoseconds: to the end of the window, though nothing changes there


def test_a_waveform_is_read_by_another_program(tmp_path: Path) -> None:
    vcd = tmp_path / "wave.vcd"
    simulate(CIRCUITS / "mac_cascade_1.bin", "--window", "0.0001", "--pins", "27,25", "--vcd", vcd)
    with vcd.open("rb") as file:
        tokens = list(tokenize(file))
    names = [token.var.reference for token in tokens if token.kind is TokenKind.VAR]
    assert names[:2] == ["ICE_27", "ICE_25"]
    assert len(names) == 2 + 116
    times = [token.time_change for token in tokens if token.kind is TokenKind.CHANGE_TIME]
    assert times == sorted(times)
    assert times[-1] == 10**8


def test_the_picture_in_the_documentation_is_what_the_command_draws(tmp_path: Path) -> None:
    svg = tmp_path / "bursts.svg"
    result = simulate(EXAMPLES / "bursts.bin", "--svg", svg)
    assert result.exit_code == 0
    assert f"picture: {svg}" in result.stdout
    assert svg.read_text() == DRAWN.read_text(), "make pictures draws it again"


def test_a_picture_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--svg", tmp_path / "nowhere" / "plan.svg")
    assert result.exit_code == 1
    assert "plan.svg can't be written: No such file or directory" in result.stderr


def test_what_cannot_be_simulated_is_named() -> None:
    result = simulate(CIRCUITS / "ring.bin")
    assert result.exit_code == 1
    assert "can't be simulated: a loop of 3 gates without a flip-flop, through tile (" in result.stderr
    assert result.stderr.endswith("). Only a real board can tell what it does\n")
    assert found(CIRCUITS / "spi.bin")["reason"] == "the SPI block at tile (0, 19)"


def test_dsp_blocks_are_counted_and_drawn(tmp_path: Path) -> None:
    svg = tmp_path / "multiply.svg"
    result = simulate(CIRCUITS / "mac_cascade_1.bin", "--window", "0.001", "--pins", "25", "--svg", svg)
    assert result.exit_code == 0
    assert "pin 25: driven by register of a pin, memory or DSP block in tile (0, 10)" in result.stdout
    assert "2 DSP blocks" in result.stdout
    assert svg.read_text().count(">DSP</text>") == 2


@pytest.mark.parametrize("pins", ["", "27,", "27;25", "27," * 16 + "27", "+2", "ICE_27"])
def test_pins_that_there_are_not_are_refused(pins: str) -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--pins", pins)
    assert result.exit_code == 2
    assert "must be up to 16 pins of the FPGA, as in 27,25" in result.stderr


def test_a_waveform_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--vcd", tmp_path / "nowhere" / "wave.vcd")
    assert result.exit_code == 1
    assert "wave.vcd can't be written: No such file or directory" in result.stderr


@pytest.mark.parametrize("window", ["0", "-1", "601", "nan", "inf", "", "1 s"])
def test_windows_that_are_no_time_are_refused(window: str) -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--window", window)
    assert result.exit_code == 2
    assert "must be seconds from 1e-06 to 600" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_is_full_is_an_error() -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--window", "0.001", "--vcd", "/dev/full")
    assert result.exit_code == 1
    assert "/dev/full can't be written: No space left on device" in result.stderr


@pytest.mark.parametrize("pin", ["0", "1", "24", "49"])
def test_a_pin_of_the_package_that_is_no_io_is_an_error_that_lists_those_that_are(pin: str) -> None:
    result = simulate(EXAMPLES / "bursts.bin", "--pins", f"27,{pin}")
    assert result.exit_code == 2
    text = " ".join(result.stderr.split())
    assert f"(2 to 4, 6, 9 to 21, 23, 25 to 28, 31 to 32, 34 to 48), and its pin {pin} is neither" in text


def test_the_command_knows_each_pin_of_the_simulator() -> None:
    assert simulate(EXAMPLES / "bursts.bin", "--pins", ",".join(map(str, PINS[:16]))).exit_code == 0
    assert simulate(EXAMPLES / "bursts.bin", "--pins", ",".join(map(str, PINS[16:32]))).exit_code == 0
    assert simulate(EXAMPLES / "bursts.bin", "--pins", ",".join(map(str, PINS[32:]))).exit_code == 0
