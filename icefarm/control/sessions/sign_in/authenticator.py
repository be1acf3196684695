"""Authenticates sign-ins: control is the router's dynamic authenticator (Crossbar.io, "Ticket authentication").

A token belongs to an account.  A session that signs in with one gets an identity inside that account; its own name is
only a proposal (`icefarm.contract.identity_of`).  Under the policy ``open``, for a router that only this host can
reach, clients and workers need no token: their name is their account.  An operator always needs a token.  Under
``tokens`` everybody does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

from attrs import Factory, define, frozen
from twisted.logger import Logger

from icefarm.arguments import from_wire
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import NAME_RULE, REALM, Role, account_of, identity_of, valid_name
from icefarm.control.sessions.audit import AuditLog
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck, Holder
from icefarm.control.sessions.sign_in.tokens import may_sign_in
from icefarm.control.sessions.tracker import Sessions, address_of
from icefarm.errors import IcefarmError, InvalidArgument, NotAuthorized
from icefarm.oidc.jwt_text import LONGEST_JWT, looks_like_jwt

__all__ = ["RESERVED_NAMES", "Authenticator", "SignInPolicy", "loopback"]

#: Refused sign-ins that are logged one by one within `LOG_PERIOD` seconds; the rest is counted.
LOG_LINES = 10
LOG_PERIOD = 60.0
#: Longest text that a client may show at sign-in: far above any instance, and any token that the farm made.
MAX_TEXT = 512

_ROLES = {role.value: role for role in (Role.CLIENT, Role.WORKER, Role.OPERATOR)}
#: Names that would be mistaken for the farm's own parts.
RESERVED_NAMES = ("control",)


class SignInPolicy(StrEnum):
    """Who needs a token."""

    OPEN = "open"
    TOKENS = "tokens"


@frozen
class Candidate:
    """A sign-in attempt."""

    name: str
    role: Role
    instance: str
    ticket: str
    peer: str
    #: It follows its boards to other routers.
    follows: bool = False


def loopback(peer: str) -> bool:
    """Tell whether a peer, as the router writes it (``tcp4:127.0.0.1:4711``, ``unix``), is on the router's host."""
    kind, _, address = peer.partition(":")
    if kind in ("unix", "memory"):
        return True
    host = address.rpartition(":")[0].strip("[]")
    return (kind == "tcp4" and host.startswith("127.")) or (kind == "tcp6" and host in ("::1", "0:0:0:0:0:0:0:1"))


def read_candidate(args: Sequence[Any]) -> Candidate:
    """Read what the router passes on: (realm, authid, details).  Raises `InvalidArgument`."""
    realm, name, details = (*args, None, None, None)[:3]
    if realm != REALM or not isinstance(details, Mapping):
        raise InvalidArgument(f"the realm of the farm is {REALM!r}")
    extra = details.get("authextra")
    extra = extra if isinstance(extra, Mapping) else {}
    if not isinstance(name, str) or not valid_name(name):
        raise InvalidArgument(f"a name has {NAME_RULE}")
    if account_of(name) in RESERVED_NAMES:
        raise NotAuthorized(f"the name {name!r} is the farm's own; choose another one")
    role = extra.get("role", Role.CLIENT.value)
    if not isinstance(role, str) or role not in _ROLES:
        raise InvalidArgument(f"sign in as {', '.join(_ROLES)}")
    texts = {
        "instance": from_wire(extra.get("instance", ""), str, "instance"),
        "ticket": from_wire(details.get("ticket") or "", str, "token"),
    }
    for what, text in texts.items():
        if len(text) > (LONGEST_JWT if looks_like_jwt(text) else MAX_TEXT):
            raise InvalidArgument(f"that {what} is too long")
    peer = address_of(details.get("transport"))
    follows = extra.get("follows") is True
    return Candidate(name, _ROLES[role], texts["instance"], texts["ticket"], peer, follows)


@define(eq=False)
class Authenticator:
    """Decides each sign-in for the router."""

    policy: SignInPolicy
    credentials: CredentialsCheck
    sessions: Sessions
    clock: Clock
    audit: AuditLog
    _since: float = 0.0
    _refused: int = 0
    _log: Logger = Factory(Logger)

    async def authenticate(self, asker: Caller, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> dict[str, Any]:
        """Admit a sign-in and return its identity and role, or raise the reason for refusing it.

        Raises `NotAuthorized`, `NameInUse`, `LimitReached`, `InvalidArgument`, `Busy`.
        """
        try:
            candidate = read_candidate(args)
            holder = await self._holder_of(candidate)
            identity = candidate.name if holder is None else identity_of(holder.account, candidate.name)
            await self.sessions.admit(candidate.role, identity, candidate.instance, asker.router)
        except IcefarmError as error:
            self._note_refusal(args, error)
            raise
        role = candidate.role.value
        self.audit.signed_in(identity, role, candidate.peer, "done", None if holder is None else holder.label)
        extra: dict[str, Any] = {"role": role, "instance": candidate.instance}
        if holder is not None and holder.token is not None:
            extra["token"] = holder.token
        if holder is not None and holder.expires_at is not None:
            extra["expires_at"] = holder.expires_at
        if candidate.follows:
            extra["follows"] = True
        if asker.router:
            extra["router"] = asker.router
            extra["routers"] = list(self.sessions.routers.names)
        # The router keeps the extra with the session, so that a restarted control knows instances and tokens; and
        # says it to the session, which needs to know at which of the farm's routers it is.
        return {"role": role, "authid": identity, "extra": extra}

    async def _holder_of(self, candidate: Candidate) -> Holder | None:
        """Return the holder of the token of an admissible sign-in; None if it needs none."""
        is_open = self.policy is SignInPolicy.OPEN and candidate.role is not Role.OPERATOR
        if candidate.ticket:
            return await self._checked_holder(candidate, is_open)
        if not is_open:
            raise NotAuthorized(f"to sign in as {candidate.role} takes a token; {self._how_to_get_one(candidate)}")
        if not loopback(candidate.peer):
            raise NotAuthorized("without a token, this farm admits only its own host; start it with --sign-in tokens")
        return None

    async def _checked_holder(self, candidate: Candidate, is_open: bool) -> Holder:
        holder = await self.credentials.holder(candidate.ticket, candidate.peer)
        if holder is None:
            hint = "on this farm it can be left out" if is_open else self._how_to_get_one(candidate)
            raise NotAuthorized(f"the farm does not know that token, or it has expired or been revoked; {hint}")
        # The issuer's people are no workers, the operators among them neither.
        from_issuer = holder.token is None
        if not may_sign_in(holder.role, candidate.role) or (from_issuer and candidate.role is Role.WORKER):
            raise NotAuthorized(
                f"that token is one for the role {holder.role}, not {candidate.role}; {self._how_to_get_one(candidate)}"
            )
        return holder

    def _how_to_get_one(self, candidate: Candidate) -> str:
        role = candidate.role.value
        made = f"make one where the farm runs with 'icefarm token add NAME --role {role}', and set ICEFARM_TOKEN to it"
        if self.credentials.issued is None or candidate.role is Role.WORKER:
            return made
        return f"sign in with 'icefarm login URL', or {made}"

    def _note_refusal(self, args: Sequence[Any], error: IcefarmError) -> None:
        """Note a refused sign-in and the reason, never the credentials; floods as one line a minute."""
        name = args[1] if len(args) > 1 and isinstance(args[1], str) else ""
        details = args[2] if len(args) > 2 and isinstance(args[2], Mapping) else {}
        peer = address_of(details.get("transport"))
        extra = details.get("authextra")
        role = extra.get("role") if isinstance(extra, Mapping) else None
        self.audit.signed_in(name, role if isinstance(role, str) else "", peer, error.name, str(error))
        now = self.clock.seconds()
        if self._refused == 0 or now - self._since >= LOG_PERIOD:
            if self._refused > LOG_LINES:
                self._log.warn("{refused} sign-ins were refused in a minute", refused=self._refused)
            self._since, self._refused = now, 0
        self._refused += 1
        if self._refused <= LOG_LINES:
            self._log.warn("refused {name!a:.120} from {peer!a:.120}: {error}", name=name, peer=peer, error=error)
