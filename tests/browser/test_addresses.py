"""What a reader chooses stands in the address: Back restores it, a shared link shows it; every name leads somewhere."""

from __future__ import annotations

import re

import pytest
from browser.conftest import Stage
from browser.crowds import Crowd, gather
from browser.looking import at, open_page, until
from playwright.sync_api import BrowserContext, Locator, Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    return gather(stage, 64)


def serials(page: Page) -> Locator:
    return page.locator("tbody th.serial a")


def test_boards_that_need_somebody_come_first(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url)
    for place, state in enumerate(("✕broken", "–offline", "●reserved")):
        expect(page.locator("tbody td.state").nth(place)).to_have_text(state)
    expect(serials(page).first).to_have_text(crowd.broken)


def test_filter_and_order_survive_back_and_a_shared_link(page: Page, context: BrowserContext, crowd: Crowd) -> None:
    open_page(page, crowd.url)
    page.get_by_label("Filter").fill("worker:lab-1 client:exp-42")
    page.get_by_role("button", name="Board").click()
    page.get_by_role("button", name="Board").click()
    expect(serials(page)).to_have_count(8)
    before = sorted(serials(page).all_inner_texts(), reverse=True)
    expect(serials(page)).to_have_text(before)
    expect(page).to_have_url(re.compile("filter=.*&sort=-serial$"))
    address = page.url
    page.get_by_role("link", name=before[3], exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(before[3])
    page.go_back()
    expect(page.get_by_label("Filter")).to_have_value("worker:lab-1 client:exp-42")
    expect(serials(page)).to_have_text(before)
    other = context.new_page()
    other.goto(address)
    expect(other.get_by_role("link", name=before[0], exact=True)).to_be_visible()
    expect(serials(other)).to_have_text(before)


def test_typing_a_filter_is_no_step_that_back_takes_back_letter_by_letter(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, "queue")
    page.get_by_role("link", name="Boards", exact=True).click()
    page.get_by_label("Filter").press_sequentially("lab-1")
    page.go_back()
    expect(page.get_by_role("heading", name="Queue")).to_be_visible()


def test_back_returns_to_where_the_reader_had_scrolled(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, "boards?sort=serial")
    page.evaluate("window.scrollTo(0, 1500)")
    page.wait_for_function("() => history.state?.scroll === 1500")
    page.locator("tbody th.serial a").nth(20).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Board")
    until(page, "() => window.scrollY", 0)
    page.go_back()
    until(page, "() => window.scrollY", 1500)


@pytest.mark.parametrize(
    ("where", "title"),
    [
        ("boards", "Boards"),
        ("queue", "Queue"),
        ("worker/lab-1", "Worker lab-1"),
        ("client/exp-42", "Client exp-42"),
        ("nowhere", "Not found"),
    ],
)
def test_titles_name_the_view(page: Page, crowd: Crowd, where: str, title: str) -> None:
    open_page(page, crowd.url, where)
    expect(page).to_have_title(f"{title} · icefarm")


@pytest.mark.parametrize(
    ("tile", "where"),
    [
        ("Boards in use", "#/boards?filter=-client%3A"),
        ("Waiting", "#/queue"),
        ("Workers", "#/workers"),
        ("Unhealthy", "#/boards?filter=state%3Abroken%2Coffline"),
        ("Evaluations/s", "#/plots"),
    ],
)
def test_a_figure_leads_to_what_it_counts(page: Page, crowd: Crowd, tile: str, where: str) -> None:
    open_page(page, crowd.url)
    page.locator(".tile").filter(has_text=tile).click()
    expect(page).to_have_url(at(where))


def test_the_unhealthy_boards_of_the_figure_are_those_two(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url)
    page.locator(".tile").filter(has_text="Unhealthy").click()
    expect(serials(page)).to_have_count(2)
    expect(serials(page).filter(has_text=crowd.broken)).to_have_count(1)


def test_names_lead_to_their_pages(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, f"board/{crowd.busy}")
    page.locator(".facts").get_by_role("link", name="exp-42").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Client exp-42")
    expect(page.locator("tbody th.serial")).to_have_count(8)
    page.go_back()
    page.locator(".facts").get_by_role("link", name="lab-1").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Worker lab-1")
    page.go_back()
    page.locator(".facts").get_by_role("link", name="pulsecount").click()
    expect(page.get_by_label("Filter")).to_have_value("kind:pulsecount")


def test_an_address_that_no_page_has_says_so(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, "nowhere")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    expect(page.locator("main")).to_contain_text("nowhere")
    open_page(page, crowd.url, "board/0000")
    expect(page.locator("main")).to_contain_text("The farm has no board 0000.")


def test_a_path_that_the_farm_does_not_have_is_a_page_with_a_way_back(page: Page, crowd: Crowd) -> None:
    answer = page.goto(f"{crowd.url}/some/where")
    assert answer is not None
    assert answer.status == 404
    expect(page.locator("main")).to_contain_text("There is nothing at /some/where")
    page.get_by_role("link", name="first page").click()
    expect(page.locator(".tile").first).to_be_visible()


def test_a_reader_says_whose_boards_come_first(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url)
    page.get_by_label("Your client").fill("ada-lovelace-night-run")
    expect(page.locator("tbody tr").first).to_contain_text("ada-love")
    page.reload()
    expect(page.locator("tbody tr").first).to_contain_text("ada-love")
    page.get_by_label("Your client").fill("")
    expect(page.locator("tbody tr").first).to_contain_text("broken")


def test_a_serial_is_copied(page: Page, context: BrowserContext, crowd: Crowd) -> None:
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    open_page(page, crowd.url, f"board/{crowd.busy}")
    page.get_by_role("button", name="Copy the serial").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    page.wait_for_function("async (text) => await navigator.clipboard.readText() === text", arg=crowd.busy)


def test_a_command_is_copied_where_browsers_offer_no_clipboard(page: Page, crowd: Crowd) -> None:
    page.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    open_page(page, crowd.url, "workers")
    page.get_by_role("button", name="Copy the command").click()
    expect(page.get_by_text("Copied")).to_be_visible()
    page.get_by_role("link", name="Boards", exact=True).click()
    page.get_by_label("Filter").focus()
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Filter")).to_have_value(re.compile(re.escape(f"--control {crowd.url}")))
