"""The dashboard of farms that are unlike the others: with hostile names, and empty ones that ask for a token."""

from __future__ import annotations

import pytest
from browser.conftest import Stages
from browser.looking import open_page, row
from playwright.sync_api import BrowserContext, Page, expect

pytestmark = pytest.mark.browser

HOSTILE = '<img src=x onerror="document.title=1">'


def test_names_are_text_and_never_markup(page: Page, stages: Stages) -> None:
    farm = stages.begin()
    farm.do("worker", name=f"w {HOSTILE}", serials=[f"s {HOSTILE}"])
    farm.do("client", name=f"c {HOSTILE}")
    fields = {"serials": [f"s {HOSTILE}"], "kind": "pulsecount"}
    farm.do("call", client=f"c {HOSTILE}", procedure="reserve", fields=fields)
    farm.do("log", worker=f"w {HOSTILE}", level="error", message=HOSTILE, serial=f"s {HOSTILE}")
    open_page(page, farm.url)
    expect(row(page, f"s {HOSTILE}")).to_contain_text(f"c {HOSTILE}")
    page.get_by_role("link", name=f"s {HOSTILE}", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Board s {HOSTILE}")
    expect(page).to_have_title(f"Board s {HOSTILE} · icefarm")
    for where in ("workers", "events", "queue"):
        page.goto(f"{farm.url}/#/{where}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        expect(page).to_have_title(f"{where.capitalize()} · icefarm")
    expect(page.locator("img:not(.brand img)")).to_have_count(0)


def test_a_farm_of_tokens_asks_for_one_and_an_empty_one_says_how_to_add_a_worker(
    context: BrowserContext, page: Page, stages: Stages
) -> None:
    farm = stages.begin("tokens")
    page.goto(farm.url)
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_role("button", name="Sign in with a token").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Token").fill(farm.token)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.locator(".command")).to_contain_text(f"twistd -n icefarm-worker --control {farm.url}")
    page.reload()
    expect(page.locator(".role")).to_have_text("operator")
    other = context.new_page()
    other.goto(farm.url)
    expect(other.get_by_role("heading", name="Sign in")).to_be_visible()
