"""A lab's own sign-in: tokens of its issuer are taken where those of the farm are, and no other."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from issuers import CLIENT, ISSUER, MemoryIssuer, forged, key
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from icefarm.contract import Role
from icefarm.control.http.api import ApiRequest
from icefarm.control.http.auth import Asker
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.issuer_keys import PAUSE, RENEWAL
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings, account_in, account_pairs, role_in
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.wiring.server import http_api
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import Busy, IcefarmError, LinkLost, NotAuthorized
from icefarm.oidc.jwt_text import LONGEST_JWT
from icefarm.testing.memory.control_harness import MemoryControl


def farm_of(issuer: MemoryIssuer, **settings: Any) -> MemoryControl:
    clock = Clock()
    clock.rightNow = time.time() - 1_000_000  # A `MemoryControl` begins so much later.
    oidc = OidcSettings(ISSUER, CLIENT, **settings)
    return MemoryControl(ControlSettings(SignInPolicy.TOKENS, oidc=oidc), clock=clock, web=issuer)


async def get(farm: MemoryControl, path: str, token: str | None = None) -> Any:
    asker = Asker("192.0.2.7", "farm.example.org", token=token)
    return await http_api(farm.control).answer(ApiRequest("GET", path, asker))


@ensureDeferred
async def test_a_token_of_the_issuer_signs_its_account_in() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    client = await farm.client("run 1", ticket=issuer.token())
    assert client.bus.authid == "ada/run 1"
    assert (await client.call("available"))["amount"] == 0


@ensureDeferred
async def test_over_http_it_is_the_same_account() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    assert (await get(farm, "/api/available", issuer.token())).code == 200
    assert (await get(farm, "/api/available", issuer.token(exp=int(time.time()) - 3600))).code == 401


def wrong_tokens() -> dict[str, Any]:
    now, other_key = int(time.time()), key(0)

    def as_secret(issuer: MemoryIssuer) -> str:
        ((id, key),) = issuer.keys.items()
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        head = {"alg": "HS256", "typ": "JWT", "kid": id}
        text = forged(head, issuer.claims())[:-1]
        signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256).sign(text.encode(), public)
        return f"{text}.{jwt.utils.base64url_encode(signature).decode()}"

    def by_another(issuer: MemoryIssuer) -> str:
        return jwt.encode(issuer.claims(), other_key, algorithm="RS256", headers={"kid": next(iter(issuer.keys))})

    def changed(issuer: MemoryIssuer) -> str:
        head, _, signature = issuer.token().split(".")
        _, claims, _ = issuer.token(preferred_username="bob").split(".")
        return f"{head}.{claims}.{signature}"

    return {
        "no algorithm": lambda it: forged({"alg": "none", "kid": next(iter(it.keys))}, it.claims()),
        "no algorithm, in capitals": lambda it: forged({"alg": "NONE", "kid": next(iter(it.keys))}, it.claims()),
        "the public key as a secret": as_secret,
        "a key of somebody else": by_another,
        "an unknown key": lambda it: it.token({"kid": "elsewhere"}),
        "a key that the token brings": lambda it: jwt.encode(
            it.claims(), other_key, "RS256", {"jwk": jwt.algorithms.RSAAlgorithm.to_jwk(other_key.public_key(), True)}
        ),
        "another algorithm than its key's": lambda it: jwt.encode(
            it.claims(), next(iter(it.keys.values())), "PS256", {"kid": next(iter(it.keys))}
        ),
        "changed claims": changed,
        "another audience": lambda it: it.token(aud="mail"),
        "no audience": lambda it: it.token(aud=None),
        "made for another client": lambda it: it.token(aud=[CLIENT, "mail"], azp="mail"),
        "another issuer": lambda it: it.token(iss="https://sign-in.example.com"),
        "no issuer": lambda it: it.token(iss=None),
        "no subject": lambda it: it.token(sub=None),
        "no end": lambda it: it.token(exp=None),
        "expired": lambda it: it.token(iat=now - 600, exp=now - 120),
        "not yet valid": lambda it: it.token(nbf=now + 120),
        "issued in the future": lambda it: it.token(iat=now + 120, exp=now + 300),
        "an end that is no number": lambda it: it.token(exp="tomorrow"),
        "a token to sign out": lambda it: it.token({"typ": "logout+jwt"}),
        "a critical extension": lambda it: it.token({"crit": ["exp"]}),
        "too long": lambda it: it.token(more="x" * LONGEST_JWT),
        "no account": lambda it: it.token(preferred_username=None),
        "an account that is a list": lambda it: it.token(preferred_username=["ada"]),
        "a name inside another account": lambda it: it.token(preferred_username="bob/ada"),
        "a name with a control character": lambda it: it.token(preferred_username="ada\n"),
        "the farm's own name": lambda it: it.token(preferred_username="x" * 101),
        "no header": lambda _: "eyJ.eyJ.x",
        "a header that is a list": lambda it: forged([], it.claims(), "eA"),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("what", list(wrong_tokens()))
@ensureDeferred
async def test_a_token_that_is_not_right_is_refused_with_a_reason_and_without_a_trace_of_it(what: str) -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    token = wrong_tokens()[what](issuer)
    with pytest.raises(IcefarmError) as refused:
        await farm.client("ada", ticket=token)
    assert refused.value.name in ("not_authorized", "invalid_argument")
    assert token.split(".")[1] not in str(refused.value)
    answer = await get(farm, "/api/available", token)
    assert answer.code in (400, 401, 403)
    # The same farm takes a right one.
    await farm.client("ada", ticket=issuer.token())


@ensureDeferred
async def test_clocks_may_differ_by_a_minute() -> None:
    issuer, now = MemoryIssuer(), int(time.time())
    farm = farm_of(issuer)
    await farm.client("late", ticket=issuer.token(iat=now - 300, exp=now - 40))
    await farm.client("early", ticket=issuer.token(iat=now + 40, nbf=now + 40))


@ensureDeferred
async def test_the_session_of_a_token_that_expires_ends_and_a_fresh_token_takes_it_up() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    await farm.worker_of("w1", "A")
    client = await farm.client("run", instance="one", ticket=issuer.token())
    await client.call("reserve", 1, kind="pulsecount")
    for _ in range(34):
        farm.pass_time(10)
        await client.call("heartbeat", instance="one")
    farm.pass_time(25)
    with pytest.raises(LinkLost):
        await client.call("available")
    later = int(farm.clock.seconds())
    fresh = issuer.token(iat=int(time.time()), exp=later + 300)
    again = await farm.client("run", instance="one", ticket=fresh)
    assert (await again.call("heartbeat", instance="one"))["reservations"] == ["A"]


@ensureDeferred
async def test_a_control_that_was_restarted_still_ends_the_session_when_the_token_expires() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    client = await farm.client("run", ticket=issuer.token())
    farm.kill_control()
    farm.start_control()
    farm.pass_time(3)
    assert (await client.call("available"))["amount"] == 0
    farm.pass_time(400)
    with pytest.raises(LinkLost):
        await client.call("available")


@ensureDeferred
async def test_a_new_key_of_the_issuer_is_fetched_when_a_token_needs_it_and_an_old_one_is_forgotten() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    old = issuer.token()
    await farm.client("one", ticket=old)
    issuer.rotate()
    farm.pass_time(PAUSE)
    await farm.client("two", ticket=issuer.token())
    with pytest.raises(NotAuthorized):
        await farm.client("three", ticket=old)


@ensureDeferred
async def test_a_flood_of_tokens_with_unknown_keys_does_not_become_one_of_requests_to_the_issuer() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    await farm.client("one", ticket=issuer.token())
    before = len(issuer.asked)
    for number in range(50):
        with pytest.raises(NotAuthorized):
            await farm.client("two", ticket=issuer.token({"kid": f"unknown {number}"}))
    assert len(issuer.asked) == before


@ensureDeferred
async def test_keys_outlast_an_outage_of_the_issuer() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    await farm.client("one", ticket=issuer.token())
    issuer.away = True
    for _ in range(3):
        farm.pass_time(RENEWAL)
        await farm.client("two", ticket=issuer.token())
    assert issuer.asked[-1].endswith("openid-configuration")


@ensureDeferred
async def test_while_the_issuer_was_never_reached_a_sign_in_is_told_to_try_again() -> None:
    issuer = MemoryIssuer(away=True)
    farm = farm_of(issuer)
    with pytest.raises(Busy, match="nobody answers"):
        await farm.client("one", ticket=issuer.token())
    issuer.away = False
    farm.pass_time(PAUSE)
    await farm.client("one", ticket=issuer.token())


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://sign-in.example.com"},
        {"jwks_uri": "http://keys.example.com/jwks"},
        {"jwks_uri": None},
        {"token_endpoint": "ftp://example.com"},
    ],
)
@ensureDeferred
async def test_a_document_that_is_anothers_or_leads_astray_is_not_believed(document: dict[str, Any]) -> None:
    issuer = MemoryIssuer(document=document)
    farm = farm_of(issuer)
    with pytest.raises(Busy):
        await farm.client("one", ticket=issuer.token())


@ensureDeferred
async def test_the_account_of_a_token_of_the_farm_is_nobodys_at_the_issuer_unless_mapped() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer, accounts={"ada.lovelace": "ada"})
    await farm.store.add_token("laptop", Role.CLIENT, token_hash("secret"), account="ada")
    with pytest.raises(NotAuthorized, match="--oidc-accounts"):
        await farm.client("run", ticket=issuer.token())
    mapped = await farm.client("run", ticket=issuer.token(preferred_username="ada.lovelace"))
    assert mapped.bus.authid == "ada/run"


@ensureDeferred
async def test_members_of_the_operators_group_are_operators_and_nobody_is_a_worker() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer, operator_group="shelf keepers")
    keeper = issuer.token(preferred_username="grace", groups=["lab", "shelf keepers"])
    await farm.client("op", Role.OPERATOR, ticket=keeper)
    with pytest.raises(NotAuthorized):
        await farm.client("op", Role.OPERATOR, ticket=issuer.token())
    for token in (keeper, issuer.token()):
        with pytest.raises(NotAuthorized, match="icefarm token add NAME --role worker"):
            await farm.client("w1", Role.WORKER, ticket=token)


@ensureDeferred
async def test_a_farm_for_one_group_lets_nobody_else_in() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer, group="lab", operator_group="keepers")
    await farm.client("run", ticket=issuer.token())
    await farm.client("op", Role.OPERATOR, ticket=issuer.token(preferred_username="grace", groups="keepers"))
    with pytest.raises(NotAuthorized, match="members of 'lab'"):
        await farm.client("run", ticket=issuer.token(preferred_username="bob", groups=["guests"]))


@ensureDeferred
async def test_sign_ins_at_the_issuer_are_in_the_audit_log() -> None:
    issuer = MemoryIssuer()
    farm = farm_of(issuer)
    await farm.client("run", ticket=issuer.token())
    with pytest.raises(NotAuthorized):
        await farm.client("bob", ticket=issuer.token(aud="mail"))
    farm.pass_time(2)
    entries = await farm.store.audit(0.0, limit=10)
    assert [(entry.account, entry.outcome) for entry in entries] == [("ada", "done"), ("bob", "not_authorized")]
    assert entries[0].detail == f"{ISSUER} 0815"


@ensureDeferred
async def test_everybody_may_ask_how_to_sign_in() -> None:
    answer = await get(farm_of(MemoryIssuer()), "/api/sign-in")
    assert answer.value["tokens"] is True
    assert answer.value["oidc"] == {
        "issuer": ISSUER,
        "client": CLIENT,
        "scope": "openid profile email",
        "authorization_endpoint": f"{ISSUER}/authorize",
        "token_endpoint": f"{ISSUER}/token",
    }
    without = await get(MemoryControl(), "/api/sign-in")
    assert without.value == {"tokens": False, "oidc": None}


@ensureDeferred
async def test_a_farm_without_an_issuer_knows_no_token_of_one() -> None:
    farm = MemoryControl(ControlSettings(SignInPolicy.TOKENS))
    with pytest.raises(IcefarmError):
        await farm.client("ada", ticket=MemoryIssuer().token())


def test_an_address_names_an_account_only_if_the_issuer_has_verified_it() -> None:
    settings = OidcSettings(ISSUER, CLIENT, account_claim="email")
    assert account_in({"email": "ada@example.org", "email_verified": True}, settings) == ("ada@example.org", False)
    for verified in (False, None, "true"):
        with pytest.raises(NotAuthorized):
            account_in({"email": "ada@example.org", "email_verified": verified}, settings)


def test_an_operator_is_one_by_membership_not_by_a_like_name() -> None:
    settings = OidcSettings(ISSUER, CLIENT, operator_group="ops")
    for groups in (["opsx"], "opsops", None, {"ops": True}, [["ops"]]):
        assert role_in({"groups": groups}, settings) is Role.CLIENT


@pytest.mark.parametrize("text", ["ada", "=ada", "ada=", "ada=a/b", "ada=x\ty"])
def test_pairs_of_claim_and_account_are_checked(text: str) -> None:
    with pytest.raises(ValueError, match="CLAIM=ACCOUNT"):
        account_pairs(text)
    assert account_pairs(" ada@x=ada, b=c=bob ,") == {"ada@x": "ada", "b=c": "bob"}
