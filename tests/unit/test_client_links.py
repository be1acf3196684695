"""A client's links: which of several URLs it tries, in which order and for how long; tokens at several routers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from click.testing import CliRunner
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.cli import main
from icefarm.cli.commands import login
from icefarm.client.connection.link import FarmLink
from icefarm.client.connection.patience import Patience
from icefarm.client.connection.settings import ClientSettings
from icefarm.client.session import connect
from icefarm.contract import Role, control_procedure
from icefarm.errors import Busy, IcefarmError, InvalidArgument, LinkLost, NotAuthorized
from icefarm.oidc.stored_login import login_path, stored_login, stored_logins
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.url import farm_urls, first_in_reach

ONE, TWO, THREE = "http://one:8080", "http://two:8080", "http://three:8080"
PATIENCE = Patience(connect=5.0)


@define(eq=False)
class Session:
    """A session at a router that does what it is asked to."""

    router_url: str = ""
    router_urls: frozenset[str] = frozenset({""})
    authid: str = "ada"
    lost: list[Callable[[str], None]] = Factory(list)
    #: What is wrong when it is to show a fresh token; the tokens that it has shown.
    broken: IcefarmError | None = None
    shown: list[str] = Factory(list)

    async def subscribe(self, *_: object) -> None:
        """Nothing is published here."""

    def on_lost(self, handler: Callable[[str], None]) -> None:
        self.lost.append(handler)

    async def call(self, procedure: str, _: object, fields: Mapping[str, str], **__: object) -> dict[str, float]:
        if procedure == control_procedure("renew"):
            if self.broken is not None:
                raise self.broken
            self.shown.append(fields["token"])
        return {"heartbeat_s": 1e6}


class Listener:
    """Hears nothing of interest."""

    def heard(self, *_: object) -> None: ...

    def on_heartbeat_reply(self, *_: object) -> None: ...


@define(eq=False)
class Attempt:
    """A link that a test has succeed or fail."""

    url: str
    joined: Callable[[Any], Awaitable[None]]
    refused: Callable[[IcefarmError], bool]
    runs: bool = False

    def startService(self) -> None:
        self.runs = True

    def stopService(self) -> None:
        self.runs = False

    def fail(self, error: IcefarmError | None = None) -> bool:
        """Fail, and return whether it would try again."""
        return self.refused(error or LinkLost(f"nobody answers at {self.url}: refused"))

    def succeed(self, session: Session) -> None:
        Deferred.fromCoroutine(self.joined(session))  # type: ignore[arg-type]


@define(eq=False)
class Attempts:
    """All links of a client."""

    clock: Clock = Factory(Clock)
    made: list[Attempt] = Factory(list)

    def make_link(
        self,
        url: str,
        _: Credentials,
        joined: Callable[[Bus], Awaitable[None]],
        refused: Callable[[IcefarmError], bool],
    ) -> Attempt:
        self.made.append(Attempt(url, joined, refused))
        return self.made[-1]

    def client(self, *urls: str) -> tuple[FarmLink, Deferred[None]]:
        link = FarmLink(
            self.clock, urls, Credentials("ada", Role.CLIENT, "i"), self.make_link, lambda: 1.0, PATIENCE
        )  # fmt: skip
        return link, Deferred.fromCoroutine(link.start())

    @property
    def last(self) -> Attempt:
        return self.made[-1]

    def fail(self, error: IcefarmError | None = None) -> None:
        assert not self.last.fail(error)
        self.clock.advance(0)

    @property
    def tried(self) -> list[str]:
        return [attempt.url for attempt in self.made]


def test_one_url_after_the_other_is_tried_at_once_and_all_again_after_a_pause() -> None:
    attempts = Attempts()
    _, starting = attempts.client(ONE, TWO, THREE)
    attempts.fail()
    attempts.fail()
    attempts.fail()
    assert attempts.tried == [ONE, TWO, THREE]
    attempts.clock.advance(1.0)
    assert attempts.tried == [ONE, TWO, THREE, ONE]
    attempts.fail()
    attempts.last.succeed(Session())
    assert starting.called
    assert [attempt.runs for attempt in attempts.made] == [False, False, False, False, True]


def test_a_url_whose_router_says_nothing_has_its_time_and_no_more() -> None:
    attempts = Attempts()
    link, starting = attempts.client(ONE, TWO)
    attempts.clock.advance(4.9)
    assert attempts.tried == [ONE]
    attempts.clock.advance(0.1)
    attempts.clock.advance(0)
    assert attempts.tried == [ONE, TWO]
    attempts.clock.advance(4.0)
    attempts.last.succeed(Session())
    assert starting.called
    assert link.url == TWO
    attempts.clock.advance(60.0)
    assert attempts.tried == [ONE, TWO]


def test_where_nobody_answers_the_error_says_why_of_each() -> None:
    attempts = Attempts()
    _, starting = attempts.client(ONE, TWO)
    attempts.fail()
    for _ in range(11):
        attempts.clock.advance(1.0)
    with pytest.raises(LinkLost) as caught:
        starting.addErrback(lambda failure: failure.raiseException()).result.raiseException()  # type: ignore[attr-defined]
    starting.addErrback(lambda _: None)
    told = f"no farm answers at {ONE} or {TWO} ({ONE}: refused; {TWO}: there was no session within 5 s)"
    assert caught.value.message.startswith(told)
    assert not any(attempt.runs for attempt in attempts.made)
    assert attempts.clock.getDelayedCalls() == []


def test_a_refusal_is_no_reason_to_ask_at_the_next() -> None:
    attempts = Attempts()
    _, starting = attempts.client(ONE, TWO)
    attempts.fail(NotAuthorized("no such token"))
    attempts.clock.advance(10.0)
    assert attempts.tried == [ONE]
    starting.addErrback(lambda failure: failure.trap(NotAuthorized))
    assert starting.called


def test_a_client_whose_farm_has_one_router_tries_the_next_way_to_it_when_one_is_lost() -> None:
    attempts, session = Attempts(), Session()
    link, _ = attempts.client(ONE, TWO)
    attempts.last.succeed(session)
    session.lost[0]("cable cut")
    attempts.fail()
    assert attempts.tried == [ONE, TWO]
    attempts.last.succeed(Session())
    assert link.bus is not None
    assert link.url == TWO


def test_a_client_that_knows_the_routers_of_its_farm_leaves_its_link_where_it_is() -> None:
    attempts, session = Attempts(), Session(ONE, frozenset({ONE, TWO}))
    attempts.client(ONE, TWO)
    attempts.last.succeed(session)
    session.lost[0]("cable cut")
    assert attempts.last.fail()
    attempts.clock.advance(1.0)
    assert attempts.tried == [ONE]


def test_a_client_that_cannot_even_try_the_next_url_says_why_instead_of_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts = Attempts()
    link, starting = attempts.client(ONE, TWO)

    def without_certificates(*_: object) -> Attempt:
        raise InvalidArgument("ca.pem cannot be read")

    monkeypatch.setattr(link, "make_link", without_certificates)
    attempts.fail()
    failures: list[Failure] = []
    starting.addErrback(failures.append)
    assert [failure.type for failure in failures] == [InvalidArgument]
    assert attempts.clock.getDelayedCalls() == []


class Fresh:
    """Tickets that are due."""

    async def ticket(self) -> str:
        return "fresh"

    def is_due(self) -> bool:
        return True


def test_a_router_that_is_lost_meanwhile_does_not_keep_fresh_tokens_from_the_others() -> None:
    attempts, all_ = Attempts(), frozenset({ONE, TWO, THREE})
    link, _ = attempts.client(ONE)
    link.tickets, link.listener = Fresh(), Listener()
    sessions = [
        Session(ONE, all_, broken=LinkLost("cable cut")),
        Session(TWO, all_, broken=Busy()),
        Session(THREE, all_),
    ]
    link.at(TWO)
    link.at(THREE)
    for attempt, session in zip(attempts.made, sessions, strict=True):
        attempt.succeed(session)
    attempts.clock.advance(0)
    assert [session.shown for session in sessions] == [[], [], ["fresh"]]


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        (ONE, [ONE]),
        (f" {ONE}, {TWO},{THREE} ", [ONE, TWO, THREE]),
        ("unix:/run/a,b/local.sock", ["unix:/run/a,b/local.sock"]),
        (f"unix:/run/a,b/local.sock,{ONE}", ["unix:/run/a,b/local.sock", ONE]),
        (f"{ONE},{ONE},{TWO}", [ONE, TWO]),
    ],
)
def test_urls_are_separated_by_commas(text: str, urls: Sequence[str]) -> None:
    assert list(farm_urls(text)) == urls


@pytest.mark.parametrize("text", [",", f"{ONE},", f",{ONE}", f"{ONE},,{TWO}", f"{ONE},two:8080", f"{ONE};{TWO}"])
def test_what_is_no_list_of_urls_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        ClientSettings.of(text, environment={"ICEFARM_URL": text})


def test_each_url_must_keep_the_token_a_secret_whichever_is_used() -> None:
    with pytest.raises(InvalidArgument, match=f"a token is not sent to {TWO} without TLS"):
        connect(Clock(), f"https://one,{TWO}", "ada", token="secret")


def test_the_stored_sign_in_of_any_of_the_urls_is_used(tmp_path: Path) -> None:
    environment = {"XDG_CONFIG_HOME": str(tmp_path), "ICEFARM_URL": f"{ONE},{TWO}"}
    kept = login_path(TWO, environment)
    kept.parent.mkdir(parents=True)
    kept.write_text("{}")
    assert stored_login(environment["ICEFARM_URL"], environment) == kept
    settings = ClientSettings.of(name="ada", environment=environment)
    assert (settings.url, settings.login) == (environment["ICEFARM_URL"], kept)


def test_of_sign_ins_at_several_urls_the_latest_is_used_and_signing_out_ends_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(login, "log_quietly", lambda: None)
    environment = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path), "ICEFARM_URL": f"{ONE},{TWO},{THREE}"}
    one, two = (login_path(url, environment) for url in (ONE, TWO))
    one.parent.mkdir(parents=True)
    for seconds, path in enumerate((one, two)):
        path.write_text("{}")
        os.utime(path, (seconds, seconds))
    assert stored_login(environment["ICEFARM_URL"], environment) == two
    out = CliRunner().invoke(main, ["logout"], env=environment)
    assert (out.exit_code, out.output.startswith(f"signed out at {ONE},{TWO},{THREE}")) == (0, True)
    assert stored_logins(environment["ICEFARM_URL"], environment) == []
    again = CliRunner().invoke(main, ["logout"], env=environment)
    assert again.output == f"you are not signed in at {ONE},{TWO},{THREE}\n"


def test_the_first_url_is_taken_at_which_somebody_listens(tmp_path: Path) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "there"))
        listener.listen()
        urls = [f"unix:{tmp_path / name}" for name in ("away", "there", "last")]
        assert first_in_reach(urls) == urls[1]
    assert first_in_reach(urls) == urls[2]
