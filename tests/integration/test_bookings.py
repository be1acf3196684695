"""Bookings and lists of accounts on a real farm, from the command line, in Python and over HTTP (docs/bookings.md)."""

from __future__ import annotations

import json
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import forked
import pytest
from test_cli_archive import LIMIT, environment

from icefarm.client import Farm
from icefarm.errors import NotAuthorized, Unavailable
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    arguments = ("--boards", "3", "--listen", "127.0.0.1:0", "--speed", "instant")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


def icefarm(farm: FarmProcess, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = forked.icefarm(*arguments)
    # A zone by name, so that a test does not depend on this host's.
    plain = {**environment(farm), "ICEFARM_ZONE": "Europe/Berlin", **more}
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, env=plain)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def over_http(farm: FarmProcess, path: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        farm.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        return json.loads(answer.read())


def test_boards_are_booked_listed_and_cancelled_on_the_command_line(farm: FarmProcess) -> None:
    day = (datetime.now(UTC) + timedelta(days=200)).strftime("%Y-%m-%d")
    asked = ("--at", f"{day} 10:00+00:00", "--for", "2h", "-o", "json")
    (made,) = rows(icefarm(farm, "book", "2", *asked, "--account", "class-a"))
    assert made["starts_at"] == datetime.fromisoformat(f"{day}T10:00+00:00").timestamp()
    assert (made["account"], made["amount"], made["ends_at"] - made["starts_at"]) == ("class-a", 2, 7200.0)
    assert [each["id"] for each in rows(icefarm(farm, "bookings", "-o", "json"))] == [made["id"]]
    shown = icefarm(farm, "bookings").stdout
    local = datetime.fromtimestamp(made["starts_at"], UTC)
    assert f"{local:%Y-%m-%d}" in shown
    assert "CE" in shown
    refused = icefarm(farm, "book", "2", *asked, "--account", "class-b")
    assert refused.returncode == 3
    assert "2 boards are booked for class-a from" in refused.stderr
    assert " UTC" not in refused.stderr
    assert icefarm(farm, "cancel", made["id"][:6]).returncode != 0
    assert rows(icefarm(farm, "cancel", made["id"][:6], "--any-account", "-o", "json")) == [{"id": made["id"]}]
    assert rows(icefarm(farm, "bookings", "-o", "json")) == []
    (past,) = [each for each in rows(icefarm(farm, "bookings", "--all", "-o", "json")) if each["id"] == made["id"]]
    assert past["end_reason"].startswith("cancelled by")


def test_a_client_books_for_itself_and_its_boards_are_kept_for_it(farm: FarmProcess) -> None:
    with Farm(farm.url, name="ada") as ada, Farm(farm.url, name="bob") as bob:
        made = ada.book(2, at=time.time() - 1, seconds=600.0)
        assert (made.account, made.kept) == ("ada", 2)
        with pytest.raises(Unavailable, match="kept for a booking"):
            bob.reserve(2, window=0.01)
        # A board that is not ready when it is reserved comes back by itself.
        patient = {"wait": True, "timeout": LIMIT}
        with bob.reserve(1, window=0.01, **patient), ada.reserve(2, window=0.01, **patient) as boards:
            assert len(boards.serials) == 2
        with pytest.raises(NotAuthorized, match="only an operator books for others"):
            bob.book(1, at=time.time() + 600, seconds=600.0, account="ada")
        assert [each.id for each in bob.bookings()] == [made.id]
        assert ada.cancel_bookings([made.id]) == [made.id]


def test_bookings_over_http_are_the_same(farm: FarmProcess) -> None:
    made = over_http(farm, "/api/book", {"name": "cem", "starts_at": time.time() + 7200, "seconds": 600, "amount": 1})
    with urllib.request.urlopen(f"{farm.url}/api/bookings", timeout=LIMIT) as answer:
        assert json.loads(answer.read()) == [made]
    assert over_http(farm, "/api/bookings/cancel", {"name": "cem", "ids": [made["id"]]}) == [made["id"]]


def test_a_class_is_imported_used_and_removed(farm: FarmProcess, tmp_path: Path) -> None:
    students, tokens = tmp_path / "students.csv", tmp_path / "tokens.csv"
    students.write_text("name,group,boards\ndora,class-a,1\nemil,class-a,1\n")
    done = icefarm(farm, "accounts", "import", str(students), "--out", str(tokens))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert tokens.stat().st_mode & 0o777 == 0o600
    token = dict(line.split(",") for line in tokens.read_text().splitlines())["dora"]
    again = icefarm(farm, "accounts", "import", str(students))
    assert (again.returncode, again.stdout) == (0, "")
    assert "0 accounts are new, 2 were there" in again.stderr
    assert (
        "tokens are never written over others"
        in icefarm(farm, "accounts", "import", str(students), "--out", str(tokens)).stderr
    )
    assert icefarm(farm, "accounts", "export", "--group", "class-a").stdout == students.read_text()
    students.write_text("name,boards\ndora,1\nfee,many\n")
    wrong = icefarm(farm, "accounts", "import", str(students))
    assert wrong.returncode == 2
    assert "students.csv: line 3, column boards: must be a number, not 'many'" in wrong.stderr
    with Farm(farm.url, name="dora", token=token) as dora, dora.reserve(1, window=0.01):
        (freed,) = rows(icefarm(farm, "end", "--account", "class-a", "-o", "json"))
        assert freed["serial"]
    times = ("--at", f"{datetime.now(UTC) + timedelta(days=300):%Y-%m-%d} 10:00+00:00", "--for", "2h", "-o", "json")
    made = [rows(icefarm(farm, "book", "1", *times, "--account", each))[0] for each in ("class-a", "emil", "gerd")]
    removed = icefarm(farm, "accounts", "remove", "--group", "class-a", "--yes")
    assert removed.stdout == "removed 2 accounts with 2 tokens\n"
    said, _, advice = removed.stderr.strip().partition("to cancel: icefarm ")
    assert said == "icefarm: 2 bookings of theirs stay; "
    assert {each["id"] for each in rows(icefarm(farm, *advice.split(), "-o", "json"))} == {
        each["id"] for each in made[:2]
    }
    assert icefarm(farm, "cancel", made[2]["id"], "--any-account").returncode == 0
    assert icefarm(farm, "accounts", "export").stdout == "name,group\n"
