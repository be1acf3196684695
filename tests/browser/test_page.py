"""The dashboard in a browser: keyboard, actions, accessibility, headers.

What takes no browser, such as filter, order, roles and events, is in frontend/test/views.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.request import urlopen

import pytest
from browser.conftest import Stage
from browser.looking import confirm, open_page, row, sign_in, tile, until, violations
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

PLACES = (
    *("boards", "compare", "workers", "queue", "bookings", "class", "usage", "events", "plots"),
    *("board/A1", "worker/pi1", "client/exp-42", "nothing"),
)


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Stage:
    """A farm with two workers, six boards, a client that holds one, and one that waits."""
    stage.do("worker", name="pi1", serials=["A1", "A2", "A3"])
    stage.do("worker", name="pi2", serials=["B1", "B2", "B3"])
    stage.do("client", name="exp-42")
    stage.do("call", client="exp-42", procedure="reserve", fields={"serials": ["A1"], "kind": "pulsecount"})
    stage.do("report", worker="pi2", serial="B3", status="broken", reason="CDONE stayed low")
    stage.do("calibrate", serial="A1", ppm=120.0)
    stage.do("calibrate", serial="B1", ppm=-900.0, suspect="offset -900 ppm at oscillator")
    stage.do("client", name="eve")
    wanted = {"serials": ["A1"], "kind": "pulsecount", "wait": True, "no_wait": True}
    stage.do("call", client="eve", procedure="reserve", fields=wanted)
    stage.do("count", worker="pi1", readings=[{"serial": "A1", "kind": "pulsecount"}])
    stage.do("count", worker="pi1", readings=[{"serial": "A1", "kind": "pulsecount", "evaluations": 50}])
    return stage


def events(page: Page) -> Locator:
    return page.locator("tbody tr")


# ------------------------------------------------------------------------------------------------- calibrations


def test_boards_are_compared_and_sorted_and_suspects_say_why(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    page.get_by_role("link", name="Compare boards").click()
    boards = page.locator("tbody th.board a")
    expect(boards).to_have_text(["A1", "B1"])
    page.get_by_role("button", name="Offset, ppm").click()
    expect(boards).to_have_text(["B1", "A1"])
    expect(page.locator("td.suspect").first).to_have_text("offset -900 ppm at oscillator")
    boards.first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("B1")
    expect(page.get_by_text("Suspect: offset -900 ppm at oscillator")).to_be_visible()
    expect(page.get_by_role("figure").filter(has_text="Deviation")).to_be_visible()


# ------------------------------------------------------------------------------------------- keyboard


def test_arrow_keys_go_from_board_to_board_and_enter_opens_one(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    page.get_by_role("link", name="A1", exact=True).focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Board A2")).to_be_focused()
    page.go_back()
    expect(page.get_by_role("link", name="A2", exact=True)).to_be_visible()


def test_an_action_can_be_taken_back_by_escape(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    button = page.get_by_role("button", name="End the reservation of board A1")
    button.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(button).to_be_focused()
    expect(row(page, "A1")).to_contain_text("reserved")


# ------------------------------------------------------------------------------------------------------- actions


def test_a_broken_board_is_tested_again(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    expect(row(page, "B3")).to_contain_text("CDONE stayed low")
    confirm(page, "Test board B3 again", "board B3")
    expect(page.locator(".messages")).to_contain_text("Board B3 is being tested")


def test_an_offline_board_is_deleted_and_leaves_the_table(page: Page, crowd: Stage) -> None:
    crowd.do("worker", name="pi9", serials=["Z1", "Z2"])
    crowd.do("report", worker="pi9", serial="Z1", status="offline", reason="not connected")
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    confirm(page, "Delete board Z1", "board Z1")
    expect(page.get_by_role("link", name="Z1", exact=True)).to_have_count(0)
    expect(row(page, "Z2")).to_be_visible()


def test_the_queue_says_why_and_a_request_is_removed(page: Page, crowd: Stage) -> None:
    crowd.do("client", name="mallory")
    wanted = {"serials": ["A1"], "kind": "pulsecount", "wait": True, "no_wait": True}
    open_page(page, crowd.url, "queue")
    sign_in(page, crowd.token)
    crowd.do("call", client="mallory", procedure="reserve", fields=wanted)
    waiting = page.get_by_role("row").filter(has_text="mallory")
    expect(waiting).to_contain_text("A1")
    confirm(page, "Remove the request of mallory", "client mallory (board A1)")
    expect(waiting).to_have_count(0)
    expect(page.get_by_role("row").filter(has_text="eve")).to_be_visible()


def test_a_servers_error_is_shown_by_its_name(page: Page, crowd: Stage) -> None:
    crowd.do("worker", name="pi8", serials=["Y1"])
    crowd.do("report", worker="pi8", serial="Y1", status="offline", reason="not connected")
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    page.get_by_role("button", name="Delete board Y1").click()
    crowd.do("report", worker="pi8", serial="Y1", status="available")
    page.get_by_role("dialog").get_by_role("button", name="Delete board Y1").click()
    expect(page.get_by_role("alert").filter(has_text="invalid_argument")).to_contain_text("Y1")


def test_a_reservation_of_several_boards_is_one_event(page: Page, crowd: Stage) -> None:
    crowd.do("worker", name="pi6", serials=["W1", "W2", "W3"])
    crowd.do("client", name="one-story")
    open_page(page, crowd.url, "events?q=client:one-story")
    reserve = {"serials": ["W1", "W2", "W3"], "kind": "pulsecount"}
    crowd.do("call", client="one-story", procedure="reserve", fields=reserve)
    expect(events(page)).to_have_count(1)
    expect(events(page)).to_contain_text("one-story has reserved 3 boards as pulsecount")
    crowd.do("call", client="one-story", procedure="end", fields={"serials": ["W1", "W2", "W3"]})
    expect(events(page)).to_contain_text("one-story had reserved 3 boards as pulsecount for")
    expect(events(page)).to_have_count(1)
    events(page).locator("summary").click()
    expect(events(page).locator("li").filter(has_text="W2 reserved as pulsecount by one-story")).to_have_count(1)


def test_a_token_that_the_farm_does_not_know_is_refused(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Sign in with a token")
    dialog.get_by_label("Token").fill("guessed")
    dialog.get_by_role("button", name="Sign in").click()
    expect(dialog.get_by_role("alert")).to_contain_text("not_authorized")
    expect(row(page, "A1")).to_contain_text("reserved")


def test_the_router_itself_refuses_an_operators_procedure_to_a_client(crowd: Stage) -> None:
    for procedure, fields in (
        ("end_any", {"serials": ["A1"]}),
        ("dismiss", {"ids": ["x"]}),
        ("drain", {"worker": "pi1"}),
    ):
        with pytest.raises(AssertionError, match="the router does not allow it"):
            crowd.do("call", client="exp-42", procedure=procedure, fields=fields)


# ------------------------------------------------------------------------------------------------- what it shows


def test_figures_count_boards_workers_and_who_waits(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url)
    # A rate is that of the last heartbeat, and boards that it does not speak of did nothing.
    crowd.do("count", worker="pi2", readings=[{"serial": "B1", "kind": "variance", "evaluations": 50}])
    expect(tile(page, "Evaluations/s")).not_to_have_text("0")
    expect(tile(page, "Waiting")).to_have_text(re.compile(r"^[1-9]"))
    expect(tile(page, "Unhealthy")).to_have_text(re.compile(r"^[1-9]"))


def test_plots_are_full_when_the_page_is_opened(page: Page, crowd: Stage) -> None:
    open_page(page, crowd.url, "plots")
    expect(page.locator(".plot canvas")).to_have_count(5)
    page.get_by_role("button", name="24 h").click()
    plot = page.get_by_role("img", name="Boards by state")
    expect(plot).to_have_attribute("aria-label", re.compile(r"reserved \d"), timeout=20_000)


def test_a_narrow_screen_needs_no_sideways_scrolling(page: Page, crowd: Stage) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    for where in PLACES:
        open_page(page, crowd.url, where)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        until(page, "() => document.documentElement.scrollWidth > 360 && location.hash", False)


# The other scheme has other colours, and nothing else.
@pytest.mark.parametrize(("scheme", "rules"), [("light", ()), ("dark", ("color-contrast", "link-in-text-block"))])
def test_axe_finds_nothing(page: Page, crowd: Stage, scheme: Any, rules: tuple[str, ...]) -> None:
    page.emulate_media(color_scheme=scheme)
    found = []
    for where in PLACES:
        open_page(page, crowd.url, where)
        expect(page.get_by_role("heading", level=1)).to_be_attached()
        found += violations(page, where, *rules)
    page.get_by_role("button", name="Sign in").click()
    found += violations(page, "sign-in", *rules)
    page.keyboard.press("Escape")
    sign_in(page, crowd.token)
    open_page(page, crowd.url)
    page.get_by_label("Select all that are shown").check()
    found += violations(page, "operator", *rules)
    page.set_viewport_size({"width": 360, "height": 740})
    found += violations(page, "operator, narrow", *rules)
    assert found == []


def test_headers_are_strict_and_nothing_comes_from_elsewhere(page: Page, crowd: Stage) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    open_page(page, crowd.url)
    assert all(url.startswith(crowd.url) for url in asked)
    with urlopen(f"{crowd.url}/") as answer:
        policy = answer.headers["Content-Security-Policy"]
        text = answer.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "style=" not in text
    assert text.count("<script") == text.count('<script type="module" crossorigin src="./assets/')
    with urlopen(f"{crowd.url}/licenses.md") as answer:
        assert b"autobahn" in answer.read()


def test_metrics_are_to_be_had_on_the_farms_one_port(crowd: Stage) -> None:
    with urlopen(f"{crowd.url}/metrics") as answer:
        text = answer.read().decode()
    assert 'icefarm_boards{state="reserved"}' in text
    assert 'icefarm_evaluations_total{kind="pulsecount"} 50.0' in text
