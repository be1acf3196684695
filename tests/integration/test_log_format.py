"""``--log-format json`` on a real farm, as docs/operations.md has it: one evaluation is followed by its id."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest
from waiting import wait_until

from icefarm.client import Farm
from icefarm.errors import IcefarmError
from icefarm.log_format import JsonFormatter
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

#: Seconds for a line to be in its log.
LIMIT = 20.0
SERVICES = ("control", "worker", "up")
CIRCUIT = Path(__file__).parents[2] / "examples" / "circuits" / "square_2khz.bin"
EVALUATION = "evaluation-to-follow-4711"


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    options = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "1", "--name", "w1", "--require-tokens")
    with FarmProcess(
        short_directory / "logs" / "farm", (*options, "--log-format", "json", "--log-level", "debug")
    ) as running:
        running.wait_until_ready()
        yield running


def lines_of(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def followed(log: Path, id: str = EVALUATION) -> list[dict[str, Any]]:
    return wait_until(
        lambda: [line for line in lines_of(log) if line.get("evaluation") == id], f"a line of {id} in {log}", LIMIT
    )


@pytest.fixture
def client_log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.getLogger("icefarm")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)
    logger.setLevel(before)


def test_an_evaluation_is_followed_through_client_worker_and_control(
    farm: FarmProcess, client_log: io.StringIO
) -> None:
    token = (farm.data_dir / "operator.token").read_text().strip()
    with Farm(farm.url, token=token, name="run") as client, client.reserve(1) as boards:
        (serial,) = boards.serials
        (reservation,) = [each.id for each in client.reservations() if each.ended_at is None]
        with pytest.raises(IcefarmError):
            client.ask(serial, "evaluate", evaluation_id=EVALUATION, bitstream=b"no bitstream")
    by_client = [json.loads(line) for line in client_log.getvalue().splitlines()]
    assert [line["board"] for line in by_client if line.get("evaluation") == EVALUATION] == [serial]
    for service in ("worker", "control"):
        (line,) = followed(farm.data_dir / "log" / f"{service}.log")
        assert (line["board"], line["reservation"], line["worker"]) == (serial, reservation, "w1"), service
        assert EVALUATION in line["message"]
    # The reservation leads on, to the account that got it.
    (got,) = [
        line
        for line in lines_of(farm.data_dir / "log" / "control.log")
        if line.get("reservation") == reservation and "account" in line
    ]
    assert (got["account"], got["board"]) == ("operator", serial)
    for log in (farm.data_dir / "log").iterdir():
        assert token not in log.read_text(errors="replace"), log


def test_an_evaluation_without_trouble_is_followed_as_well(farm: FarmProcess, client_log: io.StringIO) -> None:
    token = (farm.data_dir / "operator.token").read_text().strip()
    with Farm(farm.url, token=token, name="run") as client, client.reserve(1) as boards:
        (result,) = boards.evaluate([CIRCUIT])
    assert result.measurement is not None
    id = result.measurement.evaluation_id
    by_client = [json.loads(line) for line in client_log.getvalue().splitlines()]
    assert [line["message"] for line in by_client if line.get("evaluation") == id] == [
        f"evaluation {id} on board {result.serial} done"
    ]
    (line,) = followed(farm.data_dir / "log" / "worker.log", id)
    assert (line["level"], line["board"]) == ("debug", result.serial)


def test_the_command_line_logs_as_the_services_do(farm: FarmProcess) -> None:
    command = forked.icefarm("--debug", "evaluate", str(CIRCUIT))
    token = (farm.data_dir / "operator.token").read_text().strip()
    environment = {**os.environ, "ICEFARM_LOG_FORMAT": "json", "ICEFARM_URL": farm.url, "ICEFARM_TOKEN": token}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert any("evaluation" in line for line in lines), done.stderr
    assert token not in done.stderr


def test_every_line_of_the_services_and_of_the_router_is_an_object(farm: FarmProcess) -> None:
    logs = [log for log in (farm.data_dir / "log").iterdir() if not log.name.startswith("postgres")]
    assert len(logs) >= 3
    for log in logs:
        for line in lines_of(log):
            assert {"time", "level", "logger", "message"} <= line.keys(), log
            assert all(isinstance(value, str | int) for value in line.values()), log
