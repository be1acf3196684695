"""What the browser tests do on the page, in the words of who uses it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Locator, Page, TimeoutError, expect

__all__ = ["AXE", "at", "confirm", "open_page", "row", "sign_in", "tile", "until", "violations"]

#: Finds faults of accessibility.
AXE = Path(__file__).parents[2] / "frontend" / "node_modules" / "axe-core" / "axe.min.js"
#: By some of its rules, or by all. Of what is right it names nothing: to say where all of that is takes the most time.
RUN_AXE = """async (rules) => {
  const runOnly = rules.length > 0 ? { runOnly: rules } : {};
  return (await axe.run(document, { ...runOnly, resultTypes: ["violations"] })).violations;
}"""


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


def at(where: str) -> re.Pattern[str]:
    """Return what an address that ends so is like, for ``expect(page).to_have_url``."""
    return re.compile(re.escape(where) + "$")


def until(page: Page, script: str, wanted: Any, argument: Any = None) -> None:
    """Wait until a function of the page returns this; it may change its mind until then.

    Raises AssertionError with what it returns instead.
    """
    same = f"([wanted, argument]) => JSON.stringify(({script})(argument)) === JSON.stringify(wanted)"
    try:
        page.wait_for_function(same, arg=[wanted, argument])
    except TimeoutError:
        found = page.evaluate(script, argument)
        raise AssertionError(f"{found!r}, not {wanted!r}, at {page.url} in {page.viewport_size}") from None


def violations(page: Page, where: str, *rules: str) -> list[str]:
    """Return what axe finds on the page: by these of its rules, or by all."""
    assert AXE.is_file(), "axe-core is missing: run python build_backend/frontend_tools.py install"
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE.read_text())
    found = page.evaluate(RUN_AXE, list(rules))
    return [
        f"{where}: {each['id']}: {node['html'][:120]} {node['any'][0]['message'] if node['any'] else ''}"
        for each in found
        for node in each["nodes"]
    ]
