"""Which token a verb shows, and to whom; what it says where nobody listens."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from icefarm.cli.connect import Access, connect
from icefarm.cli.connect import _token as token_of
from icefarm.contract import Role
from icefarm.errors import InvalidArgument, LinkLost, NotAuthorized
from icefarm.wamp.url import parse_url


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "operator.token").write_text("of-this-host\n")
    return tmp_path


def token(url: str, **fields: object) -> str | None:
    return token_of(Access(url, "me", **fields), parse_url(url))  # type: ignore[arg-type]


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "ws://localhost:8080/ws", "http://[::1]:8080", "unix:/run/x"])
def test_the_token_of_a_farm_on_this_host_is_found(url: str, data_dir: Path) -> None:
    assert token(url, data_dir=data_dir, role=Role.OPERATOR) == "of-this-host"


def test_a_token_that_is_given_wins(data_dir: Path) -> None:
    assert token("http://127.0.0.1:8080", token="given", data_dir=data_dir) == "given"


@pytest.mark.parametrize("url", ["http://farm.example:8080", "https://localhost.example", "http://128.0.0.1:8080"])
def test_the_token_of_this_host_goes_to_no_other(url: str, data_dir: Path) -> None:
    assert token(url, data_dir=data_dir) is None
    with pytest.raises(NotAuthorized, match="the farm is on another host"):
        token(url, data_dir=data_dir, role=Role.OPERATOR)


def test_a_data_directory_named_on_the_command_line_serves_any_host(data_dir: Path) -> None:
    assert token("http://farm.example:8080", data_dir=data_dir, trusted=True) == "of-this-host"


def test_an_operator_without_a_token_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotAuthorized, match=r"operator\.token: No such file"):
        token("http://127.0.0.1:8080", data_dir=tmp_path, role=Role.OPERATOR)


def test_a_client_does_without_a_token(tmp_path: Path) -> None:
    assert token("http://127.0.0.1:8080", data_dir=tmp_path) is None


def test_where_nobody_listens_it_says_what_to_do_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LinkLost) as caught:
            connect(Access(url, "me"))
    assert caught.value.message == (
        f"no farm answers at {url} (Connection refused); "
        "start one with `icefarm up`, or choose another with --url or ICEFARM_URL"
    )


def test_a_missing_socket_is_no_farm(tmp_path: Path) -> None:
    with pytest.raises(LinkLost, match="No such file"):
        connect(Access(f"unix:{tmp_path}/none.sock", "me"))


@pytest.mark.parametrize("url", ["", "ftp://farm", "http://", "http://farm:port", "farm:8080", "unix:"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        connect(Access(url, "me"))
