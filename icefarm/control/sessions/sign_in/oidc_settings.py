"""Pure: no I/O, no clock.  What an operator decides about sign-ins at a lab's issuer, and whom its claims mean."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, frozen

from icefarm.contract import NAME_RULE, Role, normal_name, valid_account
from icefarm.errors import NotAuthorized

__all__ = ["OidcSettings", "account_in", "account_pairs", "role_in"]


@frozen
class OidcSettings:
    """The issuer, and how its claims are read."""

    issuer: str
    #: The farm's id at the issuer: a public client.
    client: str
    #: Whom tokens must be for; None: the client.
    audience: str | None = None
    scope: str = "openid profile email"
    account_claim: str = "preferred_username"
    group_claim: str = "groups"
    #: Only members sign in; None: everybody whom the issuer knows.
    group: str | None = None
    #: Members are operators; None: nobody is.
    operator_group: str | None = None
    #: Accounts of other names than the claim's, by the claim; also those that have tokens of the farm.
    accounts: Mapping[str, str] = Factory(dict)
    #: PEM file with the certificates to trust at the issuer; None: those that the system trusts.
    ca_file: str | None = None


def account_pairs(text: str) -> dict[str, str]:
    """Parse ``CLAIM=ACCOUNT,CLAIM=ACCOUNT``.  Raises ValueError with the end of a sentence."""
    pairs = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        claim, equals, account = pair.rpartition("=")
        account = normal_name(account.strip())
        if not equals or not claim.strip() or not valid_account(account):
            raise ValueError(f"must be CLAIM=ACCOUNT,CLAIM=ACCOUNT, not {pair!r}")
        pairs[claim.strip()] = account
    return pairs


def account_in(claims: Mapping[str, Any], settings: OidcSettings) -> tuple[str, bool]:
    """Return the account that claims name, and whether the operator mapped it.  Raises `NotAuthorized`."""
    claim = settings.account_claim
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise NotAuthorized(
            f"the token has no claim {claim!r}, which names the account; have the issuer put it into tokens, or choose "
            "another one with --oidc-account-claim"
        )
    if claim == "email" and claims.get("email_verified") is not True:
        raise NotAuthorized("the issuer has not verified the e-mail address that names the account")
    if value in settings.accounts:
        return settings.accounts[value], True
    account = normal_name(value)
    if not valid_account(account):
        raise NotAuthorized(
            f"{value!a:.100} can't be an account's name, which has {NAME_RULE}, and no /; an operator can map it with "
            "--oidc-accounts"
        )
    return account, False


def _groups(claims: Mapping[str, Any], settings: OidcSettings) -> list[object]:
    value = claims.get(settings.group_claim)
    return value if isinstance(value, list) else [value]


def role_in(claims: Mapping[str, Any], settings: OidcSettings) -> Role:
    """Return the role that claims give.  Raises `NotAuthorized` if they give none."""
    groups = _groups(claims, settings)
    if settings.operator_group is not None and settings.operator_group in groups:
        return Role.OPERATOR
    if settings.group is not None and settings.group not in groups:
        raise NotAuthorized(f"this farm is for members of {settings.group!r} (claim {settings.group_claim!r})")
    return Role.CLIENT
