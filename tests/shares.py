"""A pytest plugin that runs one share of the test files: ``--share 1/2`` the first of two.

Processes that each run a share of their own take less CPU time than pytest-xdist, which has every process collect all
tests, and passes three reports of each test on: a fifth of that of the unit tests.  Which files a share has follows
from their names alone, so shares that run at different times have every file once between them.

They write into one memory of what has failed, for ``pytest --lf``.  Each has read it at its beginning and would write
at its end what it knows, which is nothing of the others; so each leaves what they have written of their own files.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest
from attrs import frozen

__all__ = ["Share", "shared_out"]

#: Seconds of the files that take the most, by work or by waiting, for the balance; others take about `USUAL`.
LONG: Mapping[str, float] = {
    "test_runs_client.py": 9,
    "test_several_routers.py": 3,
    "test_runs_replay.py": 3,
    "test_echo.py": 2,
    "test_http_api.py": 2,
    "test_control_sharing.py": 2,
    "test_bitstream.py": 1.5,
    "test_bitstream_others.py": 1,
    "test_cli_experiments.py": 1,
    "test_cli_reading.py": 1,
    "test_client_session.py": 1,
    "test_control_oidc.py": 1,
    "test_release_tools.py": 1,
    "test_suites.py": 1,
}
USUAL = 0.2
#: What pytest remembers for ``--lf``: the tests that have failed.
_FAILED = "cache/lastfailed"


def shared_out(files: Iterable[Path], shares: int) -> list[set[Path]]:
    """Return the files of each share: the longest first, each where least is so far."""
    shared: list[set[Path]] = [set() for _ in range(shares)]
    seconds = [0.0] * shares
    for file in sorted(files, key=lambda each: (-LONG.get(each.name, USUAL), each.name, each)):
        least = seconds.index(min(seconds))
        shared[least].add(file)
        seconds[least] += LONG.get(file.name, USUAL)
    return shared


@frozen
class Share:
    """Passes over the files of the other shares."""

    _others: frozenset[Path]

    @classmethod
    def parse(cls, words: str, places: Sequence[Path]) -> Share:
        """Read ``NUMBER/SHARES``: a share of the test files below these directories.  Raises UsageError."""
        number, _, shares = words.partition("/")
        if not (number.isdecimal() and shares.isdecimal() and 1 <= int(number) <= int(shares)):
            raise pytest.UsageError(f"--share takes NUMBER/SHARES, such as 1/2, not {words}")
        files = {file.resolve() for place in places for file in place.rglob("test_*.py")}
        shared = shared_out(files, int(shares))
        return cls(frozenset(files - shared[int(number) - 1]))

    @pytest.hookimpl
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        return True if collection_path.resolve() in self._others else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        cache = session.config.cache if session.config.pluginmanager.hasplugin("cacheprovider") else None
        if cache is None:
            return (yield)
        with (cache.mkdir("shares") / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            before = cache.get(_FAILED, {})
            result = yield
            failed = {test: True for test in cache.get(_FAILED, {}) if not self._is_others(session, test)}
            cache.set(_FAILED, failed | {test: True for test in before if self._is_others(session, test)})
        return result

    def _is_others(self, session: pytest.Session, test: str) -> bool:
        return (session.config.rootpath / test.partition("::")[0]).resolve() in self._others
