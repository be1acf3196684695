"""What asks an issuer: real connections on loopback, bounded answers, and redirections that are not followed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor as the_reactor
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from icefarm.errors import LinkLost
from icefarm.oidc.http import LARGEST, HttpClient

pytestmark = pytest.mark.integration


class Strange(Resource):
    """Answers by the path: well, or not."""

    isLeaf = True  # noqa: N815 - Twisted's name

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []

    def render(self, request: Request) -> bytes | int:
        self.asked.append(request.path)
        match request.path:
            case b"/form":
                assert request.content is not None
                return b'{"got": "' + request.content.read() + b'"}'
            case b"/away":
                request.redirect(b"/form")
                return b""
            case b"/large":
                return b"x" * (LARGEST + 1)
            case b"/words":
                return b"<html>"
            case b"/list":
                return b"[1]"
            case b"/deep":
                return b"[" * 100_000
            case b"/broken":
                request.setHeader(b"Content-Length", b"100")
                request.write(b"{")
                request.transport.loseConnection()  # type: ignore[union-attr]
                return NOT_DONE_YET
        return b'{"a": 1}'


@pytest.fixture
def site() -> Iterator[tuple[str, Strange]]:
    strange = Strange()
    port = the_reactor.listenTCP(0, Site(strange), interface="127.0.0.1")  # type: ignore[attr-defined]
    yield f"http://127.0.0.1:{port.getHost().port}", strange
    port.stopListening()


@ensureDeferred
async def test_an_object_is_read_and_a_form_is_sent(site: tuple[str, Strange]) -> None:
    web, (url, _) = HttpClient(the_reactor), site
    assert (await web.get(f"{url}/x")).value == {"a": 1}
    assert (await web.post(f"{url}/form", {"a": "b c&"})).value == {"got": "a=b+c%26"}


@ensureDeferred
async def test_a_secret_is_not_taken_elsewhere(site: tuple[str, Strange]) -> None:
    url, strange = site
    answer = await HttpClient(the_reactor).post(f"{url}/away", {"refresh_token": "secret"})
    assert answer.code == 302
    assert strange.asked == [b"/away"]


@pytest.mark.parametrize("path", ["words", "list", "deep"])
@ensureDeferred
async def test_what_is_no_object_counts_as_an_empty_one(site: tuple[str, Strange], path: str) -> None:
    assert (await HttpClient(the_reactor).get(f"{site[0]}/{path}")).value == {}


@pytest.mark.parametrize("path", ["large", "broken"])
@ensureDeferred
async def test_an_answer_without_end_or_bounds_is_none(site: tuple[str, Strange], path: str) -> None:
    with pytest.raises(LinkLost):
        await HttpClient(the_reactor).get(f"{site[0]}/{path}")


@ensureDeferred
async def test_where_nobody_listens_the_address_is_named(site: tuple[str, Strange]) -> None:
    with pytest.raises(LinkLost, match=r"http://127\.0\.0\.1:1/x"):
        await HttpClient(the_reactor).get("http://127.0.0.1:1/x")
    # TLS is spoken where the URL says so, and nowhere else.
    with pytest.raises(LinkLost):
        await HttpClient(the_reactor).get(site[0].replace("http:", "https:"))
