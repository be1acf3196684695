"""The calendar of bookings, and the page that a teacher projects."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from browser.conftest import Stage
from browser.looking import at, confirm, open_page, sign_in, until, violations
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

#: The browser's zone (`browser.conftest.context`).
ZONE = ZoneInfo("Asia/Kolkata")


@pytest.fixture(scope="module")
def school(stage: Stage) -> Stage:
    """A class of three: one has two boards, one waits for them, one does nothing; and somebody else."""
    stage.do("worker", name="school", serials=["C1", "C2", "C3", "C4"])
    stage.do("group", name="class-a", accounts=["anna", "ben", "cleo"])
    for client in ("anna", "ben", "other"):
        stage.do("client", name=client)
    take_boards(stage)
    stage.do("call", client="other", procedure="reserve", fields={"serials": ["C3"], "kind": "pulsecount"})
    stage.do("measure", worker="school", experiment="lab", results=[("C1", None), ("C1", 5)])
    return stage


def take_boards(stage: Stage) -> None:
    """Let anna have two boards, and ben wait for one of them."""
    stage.do("call", client="anna", procedure="reserve", fields={"serials": ["C1", "C2"], "kind": "pulsecount"})
    wanted = {"serials": ["C1"], "kind": "pulsecount", "wait": True, "no_wait": True}
    stage.do("call", client="ben", procedure="reserve", fields=wanted)


def member(page: Page, account: str) -> Locator:
    return page.locator(".member").filter(has=page.get_by_role("link", name=account, exact=True))


def tomorrow_at(hour: int) -> datetime:
    return (datetime.now(ZONE) + timedelta(days=1)).replace(hour=hour, minute=0, second=0, microsecond=0)


def bookings(stage: Stage) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = stage.do("call", client="other", procedure="bookings", fields={})
    return found


# ----------------------------------------------------------------------------------------------------- the class


def test_the_page_shows_who_has_a_board_who_waits_and_what_failed(page: Page, school: Stage) -> None:
    open_page(page, school.url, "class?of=class-a")
    sign_in(page, school.token)
    expect(page.get_by_role("heading", level=1)).to_have_text("class-a")
    expect(page.locator(".member")).to_have_count(3)
    expect(member(page, "anna")).to_contain_text("2 boards")
    expect(member(page, "anna")).to_contain_text("The board failed")
    expect(member(page, "ben")).to_contain_text(re.compile(r"waits for \d+ s, place \d"))
    expect(member(page, "cleo")).to_contain_text("no board")
    expect(page.locator(".summary")).to_contain_text("1 of 3 accounts has boards · 1 waits, the longest for")
    until(page, "(token) => document.documentElement.outerHTML.includes(token)", False, school.token)


def test_it_is_live_and_narrowed_by_the_beginning_of_a_name(page: Page, school: Stage) -> None:
    open_page(page, school.url, "class")
    page.get_by_label("Group, or beginning of accounts").fill("cle")
    expect(page.locator(".member")).to_have_count(1)
    school.do("client", name="cleo")
    school.do("call", client="cleo", procedure="reserve", fields={"serials": ["C4"], "kind": "pulsecount"})
    expect(member(page, "cleo")).to_contain_text("1 board")
    school.do("call", client="cleo", procedure="end", fields={})
    expect(member(page, "cleo")).to_contain_text("no board")
    expect(page).to_have_url(at("#/class?of=cle"))


def test_who_is_no_operator_sees_no_failures_of_others_and_no_actions(page: Page, school: Stage) -> None:
    open_page(page, school.url, "class?of=class-a")
    expect(member(page, "anna")).to_contain_text("2 boards")
    expect(page.get_by_role("checkbox")).to_have_count(0)
    expect(page.locator(".failed")).to_have_count(0)


def test_an_operator_ends_all_of_the_accounts_that_are_chosen(page: Page, school: Stage) -> None:
    open_page(page, school.url, "class?of=class-a")
    sign_in(page, school.token)
    page.get_by_role("button", name="Select all").click()
    page.get_by_label("Select cleo").uncheck()
    page.get_by_role("button", name="End all of 2 accounts").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("anna, ben")
    dialog.get_by_role("button", name="End all of 2 accounts").click()
    expect(page.locator(".messages")).to_contain_text("All of 2 accounts has ended")
    expect(member(page, "anna")).to_contain_text("no board")
    expect(member(page, "ben")).to_contain_text("no board")
    take_boards(school)


def test_the_page_has_large_type_and_no_fault_of_accessibility(page: Page, school: Stage) -> None:
    open_page(page, school.url, "class?of=class-a")
    sign_in(page, school.token)
    expect(member(page, "cleo")).to_be_visible()
    # 24 pixels or more.
    expect(member(page, "cleo").locator(".name")).to_have_css("font-size", re.compile(r"^(2[4-9]|[3-9]\d)[.p]"))
    assert violations(page, "page") == []


# -------------------------------------------------------------------------------------------------- the calendar


def test_boards_are_booked_and_the_booking_is_cancelled_on_the_calendar(page: Page, school: Stage) -> None:
    begin = tomorrow_at(10)
    open_page(page, school.url, f"bookings?week={begin.date()}")
    expect(page.locator(".week")).to_contain_text("GMT+5:30")
    expect(page.get_by_text("Sign in to book boards")).to_be_visible()
    sign_in(page, school.token)
    form = page.get_by_role("form", name="Book boards")
    form.get_by_label("Boards").fill("2")
    form.get_by_label("From").fill(begin.strftime("%Y-%m-%dT%H:%M"))
    form.get_by_label("Hours").fill("2")
    form.get_by_label("For account or group").fill("class-a")
    form.get_by_role("button", name="Book").click()
    expect(page.locator(".messages")).to_contain_text("Booked: 2 boards for class-a")
    (made,) = bookings(school)
    assert (made["starts_at"], made["ends_at"] - made["starts_at"]) == (begin.timestamp(), 7200.0)
    block = page.locator(".calendar .booking")
    expect(block).to_have_text("class-a 2 boards")
    expect(page.locator(".booked")).to_contain_text(f"{begin:%Y-%m-%d} 10:00, 2 h")
    block.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Cancel the booking of 2 boards for class-a?")
    dialog.get_by_role("button", name="Cancel the booking of class-a").click()
    expect(block).to_have_count(0)
    assert bookings(school) == []


def test_what_cannot_be_booked_is_said_in_the_readers_time(page: Page, school: Stage) -> None:
    begin = tomorrow_at(14)
    fields = {"starts_at": begin.timestamp(), "seconds": 3600.0, "serials": ["C1"]}
    made = school.do("call", client="other", procedure="book", fields=fields)
    open_page(page, school.url, "bookings")
    sign_in(page, school.token)
    form = page.get_by_role("form", name="Book boards")
    form.get_by_label("Boards").fill("9999")
    form.get_by_label("From").fill(begin.strftime("%Y-%m-%dT%H:%M"))
    form.get_by_role("button", name="Book").click()
    expect(form.get_by_role("alert")).to_contain_text(f"C1 is booked for other from {begin:%Y-%m-%d} 14:00")
    school.do("call", client="other", procedure="cancel_bookings", fields={"ids": [made["id"]]})


def test_a_click_on_the_calendar_chooses_the_time_and_weeks_are_in_the_address(page: Page, school: Stage) -> None:
    open_page(page, school.url, "bookings?week=2030-01-02")
    sign_in(page, school.token)
    column = page.locator(".day .slots").nth(2)
    height = column.evaluate("node => node.clientHeight")
    column.click(position={"x": 20, "y": height * 9.6 / 24})
    expect(page.get_by_label("From")).to_have_value("2030-01-02T09:30")
    page.get_by_role("button", name="Week after").click()
    expect(page).to_have_url(at("week=2030-01-07"))
    page.get_by_role("button", name="This week").click()
    expect(page).to_have_url(at("#/bookings"))


#: Whether the only booking stands beside two hours, and its column beside midnight, to within a pixel or two.
BESIDE = """([begin, end]) => {
  const bookings = document.querySelectorAll(".calendar .booking");
  if (bookings.length !== 1) return `${bookings.length} bookings`;
  const block = bookings[0].getBoundingClientRect();
  const column = bookings[0].parentElement.getBoundingClientRect();
  const wanted = { "00:00": column.top, [begin]: block.top, [end]: block.bottom };
  const hours = [...document.querySelectorAll(".calendar .hours span")];
  const tops = Object.fromEntries(hours.map((hour) => [hour.innerText, hour.getBoundingClientRect().top]));
  return Object.keys(wanted).every((hour) => Math.abs(tops[hour] - wanted[hour]) <= 2) || { tops, wanted };
}"""


def test_a_booking_stands_beside_its_hours(page: Page, school: Stage) -> None:
    begin = tomorrow_at(14)
    fields = {"starts_at": begin.timestamp(), "seconds": 7200.0, "amount": 1}
    made = school.do("call", client="other", procedure="book", fields=fields)
    open_page(page, school.url, f"bookings?week={begin.date()}")
    until(page, BESIDE, True, ["14:00", "16:00"])
    school.do("call", client="other", procedure="cancel_bookings", fields={"ids": [made["id"]]})


def test_a_booking_that_another_makes_appears_and_the_calendar_is_accessible(page: Page, school: Stage) -> None:
    begin = tomorrow_at(8)
    open_page(page, school.url, f"bookings?week={begin.date()}")
    sign_in(page, school.token)
    expect(page.locator(".calendar .booking")).to_have_count(0)
    fields = {"starts_at": begin.timestamp(), "seconds": 3600.0, "amount": 1}
    school.do("call", client="other", procedure="book", fields=fields)
    expect(page.locator(".calendar .booking")).to_have_text("other 1 board")
    assert violations(page, "page") == []
    confirm(page, "Cancel the booking of other", "1 board for other")
    expect(page.locator(".calendar .booking")).to_have_count(0)


def test_boards_of_a_kind_are_booked_by_a_selector(page: Page, school: Stage) -> None:
    begin = tomorrow_at(16)
    open_page(page, school.url, "bookings")
    sign_in(page, school.token)
    form = page.get_by_role("form", name="Book boards")
    form.get_by_label("From").fill(begin.strftime("%Y-%m-%dT%H:%M"))
    form.get_by_label("Kind").fill("pulsecount")
    form.get_by_label("Where").fill("nothing_such=1")
    form.get_by_role("button", name="Book").click()
    expect(form.get_by_role("alert")).to_contain_text("where names 'nothing_such'")
    form.get_by_label("Where").fill("serial=C1")
    form.get_by_role("button", name="Book").click()
    expect(page.locator(".booked")).to_contain_text("1 board of kind pulsecount where serial=C1 for")
    (made,) = bookings(school)
    assert (made["kind"], made["where"], made["amount"]) == ("pulsecount", "serial=C1", 1)
    school.do("call", client="other", procedure="bookings", fields={})
    confirm(page, f"Cancel the booking of {made['account']}", "1 board")
    expect(page.locator(".booked")).to_have_count(0)
