"""Options of the acceptance tests, and the farm that they are run against."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from icefarm.client import Boards, Farm
from icefarm.testing.processes.farm_process import FarmProcess

#: Seconds to wait for boards that somebody else is about to give back, and that are flashed first.
RESERVE_LIMIT = 90.0
#: Boards of the farm that is started where no --url is given: one to spare, for the tests that want others' boards.
OWN_BOARDS = 3


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("icefarm", "acceptance of a live farm")
    group.addoption("--url", help="the farm; without it, one of virtual boards is started")
    group.addoption("--token-file", type=Path, help="sign in with the token in this file")
    group.addoption("--devices", type=int, default=2, help="how many boards the tests may reserve (default: 2)")


@pytest.fixture(scope="session")
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    # Where other tests are run too, these options are not there, and a farm is started.
    given: str | None = request.config.getoption("--url", default=None)
    if given is not None:
        yield given
        return
    directory = Path(tempfile.mkdtemp(prefix="icefarm-"))
    arguments = ("--listen", "127.0.0.1:0", "--boards", str(OWN_BOARDS), "--speed", "20", "--name", "acceptance")
    try:
        with FarmProcess(directory / "data", arguments) as farm:
            farm.wait_until_ready()
            yield farm.url
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def token(request: pytest.FixtureRequest) -> str | None:
    path: Path | None = request.config.getoption("--token-file", default=None)
    return None if path is None else path.read_text().strip()


@pytest.fixture(scope="session")
def amount(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--devices", default=2))


@pytest.fixture
def farm(url: str, token: str | None) -> Iterator[Farm]:
    with Farm(url, f"acceptance-{uuid4().hex[:8]}", token=token, connect_timeout=15) as farm:
        yield farm


@pytest.fixture
def stranger(url: str, token: str | None) -> Iterator[Farm]:
    """Another client of the same farm."""
    with Farm(url, f"acceptance-other-{uuid4().hex[:8]}", token=token, connect_timeout=15) as farm:
        yield farm


@pytest.fixture
def boards(farm: Farm, amount: int) -> Iterator[Boards]:
    with farm.reserve(amount, wait=True, timeout=RESERVE_LIMIT, window=0.1) as boards:
        yield boards
