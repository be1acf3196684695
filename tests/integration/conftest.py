"""Real parts for integration tests: they run once for all tests, on free ports and in a directory of their own."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import blockon
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from icefarm.testing.router import RealRouter


@pytest.fixture(scope="session")
def short_directory() -> Iterator[Path]:
    """A directory whose path is short enough for Unix sockets."""
    path = Path(tempfile.mkdtemp(prefix="icefarm-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def router(short_directory: Path) -> Iterator[RealRouter]:
    running = blockon(ensureDeferred(RealRouter.start(reactor, short_directory / "router-data")))
    yield running
    blockon(ensureDeferred(running.stop()))
