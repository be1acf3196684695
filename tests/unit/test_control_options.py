"""The options of ``icefarm-control``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from twisted.python import usage

from icefarm.control.tap import Options

ROOT = Path(__file__).parents[2]
NEEDED = ("--router", "unix:/run/x", "--router-ticket-file", "ticket", "--database", "dbname=farm")


def options(*flags: str, environment: dict[str, str] | None = None, files: dict[str, str] | None = None) -> Options:
    texts = {"ticket": "secret\n", **(files or {})}

    def read(path: str) -> str:
        if path not in texts:
            raise FileNotFoundError(2, "No such file or directory", path)
        return texts[path]

    parsed = Options(environment or {}, read)
    parsed.parseOptions(flags)
    return parsed


def test_what_is_not_said_has_its_default() -> None:
    parsed = options(*NEEDED)
    assert parsed["http"] == ("127.0.0.1", 8081)
    assert (parsed["grace"], parsed["reservation"], parsed["sign-in"]) == (30.0, 3600.0, "open")
    assert parsed["router-ticket"] == "secret"


def test_circuits_that_are_kept_have_a_size() -> None:
    assert options(*NEEDED)["archive-circuits"] == 200.0
    assert options(*NEEDED, "--archive-circuits", "0")["archive-circuits"] == 0.0
    for wrong in ("-1", "nan", "inf", "much"):
        with pytest.raises(usage.UsageError, match=f"must be a number of megabytes, 0 for none, not '{wrong}'"):
            options(*NEEDED, "--archive-circuits", wrong)


def test_the_environment_serves_as_well() -> None:
    parsed = options(
        environment={
            "ICEFARM_ROUTER": "http://router:8080",
            "ICEFARM_ROUTER_TICKET": "secret",
            "ICEFARM_DATABASE": "postgresql://farm@db/farm",
            "ICEFARM_GRACE": "5",
        }
    )
    assert (parsed["router"], parsed["grace"]) == ({"": "http://router:8080"}, 5.0)


def test_a_private_farm_takes_tokens() -> None:
    assert options(*NEEDED, "--private", "--sign-in", "tokens")["private"]
    assert options(*NEEDED, "--sign-in", "tokens", environment={"ICEFARM_PRIVATE": "1"})["private"]
    with pytest.raises(usage.UsageError, match="--private needs --sign-in tokens"):
        options(*NEEDED, "--private")


@pytest.mark.parametrize("missing", [0, 2, 4])
def test_what_control_cannot_do_without_is_named(missing: int) -> None:
    flags = [*NEEDED[:missing], *NEEDED[missing + 2 :]]
    with pytest.raises(usage.UsageError, match=NEEDED[missing]):
        options(*flags)


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--router", "gopher://x"),
        ("--database", "what is this"),
        ("--database", "postgresql://[broken"),
        ("--http", "8081"),
        ("--http", "127.0.0.1:99999"),
        ("--sign-in", "maybe"),
        ("--grace", "0"),
        ("--grace", "soon"),
        ("--reservation", "-1"),
        ("--data-dir", "/no/such/directory"),
        ("--router-ticket-file", "nowhere"),
    ],
)
def test_a_wrong_value_is_one_line_that_names_its_flag(flag: str, value: str) -> None:
    with pytest.raises(usage.UsageError) as caught:
        options(*NEEDED, flag, value)
    assert str(caught.value).startswith(flag)
    assert "\n" not in str(caught.value)


def routers(text: str) -> Any:
    return options(*NEEDED, "--router", text)["router"]


@pytest.mark.parametrize("file", ["docs/operations.md", "deploy/control.toml"])
def test_the_routers_that_are_shown_are_read(file: str) -> None:
    shown = re.search(r'router = "(unix:[^"]+,[^"]+)"', (ROOT / file).read_text(encoding="utf-8"))
    assert shown is not None
    assert list(routers(shown[1]).values()) == ["unix:/run/icefarm/control.sock", "unix:/run/icefarm/control-2.sock"]


def test_one_router_needs_no_url_for_clients() -> None:
    assert routers("unix:/run/a,b=c.sock") == {"": "unix:/run/a,b=c.sock"}
    assert routers("unix:/run/one.sock=https://farm:8080") == {"https://farm:8080": "unix:/run/one.sock"}


def test_several_routers_are_named_by_the_urls_of_clients() -> None:
    given = "unix:/run/one.sock=https://farm:8080,rs://host:8090=wss://farm/two/ws"
    assert routers(given) == {"https://farm:8080": "unix:/run/one.sock", "wss://farm/two/ws": "rs://host:8090"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unix:/a.sock,unix:/b.sock", "where clients reach each"),
        ("unix:/a.sock=http://x:1,unix:/b.sock", "where clients reach each"),
        ("unix:/a.sock=http://x:1,unix:/b.sock=http://x:1", "each router once"),
        ("unix:/a.sock=http://x:1,unix:/a.sock=http://y:1", "each router once"),
        ("unix:/a.sock=http://x:1=http://y:1", "where clients reach each"),
        ("unix:/a.sock=http://", "names no host"),
    ],
)
def test_a_wrong_list_of_routers_is_refused(text: str, words: str) -> None:
    with pytest.raises(usage.UsageError, match=words):
        routers(text)
