"""Experiments on the page, over a whole farm with virtual boards, and over a farm of tokens."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from browser.conftest import Stage
from browser.crowds import CLIENTS, EXPERIMENT, Crowd, gather
from browser.looking import at, open_page, sign_in
from browser.test_plots import ZOOMED, drag, plot
from playwright.sync_api import Locator, Page, expect

from icefarm.client import Farm
from icefarm.runs.package import Package
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.browser

CIRCUITS = sorted((Path(__file__).parents[2] / "examples" / "circuits").glob("*.bin"))
#: Milliseconds until the archive has what was measured, and the page has asked for it.
ARCHIVED = 30_000


@pytest.fixture(scope="module")
def measured(farm: FarmProcess) -> FarmProcess:
    """Two experiments of ada and one of eve."""
    for account, name, rounds in (("ada", "ga-6", 3), ("ada", "ga-7", 5), ("eve", "noise", 2)):
        measure(farm, account, name, rounds)
    return farm


def measure(farm: FarmProcess, account: str, name: str, rounds: int) -> None:
    """Measure all circuits on three boards, so many times, and report a figure after each round."""
    with Farm(farm.url, name=account, experiment=name) as client, client.reserve(3) as boards:
        for generation in range(rounds):
            total = 10 * 3 * len(CIRCUITS)
            assert len(list(boards.evaluate(CIRCUITS * 3, total=total))) == 3 * len(CIRCUITS)
            client.experiment().log(generation=generation)


def experiment_row(page: Page, name: str) -> Locator:
    return page.get_by_role("row").filter(has=page.get_by_role("link", name=name, exact=True))


def fact(page: Page, label: str) -> Locator:
    return page.locator(".facts > div").filter(has=page.get_by_text(label, exact=True)).locator("dd")


def test_own_experiments_come_first_and_say_how_far_they_are(page: Page, measured: FarmProcess) -> None:
    page.add_init_script("localStorage.setItem('icefarm.owner', 'eve')")
    open_page(page, measured.url, "experiments")
    expect(experiment_row(page, "noise")).to_contain_text(
        f"{6 * len(CIRCUITS)} / {30 * len(CIRCUITS)}", timeout=ARCHIVED
    )
    expect(page.locator("tbody th.experiment").first).to_have_text("noise")
    expect(experiment_row(page, "noise")).to_contain_text("running")


def test_filter_and_order_of_experiments_are_in_the_address(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiments")
    page.get_by_label("Filter").fill("account:ada")
    page.get_by_role("button", name="Experiment", exact=True).click()
    shown = page.locator("tbody th.experiment")
    expect(shown).to_have_text(["ga-6", "ga-7"])
    page.reload()
    expect(shown).to_have_text(["ga-6", "ga-7"])
    expect(page).to_have_url(at("#/experiments?filter=account%3Aada&sort=experiment"))


def test_an_experiment_shows_its_values_its_figures_and_its_boards(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiments")
    page.get_by_role("link", name="ga-7", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Experiment ga-7")
    expect(fact(page, "Done")).to_contain_text(f"{15 * len(CIRCUITS)} / {30 * len(CIRCUITS)} (50 %)", timeout=ARCHIVED)
    expect(fact(page, "Failures")).to_have_text("none")
    for title in ("Values", "Best so far", "Values by board", "Evaluations/s", "generation"):
        expect(plot(page, title).locator("canvas")).to_be_visible()
    expect(plot(page, "generation").locator(".legend")).to_contain_text("generation 4")
    boards = page.get_by_role("table", name="Boards of the experiment")
    expect(boards.locator("tbody th.serial")).to_have_count(3)
    serial = boards.locator("tbody th.serial a").first.inner_text()
    expect(plot(page, "Values by board").locator(".legend")).to_contain_text(serial)
    boards.get_by_role("link", name=serial).click()
    expect(page.get_by_role("heading", name="What it measured")).to_be_visible()
    expect(plot(page, "Values").locator("canvas")).to_be_visible()
    expect(page.get_by_role("table", name="Experiments of the board")).to_contain_text("ga-7")


def test_an_experiments_runs_are_listed_and_downloaded(page: Page, measured: FarmProcess, tmp_path: Path) -> None:
    open_page(page, measured.url, "experiment/ada/ga-7")
    runs = page.get_by_role("table", name="Runs of the experiment")
    expect(runs.get_by_role("link", name="Download").first).to_be_visible(timeout=ARCHIVED)
    with page.expect_download() as started:
        runs.get_by_role("link", name="Download").first.click()
    named = re.fullmatch(r"run-(\w+)\.icefarm\.zip", started.value.suggested_filename)
    assert named is not None
    digits = named[1]
    expect(runs.locator("tbody tr").filter(has_text=digits)).to_have_count(1)
    started.value.save_as(tmp_path / "run.zip")
    with Package.open(tmp_path / "run.zip") as package:
        assert package.id.startswith(digits)
        assert list(package.results())


def test_what_arrives_is_drawn_without_a_reload(page: Page, measured: FarmProcess) -> None:
    measure(measured, "bob", "live", 1)
    open_page(page, measured.url, "experiment/bob/live")
    expect(fact(page, "Done")).to_contain_text(f"{3 * len(CIRCUITS)} /", timeout=ARCHIVED)
    expect(plot(page, "generation").locator(".legend")).to_contain_text("generation 0")
    measure(measured, "bob", "live", 2)
    expect(fact(page, "Done")).to_contain_text(f"{9 * len(CIRCUITS)} /", timeout=ARCHIVED)
    expect(plot(page, "generation").locator(".legend")).to_contain_text("generation 1", timeout=ARCHIVED)


def test_another_experiment_is_drawn_beside_it_and_the_address_keeps_it(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiment/ada/ga-7")
    page.get_by_label("Compare with").select_option("ada/ga-6")
    legend = plot(page, "Values").locator(".legend")
    expect(legend).to_contain_text(re.compile(r"mean of ada/ga-6 [0-9,.]+"))
    page.reload()
    expect(legend).to_contain_text(re.compile(r"mean of ada/ga-6 [0-9,.]+"))
    page.get_by_label("Best is the").select_option("lowest")
    expect(plot(page, "Best so far").locator(".legend")).to_contain_text("best of ada/ga-6")
    page.go_back()
    expect(page.get_by_label("Best is the")).to_have_value("highest")


def test_boards_are_chosen_for_the_plot(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiment/ada/ga-7")
    boards = page.get_by_role("table", name="Boards of the experiment")
    serial = boards.locator("tbody th.serial a").last.inner_text()
    legend = plot(page, "Values by board").locator(".legend > span")
    expect(legend).to_have_count(3)
    boards.get_by_label(f"Select {serial}").check()
    expect(legend).to_have_count(1)
    expect(legend).to_contain_text(serial)
    expect(page).to_have_url(at(f"?boards={serial}"))
    page.go_back()
    expect(legend).to_have_count(3)


def test_a_zoom_asks_for_that_part_of_the_time(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiment/ada/ga-7")
    drag(plot(page, "Values").locator(".u-over"), 0.2, 0.8)
    expect(page.get_by_role("button", name="Zoom out")).to_be_visible()
    expect(page).to_have_url(ZOOMED)


def test_results_are_downloaded_without_a_token(page: Page, measured: FarmProcess, tmp_path: Path) -> None:
    open_page(page, measured.url, "experiment/ada/ga-6")
    with page.expect_download() as started:
        page.get_by_role("link", name="CSV", exact=True).click()
    assert started.value.suggested_filename == "ga-6.csv"
    started.value.save_as(tmp_path / "ga-6.csv")
    with (tmp_path / "ga-6.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 9 * len(CIRCUITS)
    assert all(float(row["number"]) > 0 for row in rows)


def test_an_account_shows_its_experiments(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiment/ada/ga-7")
    page.get_by_role("link", name="ada", exact=True).first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Account ada")
    expect(experiment_row(page, "ga-6")).to_be_visible()
    expect(experiment_row(page, "noise")).to_have_count(0)


def test_usage_is_told_apart_sorted_and_saved(page: Page, measured: FarmProcess, tmp_path: Path) -> None:
    open_page(page, measured.url, "usage")
    expect(page.get_by_text("Your own account, since")).to_be_visible()
    sign_in(page, (measured.data_dir / "operator.token").read_text().strip())
    table = page.get_by_role("table", name="Usage")
    rows = table.locator("tbody tr")
    # The last one stays.
    expect(page.get_by_label("Account")).to_be_disabled()
    page.get_by_label("Experiment").check()
    expect(table).to_contain_text("ga-7", timeout=ARCHIVED)
    expect(table.get_by_role("columnheader", name="Reservations")).to_have_count(0)
    table.get_by_role("button", name="Evaluations").click()
    expect(rows.first).to_be_visible()
    page.get_by_label("Last").select_option("1d")
    for part in ("#/usage?", "by=account%2Cexperiment", "sort=evaluations", "since=1d"):
        expect(page).to_have_url(re.compile(re.escape(part)))
    page.reload()
    expect(page.get_by_label("Last")).to_have_value("1d")
    with page.expect_download() as started:
        page.get_by_role("button", name="CSV", exact=True).click()
    started.value.save_as(tmp_path / "usage.csv")
    with (tmp_path / "usage.csv").open(newline="") as file:
        saved = {row["experiment"]: row for row in csv.DictReader(file)}
    assert int(saved["ga-7"]["evaluations"]) == 15 * len(CIRCUITS)
    assert saved["ga-7"]["account"] == "ada"
    table.get_by_role("link", name="ga-7").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Experiment ga-7")


def test_an_experiment_that_is_not_there_is_called_so(page: Page, measured: FarmProcess) -> None:
    open_page(page, measured.url, "experiment/ada/nothing")
    expect(page.locator(".problem")).to_contain_text("there is no experiment")


@pytest.fixture(scope="module")
def crowd(stage: Stage) -> Crowd:
    return gather(stage, 4)


def test_failures_are_shown_by_reason(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, f"experiment/{CLIENTS[0]}/{quote(EXPERIMENT)}")
    failures = page.get_by_role("table", name="Failures by reason")
    expect(failures).to_contain_text("device_failed")
    # One board of four measures five times, and one of these fails.
    expect(failures.locator("td.amount")).to_have_text("1")
    expect(fact(page, "Failures")).to_have_text("1")


def test_results_are_downloaded_with_the_readers_token(page: Page, crowd: Crowd, tmp_path: Path) -> None:
    open_page(page, crowd.url, f"experiment/{CLIENTS[0]}/{quote(EXPERIMENT)}")
    sign_in(page, crowd.token)
    with page.expect_request(re.compile("/results")) as asked, page.expect_download() as started:
        page.get_by_role("link", name="JSON lines", exact=True).click()
    assert asked.value.header_value("authorization") == f"Bearer {crowd.token}"
    started.value.save_as(tmp_path / "results.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert {row["client"] for row in rows} == {CLIENTS[0]}
    assert len(rows) == 5


def test_a_download_that_the_farm_refuses_says_why(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, f"experiment/{CLIENTS[0]}/{quote(EXPERIMENT)}")
    sign_in(page, crowd.token)
    page.route("**/results*", lambda route: route.fulfill(status=503, json={"error": "busy", "message": "come later"}))
    page.get_by_role("link", name="CSV", exact=True).click()
    expect(page.get_by_role("alert").filter(has_text="Download: come later")).to_be_visible()


def test_an_operator_sees_the_limits_of_an_account(page: Page, crowd: Crowd) -> None:
    open_page(page, crowd.url, f"account/{CLIENTS[0]}")
    expect(page.get_by_role("table", name="Boards")).to_contain_text(crowd.busy)
    expect(page.locator(".facts")).to_have_count(0)
    sign_in(page, crowd.token)
    expect(fact(page, "Boards")).to_have_text(re.compile(r"^1 of at most [0-9,]+$"))
