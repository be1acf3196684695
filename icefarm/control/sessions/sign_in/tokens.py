"""Pure except for the source of randomness.  Tokens with which clients, workers and operators sign in.

A token is 256 random bits, so it can't be guessed, nor found from its hash by trying: a plain SHA-256 is right here,
and the slow, salted hashes that passwords need would only make every sign-in slow. A token is looked up by its hash,
so no comparison of secrets takes a time that depends on how much of one was guessed.
"""

from __future__ import annotations

import hashlib
import secrets

from icefarm.contract import Role

__all__ = ["may_sign_in", "new_token", "token_hash"]

#: A prefix by which users, and scanners for leaked secrets, recognise a token.
_PREFIX = "icefarm_"
_RANDOM_BYTES = 32


def new_token() -> str:
    """Return a new token: ``icefarm_`` and 43 characters that are safe in a URL and on a command line."""
    return _PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


def token_hash(token: str) -> str:
    """Return a token's stored form: its SHA-256, hexadecimal.  Surrounding white space does not count."""
    return hashlib.sha256(token.strip().encode("utf-8", "replace")).hexdigest()


def may_sign_in(role: Role, wanted: Role) -> bool:
    """Tell whether a token of that role admits its holder to the wanted one.

    A role admits to itself; an operator may sign in as anything except control, which has its own ticket.
    """
    return wanted is not Role.CONTROL and (role is wanted or role is Role.OPERATOR)
