"""A farm whose boards are labelled, chosen, allowed to some accounts, and plugged in on demand: by its real parts.

It carries out what docs/choosing-boards.md shows.
"""

from __future__ import annotations

import json
import os
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import forked
import pytest

from icefarm.client import Farm
from icefarm.errors import InvalidArgument, NotAuthorized, Unavailable
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
SQUARE = ROOT / "examples" / "circuits" / "square_2khz.bin"


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    directory = short_directory / "choosing"
    arguments = ("--virtual-boards", "3..8", "--listen", "127.0.0.1:0", "--name", "shelf", "--require-tokens")
    with FarmProcess(directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


def icefarm(farm: FarmProcess, *words: str, name: str = "") -> subprocess.CompletedProcess[str]:
    """Run a verb on the farm's host."""
    own = ["--name", name] if name else []
    token = (farm.data_dir / "operator.token").read_text().strip()
    return subprocess.run(
        forked.icefarm(*words[:1], *own, *words[1:]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "ICEFARM_URL": farm.url, "ICEFARM_TOKEN": token},
    )


def said(farm: FarmProcess, *words: str) -> Any:
    done = icefarm(farm, *words, "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def token_of(farm: FarmProcess, account: str) -> str:
    done = subprocess.run(
        forked.icefarm("token", "add", account, "--role", "client", "--data-dir", str(farm.data_dir)),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def get(farm: FarmProcess, path: str, token: str, **query: str) -> Any:
    request = urllib.request.Request(
        f"{farm.url}{path}?{urllib.parse.urlencode(query)}", headers={"Authorization": f"Bearer {token}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_boards_are_labelled_chosen_allowed_and_plugged_in_on_demand(farm: FarmProcess) -> None:
    first = said(farm, "devices")[0]["serial"]
    token = token_of(farm, "ada")

    # Labels, of boards and of their worker.
    (board,) = said(farm, "label", first, "lab=3")
    assert board["labels"] == {"lab": "3"}
    assert {each["labels"]["room"] for each in said(farm, "label", "--worker", "shelf", "room=E1")} == {"E1"}
    assert [each["serial"] for each in said(farm, "devices", "--where", "lab=3 and healthy")] == [first]
    assert get(farm, "/api/available", token, where="lab=3") == {"amount": 1, "serials": [first]}

    # Requests choose by them, and each measurement has them, in the archive too.
    with Farm(farm.url, name="ada", token=token, experiment="choosing") as client:
        with client.reserve(1, where="lab=3 and room=E1") as boards:
            (result,) = boards.evaluate([SQUARE])
            assert result.measurement.board_labels == {"lab": "3", "room": "E1"}
            with pytest.raises(Unavailable, match="lab=3 leaves 1"):
                client.reserve(1, where="lab=3")
        with pytest.raises(InvalidArgument, match="where names 'lba'"):
            client.reserve(1, where="lba=3")
        while not list(client.experiment().results()):
            pass
        (kept,) = client.experiment().results()
        assert kept.board_labels == {"lab": "3", "room": "E1"}

        # More boards than there are: they are plugged in for the request, which does not even wait.
        with client.reserve(5, where="virtual") as boards:
            assert len(boards.serials) == 5
            assert {each.labels["room"] for each in client.devices()} == {"E1"}

        # Rules say what an account may have.
        (rule,) = said(
            farm, "access", "add", "--account", "ada", "--where", "lab=3", "--for", "2h", "--kinds", "pulsecount"
        )
        assert (rule["account"], rule["where"], rule["seconds"], rule["kinds"]) == (
            "ada",
            "lab=3",
            7200,
            ["pulsecount"],
        )
        assert client.available() == [first]
        with pytest.raises(NotAuthorized, match="it may have: boards with lab=3, for at most 2 h, as pulsecount"):
            client.reserve(1, kind="variance")
        others = [each.serial for each in client.devices() if each.serial != first]
        with pytest.raises(NotAuthorized):
            client.reserve(serials=others[:1])
        assert [each.where for each in client.access().rules] == ["lab=3"]
        assert icefarm(farm, "access", "remove", str(rule["id"])).returncode == 0
        assert client.access().rules == []


def test_the_verbs_say_what_is_wrong(farm: FarmProcess) -> None:
    done = icefarm(farm, "devices", "--where", "lab=")
    assert (done.returncode, "must have a value after lab=" in done.stderr) == (2, True)
    done = icefarm(farm, "access", "add", "--where", "real")
    assert (done.returncode, "a rule for whom?" in done.stderr) == (2, True)
    done = icefarm(farm, "label", "ZZ", "lab=3")
    assert (done.returncode, "the farm knows no board ZZ" in done.stderr) == (2, True)
