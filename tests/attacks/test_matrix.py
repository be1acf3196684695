"""Every role tries every attack, on an open farm, one with tokens, one with tokens and TLS, and one with an issuer.

What a role may do is the exception, and listed with the action; all else must be refused.  After that the victim still
has its board, and gets true values from it: the fixture `target` looks at the end.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import pytest
from attacks.farms import ATTACKERS, EXPERIMENT, RUN, SQUARE, VICTIM, WORKER, Target, raw
from autobahn.wamp.message import Goodbye
from autobahn.wamp.types import CallOptions, PublishOptions, RegisterOptions, SubscribeOptions
from pytest_twisted import ensureDeferred
from twisted.internet import defer, reactor
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from icefarm.contract import (
    AUTHENTICATOR,
    AUTHORIZER,
    EVALUATE_LIST,
    READING_TOPIC,
    REALM,
    DeviceReport,
    DeviceStatus,
    Role,
    WorkerHello,
    client_topic,
    control_procedure,
    control_worker_procedure,
    device_prefix,
    event_topic,
    to_wire,
    worker_prefix,
    worker_procedure,
)
from icefarm.control.sessions.limits import AccountLimits
from icefarm.control.sessions.revocation import INTERVAL
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.errors import (
    IcefarmError,
    InvalidArgument,
    LimitReached,
    LinkLost,
    NameInUse,
    NotAuthorized,
    error_from_wire,
)

pytestmark = [pytest.mark.integration, pytest.mark.attacks]

#: What a refusal is called, besides those of the router.
REFUSALS = (
    "not_authorized",
    "not_yours",
    "name_in_use",
    "limit_reached",
    "invalid_argument",
    "unknown_run",
    "unknown_experiment",
)
CLIENT, OPERATOR, NOBODY = {Role.CLIENT}, {Role.OPERATOR}, set[Role]()
EVERYBODY = {Role.CLIENT, Role.OPERATOR}

Attack = Callable[[Target, Any], Awaitable[Any]]


def forged(authid: str, role: str) -> list[dict[str, Any]]:
    """Return the option by which a link between routers says for whom it calls."""
    return [{"session": 4711, "authid": authid, "authrole": role}]


def call(procedure: str, *args: Any, as_whom: tuple[str, str] | None = None, **kwargs: Any) -> Attack:
    """Call a procedure, as oneself or in another's name."""

    async def attack(target: Target, session: Any) -> Any:
        named = {name: value(target) if callable(value) else value for name, value in kwargs.items()}
        given = [value(target) if callable(value) else value for value in args]
        options = None if as_whom is None else CallOptions(forward_for=forged(*as_whom))
        keywords = named if options is None else {**named, "options": options}
        uri = procedure.replace("SERIAL", target.serial)
        return await raw(session._wamp.call(uri, *given, **keywords))

    return attack


def evaluate_in_a_list(name: str, as_whom: tuple[str, str] | None = None) -> Attack:
    """Evaluate on the victim's board, in a list; its result is that of the attack."""

    async def attack(target: Target, session: Any) -> Any:
        usual = {member: value(target) if callable(value) else value for member, value in _evaluation(name).items()}
        evaluation = {"call": 1, "serial": target.serial, **usual}
        answer = await call(BOARD + EVALUATE_LIST, as_whom=as_whom, evaluations=[evaluation])(target, session)
        (result,) = answer["results"]
        if "error" in result:
            raise error_from_wire(result["error"], [result["message"]], result["fields"]) or IcefarmError()

    return attack


def register(uri: str, match: str | None = None, **options: Any) -> Attack:
    """Offer a procedure, by force where somebody has it."""

    async def attack(target: Target, session: Any) -> Any:
        chosen = RegisterOptions(match=match, force_reregister=True, **options)
        registration = await raw(session._wamp.register(_lie, uri.replace("SERIAL", target.serial), options=chosen))
        await registration.unregister()

    return attack


def publish(topic: str, as_whom: tuple[str, str] | None = None) -> Attack:
    async def attack(_: Target, session: Any) -> Any:
        who = None if as_whom is None else forged(*as_whom)
        options = PublishOptions(acknowledge=True, forward_for=who)
        await raw(session._wamp.publish(topic, event="ended", options=options))

    return attack


def subscribe(topic: str, match: str | None = None) -> Attack:
    async def attack(_: Target, session: Any) -> Any:
        subscription = await raw(session._wamp.subscribe(_lie, topic, options=SubscribeOptions(match=match)))
        await subscription.unsubscribe()

    return attack


def _lie(*_: Any, **__: Any) -> str:
    return "false"


def _serials(target: Target) -> list[str]:
    return [target.serial]


def _hello(_: Target) -> Any:
    return to_wire(WorkerHello(WORKER, "forged", "host", "1", [], []))


def _soon(_: Target) -> float:
    return time.time() + 60.0


def _report(target: Target) -> Any:
    return to_wire(DeviceReport(target.serial, DeviceStatus.OFFLINE, "it burns"))


def _evaluation(name: str) -> dict[str, Any]:
    return {"reservation": lambda target: target.reservation, "evaluation_id": name, "bitstream": SQUARE.read_bytes()}


BOARD = "icefarm.v1.device.SERIAL."
AS_VICTIM, AS_BOSS, AS_SHELF, AS_CONTROL = (
    (VICTIM, "client"), ("boss", "operator"), (WORKER, "worker"), ("control", "control")
)  # fmt: skip

#: Each attack, and the roles that may do that.
ACTIONS: Mapping[str, tuple[Attack, set[Role]]] = {
    # Another's reservation, in one's own name.
    "end another's reservation": (call(control_procedure("end"), serials=_serials), NOBODY),
    "extend another's reservation": (call(control_procedure("extend"), serials=_serials), NOBODY),
    "evaluate under another's reservation": (call(BOARD + "evaluate", **_evaluation("stolen")), NOBODY),
    "evaluate under another's reservation in a list": (evaluate_in_a_list("stolen"), NOBODY),
    "reset another's board": (call(BOARD + "reset", reservation=lambda target: target.reservation), NOBODY),
    # The operators' procedures.
    "end any reservation": (call(control_procedure("end_any"), serials=["none"]), OPERATOR),
    "delete a board": (call(control_procedure("delete"), serials=["none"]), OPERATOR),
    "delete a worker": (call(control_procedure("delete_worker"), worker="none"), OPERATOR),
    "drain a worker": (call(control_procedure("drain"), worker="none"), OPERATOR),
    "resume a worker": (call(control_procedure("resume"), worker="none"), OPERATOR),
    "retest a board": (call(control_procedure("retest"), serials=["none"]), OPERATOR),
    "dismiss a request": (call(control_procedure("dismiss"), ids=["none"]), OPERATOR),
    "set another's limits": (call(control_procedure("set_limits"), account=VICTIM, limits={"queue": None}), OPERATOR),
    "read another's run that is not shared": (call(control_procedure("run"), id=RUN), OPERATOR),
    "read a circuit of another's run": (call(control_procedure("run_circuit"), id=RUN, sha256="0" * 64), OPERATOR),
    "list runs that are not shared": (call(control_procedure("experiment_runs"), EXPERIMENT, account=VICTIM), OPERATOR),
    "read another's experiment that is not shared": (
        call(control_procedure("experiment"), EXPERIMENT, account=VICTIM), OPERATOR
    ),
    "read its results": (call(control_procedure("experiment_results"), EXPERIMENT, account=VICTIM), OPERATOR),
    "read its results as a file": (call(control_procedure("experiment_file"), EXPERIMENT, "csv"), OPERATOR),
    "read what it knows of a circuit": (
        call(control_procedure("experiment_known"), EXPERIMENT, "pulsecount", {}, ["ab"], account=VICTIM), OPERATOR
    ),
    "read its plot": (call(control_procedure("experiment_series"), EXPERIMENT, account=VICTIM), OPERATOR),
    "read another's usage": (call(control_procedure("usage"), account=VICTIM), OPERATOR),
    "label a board": (call(control_procedure("label"), labels={"lab": "3"}, serials=["none"]), OPERATOR),
    "label a worker": (call(control_procedure("label"), labels={"lab": "3"}, worker="none"), OPERATOR),
    "allow an account boards": (call(control_procedure("access_add"), account="nobody", where="virtual"), OPERATOR),
    "read another's rules": (call(control_procedure("access"), account=VICTIM), OPERATOR),
    "read all rules": (call(control_procedure("access_list")), OPERATOR),
    "remove a rule": (call(control_procedure("access_remove"), ids=[0]), OPERATOR),
    "put an account into a group": (call(control_procedure("access_group"), name="class", add=["nobody"]), OPERATOR),
    "read another's limits": (call(control_procedure("limits"), account=VICTIM), OPERATOR),
    "end all of an account": (call(control_procedure("end_accounts"), accounts=["nobody"]), OPERATOR),
    "book for another": (
        call(control_procedure("book"), starts_at=_soon, seconds=60.0, amount=9999, account=VICTIM), OPERATOR
    ),
    "read the audit log": (call(control_procedure("audit")), OPERATOR),
    # What everybody who watches may do.
    "read a snapshot": (call(control_procedure("snapshot")), EVERYBODY),
    "listen to events": (subscribe(event_topic(""), "prefix"), EVERYBODY),
    # In another's name, by the option for links between routers.
    "end as its client": (call(control_procedure("end"), as_whom=AS_VICTIM), NOBODY),
    "evaluate as its client": (call(BOARD + "evaluate", as_whom=AS_VICTIM, **_evaluation("forged")), NOBODY),
    "evaluate as its client in a list": (evaluate_in_a_list("forged", AS_VICTIM), NOBODY),
    "reboot as an operator": (call(control_procedure("reboot"), serials=_serials, as_whom=AS_BOSS), NOBODY),
    "end any as an operator": (call(control_procedure("end_any"), serials=_serials, as_whom=AS_BOSS), NOBODY),
    "hello as another worker": (call(control_worker_procedure("hello"), hello=_hello, as_whom=AS_SHELF), NOBODY),
    "report as another worker": (call(control_worker_procedure("report"), report=_report, as_whom=AS_SHELF), NOBODY),
    "release as control": (
        call(worker_procedure(WORKER, "release"), serial=lambda target: target.serial, as_whom=AS_CONTROL), NOBODY
    ),
    # Workers' and control's own procedures.
    "hello for another worker": (call(control_worker_procedure("hello"), hello=_hello), NOBODY),
    "report another's board": (call(control_worker_procedure("report"), report=_report), NOBODY),
    "order a worker": (call(worker_procedure(WORKER, "release"), serial="x", reservation="y", reason=""), NOBODY),
    "ask the authenticator": (call(AUTHENTICATOR, REALM, "ada", {}), NOBODY),
    "ask the authorizer": (call(AUTHORIZER, {}, "x", "register", {}), NOBODY),
    # Offering what is another's.
    "serve another's board": (register(BOARD, "prefix"), NOBODY),
    "serve a call to another's board": (register(BOARD + "evaluate"), NOBODY),
    "serve one call to all boards": (register("icefarm.v1.device..evaluate", "wildcard"), NOBODY),
    "serve all boards": (register("icefarm.v1.device.", "prefix"), NOBODY),
    "share a board": (register(BOARD, "prefix", invoke="roundrobin"), NOBODY),
    "serve an unknown board": (register(device_prefix("unknown"), "prefix"), NOBODY),
    "be another worker": (register(worker_prefix(WORKER), "prefix"), NOBODY),
    "answer a worker's order": (register(worker_procedure(WORKER, "prepare")), NOBODY),
    "reserve in place of control": (register(control_procedure("reserve")), NOBODY),
    "authenticate in place of control": (register(AUTHENTICATOR), NOBODY),
    "serve everything": (register("icefarm.v1.", "prefix"), NOBODY),
    # Saying what only control says.
    "announce a board": (publish(event_topic("device")), NOBODY),
    "announce readings": (publish(READING_TOPIC), NOBODY),
    "tell a client": (publish(client_topic(VICTIM)), NOBODY),
    "tell a client as control": (publish(client_topic(VICTIM), as_whom=AS_CONTROL), NOBODY),
    # The router's own procedures and events.
    "list sessions": (call("wamp.session.list"), NOBODY),
    "look at a session": (call("wamp.session.get", 1), NOBODY),
    "kill sessions": (call("wamp.session.kill_by_authid", VICTIM), NOBODY),
    "list registrations": (call("wamp.registration.list"), NOBODY),
    "add a testament": (call("wamp.session.add_testament", client_topic(VICTIM), ["x"], {}), NOBODY),
    "listen to sign-ins": (subscribe("wamp.session.on_join"), NOBODY),
    "listen to everything": (subscribe("", "prefix"), NOBODY),
}  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("attacker", ATTACKERS)
@ensureDeferred
async def test_a_role_does_what_it_may_and_nothing_else(target: Target, attacker: str, action: str) -> None:
    attack, allowed = ACTIONS[action]
    try:
        await attack(target, target.sessions[attacker])
        outcome = "done"
    except IcefarmError as error:
        outcome = error.name if error.name != "error" else error.message
    # Wrong names are told only to those who may ask.
    told = outcome not in REFUSALS and not outcome.startswith("wamp.error.")
    assert told == (ATTACKERS[attacker] in allowed), outcome


@pytest.mark.parametrize("role", [Role.CLIENT, Role.WORKER, Role.OPERATOR, "control", "trusted", "anonymous"])
@pytest.mark.parametrize("attacker", ["nobody", *ATTACKERS])
@ensureDeferred
async def test_a_token_opens_its_role_and_no_role_is_free_but_on_an_open_farm(
    target: Target, attacker: str, role: Any
) -> None:
    ticket = target.tokens.get(attacker, "")
    own = ATTACKERS.get(attacker)
    # The issuer's people are no workers, the operators among them neither.
    below = EVERYBODY if target.issued else EVERYBODY | {Role.WORKER}
    may = role in (own, *(below if own is Role.OPERATOR else ()))
    free = not target.needs_tokens and not ticket and role in (Role.CLIENT, Role.WORKER)
    if may or free:
        bus = await target.sign_in(role, f"{attacker} as {role}", ticket)
        assert bus.authid == (f"{attacker}/{attacker} as {role}" if ticket else f"{attacker} as {role}")
        await bus.close()
    else:
        with pytest.raises((NotAuthorized, InvalidArgument)):
            await target.sign_in(role, f"{attacker} as {role}", ticket)


@pytest.mark.parametrize("name", [VICTIM, f"{VICTIM}/run", "control", "control/x", WORKER])
@ensureDeferred
async def test_no_name_makes_a_session_anybody_elses(target: Target, name: str) -> None:
    ticket = target.tokens["mallory"]
    try:
        bus = await target.sign_in(Role.CLIENT, name, ticket, instance="another")
    except (NotAuthorized, NameInUse):
        return
    assert bus.authid == f"mallory/{name}"
    await bus.close()


@ensureDeferred
async def test_a_client_hears_nothing_that_is_for_another(target: Target) -> None:
    heard: list[Any] = []
    session: Any = target.sessions["mallory"]
    subscriptions = [
        await raw(session._wamp.subscribe(lambda **fields: heard.append(fields), topic, options=options))
        for topic, options in (
            (client_topic(VICTIM), SubscribeOptions()),
            ("icefarm.v1.client.", SubscribeOptions(match="prefix")),
        )
    ]
    assert target.victim is not None
    await deferToThread(target.victim.reboot, [target.serial])
    await deferLater(reactor, 0.5)  # type: ignore[arg-type]
    for subscription in subscriptions:
        await subscription.unsubscribe()
    assert heard == []


@ensureDeferred
async def test_one_token_opens_so_many_sessions_and_no_more(target: Target) -> None:
    token = new_token()
    await target.store.add_token("crowd", Role.CLIENT, token_hash(token))
    signing_in = [
        defer.Deferred.fromCoroutine(target.sign_in(Role.CLIENT, f"run {number}", token))
        for number in range(round(AccountLimits().sessions))
    ]
    sessions = await defer.gatherResults(signing_in)
    try:
        with pytest.raises(LimitReached):
            await target.sign_in(Role.CLIENT, "one more", token)
    finally:
        await defer.gatherResults([defer.Deferred.fromCoroutine(session.close()) for session in sessions])
        await target.store.revoke_token("crowd")


@ensureDeferred
async def test_a_revoked_token_ends_its_sessions_within_seconds(target: Target) -> None:
    token = new_token()
    await target.store.add_token("leaver", Role.CLIENT, token_hash(token))
    session = await target.sign_in(Role.CLIENT, "leaver", token)
    ended: defer.Deferred[str] = defer.Deferred()
    session.on_lost(ended.callback)
    await target.store.revoke_token("leaver")
    began = reactor.seconds()  # type: ignore[attr-defined]
    ended.addTimeout(30, reactor)  # type: ignore[arg-type]
    await ended
    # One look of control, and the way there; the machine may be busy.
    assert reactor.seconds() - began < INTERVAL + 8  # type: ignore[attr-defined]
    with pytest.raises((NotAuthorized, LinkLost)):
        await session.call(control_procedure("snapshot"), timeout=10)


@ensureDeferred
async def test_a_revoked_session_that_ignores_its_farewell_is_cut_off(target: Target) -> None:
    token = new_token()
    await target.store.add_token("deaf", Role.CLIENT, token_hash(token))
    session: Any = await target.sign_in(Role.CLIENT, "deaf", token)
    ended: defer.Deferred[str] = defer.Deferred()
    session.on_lost(ended.callback)
    ended.addTimeout(30, reactor)  # type: ignore[arg-type]
    hear = session._wamp.onMessage
    session._wamp.onMessage = lambda message: None if isinstance(message, Goodbye) else hear(message)
    await target.store.revoke_token("deaf")
    began = reactor.seconds()  # type: ignore[attr-defined]
    await ended
    assert reactor.seconds() - began < INTERVAL + 12  # type: ignore[attr-defined]


@ensureDeferred
async def test_what_was_tried_is_in_the_audit_log(target: Target) -> None:
    with pytest.raises(IcefarmError):
        await target.sessions["mallory"].call(control_procedure("end"), (), {"serials": [target.serial]}, timeout=30)
    entries = await target.sessions["boss"].call(control_procedure("audit"), (), {"limit": 5000}, timeout=30)
    tried = {(entry["account"], entry["action"], entry["outcome"]) for entry in entries}
    assert (VICTIM, "reserve", "done") in tried
    assert ("mallory", "end", "not_yours") in tried
    assert not any(token in str(entries) for token in target.tokens.values())
