"""Tokens: hard to guess, kept as a hash, and good for what their role says."""

from __future__ import annotations

import re

import pytest

from icefarm.contract import Role
from icefarm.control.sessions.sign_in.tokens import may_sign_in, new_token, token_hash


def test_a_token_is_recognisable_has_256_bits_and_is_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(re.fullmatch(r"icefarm_[A-Za-z0-9_-]{43}", token) for token in tokens)


def test_a_token_read_from_a_file_with_a_line_end_is_the_same_token() -> None:
    token = new_token()
    assert token_hash(token + "\n") == token_hash(token) != token_hash(new_token())
    assert token not in token_hash(token)


def test_text_that_is_no_text_has_a_hash_too() -> None:
    assert len(token_hash("\ud800")) == 64


@pytest.mark.parametrize(
    ("role", "opens"),
    [
        (Role.CLIENT, {Role.CLIENT}),
        (Role.WORKER, {Role.WORKER}),
        (Role.OPERATOR, {Role.CLIENT, Role.WORKER, Role.OPERATOR}),
        (Role.CONTROL, set()),
    ],
)
def test_a_role_opens_itself_and_an_operator_opens_all_but_control(role: Role, opens: set[Role]) -> None:
    assert {wanted for wanted in Role if may_sign_in(role, wanted)} == opens
