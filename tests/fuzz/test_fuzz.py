"""What fuzzing found before stays found; the corpus itself is sound."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random

import pytest
from waiting import wait_until

from fuzz import __main__
from fuzz.targets import TARGETS, Target, mend_bitstream, mend_frame, seeds_of
from icefarm.bitstream import from_bytes, made_up_bitstream
from icefarm.errors import InvalidBitstream
from icefarm.testing.processes.farm_process import OwnProcess, Witness, descendants
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


def test_an_input_that_takes_long_to_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def check(_: bytes) -> None:
        began = time.thread_time()
        while time.thread_time() - began < 0.02:
            pass

    class Once(Target):
        def inputs(self, random: Random) -> Iterator[bytes]:
            yield random.randbytes(8)

    monkeypatch.setattr(__main__, "_SLOW", 0.01)
    assert __main__.fuzz(Once("slow", check, list), 600, 1, tmp_path) == (1, 1)
    (finding,) = tmp_path.iterdir()
    assert finding.name.startswith("slow-")


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


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_processes_of_a_run_end_with_it(number: signal.Signals, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fuzz", "--seconds", "1000", "--jobs", "2", "--findings", str(tmp_path)]
    for target in TARGETS[:2]:
        command += ["--target", target.name]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    with OwnProcess(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
        wait_until(lambda: len(descendants(run.pid)) >= 2, "two processes try inputs")
        witness = Witness(descendants(run.pid))
        run.send_signal(number)
        assert witness.left() == []
        run.communicate(timeout=60)
    assert run.returncode not in (0, None)
