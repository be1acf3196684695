"""How fast an experiment goes, which says how long it will take."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from icefarm.control.archive.activity import LEAST, Activity
from icefarm.control.telemetry.events import MeasurementsArchived

KEY = ("ada", "ga-7")


def goes(activity: Activity, clock: Clock, batches: int, count: int, every: float = 2.0) -> None:
    for _ in range(batches):
        activity.heard(archived(count))
        clock.advance(every)


@pytest.mark.parametrize("batches", [5, 15, 30, 100])
def test_an_even_run_has_its_rate_soon_after_its_beginning(batches: int) -> None:
    clock = Clock()
    activity = Activity(clock)
    goes(activity, clock, batches, 800)
    # A part of a batch is always on its way.
    assert activity.rate(KEY) == pytest.approx(400.0, rel=1 / min(batches, 30) + 0.001)


def test_a_run_that_goes_on_after_a_pause_begins_anew() -> None:
    clock = Clock()
    activity = Activity(clock)
    goes(activity, clock, 30, 20)
    clock.advance(100.0)
    assert activity.rate(KEY) == 0.0
    goes(activity, clock, 10, 800)
    assert activity.rate(KEY) == pytest.approx(400.0, rel=0.101)


def test_batches_of_several_workers_at_one_time_are_no_rate() -> None:
    clock = Clock()
    activity = Activity(clock)
    goes(activity, clock, 2, 500, every=0.01)
    assert activity.rate(KEY) <= 500 / LEAST


def test_few_results_far_apart_stay_few() -> None:
    clock = Clock()
    activity = Activity(clock)
    goes(activity, clock, 5, 1, every=100.0)
    activity.heard(archived(1))
    assert activity.rate(KEY) == pytest.approx(1 / 60)


def test_a_run_that_has_ended_fades_within_a_minute() -> None:
    clock = Clock()
    activity = Activity(clock)
    goes(activity, clock, 10, 800)
    rates = []
    for _ in range(7):
        rates.append(activity.rate(KEY))
        clock.advance(10.0)
    assert rates == sorted(rates, reverse=True)
    assert activity.rate(KEY) == 0.0


def archived(count: int) -> MeasurementsArchived:
    return MeasurementsArchived("w1", {KEY: count}, 0, 0, 0, 0)
