"""Who may sign in."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher

from icefarm.bus import Caller
from icefarm.contract import REALM, Role
from icefarm.control.sessions.sign_in.authenticator import LOG_LINES, SignInPolicy, loopback
from icefarm.control.sessions.sign_in.operator_token import FILE_NAME, ensure_operator_token
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.wiring.service import Control, ControlSettings
from icefarm.errors import Busy, IcefarmError, InvalidArgument, LinkLost, NameInUse, NotAuthorized
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.history import MemoryHistory
from icefarm.testing.memory.store import MemoryStore
from icefarm.wamp.credentials import Credentials

ROUTER = Caller("crossbar", 0, "trusted")


def details(**changed: Any) -> dict[str, Any]:
    extra = {"role": "client", "instance": "i"}
    return {"ticket": "", "authextra": extra, "transport": {"peer": "tcp4:127.0.0.1:4711"}, **changed}


async def authenticate(farm: MemoryControl, *args: Any) -> dict[str, Any]:
    return await farm.control.authenticator.authenticate(ROUTER, "", args, {})


@ensureDeferred
async def test_a_sign_in_answers_with_role_and_instance() -> None:
    farm = MemoryControl()
    answer = await authenticate(farm, REALM, "ada", details())
    assert answer == {"role": "client", "authid": "ada", "extra": {"role": "client", "instance": "i"}}


@pytest.mark.parametrize(
    "args",
    [
        (),
        (REALM,),
        (REALM, "ada"),
        (REALM, "ada", None),
        (REALM, "ada", 7),
        ("elsewhere", "ada", details()),
        (REALM, None, details()),
        (REALM, "", details()),
        (REALM, " ada", details()),
        (REALM, "a\nb", details()),
        (REALM, "x" * 101, details()),
        (REALM, b"ada", details()),
        (REALM, "control", details()),
        (REALM, "ada", details(authextra={"role": "control"})),
        (REALM, "ada", details(authextra={"role": "trusted"})),
        (REALM, "ada", details(authextra={"role": ["client"]})),
        (REALM, "ada", details(authextra={"role": "client", "instance": 7})),
        (REALM, "ada", details(authextra={"role": "client", "instance": "x" * 1000})),
        (REALM, "ada", details(ticket={"a": 1})),
        (REALM, "ada", details(ticket="x" * 1000)),
        (REALM, "ada", details(transport=None)),
        (REALM, "ada", details(transport={"peer": "tcp4:192.0.2.7:4711"})),
    ],
)
@ensureDeferred
async def test_a_strange_sign_in_is_refused_with_an_error_of_ours(args: tuple[Any, ...]) -> None:
    farm = MemoryControl()
    with pytest.raises((InvalidArgument, NotAuthorized)):
        await authenticate(farm, *args)
    assert farm.control.sessions.state.admissions == {}


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("tcp4:127.0.0.1:4711", True),
        ("tcp6:::1:4711", True),
        ("tcp6:[::1]:4711", True),
        ("unix", True),
        ("unix:/run/x", True),
        ("tcp4:192.0.2.7:127", False),
        ("tcp6:2001:db8::1:4711", False),
        ("None", False),
        ("", False),
    ],
)
def test_peers_on_the_routers_host_are_known(peer: str, local: bool) -> None:
    assert loopback(peer) is local


@ensureDeferred
async def test_a_second_instance_is_refused_and_the_first_goes_on() -> None:
    farm = MemoryControl()
    client = await farm.client("ada", instance="one")
    with pytest.raises(NameInUse):
        await farm.client("ada", instance="two")
    assert await client.call("available") == {"amount": 0, "serials": []}


@ensureDeferred
async def test_a_dead_session_that_never_sent_heartbeats_loses_its_name_within_the_grace_period() -> None:
    farm = MemoryControl()
    dead = await farm.client("ada", instance="one")
    farm.pass_time(1000)
    with pytest.raises(NameInUse, match="free in 20 s"):
        await farm.client("ada", instance="two")
    farm.pass_time(farm.settings.grace)
    assert dead.bus.session not in farm.router.sessions
    again = await farm.client("ada", instance="two")
    assert await again.call("available") == {"amount": 0, "serials": []}


@ensureDeferred
async def test_the_same_instance_takes_the_place_of_its_lost_session() -> None:
    farm = MemoryControl()
    first = await farm.client("ada", instance="one")
    again = await farm.client("ada", instance="one")
    assert first.bus.session not in farm.router.sessions
    assert await again.call("available") == {"amount": 0, "serials": []}


@ensureDeferred
async def test_a_worker_and_a_client_may_have_one_name() -> None:
    farm = MemoryControl()
    await farm.worker("ada", "A")
    await farm.client("ada")


@ensureDeferred
async def test_an_operator_needs_a_token_even_where_names_are_free() -> None:
    farm = MemoryControl()
    with pytest.raises(NotAuthorized):
        await farm.client("op", Role.OPERATOR)
    await farm.store.add_token("boss", Role.OPERATOR, token_hash("secret"))
    await farm.client("op", Role.OPERATOR, ticket="secret")


@ensureDeferred
async def test_a_token_opens_its_own_role_and_an_operators_all() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    await farm.store.add_token("lab", Role.CLIENT, token_hash("client token"))
    await farm.store.add_token("boss", Role.OPERATOR, token_hash("operator token"))
    await farm.client("ada", ticket="client token")
    with pytest.raises(NotAuthorized):
        await farm.client("w1", Role.WORKER, ticket="client token")
    with pytest.raises(NotAuthorized):
        await farm.client("op", Role.OPERATOR, ticket="client token")
    for role in (Role.CLIENT, Role.WORKER, Role.OPERATOR):
        await farm.router.sign_in(Credentials("boss", role, "i", "operator token"))


@ensureDeferred
async def test_a_revoked_token_opens_nothing() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    await farm.store.add_token("lab", Role.CLIENT, token_hash("secret"))
    await farm.store.revoke_token("lab")
    with pytest.raises(NotAuthorized):
        await farm.client("ada", ticket="secret")


@ensureDeferred
async def test_without_its_database_the_farm_says_so_to_who_needs_a_token() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    farm.database.away = True
    with pytest.raises(Busy):
        await farm.client("ada", ticket="secret")


def test_control_that_the_router_never_let_in_gives_up_and_one_that_it_let_in_before_does_not() -> None:
    clock = Clock()
    control = Control(clock, MemoryStore(clock), MemoryHistory(), ControlSettings())
    assert control.refused(LinkLost("nobody answers"))
    assert not control.refused(NotAuthorized("the ticket is invalid"))
    farm = MemoryControl()
    assert farm.control.refused(NotAuthorized("the ticket is invalid"))


@ensureDeferred
async def test_refused_sign_ins_are_logged_without_secrets_and_not_without_end() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    lines: list[str] = []

    def observe(event: Any) -> None:
        if event["log_level"] is LogLevel.warn and "refused" in event["log_format"]:
            lines.append(event["log_format"].format(**{**event, "name!a:.120": "", "peer!a:.120": ""}))

    globalLogPublisher.addObserver(observe)
    try:
        for _ in range(5 * LOG_LINES):
            with pytest.raises(IcefarmError):
                await authenticate(farm, REALM, "ada", details(ticket="icefarm_wrong"))
    finally:
        globalLogPublisher.removeObserver(observe)
    assert len(lines) == LOG_LINES
    assert not any("icefarm_wrong" in line for line in lines)


@ensureDeferred
async def test_the_operators_token_is_made_once(tmp_path: Path) -> None:
    store = MemoryControl().store
    assert await ensure_operator_token(tmp_path, store)
    token = (tmp_path / FILE_NAME).read_text().strip()
    assert not await ensure_operator_token(tmp_path, store)
    assert (tmp_path / FILE_NAME).read_text().strip() == token
    assert (tmp_path / FILE_NAME).stat().st_mode & 0o777 == 0o600
    assert await store.token_by_hash(token_hash(token)) is not None
    assert os.listdir(tmp_path) == [FILE_NAME]


@ensureDeferred
async def test_the_operators_token_is_known_to_a_new_database(tmp_path: Path) -> None:
    await ensure_operator_token(tmp_path, MemoryControl().store)
    token = (tmp_path / FILE_NAME).read_text().strip()
    fresh = MemoryControl().store
    await ensure_operator_token(tmp_path, fresh)
    assert await fresh.token_by_hash(token_hash(token)) is not None


@ensureDeferred
async def test_a_lost_token_file_makes_the_old_token_worthless(tmp_path: Path) -> None:
    store = MemoryControl().store
    await ensure_operator_token(tmp_path, store)
    old = (tmp_path / FILE_NAME).read_text().strip()
    (tmp_path / FILE_NAME).unlink()
    assert await ensure_operator_token(tmp_path, store)
    assert await store.token_by_hash(token_hash(old)) is None
