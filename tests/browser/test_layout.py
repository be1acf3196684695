"""The page holds at any width with any number of boards: what is measured here is what a person would see."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from browser.conftest import PATIENCE, Stages
from browser.crowds import CLIENTS, EXPERIMENT, Crowd, gather
from browser.looking import open_page, sign_in, until
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


#: The address of each page; names in it are those of a `Crowd`.
PLACES = (
    *("boards", "board/{busy}", "board/{broken}", "compare", "workers", "worker/lab-1", "queue", "bookings", "class"),
    *("events", "plots", "usage", "usage?by=account,board,experiment", "nothing", "client/{short}", "client/{long}"),
    *("experiments", "experiment/{long}/{experiment}", "experiment/{long}/{experiment}?compare={short}/{experiment}"),
    *("account/{short}", "account/{long}"),
)

#: The heights of the rows that are drawn; null until some of them are in sight.
HEIGHTS = """() => {
  const boxes = [...document.querySelectorAll("tbody tr:not(.gap)")].map((row) => row.getBoundingClientRect());
  if (!boxes.some(({ top, bottom }) => bottom > 0 && top < window.innerHeight)) return null;
  return boxes.slice(0, -1).map(({ height }) => Math.round(height));
}"""

#: How far the heads are from where they stay: the top of the window, or of a table that begins below it.
ASTRAY = """() => {
  const [head, table] = ["thead th", "table"].map((each) => document.querySelector(each).getBoundingClientRect().top);
  return Math.abs(head - Math.max(0, table)) > 1;
}"""


@pytest.fixture(scope="module")
def reader(browser: Browser, crowd: Crowd) -> Iterator[Page]:
    """A page that many tests look at, each of them in windows of all widths."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    open_page(page, crowd.url)
    yield page
    context.close()


def wide(page: Page, width: int) -> None:
    """Make the window so wide, be at the top, and let the page be drawn."""
    page.set_viewport_size({"width": width, "height": 800})
    page.evaluate("window.scrollTo(0, 0)")
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def expect_no_faults(page: Page) -> None:
    until(page, FAULTS, [], SLACK)


@pytest.mark.parametrize("where", PLACES)
def test_nothing_is_cut_or_overlaps_for_a_reader(reader: Page, crowd: Crowd, where: str) -> None:
    names = {"short": CLIENTS[0], "long": CLIENTS[1], "experiment": quote(EXPERIMENT)}
    # A page is drawn first in a window of one of the widths, and then in the others.
    first = PLACES.index(where) % len(WIDTHS)
    wide(reader, WIDTHS[first])
    open_page(reader, crowd.url, where.format(busy=crowd.busy, broken=crowd.broken, **names))
    for width in (*WIDTHS[first:], *WIDTHS[:first]):
        wide(reader, width)
        expect_no_faults(reader)


def test_heads_stay_in_sight_over_the_last_boards(reader: Page, crowd: Crowd) -> None:
    open_page(reader, crowd.url, "boards?sort=serial")
    for width in WIDTHS:
        wide(reader, width)
        reader.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        last = reader.locator("tbody tr:not(.gap)").last
        expect(last).to_have_attribute("aria-rowindex", str(crowd.boards + 1))
        expect(last).to_be_in_viewport()
        until(reader, ASTRAY, False)
        expect_no_faults(reader)


def test_rows_have_one_height_however_far_the_table_is_scrolled(reader: Page, crowd: Crowd) -> None:
    open_page(reader, crowd.url, "boards")
    for width in WIDTHS:
        wide(reader, width)
        heights: set[int] = set()
        for part in (0.0, 0.5, 1.0):
            reader.evaluate("(part) => window.scrollTo(0, part * document.body.scrollHeight)", part)
            heights |= set(reader.wait_for_function(HEIGHTS).json_value())
        assert len(heights) == 1, (width, heights)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_or_overlaps_for_an_operator_with_boards_selected(page: Page, crowd: Crowd, width: int) -> None:
    wide(page, width)
    open_page(page, crowd.url)
    sign_in(page, crowd.token)
    page.get_by_label("Select all that are shown").check()
    expect(page.get_by_role("toolbar")).to_contain_text(f"{crowd.boards} boards selected")
    expect_no_faults(page)
    page.evaluate("window.scrollTo(0, 900)")
    until(page, f"() => ({COVERED})([...document.querySelectorAll('thead th')].at(-1))", None)
    for where in ("workers", "queue", f"board/{crowd.busy}"):
        open_page(page, crowd.url, where)
        expect_no_faults(page)
