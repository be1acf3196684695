"""The kind on virtual boards, which run the real firmware."""

from __future__ import annotations

import os

import pytest
from icefarm_frequency import kind

from icefarm.errors import InvalidArgument

CIRCUIT = os.environ.get("CIRCUIT", "../circuits/square_2khz.bin")

pytestmark = pytest.mark.icefarm(boards=1, kinds=[kind.Frequency])


@pytest.fixture
def boards(icefarm_client):
    with icefarm_client.reserve(1, kind="frequency", window=0.05) as boards:
        yield boards


def test_a_square_wave_of_2_khz_has_2_khz(boards):
    (result,) = boards.evaluate([CIRCUIT])
    assert result.value == [pytest.approx(2000, rel=0.02)]


def test_each_window_has_a_value(boards):
    (result,) = boards.evaluate([CIRCUIT], options={"windows": 3})
    assert len(result.value) == 3
    assert result.measurement.options == {"window": 0.05, "windows": 3}


def test_options_of_an_evaluation_are_checked(boards):
    (result,) = boards.evaluate([CIRCUIT], options={"windows": 0})
    assert isinstance(result.error, InvalidArgument)


def test_options_of_a_reservation_are_checked(icefarm_client):
    with pytest.raises(InvalidArgument, match="window"):
        icefarm_client.reserve(1, kind="frequency", window=2.0)
