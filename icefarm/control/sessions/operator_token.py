"""The operator's token of a farm: made at first start, kept in the data directory for whoever may read that."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from icefarm.contract import Role
from icefarm.control.sessions.tokens import new_token, token_hash
from icefarm.control.storage.interface import Store
from icefarm.errors import InvalidArgument
from icefarm.files import write_whole

__all__ = ["FILE_NAME", "TOKEN_NAME", "ensure_operator_token"]

FILE_NAME = "operator.token"
#: What the token is called in the list of tokens.
TOKEN_NAME = "operator"


async def ensure_operator_token(directory: Path, store: Store, generate: Callable[[], str] = new_token) -> bool:
    """See to it that the file holds a token that lets an operator in; tell whether it is a new one.

    A token in the file that the store does not know is made known (a farm with a new database), unless it was revoked;
    where the file is gone, the old token is revoked and another one made.  Raises OSError and what the store does.
    """
    path = directory / FILE_NAME
    token = _read(path)
    if token is not None:
        if await store.token_by_hash(token_hash(token)) is None:
            # Refused where the token was revoked, or another one has its name: then it opens nothing, as decided.
            with suppress(InvalidArgument):
                await store.add_token(TOKEN_NAME, Role.OPERATOR, token_hash(token))
        return False
    token = generate()
    if any(known.name == TOKEN_NAME for known in await store.list_tokens()):
        await store.revoke_token(TOKEN_NAME)
    # The file first: a token that the store knows and nobody has is of no use.
    write_whole(path, token + "\n", mode=0o600)
    await store.add_token(TOKEN_NAME, Role.OPERATOR, token_hash(token))
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
