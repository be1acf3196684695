"""Runs that are measured again: on the same farm, on another one, and what cannot be."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from click.testing import CliRunner, Result
from waiting import wait_until

from icefarm.bitstream import from_file
from icefarm.cli import main
from icefarm.client.runs.replay import CircuitFolder, Original, assigned, replay
from icefarm.errors import InvalidArgument, UnknownKind
from icefarm.runs.package import Package
from icefarm.testing.in_memory import FarmInMemory

FOLDER = Path(__file__).parents[2] / "examples" / "circuits"
CIRCUITS = [str(path) for path in sorted(FOLDER.glob("square*.bin"))]
KIND = {"window": 0.1}


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=2) as farm:
        yield farm


@pytest.fixture(scope="module")
def exact() -> Iterator[FarmInMemory]:
    """Another farm, with other boards."""
    with FarmInMemory(boards=2, seed="elsewhere") as farm:
        yield farm


@pytest.fixture(scope="module")
def fast() -> Iterator[FarmInMemory]:
    """A farm whose boards' clocks are wrong."""
    with FarmInMemory(boards=1, seed="fast", offset_ppm=20_000.0) as farm:
        yield farm


@pytest.fixture(autouse=True)
def all_boards_are_free(request: pytest.FixtureRequest) -> None:
    """Those of the test before may not be free again yet, and one board would stand in for two."""
    if "run" in request.fixturenames:
        request.getfixturevalue("run")
    for name in ("farm", "exact", "fast"):
        if name in request.fixturenames:
            request.getfixturevalue(name).wait_until_available()


@pytest.fixture(scope="module")
def run(farm: FarmInMemory) -> Any:
    """Return a run of each circuit on each of two boards, twice."""
    with farm.client(name="ada") as client, client.reserve(2, **KIND) as boards:
        results = list(boards.evaluate_each(CIRCUITS, experiment="original", options={"repeats": 2}))
        assert all(result.ok for result in results)
        return client.archived_run(wait_until(partial(first_id, client, "original"), "the run is closed"))


def first_id(client: Any, experiment: str) -> str | None:
    """Return the id of an experiment's last run; None before it is closed."""
    runs = client.experiment(experiment).runs()
    return runs[0].id if runs else None


@pytest.fixture(scope="module")
def original(farm: FarmInMemory, run: Any) -> Original:
    with farm.client(name="reader") as client:
        return Original.of_run(client.archived_run(run.id), CircuitFolder.of(FOLDER))


def test_a_run_that_is_measured_again_on_its_own_boards_agrees(farm: FarmInMemory, original: Original) -> None:
    with farm.client(name="eve") as client:
        found = replay(client, original, experiment="again")
        assert found.agrees, found.summary
        assert found.differences == []
        assert len(found.cells) == 6
        assert {(cell.first_board, cell.second_board) for cell in found.cells} == {
            (serial, serial) for serial in original.boards
        }
        assert client.experiment("again").runs()[0].labels == {"replay_of": original.id}


def test_on_another_farm_other_boards_stand_in_and_it_is_said(exact: FarmInMemory, original: Original) -> None:
    with exact.client(name="eve") as client:
        found = replay(client, original)
        boards = {device.serial for device in client.devices()}
    assert found.agrees, found.summary
    assert [each.what for each in found.differences] == ["board", "board"]
    assert {each.second for each in found.differences} == boards
    assert {cell.second_board for cell in found.cells} == boards


def test_a_farm_whose_clocks_are_wrong_does_not_agree(fast: FarmInMemory, original: Original) -> None:
    with fast.client(name="eve") as client:
        found = replay(client, original)
        assert not found.agrees
        assert replay(client, original, clock_ppm=100_000).agrees
    assert all(cell.difference is not None and cell.difference != 0 for cell in found.cells)


def test_boards_stand_in_for_others_one_by_one_as_long_as_there_are_some() -> None:
    assert assigned(["A", "B"], ["B", "A"]) == {"A": "A", "B": "B"}
    assert assigned(["A", "B"], ["D", "C"]) == {"A": "C", "B": "D"}
    assert assigned(["A", "B", "C"], ["B", "X"]) == {"A": "X", "B": "B", "C": "X"}
    assert assigned(["A", "B"], ["A"]) == {"A": "A", "B": "A"}


def test_circuits_that_are_missing_are_named_before_anything_is_reserved(farm: FarmInMemory, run: Any) -> None:
    with farm.client(name="reader") as client:
        bare = Original.of_run(client.archived_run(run.id))
        with pytest.raises(InvalidArgument, match=r"3 of the run's circuits are missing: .*--circuits DIR"):
            replay(client, bare)
        assert len(client.available()) == 2


def test_a_folder_is_looked_through_for_circuits_by_any_names(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    shutil.copy(CIRCUITS[0], tmp_path / "below" / "renamed.bin")
    (tmp_path / "broken.bin").write_bytes(b"no bitstream")
    (tmp_path / "notes.txt").write_text("x")
    folder = CircuitFolder.of(tmp_path)
    digests = {from_file(path).sha256 for path in CIRCUITS}
    assert sum(folder.find(sha256) is not None for sha256 in digests) == 1
    with pytest.raises(InvalidArgument, match="is not a folder"):
        CircuitFolder.of(tmp_path / "none")


def test_a_run_whose_circuits_the_farm_kept_is_measured_again_from_its_id_alone(
    farm: FarmInMemory, tmp_path: Path
) -> None:
    with farm.client(name="ada") as client, client.reserve(1, **KIND) as boards:
        for number in range(2):
            results = list(boards.evaluate(CIRCUITS * 2, experiment=f"kept {number}", keep_circuits=True))
            assert all(result.ok for result in results)
    with farm.client(name="reader") as client:
        run = client.archived_run(wait_until(partial(first_id, client, "kept 1"), "the run is closed"))
        data = from_file(CIRCUITS[0])
        assert run.circuit(data.sha256) == data.data
        with Package.open(run.export(tmp_path / "kept.zip", kept_circuits=True)) as package:
            assert len(package.circuits) == 3
        with pytest.raises(InvalidArgument, match="the farm has not kept circuit 0000"):
            run.circuit("0" * 64)
    done = icefarm(farm, "replay", str(run.id))
    assert done.exit_code == 0, done.stderr
    done = icefarm(farm, "run", str(run.id), "--out", str(tmp_path / "cli.zip"), "--with-bitstreams")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "cli.zip").read_bytes() == (tmp_path / "kept.zip").read_bytes()


# ------------------------------------------------------------------------------------------------- command line


def icefarm(farm: FarmInMemory, *arguments: str) -> Result:
    mine = dict.fromkeys(("ICEFARM_URL", "ICEFARM_NAME", "ICEFARM_TOKEN", "ICEFARM_DATA_DIR", "ICEFARM_EXPERIMENT"), "")
    return CliRunner().invoke(
        main, list(arguments), obj=lambda _: farm.client(name="eve"), env=mine, prog_name="icefarm"
    )


@pytest.fixture(scope="module")
def exported(farm: FarmInMemory, run: Any, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = str(tmp_path_factory.mktemp("runs") / "run.icefarm.zip")
    done = icefarm(farm, "run", run.id, "--out", path, "--circuits", str(FOLDER))
    assert done.exit_code == 0, done.stderr
    return path


def test_an_export_with_circuits_is_all_that_a_replay_takes(exact: FarmInMemory, exported: str) -> None:
    with Package.open(Path(exported)) as package:
        assert len(package.circuits) == 3
    done = icefarm(exact, "replay", exported)
    assert done.exit_code == 0, done.stderr + done.stdout
    assert "what differs in where the values come from" in done.stderr
    assert "6 of 6 values agree within 3 standard uncertainties" in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 7
    assert lines[0].split()[:3] == ["N", "CIRCUIT", "OF"]


def test_what_disagrees_is_exit_code_1_and_json_has_it_all(fast: FarmInMemory, exported: str, run: Any) -> None:
    done = icefarm(fast, "replay", exported, "-o", "json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["run"], found["agrees"]) == (run.id, False)
    assert {each["what"] for each in found["differences"]} == {"board"}
    assert len(found["cells"]) == 6
    table = icefarm(fast, "replay", exported, "-o", "csv")
    assert (table.exit_code, len(table.stdout.splitlines())) == (1, 7)


def test_a_run_of_the_farm_is_measured_again_by_its_id(farm: FarmInMemory, run: Any) -> None:
    done = icefarm(farm, "replay", run.id[:10], "--circuits", str(FOLDER))
    assert done.exit_code == 0, done.stderr
    assert "boards, firmware, origin and versions are the same" in done.stderr
    assert "noise is not in the uncertainty" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["no-such-file.zip"], "there is no file no-such-file.zip"),
        (["0123456789"], "there is no run 0123456789"),
        ([__file__], "is not a run that icefarm exported"),
        ([__file__, "--from", "http://127.0.0.1:1"], "--from is for an ID"),
        (["0123456789", "--circuits", "/no/such/folder"], "is not a folder"),
        (["0123456789", "--timeout", "5"], "--timeout needs --wait"),
    ],
)
def test_what_cannot_be_measured_again_is_said_in_a_line(farm: FarmInMemory, arguments: list[str], said: str) -> None:
    done = icefarm(farm, "replay", *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True), done.stderr
    assert len(done.stderr.strip().splitlines()) <= 4


def test_a_kind_that_a_farm_does_not_offer_is_said_to_be(original: Original, exact: FarmInMemory) -> None:
    strange = evolve(original, manifest={**original.manifest, "kind": "sorcery"})
    with exact.client(name="eve") as client, pytest.raises(UnknownKind, match="sorcery"):
        replay(client, strange)
