"""A lab's own sign-in, as docs/sign-in.md describes it, against a real issuer (`tests/issuer`)."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
from attrs import frozen
from oidc_issuer import IssuerProcess, Person
from waiting import wait_until

from icefarm.oidc.stored_login import StoredLogin, login_path
from icefarm.testing.processes.farm_process import FarmProcess, OwnProcess

pytestmark = pytest.mark.integration

#: Seconds in which a verb has to end.
LIMIT = 60
#: Seconds that the issuer's tokens last: so short that a script sees them expire.
LIFETIME = 20
#: A script that uses the farm for longer than a token lasts, and says under which name, and how often it reconnected.
SCRIPT = f"""
import logging, time
logging.basicConfig(level=logging.INFO)
from icefarm.client import Farm
with Farm(name="run") as farm:
    boards = farm.reserve(1)
    end = time.monotonic() + {LIFETIME + 10}
    while time.monotonic() < end:
        farm.available()
        time.sleep(1)
    print(farm.name, len(boards.serials), flush=True)
"""


@frozen
class Site:
    """A farm, its issuer, and a person's home directory."""

    farm: FarmProcess
    issuer: IssuerProcess
    home: Path

    @property
    def environment(self) -> dict[str, str]:
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("ICEFARM_", "XDG_"))}
        return {**plain, "HOME": str(self.home), "ICEFARM_URL": self.farm.url}

    @property
    def login(self) -> Path:
        return login_path(self.farm.url, self.environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = forked.icefarm(*arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, env=self.environment, check=False)

    def sign_in(self, name: str) -> str:
        """Sign in as a person does, and return what the command says."""
        command = [sys.executable, "-u", "-m", "icefarm", "login"]
        with OwnProcess(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=self.environment) as verb:
            assert verb.stdout is not None
            line = verb.stdout.readline()
            shown = re.fullmatch(r"Open (\S+) and confirm the code ([A-Z]{4}-[A-Z]{4})\n", line)
            assert shown, line + verb.stdout.read()
            assert "Success" in Person(name).go_through(shown[1])
            rest = verb.stdout.read()
        assert verb.returncode == 0, rest
        return rest


@pytest.fixture(scope="module")
def running(short_directory: Path) -> Iterator[tuple[FarmProcess, IssuerProcess]]:
    options = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "1", "--name", "w1")
    oidc = ("--oidc-client", "icefarm", "--oidc-operator-group", "operators", "--oidc-issuer")
    with (
        IssuerProcess(LIFETIME) as issuer,
        FarmProcess(short_directory / "farm", (*options, *oidc, issuer.url)) as farm,
    ):
        farm.wait_until_ready()
        yield farm, issuer


@pytest.fixture
def site(running: tuple[FarmProcess, IssuerProcess], tmp_path: Path) -> Site:
    """A farm that all tests share, for somebody who has not signed in yet."""
    return Site(*running, tmp_path)


def code_for(url: str, token: str) -> int:
    request = urllib.request.Request(f"{url}/api/available", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=LIMIT) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_person_signs_in_on_another_device(site: Site) -> None:
    before = site.run("devices")
    assert (before.returncode, "icefarm login" in before.stderr) == (5, True)
    assert f"signed in at {site.farm.url} as ada" in site.sign_in("ada")
    assert stat.S_IMODE(site.login.stat().st_mode) == 0o600
    listed = site.run("devices", "-o", "json")
    assert len(json.loads(listed.stdout)) == 1
    # A member of no group is no operator; the token itself works over HTTP as well.
    assert site.run("drain", "w1", "--data-dir", str(site.home)).returncode == 5
    login = StoredLogin.read(site.login)
    assert code_for(site.farm.url, login.id_token) == 200
    assert code_for(site.farm.url, login.id_token[:-3] + "AAA") == 401


def test_who_has_signed_out_is_signed_out_at_the_issuer_too(site: Site) -> None:
    site.sign_in("ada")
    login = StoredLogin.read(site.login)
    out = site.run("logout")
    assert out.stdout == f"signed out at {site.farm.url}\n"
    assert not site.login.exists()
    assert site.run("devices").returncode == 5
    # Whoever has a copy can't refresh it.
    login.write(site.login)
    wait_until(lambda: site.run("devices").returncode, "the copied sign-in is refused", LIFETIME + LIMIT)
    refused = site.run("devices")
    assert (refused.returncode, "sign in again" in refused.stderr) == (5, True)
    site.login.unlink()


def test_a_script_outlasts_its_token(site: Site) -> None:
    site.sign_in("grace")
    first = StoredLogin.read(site.login)
    done = subprocess.run(
        forked.python("-c", SCRIPT), capture_output=True, text=True, timeout=LIMIT, env=site.environment, check=False
    )
    assert done.stdout == "grace/run 1\n", done.stderr
    assert "lost" not in done.stderr
    second = StoredLogin.read(site.login)
    assert second.id_token != first.id_token
    assert second.refresh_token != first.refresh_token
    for secret in (first.id_token, second.id_token, second.refresh_token):
        assert secret is not None
        for log in (site.farm.data_dir / "log").iterdir():
            assert secret not in log.read_text(errors="replace"), log
        assert secret not in done.stderr


def test_an_operator_of_the_issuer_operates_and_is_in_the_audit_log(site: Site) -> None:
    site.sign_in("op-hopper")
    assert site.run("drain", "w1").returncode == 0
    assert site.run("resume", "w1").returncode == 0
    late = time.monotonic() + LIMIT
    while True:
        entries = json.loads(site.run("audit", "--account", "op-hopper", "-o", "json").stdout)
        if {"drain", "sign_in"} <= {entry["action"] for entry in entries}:
            break
        assert time.monotonic() < late, entries
    details = {entry["detail"] for entry in entries if entry["action"] == "sign_in"}
    assert f"{site.issuer.url} op-hopper" in details


def test_an_issuer_with_new_keys_is_believed_and_its_old_tokens_no_more(site: Site) -> None:
    site.sign_in("ada")
    old = StoredLogin.read(site.login).id_token
    assert code_for(site.farm.url, old) == 200
    site.issuer.stop()
    # The farm knows the keys while the issuer is away.
    assert code_for(site.farm.url, old) == 200
    site.issuer.start()
    site.sign_in("ada")
    assert code_for(site.farm.url, StoredLogin.read(site.login).id_token) == 200
    assert code_for(site.farm.url, old) == 401
