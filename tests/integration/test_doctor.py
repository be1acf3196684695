"""`icefarm doctor` as a process, against a real PostgreSQL and a real farm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from attrs import frozen
from certificates import issue
from psycopg2.extensions import make_dsn
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue

from icefarm.control.storage.pool import Database
from icefarm.doctor.database_probe import DatabaseAway, look_at
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration


async def doctor(*arguments: str, **environment: str) -> list[dict[str, Any]]:
    """Return what it found; its exit code must be in keeping with that."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("ICEFARM_")}
    out, err, code = await getProcessOutputAndValue(
        sys.executable, ["-m", "icefarm", "doctor", "-o", "json", *arguments], env={**clean, **environment},
        reactor=reactor,
    )  # fmt: skip
    assert err == b""
    found: list[dict[str, Any]] = json.loads(out)
    assert code == any(finding["mark"] == "FAIL" for finding in found)
    return found


def of(found: list[dict[str, Any]], check: str) -> list[tuple[str, str]]:
    return [(finding["mark"], finding["text"]) for finding in found if finding["check"] == check]


def test_a_database_with_the_schema_is_described(database: Database) -> None:
    facts = look_at(database.dsn)
    assert facts.version >= 13
    assert (facts.user, facts.schema, facts.may_create, facts.closed_tables) == ("icefarm", "public", True, ())
    assert facts.steps


def test_an_empty_database_is_described(postgres: str) -> None:
    assert look_at(postgres).steps is None


def test_a_database_that_is_not_there_says_why(postgres: str, tmp_path: Path) -> None:
    with pytest.raises(DatabaseAway, match='database "none" does not exist'):
        look_at(make_dsn(postgres, dbname="none"))
    with pytest.raises(DatabaseAway, match="No such file or directory"):
        look_at(f"host={tmp_path} dbname=farm")
    with pytest.raises(DatabaseAway, match="missing"):
        look_at("farm")


@ensureDeferred
async def test_a_user_without_rights_is_told_which_are_missing(database: Database) -> None:
    import psycopg2

    with psycopg2.connect(database.dsn) as connection, connection.cursor() as cursor:
        cursor.execute("DROP ROLE IF EXISTS visitor; CREATE ROLE visitor LOGIN; GRANT SELECT ON device TO visitor")
    connection.close()
    found = await doctor("--database", make_dsn(database.dsn, user="visitor"))
    texts = [text for mark, text in of(found, "database") if mark == "FAIL"]
    assert any("may not make tables in the schema public" in text for text in texts)
    assert any("device" in text and "schema_version" in text for text in texts)


@ensureDeferred
async def test_without_a_database_a_private_one_is_looked_for() -> None:
    ((mark, text),) = of(await doctor(), "database")
    assert mark == "ok"
    assert "can start a private PostgreSQL" in text


# ------------------------------------------------------------------------------------------------------ farm


@frozen
class House:
    """A farm with TLS that takes tokens."""

    url: str
    worker_token: str
    ca_file: Path


@pytest.fixture(scope="module")
def house(short_directory: Path) -> Iterator[House]:
    directory = short_directory / "house"
    directory.mkdir()
    made = issue(directory, "localhost")
    data_dir = directory / "data"
    adding = [sys.executable, "-m", "icefarm", "token", "add", "shelf", "--role", "worker", "--data-dir", str(data_dir)]
    added = subprocess.run(adding, capture_output=True, text=True, check=True, timeout=60)
    tls = ("--tls-certificate", str(made.certificate_file), "--tls-key", str(made.key_file))
    with FarmProcess(data_dir, ("--boards", "1", "--speed", "instant", "--listen", "0.0.0.0:0", *tls)) as farm:
        farm.wait_until_ready()
        port = urlsplit(farm.url).port
        yield House(f"https://localhost:{port}", added.stdout.strip(), made.certificate_file)


async def at(house: House, *arguments: str, **environment: str) -> list[tuple[str, str]]:
    return of(await doctor("--control", house.url, *arguments, **environment), "router")


@ensureDeferred
async def test_a_worker_with_its_token_and_the_certificate_gets_through(house: House) -> None:
    found = await at(house, "--ca-file", str(house.ca_file), ICEFARM_TOKEN=house.worker_token)
    assert [mark for mark, _ in found] == ["ok"] * 3
    assert found[-1][1] == "the farm accepts the sign-in, and answers"


@ensureDeferred
async def test_an_operator_hears_of_the_workers_versions(house: House, short_directory: Path) -> None:
    token = str(short_directory / "house" / "data" / "operator.token")
    found = await at(house, "--ca-file", str(house.ca_file), "--token-file", token)
    assert found[-1] == ("ok", "every worker that is there runs this version")


@ensureDeferred
async def test_a_token_that_nobody_knows_is_wrong(house: House) -> None:
    found = await at(house, "--ca-file", str(house.ca_file), ICEFARM_TOKEN="x")
    assert found[-2] == ("ok", "its certificate is trusted, and it speaks WAMP")
    assert found[-1][0] == "FAIL"
    assert "does not know that token" in found[-1][1]


@ensureDeferred
async def test_a_certificate_that_is_not_trusted_is_wrong(house: House) -> None:
    assert (await at(house))[-1][0] == "FAIL"
    assert "is self-signed" in (await at(house))[-1][1]


@ensureDeferred
async def test_a_url_without_tls_is_wrong(house: House) -> None:
    plain = House(house.url.replace("https", "http"), "", house.ca_file)
    found = (await doctor("--control", plain.url))[-1]
    assert (found["mark"], "https://" in found["cure"]) == ("FAIL", True), found
