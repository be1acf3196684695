"""Where a farm listens, and the lines that say why it can't."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from icefarm.farm.errors import CannotStart
from icefarm.farm.listen import HeldAddress, check_certificate, is_loopback, public_url

#: From linux/in.h.
IP_LOCAL_PORT_RANGE = 51


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


@pytest.fixture
def held() -> Iterator[HeldAddress]:
    held = HeldAddress.hold("127.0.0.1", 0)
    yield held
    held.release()


def test_port_0_becomes_a_free_one(held: HeldAddress) -> None:
    host, port = held.address
    assert host == "127.0.0.1"
    assert port > 0


def test_a_program_that_is_given_a_held_port_may_listen_there(held: HeldAddress) -> None:
    with socket.create_server(held.address), socket.create_connection(held.address):
        pass


def test_a_held_port_is_in_use_for_everybody_else(held: HeldAddress) -> None:
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(held.address)
    held.release()
    with socket.socket() as other:
        other.bind(held.address)


@pytest.mark.parametrize("reuse", [False, True])
def test_the_system_gives_a_held_port_to_nobody_who_asks_for_any_free_one(held: HeldAddress, reuse: bool) -> None:
    host, port = held.address
    with socket.socket() as other:
        try:
            # The lowest and the highest port that the system may choose.
            other.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, struct.pack("=HH", port, port))
        except OSError:
            pytest.skip("this kernel has no range of ports for a socket (Linux 6.3)")
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
        with pytest.raises(OSError, match="in use"):
            other.bind((host, 0))
        held.release()
        other.bind((host, 0))
        assert other.getsockname() == (host, port)


def test_a_port_in_use_is_named_with_the_way_out(taken_port: int) -> None:
    with pytest.raises(CannotStart, match=rf"port {taken_port} is in use; .*--listen 127.0.0.1:PORT"):
        HeldAddress.hold("127.0.0.1", taken_port)


def test_an_address_of_another_host_is_refused() -> None:
    with pytest.raises(CannotStart, match=r"192\.0\.2\.1 is not an address of this host"):
        HeldAddress.hold("192.0.2.1", 0)


def test_behind_the_last_port_there_is_none_for_another_router() -> None:
    with pytest.raises(CannotStart, match=r"no port from 65536 on is free for another router$"):
        HeldAddress.hold_next("127.0.0.1", 65536)


@pytest.mark.parametrize(
    ("host", "only_this_host"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False)],
)
def test_loopback_is_what_only_this_host_reaches(host: str, only_this_host: bool) -> None:
    assert is_loopback(host) is only_this_host


@pytest.mark.parametrize(
    ("address", "tls", "url"),
    [
        (("127.0.0.1", 8080), False, "http://127.0.0.1:8080"),
        (("::1", 1), True, "https://[::1]:1"),
        (("0.0.0.0", 80), False, f"http://{socket.gethostname()}:80"),
    ],
)
def test_the_url_is_one_that_can_be_used(address: tuple[str, int], tls: bool, url: str) -> None:
    assert public_url(address, tls) == url


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(CannotStart, match="belong together"):
        check_certificate(Path("farm.crt"), None)


def test_a_missing_certificate_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "farm.crt"
    with pytest.raises(CannotStart, match=rf"cannot read {missing} or {missing}: No such file"):
        check_certificate(missing, missing)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    text = tmp_path / "farm.crt"
    text.write_text("hello")
    with pytest.raises(CannotStart, match=r"in PEM form, or hold something else$"):
        check_certificate(text, text)
