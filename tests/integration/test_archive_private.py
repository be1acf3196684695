"""A private farm from outside: over WAMP, HTTP and the command line, other accounts see nothing of an experiment."""

from __future__ import annotations

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from attrs import frozen
from waiting import wait_until

from icefarm.client import Farm
from icefarm.contract import EVENT_TOPICS
from icefarm.errors import IcefarmError, NotAuthorized, UnknownExperiment
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

SQUARE = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
#: Names that nobody else may ever see.
EXPERIMENT, CIRCUIT, FIGURE = "hidden-experiment", "hidden-circuit.bin", "hidden-figure"
LIMIT = 60.0


@frozen
class Private:
    """A private farm with an experiment of ada's."""

    farm: FarmProcess
    tokens: dict[str, str]
    serial: str

    def open(self, name: str, **more: Any) -> Farm:
        return Farm(self.farm.url, name=name, token=self.tokens[name], **more)

    def command(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {"ICEFARM_URL": self.farm.url, "ICEFARM_TOKEN": self.tokens[name], "ICEFARM_DATA_DIR": "/nonexistent"}
        return _icefarm(*arguments, **own)

    def get(self, name: str, path: str) -> tuple[int, str]:
        request = urllib.request.Request(
            self.farm.url + path, headers={"Authorization": f"Bearer {self.tokens[name]}"} if name else {}
        )
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def _icefarm(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("ICEFARM_")}
    return subprocess.run(
        forked.icefarm(*arguments), capture_output=True, text=True, check=False, timeout=LIMIT,
        env={**plain, **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    directory = tmp_path_factory.mktemp("farm")
    arguments = ("--boards", "1", "--listen", "127.0.0.1:0", "--speed", "instant", "--private")
    circuit = tmp_path_factory.mktemp("circuits") / CIRCUIT
    circuit.write_bytes(SQUARE.read_bytes())
    with FarmProcess(directory, arguments) as farm:
        farm.wait_until_ready()
        tokens = {}
        for name, role in {"ada": "client", "bob": "client", "boss": "operator"}.items():
            done = _icefarm("token", "add", name, "--role", role, ICEFARM_DATA_DIR=str(directory))
            assert done.returncode == 0, done.stderr
            tokens[name] = done.stdout.split()[-1]
        with Farm(farm.url, name="ada", token=tokens["ada"], experiment=EXPERIMENT) as owner:
            with owner.reserve(1, window=0.01, wait=True, timeout=LIMIT) as boards:
                (serial,) = boards.serials
                assert [each.ok for each in boards.evaluate([str(circuit)] * 3)] == [True] * 3
            owner.experiment().log(**{FIGURE: 1.0})
            owner.experiment().announce(total=3, shared=True)
            wait_until(lambda: owner.experiment().info().experiment.done >= 3, "all results are in the archive", LIMIT)
        yield Private(farm, tokens, serial)


def _hides(text: str) -> bool:
    return not any(name in text for name in (EXPERIMENT, CIRCUIT, FIGURE))


def test_its_owner_and_operators_see_an_experiment_that_nobody_shares(private: Private) -> None:
    for name, role in (("ada", "client"), ("boss", "operator")):
        with private.open(name, role=role) as farm:
            (found,) = farm.experiments()
            assert (found.name, found.account, found.shared) == (EXPERIMENT, "ada", False)
            (result, *_) = farm.experiment(EXPERIMENT, "ada").results()
            assert (result.circuit or "").endswith(CIRCUIT)
            (reported, *_) = farm.experiment(EXPERIMENT, "ada").figures()
            assert reported.figures == {FIGURE: 1.0}


def test_over_wamp_another_account_gets_none_of_its_names(private: Private) -> None:
    with private.open("bob") as farm:
        experiment = farm.experiment(EXPERIMENT, "ada")
        for ask in (experiment.info, experiment.figures, lambda: list(experiment.results()), experiment.plot):
            with pytest.raises(UnknownExperiment, match="no experiment"):
                ask()
        session, call = farm._subject, farm._bound
        for verb, more in (
            ("experiment_series", {"name": EXPERIMENT}),
            ("experiment_known", {"name": EXPERIMENT, "kind": "pulsecount", "options": {}, "sha256": ["ab"]}),
            ("experiment_series", {"name": EXPERIMENT, "account": "ada"}),
        ):
            with pytest.raises(UnknownExperiment):
                call(session.call)(verb, **more)
        assert farm.experiments() == farm.experiments(account="ada") == []
        assert call(session.call)("board_experiments", serial=private.serial) == []
        assert farm.usage("experiment") == []
        with pytest.raises(NotAuthorized):
            farm.usage("experiment", account="ada")
        told = [farm.snapshot(), farm.journal(), farm.board_history(private.serial), call(session.call)("history")]
        assert all(_hides(repr(each)) for each in told)


def test_no_topic_carries_any_of_its_names(private: Private) -> None:
    heard: list[str] = []
    with private.open("bob") as watcher:
        with private.open("boss", role="operator") as _, private.open("ada", experiment=EXPERIMENT) as owner:
            watch = _Subscriptions(watcher, heard)
            with owner.reserve(1, window=0.01, wait=True, timeout=LIMIT) as boards:
                list(boards.evaluate([str(SQUARE.with_name(SQUARE.name))], labels={"note": FIGURE}))
            owner.experiment().log(**{FIGURE: 2.0})
            wait_until(lambda: owner.experiment().info().experiment.done >= 4, "all results are in the archive", LIMIT)
        assert {topic.rpartition(".")[2] for topic in watch.topics} >= {"reservation", "device"}
    assert heard
    assert all(_hides(each) for each in heard)


class _Subscriptions:
    """What another account hears on all topics that it may subscribe to."""

    def __init__(self, farm: Farm, heard: list[str]) -> None:
        self.topics: list[str] = []
        self._heard = heard

        async def subscribe() -> None:
            bus = farm._subject._link.bus
            for name in EVENT_TOPICS:
                await bus.subscribe(f"icefarm.v1.event.{name}", self._hear)
            await bus.subscribe("icefarm.v1.reading", self._hear)
            with pytest.raises(IcefarmError):
                await bus.subscribe("icefarm.v1.control", self._hear)

        farm._bound(subscribe)()

    def _hear(self, topic: str, args: Any, fields: Any) -> None:
        self.topics.append(topic)
        self._heard.append(repr((topic, args, fields)))


@pytest.mark.parametrize("name", ["bob", ""])
def test_over_http_another_account_gets_none_of_its_names(private: Private, name: str) -> None:
    paths = [f"/api/experiments/{EXPERIMENT}{rest}" for rest in ("", "/results?format=csv", "/figures", "?account=ada")]
    for path in paths:
        code, _ = private.get(name, path)
        assert code == (404 if name else 401)
    for path in ("/api/experiments", "/api/experiments?account=ada", "/api/usage?by=experiment", "/"):
        assert _hides(private.get(name, path)[1])
    code, text = private.get("ada", f"/api/experiments/{EXPERIMENT}/results?format=csv")
    assert (code, CIRCUIT in text) == (200, True)


def test_the_command_line_of_another_account_shows_none_of_its_names(private: Private) -> None:
    for words in (["experiments"], ["usage", "--by", "experiment"]):
        done = private.command("bob", *words)
        assert done.returncode == 0, done.stderr
        assert _hides(done.stdout + done.stderr)
    for words in (["experiment", EXPERIMENT], ["results", EXPERIMENT], ["results", EXPERIMENT, "--account", "ada"]):
        done = private.command("bob", *words)
        assert (done.returncode, done.stdout) == (1, "")
        assert "that you may read" in done.stderr
    own = json.loads(private.command("ada", "experiments", "-o", "json").stdout)
    assert [each["name"] for each in own] == [EXPERIMENT]
