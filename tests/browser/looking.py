"""What the browser tests do on the page, in the words of who uses it."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

__all__ = ["confirm", "open_page", "row", "sign_in", "tile"]


def open_page(page: Page, url: str, where: str = "") -> None:
    """Open the dashboard and wait until it is live."""
    page.goto(f"{url}/#/{where}")
    expect(page.locator(".page:not(.stale) main h1")).to_be_attached()
    expect(page.locator("main")).not_to_contain_text("Asking the farm")


def row(page: Page, serial: str) -> Locator:
    """Return the row of a board."""
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=serial, exact=True))


def tile(page: Page, label: str) -> Locator:
    """Return a figure at the top."""
    return page.locator(".tile").filter(has_text=label).locator(".value")


def sign_in(page: Page, token: str) -> None:
    """Sign in with a token."""
    page.get_by_role("button", name="Sign in").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Token").fill(token)
    dialog.get_by_role("button", name="Sign in").click()
    expect(page.locator(".role")).to_have_text("operator")
    # The role is drawn a moment before the dialog closes; until then it keeps the keyboard and is "the dialog".
    expect(dialog).to_be_hidden()


def confirm(page: Page, action: str, question: str) -> None:
    """Choose an action, read what the page asks, and confirm."""
    page.get_by_role("button", name=action, exact=True).first.click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text(question)
    dialog.get_by_role("button", name=action, exact=True).click()
