"""A run that was killed is carried on from another place: what the archive has is not measured again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import forked
import pytest
from waiting import wait_until

from icefarm.bitstream import made_up_bitstream
from icefarm.client import Farm
from icefarm.client.placement import EachBoard
from icefarm.errors import InvalidArgument, UnknownExperiment
from icefarm.testing.processes.farm_process import FarmProcess, OwnProcess

pytestmark = pytest.mark.integration

COUNT = 60
LIMIT = 120
#: Seconds for which workers gather rows.
GATHERED = 2.5


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    arguments = ("--boards", "2", "--listen", "127.0.0.1:0", "--model", "landscape", "--grace", "2")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture(scope="module")
def circuits(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("circuits")
    paths = [directory / f"{number}.bin" for number in range(COUNT)]
    for number, path in enumerate(paths):
        path.write_bytes(made_up_bitstream(number, sparseness=10).data)
    return [str(path) for path in paths]


def command(farm: FarmProcess, name: str, *arguments: str) -> list[str]:
    own = ("--url", farm.url, "--name", name, "--wait", "--timeout", "60", "-o", "json")
    return forked.icefarm("evaluate", *arguments, *own)


def plain() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("ICEFARM_")}


def archived(farm: FarmProcess, experiment: str) -> Counter[tuple[str | None, str]]:
    """Return how often each circuit was measured on each board, once nothing more arrives."""
    found: Counter[tuple[str | None, str]] = Counter()
    changed = time.monotonic()

    def rests() -> bool:
        nonlocal found, changed
        before = found
        with suppress(UnknownExperiment):
            found = Counter((each.sha256, each.serial) for each in reader.experiment(experiment, "ada").results())
        if found != before or [each for each in reader.reservations() if each.ended_at is None]:
            changed = time.monotonic()
        return time.monotonic() - changed > GATHERED

    with Farm(farm.url, name="ada/reader") as reader:
        wait_until(rests, "the archive comes to rest", LIMIT)
    return found


def test_a_run_that_was_killed_goes_on_elsewhere_and_measures_only_what_is_missing(
    farm: FarmProcess, circuits: list[str], tmp_path: Path
) -> None:
    run = ("--experiment", "ga-7", "--resume", "--devices", "2", "--window", "0.1")
    first, second = tmp_path / "one", tmp_path / "two"
    first.mkdir()
    second.mkdir()
    with OwnProcess(
        command(farm, "ada/one", *circuits, *run), cwd=first, env=plain(), stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        before = [json.loads(process.stdout.readline()) for _ in range(COUNT // 3)]
        process.send_signal(signal.SIGKILL)
    assert not any(each["archived"] for each in before)

    known = archived(farm, "ga-7")
    assert COUNT // 3 <= sum(known.values()) < COUNT
    assert {(each["sha256"], each["serial"]) for each in before} <= known.keys()
    done = subprocess.run(
        command(farm, "ada/two", *circuits, *run), cwd=second, env=plain(), capture_output=True, text=True,
        timeout=LIMIT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({each["sha256"] for each in results}) == len(results) == COUNT
    answered = {(each["sha256"], each["serial"]) for each in results if each["archived"]}
    assert answered == known.keys()
    values = {each["sha256"]: each["value"] for each in before}
    assert values.items() <= {each["sha256"]: each["value"] for each in results}.items()
    assert f"{len(known)} of {COUNT} results are from the archive" in done.stderr
    assert {each["origin"] for each in results} == {"landscape"}
    # Every circuit is there once: nothing was measured twice.
    assert sorted(archived(farm, "ga-7").values()) == [1] * COUNT


def test_each_board_measures_what_the_archive_has_not_got_of_it(farm: FarmProcess, circuits: list[str]) -> None:
    some = circuits[:12]
    with Farm(farm.url, name="ada/three", experiment="each") as client:
        with client.reserve(2, window=0.01, wait=True, timeout=60) as boards:
            a = boards.serials[0]
            for _ in boards.evaluate_each(some[:8], serials=[a]):
                pass
            for _ in boards.evaluate(some[:4], options={"repeats": 2}):
                pass
        known = archived(farm, "each")
        with client.reserve(2, window=0.01, wait=True, timeout=60) as boards:
            results = list(boards.evaluate(some, placement=EachBoard(), resume=True))
        assert len(results) == 24
        assert {(each.source, each.serial) for each in results if each.archived} == {(path, a) for path in some[:8]}
        assert all(each.measurement.options["repeats"] == 1 for each in results)
        found = archived(farm, "each")
        assert sum((found - known).values()) == 24 - 8
        with client.reserve(1, window=0.02, wait=True, timeout=60) as boards:
            # Other options are other measurements; another account's experiment is not the client's own.
            assert not any(each.archived for each in boards.evaluate(some[:2], resume=True))
    with Farm(farm.url, name="bob") as other, other.reserve(1, window=0.01, wait=True, timeout=60) as boards:
        assert not any(each.archived for each in boards.evaluate(some[:2], resume=True, experiment="each"))
        with pytest.raises(InvalidArgument, match="resume needs the name of the experiment"):
            next(boards.evaluate(some, resume=True))
