"""The page behind a reverse proxy that puts a path before it: a real nginx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from browser.conftest import Stage
from browser.crowds import Crowd, gather
from browser.looking import open_page, row, sign_in
from nginx import nginx
from playwright.sync_api import Page, expect

from icefarm.testing.processes.router import free_port

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    return gather(stage, 4)


@pytest.fixture(scope="module")
def prefixed(crowd: Crowd) -> Iterator[str]:
    """The address of the farm behind nginx, with a path of two parts."""
    with nginx(free_port(), urlsplit(crowd.url).netloc) as url:
        yield url


def test_the_page_is_live_under_a_path(page: Page, crowd: Crowd, prefixed: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    open_page(page, prefixed)
    expect(row(page, crowd.busy)).to_contain_text("reserved")
    assert all(url.startswith(f"{prefixed}/") for url in asked), asked
    assert f"{prefixed}/ws" in asked


def test_an_operator_acts_under_a_path(page: Page, crowd: Crowd, prefixed: str) -> None:
    open_page(page, prefixed, "workers")
    expect(page.locator(".command")).to_contain_text(f"--control {prefixed} ")
    sign_in(page, crowd.token)
    page.get_by_role("button", name="Drain worker lab-2").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain worker lab-2").click()
    expect(page.locator("tbody")).to_contain_text("online, draining")


def test_an_unknown_address_under_a_path_leads_back_to_the_page(page: Page, prefixed: str) -> None:
    page.goto(f"{prefixed}/some/where")
    page.get_by_role("link", name="first page").click()
    expect(page.locator(".tile").first).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(f"{prefixed}/")))
