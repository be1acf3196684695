"""TLS between farm and client: who trusts the certificate gets in, who does not is told why."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from certificates import issue
from links import Links
from pytest_twisted import blockon, ensureDeferred
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.utils import getProcessOutputAndValue

from icefarm.contract import Role
from icefarm.errors import IcefarmError, InvalidArgument, LinkLost, Untrusted, WrongProtocol
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.testing.processes.router import RealRouter
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import GREETING_LIMIT, Link

pytestmark = pytest.mark.integration

#: Signs in with the blocking client, whose reactor is in a thread of its own, and leaves again.
SIGN_IN = (
    "import sys; from icefarm.client import Farm; Farm(sys.argv[1], 'alice', connect_timeout=20).close(); print('in')"
)


@pytest.fixture(scope="module")
def router(short_directory: Path) -> Iterator[RealRouter]:
    """A router with a certificate of an authority of its own, whose file is authority.pem."""
    authority = issue(short_directory, "authority", authority=True)
    own = issue(short_directory, "localhost", by=authority)
    files = own.certificate_file, own.key_file
    running = blockon(Deferred.fromCoroutine(RealRouter.start(reactor, short_directory / "tls-router", tls=files)))
    yield running
    blockon(Deferred.fromCoroutine(running.stop()))


@pytest_twisted.async_yield_fixture
async def links(router: RealRouter) -> AsyncIterator[Links]:
    links = Links(router)
    yield links
    await links.close()


async def _sign_in(url: str, ca_file: str | None) -> int:
    """Return the number of the session; raises why there is none."""
    settled: Deferred[int] = Deferred()

    async def joined(bus: Any) -> None:
        settled.callback(bus.session)

    def refused(error: IcefarmError) -> bool:
        settled.errback(error)
        return False

    link = Link(reactor, url, Credentials("w1", Role.WORKER, "x"), joined, refused, ca_file=ca_file)
    link.startService()
    settled.addTimeout(20, reactor)
    try:
        return await settled
    finally:
        await link.stopService()


@ensureDeferred
async def test_who_trusts_the_authority_gets_in_over_either_transport(links: Links, short_directory: Path) -> None:
    await links.control()
    trusted = str(short_directory / "authority.pem")
    assert await _sign_in(links.router.url, trusted)
    assert await _sign_in(links.router.websocket_url, trusted)


@ensureDeferred
async def test_the_blocking_client_trusts_what_icefarm_ca_file_names(links: Links, short_directory: Path) -> None:
    await links.control()
    environment = {**os.environ, "ICEFARM_CA_FILE": str(short_directory / "authority.pem")}
    out, err, code = await getProcessOutputAndValue(
        sys.executable, ["-c", SIGN_IN, links.router.url], environment, reactor=reactor
    )
    assert (out, code) == (b"in\n", 0), err.decode()


@ensureDeferred
async def test_who_does_not_trust_the_authority_is_told_how_to(router: RealRouter) -> None:
    with pytest.raises(Untrusted, match=r"not trusted here; name the file .* ICEFARM_CA_FILE"):
        await _sign_in(router.url, None)


@ensureDeferred
async def test_a_port_with_tls_does_not_answer_without(router: RealRouter) -> None:
    with pytest.raises(LinkLost, match="https://"):
        await _sign_in(router.url.replace("https", "http"), None)


class _Silent(Protocol):
    def dataReceived(self, _: bytes) -> None:
        self.transport.loseConnection()


@pytest_twisted.async_yield_fixture
async def ports() -> AsyncIterator[list[Any]]:
    ports: list[Any] = []
    yield ports
    for port in ports:
        await port.stopListening()


def _served(ports: list[Any], made: Any) -> str:
    context = ssl.DefaultOpenSSLContextFactory(str(made.key_file), str(made.certificate_file))
    ports.append(reactor.listenSSL(0, Factory.forProtocol(_Silent), context, interface="127.0.0.1"))
    return f"https://localhost:{ports[-1].getHost().port}"


@ensureDeferred
async def test_a_self_signed_certificate_is_called_so(ports: list[Any], tmp_path: Path) -> None:
    with pytest.raises(Untrusted, match="is self-signed"):
        await _sign_in(_served(ports, issue(tmp_path, "localhost")), None)


@ensureDeferred
async def test_a_certificate_that_has_expired_is_refused_even_where_it_is_trusted(
    ports: list[Any], tmp_path: Path
) -> None:
    made = issue(tmp_path, "localhost", days=-1)
    with pytest.raises(Untrusted, match="has expired"):
        await _sign_in(_served(ports, made), str(made.certificate_file))


@ensureDeferred
async def test_a_certificate_of_another_host_is_refused(ports: list[Any], tmp_path: Path) -> None:
    made = issue(tmp_path, "elsewhere")
    with pytest.raises(Untrusted, match="does not name localhost"):
        await _sign_in(_served(ports, made), str(made.certificate_file))


class _Web(Protocol):
    """Answers everything with one HTTP status."""

    status = "400 Bad Request"

    def dataReceived(self, _: bytes) -> None:
        self.transport.write(f"HTTP/1.1 {self.status}\r\n\r\n".encode())  # type: ignore[call-arg]


async def _refusal_by(ports: list[Any], scheme: str, status: str) -> LinkLost:
    """Return the error of a sign-in at something that answers in HTTP."""
    web = type("Web", (_Web,), {"status": status})
    ports.append(reactor.listenTCP(0, Factory.forProtocol(web), interface="127.0.0.1"))
    with pytest.raises(LinkLost) as caught:
        await _sign_in(f"{scheme}://localhost:{ports[-1].getHost().port}", None)
    return caught.value


@ensureDeferred
async def test_a_port_without_tls_is_called_so(ports: list[Any]) -> None:
    error = await _refusal_by(ports, "https", "400 Bad Request")
    assert isinstance(error, WrongProtocol)
    assert "speaks no TLS" in str(error)


@ensureDeferred
async def test_a_port_that_waits_for_tls_is_called_so(router: RealRouter) -> None:
    began = reactor.seconds()
    with pytest.raises(WrongProtocol, match="write the URL with https://"):
        await _sign_in(router.url.replace("https://", "http://"), None)
    assert reactor.seconds() - began < GREETING_LIMIT


@pytest.mark.parametrize(
    ("scheme", "status", "words"),
    [
        ("http", "400 Bad Request", "answers in HTTP, as a proxy does; write the URL as ws://localhost:"),
        ("ws", "404 Not Found", "404 Not Found; a farm's own path is /ws"),
    ],
)
@ensureDeferred
async def test_what_answers_in_http_is_called_so_at_once(
    ports: list[Any], scheme: str, status: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await _refusal_by(ports, scheme, status)
    assert isinstance(error, WrongProtocol)
    assert words in str(error)
    assert caplog.records == []


@ensureDeferred
async def test_a_proxy_without_its_farm_may_have_it_back_in_a_moment(ports: list[Any]) -> None:
    error = await _refusal_by(ports, "ws", "502 Bad Gateway")
    assert not isinstance(error, WrongProtocol)
    assert "no farm behind it now: 502" in str(error)


@ensureDeferred
async def test_what_closes_before_a_session_is_no_farm(ports: list[Any]) -> None:
    ports.append(reactor.listenTCP(0, Factory.forProtocol(_Silent), interface="127.0.0.1"))
    with pytest.raises(LinkLost, match="closed the connection; is it a farm"):
        await _sign_in(f"http://localhost:{ports[-1].getHost().port}", None)


@pytest.mark.parametrize("text", [None, "nothing", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_without_certificates_is_refused_at_once(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "ca.pem"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InvalidArgument, match=r"ca\.pem"):
        Link(reactor, "https://localhost:1", Credentials("a", Role.CLIENT, "x"), None, None, ca_file=str(path))  # type: ignore[arg-type]


def test_a_farm_at_a_router_elsewhere_trusts_what_it_is_told_to(router: RealRouter, short_directory: Path) -> None:
    elsewhere = (
        "--router", router.control_url, "--router-ticket-file", str(router.ticket_file), "--url", router.url,
        "--http", f"127.0.0.1:{router.http_port}", "--ca-file", str(short_directory / "authority.pem"),
    )  # fmt: skip
    with FarmProcess(short_directory / "elsewhere", ("--boards", "1", "--speed", "instant", *elsewhere)) as farm:
        farm.wait_until_ready()
        assert farm.url == router.url
        assert not any("boards are ready" in line for line in farm.lines)
