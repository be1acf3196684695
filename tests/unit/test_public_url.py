"""The URL under which a farm is reached from outside: what is one, and what programs make of it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from twisted.python import usage

from icefarm.cli import main
from icefarm.control.http.openapi import description
from icefarm.control.tap import Options
from icefarm.errors import InvalidArgument
from icefarm.text.public_url import checked_public_url, socket_url
from icefarm.wamp.url import RouterUrl, parse_url


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://lab.example", "https://lab.example"),
        ("https://lab.example/", "https://lab.example"),
        ("https://lab.example/icefarm/", "https://lab.example/icefarm"),
        ("http://127.0.0.1:8500/a/b", "http://127.0.0.1:8500/a/b"),
        ("https://[::1]:8443/x", "https://[::1]:8443/x"),
    ],
)
def test_the_url_of_a_page_is_taken_without_its_last_slash(text: str, url: str) -> None:
    assert checked_public_url(text) == url


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("lab.example/icefarm", "not the URL of a web page; write it as https://HOST/PATH"),
        ("wss://lab.example/icefarm/ws", "not the URL of a web page"),
        ("https:///icefarm", "not the URL of a web page"),
        ("https://lab.example:0", "not the URL of a web page"),
        ("https://lab.example:99999", "Port out of range"),
        ("https://lab.example/?x=1", "no query"),
        ("https://lab.example/?", "no query"),
        ("https://lab.example/#workers", "no fragment"),
        ("https://ada:secret@lab.example/", "no user name"),
        ("https://lab.example/ice farm", "percent-encode"),
        ("https://lab.example/ice\nfarm", "percent-encode"),
        ("https://lab.example/äh", "percent-encode"),
        ("https://lab.example//x", "percent-encode"),
        ("https://lab.example/icefarm/ws", "ends with /ws"),
        ("", "not the URL of a web page"),
    ],
)
def test_what_is_no_url_of_a_page_is_refused_in_words(text: str, complaint: str) -> None:
    with pytest.raises(InvalidArgument, match=complaint):
        checked_public_url(text)


@pytest.mark.parametrize(
    ("public", "socket"),
    [
        ("https://lab.example", "wss://lab.example/ws"),
        ("https://lab.example:8443/icefarm", "wss://lab.example:8443/icefarm/ws"),
        ("http://lab.example/icefarm", "ws://lab.example:80/icefarm/ws"),
    ],
)
def test_programs_are_told_the_websocket(public: str, socket: str) -> None:
    assert socket_url(public) == socket


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("http://farm", RouterUrl("rawsocket", False, "farm", 8080, "/ws")),
        ("http://farm/", RouterUrl("rawsocket", False, "farm", 8080, "/ws")),
        ("https://lab.example/icefarm", RouterUrl("websocket", True, "lab.example", 443, "/icefarm/ws")),
        ("https://lab.example/icefarm/", RouterUrl("websocket", True, "lab.example", 443, "/icefarm/ws")),
        ("https://lab.example/icefarm/ws", RouterUrl("websocket", True, "lab.example", 443, "/icefarm/ws")),
        ("https://lab.example/ws", RouterUrl("websocket", True, "lab.example", 443, "/ws")),
        ("http://lab.example/icefarm", RouterUrl("websocket", False, "lab.example", 80, "/icefarm/ws")),
        ("http://[::1]:8500/x", RouterUrl("websocket", False, "::1", 8500, "/x/ws")),
        ("ws://farm:8080/a/ws", RouterUrl("websocket", False, "farm", 8080, "/a/ws")),
    ],
)
def test_a_url_with_a_path_is_a_proxys_and_stands_for_its_websocket(text: str, where: RouterUrl) -> None:
    assert parse_url(text) == where


def test_the_description_of_the_api_is_relative_to_itself_unless_the_farm_has_a_url() -> None:
    assert [each["url"] for each in description()["servers"]] == ["../api", "../"]
    public = description("https://lab.example/icefarm")
    assert [each["url"] for each in public["servers"]] == [
        "https://lab.example/icefarm/api",
        "https://lab.example/icefarm",
    ]
    assert '"/api"' not in json.dumps(public)


CONTROL = ["--router", "unix:/run/x", "--router-ticket-file", "ticket", "--database", "dbname=farm"]


def options(*flags: str) -> Options:
    parsed = Options({}, lambda _: "secret\n")
    parsed.parseOptions([*CONTROL, *flags])
    return parsed


def test_control_takes_the_url_with_tokens() -> None:
    parsed = options("--public-url", "https://lab.example/icefarm/", "--sign-in", "tokens")
    assert parsed["public-url"] == "https://lab.example/icefarm"
    assert options("--public-url", "http://127.0.0.1:8500/icefarm")["public-url"] == "http://127.0.0.1:8500/icefarm"


def test_control_refuses_an_open_farm_that_others_reach() -> None:
    with pytest.raises(usage.UsageError, match="--sign-in tokens"):
        options("--public-url", "https://lab.example/icefarm")


def test_the_command_line_says_what_is_wrong_with_the_url() -> None:
    done = CliRunner().invoke(main, ["up", "--public-url", "https://lab.example/?x"])
    assert done.exit_code == 2
    assert "no query" in done.output
