"""Plots: values under the pointer, zoom, files; and a scale on which something can be seen."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from browser.conftest import Stage
from browser.crowds import Crowd, gather
from browser.looking import open_page
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    return gather(stage, 4)


def plot(page: Page, title: str) -> Locator:
    return page.locator(".plot").filter(has=page.get_by_text(title, exact=True))


def opened(page: Page, crowd: Crowd) -> None:
    """Open the plots once the farm has taken a sample or two."""
    open_page(page, crowd.url, "plots")
    drawn = page.get_by_role("img", name="Boards by state")
    expect(drawn).to_have_attribute("aria-label", re.compile(r"reserved \d"), timeout=30_000)


def drag(page: Page, over: Locator, begin: float, end: float) -> None:
    """Drag over a plot, between two parts of its width, once it is drawn."""
    expect(over).to_be_visible()
    box = over.bounding_box()
    assert box is not None
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + begin * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + end * box["width"], y, steps=5)
    page.mouse.up()


def test_a_plot_shows_the_values_and_the_time_under_the_pointer(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    states = plot(page, "Boards by state")
    expect(states.locator(".at")).to_have_text("")
    states.locator(".u-over").hover()
    expect(states.locator(".at")).to_have_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"))
    expect(plot(page, "Longest wait").locator(".at")).to_have_text(states.locator(".at").inner_text())
    page.mouse.move(0, 0)
    expect(states.locator(".at")).to_have_text("")


def test_the_keyboard_goes_from_sample_to_sample(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    moment = page.get_by_label("Moment of Boards by state")
    expect(moment).to_be_attached(timeout=30_000)
    moment.focus()
    page.keyboard.press("ArrowLeft")
    expect(plot(page, "Boards by state").locator(".at")).to_have_text(re.compile(r"\d\d:\d\d:\d\d$"))
    expect(moment).to_have_attribute("aria-valuetext", re.compile(r"available \d"))
    page.keyboard.press("Tab")
    expect(plot(page, "Boards by state").locator(".at")).to_have_text("")


def test_dragging_zooms_all_plots_and_the_address_keeps_it(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    drag(page, plot(page, "Longest wait").locator(".u-over"), 0.3, 0.7)
    zoomed = page.url
    assert re.search(r"from=\d+\.\d&to=\d+\.\d$", zoomed)
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    assert page.url == zoomed
    page.get_by_role("button", name="Zoom out").click()
    assert "from=" not in page.url
    page.go_back()
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()


def test_the_span_is_in_the_address(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    page.get_by_role("button", name="6 h").click()
    assert page.url.endswith("#/plots?span=21600")
    page.reload()
    expect(page.get_by_role("button", name="6 h")).to_have_attribute("aria-pressed", "true")
    page.go_back()
    expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")


def test_a_plot_is_saved_as_a_table(page: Page, crowd: Crowd, tmp_path: Path) -> None:
    opened(page, crowd)
    with page.expect_download() as started:
        page.get_by_role("button", name="Save Boards by state as CSV").click()
    assert re.fullmatch(r"icefarm-boards-by-state-[-0-9]+\.csv", started.value.suggested_filename)
    started.value.save_as(tmp_path / "plot.csv")
    with (tmp_path / "plot.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert float(rows[-1]["reserved"]) >= 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", rows[0]["time"])


def test_a_plot_is_saved_as_an_image(page: Page, crowd: Crowd, tmp_path: Path) -> None:
    opened(page, crowd)
    with page.expect_download() as started:
        page.get_by_role("button", name="Save Boards by state as PNG").click()
    started.value.save_as(tmp_path / "plot.png")
    content = (tmp_path / "plot.png").read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    assert width > 300
    assert height > 200
