"""The farm's operator token: created at first start, and kept in the data directory."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from icefarm.contract import Role
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.control.storage.interface import Store
from icefarm.errors import InvalidArgument
from icefarm.system.files import write_whole

__all__ = ["FILE_NAME", "TOKEN_NAME", "ensure_operator_token", "ensure_token_file"]

FILE_NAME = "operator.token"
#: The token's name in the list of tokens.
TOKEN_NAME = "operator"


async def ensure_operator_token(directory: Path, store: Store, generate: Callable[[], str] = new_token) -> bool:
    """Ensure that the directory holds a valid operator token; tell whether it is a new one.

    Raises OSError and what the store does.
    """
    return await ensure_token_file(directory / FILE_NAME, store, TOKEN_NAME, Role.OPERATOR, TOKEN_NAME, generate)


async def ensure_token_file(
    path: Path, store: Store, name: str, role: Role, account: str, generate: Callable[[], str] = new_token
) -> bool:
    """Ensure that a file holds a token of an account; tell whether it is a new one.

    If the store does not know the file's token (a farm with a new database), it is added, unless it was revoked.  If
    the file is gone, the old token is revoked and a new one created.  Raises OSError and what the store does.
    """
    token = _read(path)
    if token is not None:
        if await store.token_by_hash(token_hash(token)) is None:
            # Refused if the token was revoked, or another one has its name: then it stays invalid, as decided.
            with suppress(InvalidArgument):
                await store.add_token(name, role, token_hash(token), account=account)
        return False
    token = generate()
    if any(known.name == name for known in await store.list_tokens()):
        await store.revoke_token(name)
    # The file first: a token that is only in the store is useless.
    write_whole(path, token + "\n", mode=0o600)
    await store.add_token(name, role, token_hash(token), account=account)
    return True


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip() or None
    except FileNotFoundError:
        return None
