"""The page signs in at a lab's own issuer (`tests/issuer`): the code flow with PKCE, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from browser.looking import until
from oidc_issuer import IssuerProcess
from playwright.sync_api import Page, expect

from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = [pytest.mark.integration, pytest.mark.browser]

#: Seconds that the issuer's tokens last: so short that the page refreshes one during a test.
LIFETIME = 15
#: Milliseconds for that, and for the pages of the issuer.
PATIENCE = 30_000

#: The token that the tab keeps; and once it is not this one any more.
TICKET = "() => JSON.parse(sessionStorage.getItem('icefarm.session'))?.ticket"
OTHER = f"(last) => {{ const now = ({TICKET})(); return now !== last && now; }}"


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarmProcess]:
    with IssuerProcess(LIFETIME) as issuer:
        options = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "1", "--name", "w1")
        oidc = ("--oidc-issuer", issuer.url, "--oidc-client", "icefarm", "--oidc-operator-group", "operators")
        with FarmProcess(tmp_path_factory.mktemp("issuer") / "farm", (*options, *oidc)) as running:
            running.wait_until_ready()
            yield running


def sign_in(page: Page, url: str, name: str) -> None:
    page.goto(url)
    page.get_by_role("button", name=re.compile("Sign in at 127.0.0.1")).click()
    page.locator("input[name=login]").fill(name)
    page.locator("input[name=password]").fill("any")
    page.get_by_role("button", name="Sign-in").click()
    page.get_by_role("button", name="Continue").click()


def test_a_reader_signs_in_at_the_issuer_and_stays_signed_in_when_the_token_expires(
    page: Page, farm: FarmProcess
) -> None:
    sign_in(page, f"{farm.url}/#/workers", "ada")
    expect(page.locator(".role")).to_have_text("ada", timeout=PATIENCE)
    # Back where the reader was, and the code is not left in the address.
    expect(page).to_have_url(re.compile(r"^http://127\.0\.0\.1:\d+/#/workers$"))
    expect(page.get_by_role("heading", name="Workers")).to_be_visible()
    first = page.wait_for_function(TICKET).json_value()
    second = page.wait_for_function(OTHER, arg=first, timeout=PATIENCE).json_value()
    expect(page.locator(".role")).to_have_text("ada")
    # A reload goes on with what the tab keeps.
    page.reload()
    expect(page.locator(".role")).to_have_text("ada")
    third = page.wait_for_function(OTHER, arg=second, timeout=PATIENCE).json_value()
    for ticket in (second, third):
        until(page, "(ticket) => JSON.stringify(localStorage).includes(ticket)", False, ticket)
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator(".role")).to_have_text("watching")
    until(page, "() => [sessionStorage['icefarm.session'], sessionStorage['icefarm.issuer']]", [None, None])


def test_a_member_of_the_operators_group_is_an_operator_on_the_page(page: Page, farm: FarmProcess) -> None:
    sign_in(page, farm.url, "op-hopper")
    expect(page.locator(".role")).to_have_text("operator", timeout=PATIENCE)


def test_an_answer_that_this_tab_did_not_ask_for_is_refused(page: Page, farm: FarmProcess) -> None:
    page.goto(f"{farm.url}/?code=stolen&state=forged")
    expect(page.get_by_text("this tab did not begin that sign-in")).to_be_visible()
    expect(page).to_have_url(f"{farm.url}/")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
