"""Plots: values under the pointer, zoom, files; and a scale on which something can be seen."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest
from browser.conftest import Stage
from browser.crowds import Crowd, gather
from browser.looking import at, open_page, until
from playwright.sync_api import Locator, Page, Position, expect

pytestmark = pytest.mark.browser

#: The end of an address that keeps a zoom.
ZOOMED = re.compile(r"from=\d+\.\d&to=\d+\.\d$")
#: What a plot says while all boards of the crowd are reserved, broken or offline.
NONE_FREE = re.compile("available 0,")
#: How many different moments plots show.
MOMENTS = "() => [...new Set([...document.querySelectorAll('.plot .at')].map((each) => each.textContent))].length"


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    return gather(stage, 4)


def plot(page: Page, title: str) -> Locator:
    return page.locator(".plot").filter(has=page.get_by_text(title, exact=True))


def opened(page: Page, crowd: Crowd) -> Locator:
    """Open the plots, and return one that is drawn."""
    open_page(page, crowd.url, "plots")
    drawn = page.get_by_role("img", name="Boards by state")
    expect(drawn).to_have_attribute("aria-label", re.compile(r"reserved \d"))
    return drawn


def spot(over: Locator, part: float) -> Position:
    """Return the place on a plot in this part of its width."""
    expect(over).to_be_visible()
    box = over.bounding_box()
    assert box is not None
    return {"x": part * box["width"], "y": box["height"] / 2}


def drag(over: Locator, begin: float, end: float) -> None:
    """Drag over a plot, between two parts of its width."""
    over.drag_to(over, source_position=spot(over, begin), target_position=spot(over, end))


def test_a_plot_shows_the_values_and_the_time_under_the_pointer(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    states = plot(page, "Boards by state")
    expect(states.locator(".at")).to_have_text("")
    states.locator(".u-over").hover()
    expect(states.locator(".at")).to_have_text(re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"))
    # All plots show the same one.
    until(page, MOMENTS, 1)
    page.mouse.move(0, 0)
    expect(states.locator(".at")).to_have_text("")


def test_the_keyboard_goes_from_sample_to_sample(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    moment = page.get_by_label("Moment of Boards by state")
    moment.focus()
    page.keyboard.press("ArrowLeft")
    expect(plot(page, "Boards by state").locator(".at")).to_have_text(re.compile(r"\d\d:\d\d:\d\d$"))
    expect(moment).to_have_attribute("aria-valuetext", re.compile(r"available \d"))
    page.keyboard.press("Tab")
    expect(plot(page, "Boards by state").locator(".at")).to_have_text("")


def test_dragging_zooms_all_plots_and_the_address_keeps_it(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    drag(plot(page, "Longest wait").locator(".u-over"), 0.3, 0.7)
    expect(page).to_have_url(ZOOMED)
    zoomed = page.url
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    page.reload()
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    expect(page).to_have_url(zoomed)
    page.get_by_role("button", name="Zoom out").click()
    expect(page).to_have_url(at("#/plots"))
    page.go_back()
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()


def test_a_sample_that_arrives_during_a_drag_does_not_end_it(page: Page, stage: Stage, crowd: Crowd) -> None:
    page.clock.install()
    drawn = opened(page, crowd)
    expect(drawn).to_have_attribute("aria-label", NONE_FREE)
    over = plot(page, "Longest wait").locator(".u-over")
    over.hover(position=spot(over, 0.3))
    page.mouse.down()
    over.hover(position=spot(over, 0.5))
    stage.do("worker", name="late", serials=["L1", "L2", "L3"])
    stage.do("sample", amount=1)
    # The page asks for samples every ten seconds.
    page.clock.fast_forward(10_000)
    expect(drawn).not_to_have_attribute("aria-label", NONE_FREE)
    over.hover(position=spot(over, 0.7))
    page.mouse.up()
    expect(page).to_have_url(ZOOMED)


def test_the_span_is_in_the_address(page: Page, crowd: Crowd) -> None:
    opened(page, crowd)
    page.get_by_role("button", name="6 h").click()
    expect(page).to_have_url(at("#/plots?span=21600"))
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
