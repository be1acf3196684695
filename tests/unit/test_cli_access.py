"""Which token a verb shows, and to whom; what it says where nobody listens."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve

from icefarm.bus import Bus
from icefarm.cli.connect import SignIn, _socket_of, connect, own_farm
from icefarm.cli.connect import token_for as token_of
from icefarm.contract import Role
from icefarm.errors import InvalidArgument, LinkLost, NotAuthorized
from icefarm.farm.paths import DataDirectory
from icefarm.system.local_routers import sockets_beside
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import INSECURE, Link
from icefarm.wamp.url import parse_url


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    (tmp_path / "operator.token").write_text("of-this-host\n")
    return tmp_path


def token(url: str, **fields: object) -> str | None:
    access = SignIn(url, "me", **fields)  # type: ignore[arg-type]
    return token_of(access, own_farm(access, parse_url(url)))


@pytest.fixture
def running(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, bool], None]]:
    """Pretends that a farm runs on the data directory, at a URL."""
    monkeypatch.setattr(DataDirectory, "run", property(lambda directory: directory.path))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data_dir / "local.sock"))
        listening.listen()
        yield DataDirectory(data_dir).note_running


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080", "ws://localhost:8080/ws", "http://[::1]:8080"])
def test_the_operators_token_goes_to_the_farm_that_runs_on_its_data_directory(
    url: str, data_dir: Path, running: Callable[[str, bool], None]
) -> None:
    running("https://127.0.0.1:8080", False)
    assert token(url, data_dir=data_dir, role=Role.OPERATOR) == "of-this-host"
    own = own_farm(SignIn(url, "me", data_dir=data_dir), parse_url(url))
    assert own is not None
    assert own.sockets == {"https://127.0.0.1:8080": data_dir / "local.sock"}


def test_the_farms_other_routers_are_reached_at_their_own_sockets(data_dir: Path, running: Callable[..., None]) -> None:
    routers = ("https://127.0.0.1:8080", "https://127.0.0.1:8081")
    running(routers[0], True, routers)
    first, second = f"unix:{data_dir}/local.sock", f"unix:{data_dir}/local-2.sock"
    assert sockets_beside(first) == sockets_beside(second) == dict(zip(routers, (first, second), strict=True))
    for url in routers:
        own = own_farm(SignIn(url, "me", data_dir=data_dir), parse_url(url))
        assert own is not None
        # Nothing listens at the second one.
        assert _socket_of(own, parse_url(url)) == first


def test_a_farm_that_is_started_anew_while_its_note_is_read_is_the_one_or_the_other(
    data_dir: Path, running: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "https://127.0.0.1:8080", "https://127.0.0.1:9090"
    running(first, True, [first])
    read = Path.read_text

    def read_and_start_anew(path: Path, *args: str) -> str:
        text = read(path, *args)
        running(second, False, [second])
        return text

    monkeypatch.setattr(Path, "read_text", read_and_start_anew)
    for url in (first, second):
        farm = DataDirectory(data_dir).running_farm()
        assert farm is not None
        assert (farm.url, list(farm.sockets)) == (url, [url])


def test_a_socket_that_is_named_is_taken_before_others(data_dir: Path, running: Callable[..., None]) -> None:
    routers = ("https://127.0.0.1:8080", "https://127.0.0.1:8081")
    running(routers[0], True, routers)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(data_dir / "local-2.sock"))
        listening.listen()
        own = own_farm(SignIn(routers[1], "me", data_dir=data_dir), parse_url(routers[1]))
        assert own is not None
        assert _socket_of(own, parse_url(routers[1])) == f"unix:{data_dir}/local-2.sock"


def test_behind_a_proxy_a_port_of_the_proxy_is_not_the_farms(data_dir: Path, running: Callable[..., None]) -> None:
    running("http://127.0.0.1:8080", True, ("wss://lab.example/ws", "wss://lab.example:8444/ws"))
    assert (
        own_farm(SignIn("http://127.0.0.1:8444", "me", data_dir=data_dir), parse_url("http://127.0.0.1:8444")) is None
    )


@pytest.mark.parametrize("note", ["", "[]", '{"sockets": 5}', '{"sockets": {"http://x": 5}}'])
def test_a_note_that_is_none_names_no_sockets(note: str, tmp_path: Path) -> None:
    (tmp_path / "farm.json").write_text(note)
    assert sockets_beside(f"unix:{tmp_path}/local.sock") == {}


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o1777])
def test_a_note_where_other_users_may_write_names_no_sockets(mode: int, tmp_path: Path) -> None:
    (tmp_path / "farm.json").write_text('{"sockets": {"http://x:1": "a.sock"}}')
    assert sockets_beside(f"unix:{tmp_path}/local.sock") != {}
    tmp_path.chmod(mode)
    assert sockets_beside(f"unix:{tmp_path}/local.sock") == {}


def test_a_socket_is_in_the_directory_of_the_note(tmp_path: Path) -> None:
    (tmp_path / "farm.json").write_text('{"sockets": {"http://x:1": "/elsewhere/a.sock"}}')
    assert sockets_beside(f"unix:{tmp_path}/local.sock") == {"http://x:1": f"unix:{tmp_path}/a.sock"}


@pytest.mark.parametrize("needs_tokens", [False, True])
def test_a_client_shows_it_where_the_farm_needs_one(
    needs_tokens: bool, data_dir: Path, running: Callable[[str, bool], None]
) -> None:
    running("http://127.0.0.1:8080", needs_tokens)
    assert token("http://127.0.0.1:8080", data_dir=data_dir) == ("of-this-host" if needs_tokens else None)


def test_a_token_that_is_given_wins(data_dir: Path) -> None:
    assert token("http://127.0.0.1:8080", token="given", data_dir=data_dir) == "given"


@pytest.mark.parametrize(
    "url",
    [
        "http://farm.example:8080",
        "https://localhost.example",
        "http://128.0.0.1:8080",
        "http://127.evil.example:8080",
        "http://127.0.0.1:8081",
        "http://127.0.0.2:9999",
    ],
)
def test_it_goes_to_nothing_else_that_listens(url: str, data_dir: Path, running: Callable[[str, bool], None]) -> None:
    running("http://127.0.0.1:8080", True)
    assert token(url, data_dir=data_dir) is None
    with pytest.raises(NotAuthorized, match="no farm of the data directory runs there"):
        token(url, data_dir=data_dir, role=Role.OPERATOR)


def test_while_no_farm_runs_it_goes_nowhere(data_dir: Path) -> None:
    with pytest.raises(NotAuthorized):
        token("http://127.0.0.1:8080", data_dir=data_dir, role=Role.OPERATOR)


def test_a_data_directory_named_on_the_command_line_serves_any_host(data_dir: Path) -> None:
    assert token("http://farm.example:8080", data_dir=data_dir, trusted=True) == "of-this-host"


def test_an_operator_without_a_token_is_told_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(NotAuthorized, match=r"operator\.token: No such file"):
        token("http://127.0.0.1:8080", data_dir=tmp_path, role=Role.OPERATOR, trusted=True)


def test_a_client_does_without_a_token(tmp_path: Path) -> None:
    assert token("http://127.0.0.1:8080", data_dir=tmp_path) is None


def test_where_nobody_listens_it_says_what_to_do_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(LinkLost) as caught:
            connect(SignIn(url, "me"))
    assert caught.value.message == (
        f"no farm answers at {url} (Connection refused); "
        "start one with `icefarm up`, or choose another with --url or ICEFARM_URL"
    )


@pytest.mark.parametrize("is_elsewhere", [True, False])
def test_where_nobody_listens_it_names_the_farm_that_runs_here_if_it_is_elsewhere(
    tmp_path: Path, is_elsewhere: bool
) -> None:
    directory = DataDirectory(tmp_path)
    directory.create()
    with socket.socket(socket.AF_UNIX) as local, socket.socket() as taken:
        local.bind(str(directory.local_socket))
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        directory.note_running("http://127.0.0.1:9000" if is_elsewhere else url, needs_tokens=False)
        advice = (
            f"the farm of {tmp_path} is at http://127.0.0.1:9000" if is_elsewhere else "start one with `icefarm up`"
        )
        with pytest.raises(LinkLost, match=f"; {advice}, or choose another"):
            connect(SignIn(url, "me", data_dir=tmp_path))


def test_a_missing_socket_is_no_farm(tmp_path: Path) -> None:
    with pytest.raises(LinkLost, match="No such file"):
        connect(SignIn(f"unix:{tmp_path}/none.sock", "me"))


@pytest.mark.parametrize("url", ["", "ftp://farm", "http://", "http://farm:port", "farm:8080", "unix:"])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(InvalidArgument):
        connect(SignIn(url, "me"))


@pytest.mark.parametrize("url", ["http://farm.example:8080", "ws://192.0.2.7:8080/ws", "http://127.evil.example:8080"])
def test_no_token_goes_to_another_host_without_tls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    credentials = Credentials("ada", Role.CLIENT, "i", "icefarm_secret")
    with pytest.raises(InvalidArgument, match="without TLS"):
        Link(None, url, credentials, _joined, lambda _: False)
    Link(None, url, evolve(credentials, ticket=""), _joined, lambda _: False)
    Link(None, url, credentials, _joined, lambda _: False, insecure=True)
    monkeypatch.setenv(INSECURE, "1")
    Link(None, url, credentials, _joined, lambda _: False)


@pytest.mark.parametrize(
    "url",
    ["https://farm.example", "wss://farm.example/ws", "http://127.0.0.1:8080", "http://[::1]:8080", "unix:/run/x"],
)
def test_a_token_goes_where_nobody_reads_along(url: str) -> None:
    Link(None, url, Credentials("ada", Role.CLIENT, "i", "icefarm_secret"), _joined, lambda _: False)


async def _joined(_: Bus) -> None:
    raise AssertionError("nothing is connected here")
