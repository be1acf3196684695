"""A process may have as many files open as it takes, where its hard limit allows that."""

from __future__ import annotations

import resource

import pytest

from icefarm.system.open_files import allow_open_files

NO_LIMIT = resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("soft", "hard", "after"),
    [
        (1_024, 20_000, 8_000),
        (1_024, 4_096, 4_096),
        (1_024, NO_LIMIT, 8_000),
        (10_000, 20_000, 10_000),
        (4_096, 4_096, 4_096),
        (NO_LIMIT, NO_LIMIT, NO_LIMIT),
    ],
)
def test_the_soft_limit_is_raised_as_far_as_the_hard_one_allows_and_never_lowered(
    soft: int, hard: int, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {resource.RLIMIT_NOFILE: (soft, hard)}
    monkeypatch.setattr(resource, "getrlimit", limits.__getitem__)
    monkeypatch.setattr(resource, "setrlimit", limits.__setitem__)
    allow_open_files(8_000)
    assert limits == {resource.RLIMIT_NOFILE: (after, hard)}
