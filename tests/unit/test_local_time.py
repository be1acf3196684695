"""Times as people write and read them."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.errors import InvalidArgument
from icefarm.text.local_time import in_zone, parse_time, stay_until, utc, written

BERLIN = ZoneInfo("Europe/Berlin")


def at(*when: int) -> float:
    return datetime(*when, tzinfo=UTC).timestamp()  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("2026-12-01 10:00", at(2026, 12, 1, 9)),
        ("2026-07-01T10:00", at(2026, 7, 1, 8)),
        (" 2026-12-01 10:00+01:00 ", at(2026, 12, 1, 9)),
        ("2026-12-01 10:00 UTC", at(2026, 12, 1, 10)),
        ("2026-12-01T10:00Z", at(2026, 12, 1, 10)),
    ],
)
def test_a_time_is_of_the_zone_unless_it_says_another(text: str, when: float) -> None:
    assert parse_time(text, BERLIN) == when


def test_a_time_that_clocks_leave_out_is_refused_with_those_around_it() -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_time("2027-03-28 02:30", BERLIN)
    assert str(raised.value) == (
        "there is no 2027-03-28 02:30 in Europe/Berlin: clocks are put forward from CET to CEST; write 01:30 or 03:30"
    )
    assert parse_time("2027-03-28 03:30", BERLIN) - parse_time("2027-03-28 01:30", BERLIN) == 3600.0


def test_a_time_that_comes_twice_is_refused_with_both_ways_to_write_it() -> None:
    with pytest.raises(InvalidArgument) as raised:
        parse_time("2026-10-25 02:30", BERLIN)
    assert "2026-10-25 02:30+02:00 for the first (CEST)" in str(raised.value)
    assert "2026-10-25 02:30+01:00 for the second (CET)" in str(raised.value)
    first, second = parse_time("2026-10-25 02:30+02:00", BERLIN), parse_time("2026-10-25 02:30+01:00", BERLIN)
    assert second - first == 3600.0
    assert (written(first, BERLIN), written(second, BERLIN)) == (
        "Sun 2026-10-25 02:30 CEST",
        "Sun 2026-10-25 02:30 CET",
    )


@pytest.mark.parametrize("text", ["", "tomorrow", "10:00", "2026-12-01", "2026-13-01 10:00", "2026-12-01 25:00"])
def test_what_is_no_date_and_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(InvalidArgument, match="2026-12-01 10:00"):
        parse_time(text, BERLIN)


@given(
    st.integers(0, 4 * 10**9 // 60),
    st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
)
def test_what_is_written_is_read_as_the_same_time_or_refused_as_double(minutes: int, name: str) -> None:
    zone, seconds = ZoneInfo(name), minutes * 60.0
    moment = datetime.fromtimestamp(seconds, zone)
    if moment.utcoffset() != moment.replace(fold=1 - moment.fold).utcoffset():
        with pytest.raises(InvalidArgument, match="comes twice"):
            parse_time(moment.strftime("%Y-%m-%d %H:%M"), zone)
    else:
        assert parse_time(moment.strftime("%Y-%m-%d %H:%M"), zone) == seconds


def test_times_in_texts_of_the_farm_are_shown_in_the_zone() -> None:
    words = "2 boards are booked for class-a from 2026-12-01 09:00 UTC until 2026-12-01 11:00 UTC"
    assert in_zone(words, BERLIN) == (
        "2 boards are booked for class-a from 2026-12-01 10:00 CET until 2026-12-01 12:00 CET"
    )


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
def test_a_time_of_the_farm_is_in_utc_wherever_its_machine_is(monkeypatch: pytest.MonkeyPatch, zone: str) -> None:
    try:
        with monkeypatch.context() as here:
            here.setenv("TZ", zone)
            time.tzset()
            assert utc(1_795_912_200.0) == "2026-11-29 00:30 UTC"
    finally:
        time.tzset()


@pytest.mark.parametrize(("serials", "stay"), [(["A"], "A stays"), (["A", "B"], "A, B stay")])
def test_boards_that_cannot_be_kept_longer_are_said_with_the_reason(serials: list[str], stay: str) -> None:
    assert (
        stay_until(serials, utc(1_795_912_200.0), "booked")
        == f"{stay} reserved until 2026-11-29 00:30 UTC only: booked"
    )
