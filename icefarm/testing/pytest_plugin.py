"""The pytest plug-in: an in-memory farm as a fixture.  pytest finds it wherever icefarm is installed.

It imports nothing else before a test asks for a farm, so that applications can choose their own reactor first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from icefarm.client import Farm
    from icefarm.testing.in_memory import FarmInMemory

__all__ = ["icefarm_client", "icefarm_farm"]

_MARKER = "icefarm(boards=2, **options): what farm the test needs; options as of icefarm.testing.in_memory.FarmInMemory"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", _MARKER)


@pytest.fixture
def icefarm_farm(request: pytest.FixtureRequest) -> Iterator[FarmInMemory]:
    """A farm of virtual boards for this test alone, as its marker ``icefarm`` says."""
    from icefarm.testing.in_memory import FarmInMemory
    from icefarm.virtual.images import MissingBoards

    marker = request.node.get_closest_marker("icefarm")
    farm = FarmInMemory(**({} if marker is None else marker.kwargs))
    try:
        farm.start()
    except MissingBoards as error:
        pytest.fail(str(error), pytrace=False)
    yield farm
    farm.stop()


@pytest.fixture
def icefarm_client(icefarm_farm: FarmInMemory) -> Farm:
    """A client of that farm, named ``test``; it is closed with the farm."""
    return icefarm_farm.client()
