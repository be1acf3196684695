"""A sign-in by ``icefarm login``: kept in a file, refreshed, and used for days."""

from __future__ import annotations

import os
import stat
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from issuers import CLIENT, ISSUER, MemoryIssuer, library_time
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from icefarm.client.connection.settings import ClientSettings
from icefarm.concurrency.deferreds import started
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import InvalidArgument, LinkLost, NotAuthorized, TimedOut
from icefarm.oidc.device_flow import begin_sign_in, end_sign_in, revoke
from icefarm.oidc.issuer import SignInOffer, checked_url, read_offer
from icefarm.oidc.stored_login import StoredLogin, login_path, stored_login
from icefarm.oidc.stored_tickets import StoredTickets
from icefarm.oidc.web_client import JsonAnswer
from icefarm.system.files import FileLock, write_whole
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.process import MemoryProcess

OFFER = SignInOffer(ISSUER, CLIENT, "openid profile")
DEVICE = {
    "device_code": "secret code",
    "user_code": "ABCD-EFGH",
    "verification_uri": f"{ISSUER}/device",
    "expires_in": 600,
    "interval": 5,
}


def answer_of(issuer: MemoryIssuer, end: float, refresh: str) -> JsonAnswer:
    """Return what the token endpoint answers, with a token that is valid until then."""
    token = issuer.token(iat=int(time.time()) - 1, exp=int(end))
    return JsonAnswer(200, {"id_token": token, "refresh_token": refresh})


def farm_of(issuer: MemoryIssuer, clock: Clock) -> MemoryControl:
    # Its workers send no heartbeats.
    settings = ControlSettings(SignInPolicy.TOKENS, worker_grace=1e6, oidc=OidcSettings(ISSUER, CLIENT))
    return MemoryControl(settings, clock=clock, web=issuer)


def login_of(issuer: MemoryIssuer, now: float) -> StoredLogin:
    return StoredLogin(
        "http://127.0.0.1:8080", ISSUER, CLIENT, f"{ISSUER}/token", issuer.token(), now, "first", f"{ISSUER}/revoke"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "icefarm" / "logins" / "farm.json"


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that PyJWT goes by, too; a `MemoryControl` that gets it begins at the present."""
    made = Clock()
    made.rightNow = time.time() - 1_000_000
    monkeypatch.setattr("jwt.api_jwt.datetime", library_time(made))
    return made


def test_a_sign_in_is_kept_for_its_owners_eyes_only_and_shows_no_secret(path: Path) -> None:
    login = login_of(MemoryIssuer(), 1000.0)
    login.write(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert StoredLogin.read(path) == login
    assert "first" not in repr(login)
    assert login.id_token not in repr(login)


@ensureDeferred
async def test_a_client_of_days_renews_its_session_and_reconnects_with_fresh_tokens(path: Path, present: Clock) -> None:
    issuer = MemoryIssuer(now=present.seconds)
    farm = farm_of(issuer, present)
    await farm.worker_of("w1", "A")
    login_of(issuer, present.seconds()).write(path)
    tickets = StoredTickets(path, issuer, present, now=present.seconds)
    process = MemoryProcess(farm.router, present)
    session = process.client("run", tickets=tickets)
    starting = started(session.start)
    farm.pass_time(1)
    await starting
    assert session.name == "ada/run"
    reserving = started(partial(session.reserve, 1, kind="pulsecount"))
    farm.pass_time(1)
    await reserving
    bus = process.link.bus
    issuer.refreshes = 300
    farm.pass_time(1200)
    # One session all the while, though each token lasted for minutes.
    assert process.link.bus is bus
    assert [form["refresh_token"] for form in issuer.forms][:3] == ["first", "refresh 1", "refresh 2"]
    assert session.serials == ["A"]
    # The connection is lost after the token that opened it has expired.
    assert bus is not None
    farm.pass_time(20)
    bus.drop("the network failed")
    farm.pass_time(10)
    assert process.link.bus not in (None, bus)
    assert session.serials == ["A"]
    await session.stop()


@ensureDeferred
async def test_a_session_goes_on_while_another_process_refreshes_the_sign_in_for_long(
    path: Path, present: Clock
) -> None:
    issuer = MemoryIssuer(now=present.seconds)
    farm = farm_of(issuer, present)
    login_of(issuer, present.seconds()).write(path)
    process = MemoryProcess(farm.router, present)
    session = process.client("run", tickets=StoredTickets(path, issuer, present, now=present.seconds))
    starting = started(session.start)
    farm.pass_time(1)
    await starting
    bus = process.link.bus
    issuer.refreshes = 300
    other = FileLock(path)
    other.acquire()
    # The token is near its end after 180 s.
    farm.pass_time(230)
    assert (process.link.bus, issuer.forms) == (bus, [])
    other.release()
    farm.pass_time(200)
    assert process.link.bus is bus
    assert [form["refresh_token"] for form in issuer.forms][:1] == ["first"]
    await session.stop()
    assert not [call for call in present.getDelayedCalls() if "ticket" in repr(call)]


@ensureDeferred
async def test_a_session_whose_token_was_not_renewed_ends_and_says_what_to_do(path: Path, present: Clock) -> None:
    issuer = MemoryIssuer(now=present.seconds)
    farm = farm_of(issuer, present)
    login_of(issuer, present.seconds()).write(path)
    process = MemoryProcess(farm.router, present)
    session = process.client("run", tickets=StoredTickets(path, issuer, present, now=present.seconds))
    starting = started(session.start)
    farm.pass_time(1)
    await starting
    issuer.answers = [JsonAnswer(400, {"error": "invalid_grant"})] * 100
    farm.pass_time(400)
    with pytest.raises(NotAuthorized, match="icefarm login http://127"):
        await session.available()
    await session.stop()


@ensureDeferred
async def test_no_token_of_another_account_prolongs_a_session(present: Clock) -> None:
    issuer = MemoryIssuer(now=present.seconds)
    farm = farm_of(issuer, present)
    client = await farm.client("run", ticket=issuer.token())
    end = int(present.seconds()) + 10_000
    for token in (issuer.token(preferred_username="bob", exp=end), issuer.token(aud="mail", exp=end), "icefarm_x"):
        with pytest.raises(NotAuthorized):
            await client.call("renew", token=token)
    farm.pass_time(400)
    with pytest.raises(LinkLost):
        await client.call("available")


@ensureDeferred
async def test_two_processes_refresh_a_sign_in_once(path: Path) -> None:
    issuer, clock = MemoryIssuer(), Clock()
    clock.rightNow = time.time() + 290
    login_of(issuer, clock.seconds() - 290).write(path)
    issuer.answers = [answer_of(issuer, clock.seconds() + 300, "second")]
    first, second = (StoredTickets(path, issuer, clock, now=clock.seconds) for _ in range(2))
    lock = FileLock(path)
    lock.acquire()
    waiting = [started(first.ticket), started(second.ticket)]
    clock.advance(1)
    assert not any(each.called for each in waiting)
    lock.release()
    for _ in range(5):
        clock.advance(0.3)
    tokens = [await each for each in waiting]
    assert tokens[0] == tokens[1] == StoredLogin.read(path).id_token
    assert len(issuer.forms) == 1


@ensureDeferred
async def test_an_issuer_that_is_away_does_not_end_a_sign_in(path: Path) -> None:
    issuer, clock = MemoryIssuer(away=True), Clock()
    clock.rightNow = time.time()
    login_of(issuer, clock.seconds() - 1000).write(path)
    tickets = StoredTickets(path, issuer, clock, now=clock.seconds)
    with pytest.raises(LinkLost):
        await tickets.ticket()
    issuer.away = False
    issuer.answers = [JsonAnswer(503, {}), answer_of(issuer, clock.seconds() + 300, "second")]
    with pytest.raises(LinkLost, match="503"):
        await tickets.ticket()
    assert await tickets.ticket() == StoredLogin.read(path).id_token


@ensureDeferred
async def test_a_sign_in_that_is_over_or_damaged_or_gone_asks_for_another_one(path: Path) -> None:
    issuer, clock = MemoryIssuer(), Clock()
    tickets = StoredTickets(path, issuer, clock, now=clock.seconds)
    with pytest.raises(NotAuthorized, match="icefarm login"):
        await tickets.ticket()
    login_of(issuer, 0.0).write(path)
    write_whole(path, "{")
    with pytest.raises(NotAuthorized, match="damaged"):
        await tickets.ticket()
    evolve(login_of(issuer, -1000.0), refresh_token=None).write(path)
    with pytest.raises(NotAuthorized, match="icefarm login"):
        await tickets.ticket()


def pending(clock: Clock, seconds: float) -> None:
    for _ in range(int(seconds)):
        clock.advance(1)


@ensureDeferred
async def test_the_device_flow_waits_for_a_person_and_slows_down_when_told_so() -> None:
    issuer, clock = MemoryIssuer(), Clock()
    issuer.answers = [JsonAnswer(200, DEVICE)]
    begun = await begin_sign_in(issuer, OFFER)
    assert (begun.link, begun.code) == (f"{ISSUER}/device", "ABCD-EFGH")
    # So that it lasts for days.
    assert issuer.forms[0]["scope"] == "openid profile offline_access"
    issuer.answers = [
        JsonAnswer(400, {"error": "authorization_pending"}),
        JsonAnswer(400, {"error": "slow_down"}),
        answer_of(issuer, time.time() + 300, "first"),
    ]
    ending = started(partial(end_sign_in, issuer, clock, begun, "http://farm:8080"))
    pending(clock, 10)
    assert len(issuer.answers) == 1
    pending(clock, 9)
    assert len(issuer.answers) == 1
    pending(clock, 1)
    login = await ending
    assert (login.url, login.refresh_token) == ("http://farm:8080", "first")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ({"error": "access_denied"}, NotAuthorized),
        ({"error": "expired_token"}, TimedOut),
        ({"error": "authorization_pending"}, TimedOut),
    ],
)
@ensureDeferred
async def test_a_sign_in_that_is_denied_or_that_nobody_confirms_ends(answer: dict[str, Any], error: Any) -> None:
    issuer, clock = MemoryIssuer(), Clock()
    issuer.answers = [JsonAnswer(200, DEVICE)]
    begun = await begin_sign_in(issuer, OFFER)
    issuer.answers = [JsonAnswer(400, answer)] * 1000
    ending = started(partial(end_sign_in, issuer, clock, begun, "http://farm:8080"))
    pending(clock, 620)
    with pytest.raises(error):
        await ending


@pytest.mark.parametrize(
    "device",
    [
        {**DEVICE, "verification_uri": "http://elsewhere.example.com/device"},
        {**DEVICE, "verification_uri": "javascript:alert(1)"},
        {**DEVICE, "user_code": "\x1b[31mABCD"},
        {},
    ],
)
@ensureDeferred
async def test_an_answer_that_could_mislead_a_person_is_not_shown(device: dict[str, Any]) -> None:
    issuer = MemoryIssuer()
    issuer.answers = [JsonAnswer(200, device)]
    with pytest.raises((InvalidArgument, LinkLost)):
        await begin_sign_in(issuer, OFFER)


@ensureDeferred
async def test_signing_out_tells_the_issuer() -> None:
    issuer = MemoryIssuer()
    issuer.answers = [JsonAnswer(200, {})]
    assert await revoke(issuer, login_of(issuer, 0.0))
    assert issuer.forms[0]["token"] == "first"


def test_each_farm_has_a_sign_in_of_its_own_and_a_given_token_wins(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path)}
    url = "https://farm.example.org"
    assert ClientSettings.of(url, environment=environment).login is None
    login_of(MemoryIssuer(), 0.0).write(login_path(url, environment))
    assert ClientSettings.of(url, environment=environment).login == login_path(url, environment)
    assert ClientSettings.of("wss://farm.example.org:443/ws", environment=environment).login is not None
    for other in ("https://farm.example.org:8443", "http://127.0.0.1:8080", "unix:/run/farm.sock"):
        assert stored_login(other, environment) is None
    assert ClientSettings.of(url, token="icefarm_x", environment=environment).login is None
    assert ClientSettings.of(url, token="", environment=environment).login is None
    assert ClientSettings.of(url, environment={**environment, "ICEFARM_TOKEN": "icefarm_x"}).login is None


@pytest.mark.parametrize(
    "url",
    [
        *("http://issuer.example.org", "ftp://x", "https://", "https://a:b@x", "https://x/#y", "https://x\n", "x", 7),
        *("https://[::1", "https://x:99999", "http://127.0.0.1.example.org"),
    ],
)
def test_an_issuer_without_tls_is_this_host_or_none(url: Any) -> None:
    with pytest.raises(InvalidArgument):
        checked_url(url, "the issuer")
    assert checked_url("http://127.0.0.1:9", "the issuer")
    assert checked_url("http://[::1]:9/x", "the issuer")
    assert checked_url("https://issuer.example.org/realms/lab", "the issuer")


def test_a_farms_answer_about_its_issuer_is_checked() -> None:
    assert read_offer({"tokens": True, "oidc": None}) is None
    with pytest.raises(InvalidArgument):
        read_offer({"oidc": {"issuer": "http://issuer.example.org", "client": "c", "scope": "openid"}})
    with pytest.raises(InvalidArgument):
        read_offer({"oidc": {"issuer": ISSUER}})


def test_the_sign_in_is_found_in_the_home_directory() -> None:
    assert login_path("http://127.0.0.1:8080", {"HOME": "/home/ada"}) == Path(
        "/home/ada/.config/icefarm/logins/127.0.0.1-8080.json"
    )
    assert os.sep not in login_path("unix:/run/../farm", {"HOME": "/home/ada"}).name
