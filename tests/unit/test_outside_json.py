"""JSON that others wrote has one error: for what is no JSON, and for what is nested too deeply to be read."""

from __future__ import annotations

import base64
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from twisted.python.usage import UsageError

from icefarm.cli.commands.boards.evaluate import _option
from icefarm.cli.results.results_file import COLUMNS, open_results
from icefarm.errors import NotAuthorized
from icefarm.host.record import DamagedRecord, Record
from icefarm.oidc.jwt_text import looks_like_jwt, unverified_claims
from icefarm.oidc.stored_login import StoredLogin
from icefarm.system.files import FileLock, Locked
from icefarm.text.outside_json import NotJson, parse_json, parse_strict_json
from icefarm.twistd.options import read_section

#: Deeper than Python's own reader goes.
DEEP = "[" * 100_000


def test_a_text_of_json_gives_its_value() -> None:
    assert parse_json('{"a": [1, null]}') == parse_strict_json(b'{"a": [1, null]}') == {"a": [1, None]}


@pytest.mark.parametrize("parse", [parse_json, parse_strict_json])
@pytest.mark.parametrize(
    ("text", "why"),
    [("{", "property name"), (b"\xff\xfe[", "codec"), (DEEP, "nested too deeply"), ("1" * 9000, "digits")],
)
def test_any_other_text_is_not_json_and_the_error_says_why(parse: type, text: str | bytes, why: str) -> None:
    with pytest.raises(NotJson, match=why):
        parse(text)


def test_numbers_that_only_python_writes_are_refused_where_that_is_asked_for() -> None:
    assert parse_json("[Infinity]") == [float("inf")]
    with pytest.raises(NotJson, match="NaN is not a number of JSON"):
        parse_strict_json("[NaN]")


# ------------------------------------------------------------------------------------ files and texts that are too deep


def test_a_sign_in_that_is_nested_too_deeply_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "login.json"
    path.write_text(DEEP)
    with pytest.raises(NotAuthorized, match="it is damaged; sign in with: icefarm login"):
        StoredLogin.read(path)


def test_a_token_that_is_nested_too_deeply_has_no_claims() -> None:
    claims = base64.urlsafe_b64encode(b'{"a":' + DEEP.encode()).decode().rstrip("=")
    token = f"eyJhbGciOiJSUzI1NiJ9.{claims}.c2ln"
    assert looks_like_jwt(token)
    assert unverified_claims(token) == {}


def test_results_that_are_nested_too_deeply_are_refused_and_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    path.write_text(f'{{"{COLUMNS[0]}": {DEEP}\n')
    for _ in range(2):  # The first refusal leaves the file unlocked.
        with pytest.raises(click.UsageError, match="nested too deeply"):
            open_results(str(path))
    assert path.read_text() == f'{{"{COLUMNS[0]}": {DEEP}\n'


def test_an_option_of_a_kind_that_is_no_json_is_text() -> None:
    @click.command()
    @click.option("--option", "options", multiple=True, callback=_option)
    def command(options: dict[str, object]) -> None:
        click.echo({name: type(value).__name__ for name, value in options.items()})

    done = CliRunner().invoke(command, ["--option", "a=[1]", "--option", "b=x", "--option", f"c={DEEP}"])
    assert done.output == "{'a': 'list', 'b': 'str', 'c': 'str'}\n"


def test_the_record_of_an_installation_that_is_nested_too_deeply_is_damaged() -> None:
    with pytest.raises(DamagedRecord):
        Record.parse(DEEP.encode())


def test_a_lock_whose_holder_is_nested_too_deeply_is_still_held(tmp_path: Path) -> None:
    held, other = FileLock(tmp_path / "file"), FileLock(tmp_path / "file")
    held.acquire()
    try:
        held._lock_path.write_text(DEEP)
        with pytest.raises(Locked, match="another process"):
            other.acquire()
    finally:
        held.release()


def test_a_configuration_that_is_nested_too_deeply_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "icefarm.toml"
    path.write_text(f"[worker]\nname = {DEEP}")
    with pytest.raises(UsageError, match="is nested too deeply"):
        read_section(str(path), "worker", (), lambda path: Path(path).read_text())
