"""The page holds at any width with any number of boards: what is measured here is what a person would see."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from browser.conftest import Stages
from browser.crowds import CLIENTS, EXPERIMENT, Crowd, gather
from browser.looking import open_page, sign_in
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

WIDTHS = (360, 900, 1024, 1160, 1440)
#: Pixels: borders, and what rounding makes of widths.
SLACK = 1.5
#: What is wrong with the tables of the page, as sentences.
FAULTS = """(slack) => {
  const faults = [];
  const shrinks = ["health", "client", "kind", "worker", "firmware", "experiment", "account", "suspect"];
  const box = (element) => element.getBoundingClientRect();
  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.querySelectorAll("thead th")];
    const name = table.getAttribute("aria-label");
    heads.forEach((head, index) => {
      const text = head.textContent;
      if (head.scrollWidth > head.clientWidth + slack) faults.push(`${name}: the head ${text} is cut`);
      const next = heads[index + 1];
      if (next && box(head).right > box(next).left + slack) faults.push(`${name}: the head ${text} is over the next`);
    });
    for (const row of table.querySelectorAll("tbody tr")) {
      if (row.className === "gap") {
        if (row.cells[0].colSpan !== heads.length) faults.push(`${name}: a gap of ${row.cells[0].colSpan} columns`);
        continue;
      }
      if (row.cells.length !== heads.length) faults.push(`${name}: ${row.cells.length} cells, ${heads.length} heads`);
      [...row.cells].forEach((cell, index) => {
        const [one, other] = [box(cell), box(heads[index] ?? cell)];
        if (Math.abs(one.left - other.left) > slack || Math.abs(one.width - other.width) > slack)
          faults.push(`${name}: the cell "${cell.textContent}" is not under its head`);
        const may = shrinks.some((each) => cell.classList.contains(each)) || cell.classList.contains("card");
        if (!may && cell.scrollWidth > cell.clientWidth + slack)
          faults.push(`${name}: "${cell.textContent}" is cut at ${cell.clientWidth} pixels`);
        if (cell.clientWidth < 36)
          faults.push(`${name}: the column of "${cell.textContent}" is ${cell.clientWidth} pixels wide`);
      });
    }
    if (box(table).right > window.innerWidth) faults.push(`${name}: the table is wider than the window`);
  }
  const wide = document.documentElement.scrollWidth;
  if (wide > window.innerWidth) faults.push(`the page is ${wide} wide`);
  for (const each of document.querySelectorAll(".tile, .facts > div, button, .plot")) {
    if (each.scrollWidth > each.clientWidth + 2) faults.push(`"${each.textContent}" is cut`);
  }
  return [...new Set(faults)];
}"""


#: What lies over an element, None where it is seen.
COVERED = """(element) => {
  const { left, top, width, height } = element.getBoundingClientRect();
  const seen = document.elementFromPoint(left + width / 2, top + height / 2);
  return element.contains(seen) ? null : seen?.outerHTML.slice(0, 200) ?? "nothing";
}"""


@pytest.fixture(scope="module", params=[4, 64, 300])
def crowd(request: pytest.FixtureRequest, stages: Stages) -> Crowd:
    return gather(stages.begin(), request.param)


@pytest.fixture
def page_of(browser: Browser) -> Iterator[Any]:
    contexts = []

    def make(width: int) -> Page:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}))
        return contexts[-1].new_page()

    yield make
    for context in contexts:
        context.close()


def faults(page: Page) -> list[str]:
    found: list[str] = page.evaluate(FAULTS, SLACK)
    return found


def places(crowd: Crowd) -> list[str]:
    clients = [f"client/{name}" for name in CLIENTS]
    boards = [f"board/{crowd.busy}", f"board/{crowd.broken}"]
    experiment = f"experiment/{CLIENTS[1]}/{quote(EXPERIMENT)}"
    experiments = ["experiments", experiment, f"{experiment}?compare={CLIENTS[0]}/{quote(EXPERIMENT)}"]
    accounts = [f"account/{name}" for name in CLIENTS]
    others = [
        "compare",
        "workers",
        "worker/lab-1",
        "queue",
        "bookings",
        "class",
        "events",
        "plots",
        "usage",
        "usage?by=account,board,experiment",
        "nothing",
    ]
    return ["boards", *boards, *others, *clients, *experiments, *accounts]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_overlaps_for_a_reader(page_of: Any, crowd: Crowd, width: int) -> None:
    page = page_of(width)
    for where in places(crowd):
        open_page(page, crowd.url, where)
        assert faults(page) == [], where


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_overlaps_for_an_operator_with_boards_selected(
    page_of: Any, crowd: Crowd, width: int
) -> None:
    page = page_of(width)
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    page.get_by_label("Select all that are shown").check()
    expect(page.get_by_role("toolbar")).to_contain_text(f"{crowd.boards} boards selected")
    assert faults(page) == []
    page.evaluate("window.scrollTo(0, 900)")
    assert page.locator("thead th").last.evaluate(COVERED) is None
    for where in ("workers", "queue", f"board/{crowd.busy}"):
        open_page(page, crowd.url, where)
        assert faults(page) == [], where


@pytest.mark.parametrize("width", WIDTHS)
def test_heads_stay_in_sight_over_the_last_boards(page_of: Any, crowd: Crowd, width: int) -> None:
    page = page_of(width)
    open_page(page, crowd.url, "boards?sort=serial")
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    last = page.locator("tbody tr:not(.gap)").last
    expect(last).to_be_in_viewport()
    assert page.locator("tbody tr:not(.gap)").last.get_attribute("aria-rowindex") == str(crowd.boards + 1)
    head = page.locator("thead th").first.bounding_box()
    assert head is not None
    table = page.locator("table").bounding_box()
    assert table is not None
    assert head["y"] == pytest.approx(max(0.0, table["y"]), abs=1)
    assert faults(page) == []


@pytest.mark.parametrize("width", WIDTHS)
def test_rows_have_one_height_however_far_the_table_is_scrolled(page_of: Any, crowd: Crowd, width: int) -> None:
    page = page_of(width)
    open_page(page, crowd.url, "boards")
    heights = set()
    for part in (0.0, 0.5, 1.0):
        page.evaluate("(part) => window.scrollTo(0, part * document.body.scrollHeight)", part)
        page.wait_for_timeout(50)
        heights |= {
            round(height)
            for height in page.locator("tbody tr:not(.gap)").evaluate_all(
                "(rows) => rows.slice(0, -1).map((row) => row.getBoundingClientRect().height)"
            )
        }
    assert len(heights) == 1, heights
