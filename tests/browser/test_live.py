"""The dashboard of a whole farm: a script's doing is seen at once, actions are carried out, a lost link comes back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from browser.looking import confirm, open_page, row, sign_in, tile
from playwright.sync_api import Page, expect
from waiting import wait_until

from icefarm.client import Farm
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.browser

CIRCUIT = Path(__file__).parents[2] / "examples" / "circuits" / "square_8khz.bin"


def token_of(farm: FarmProcess) -> str:
    return (farm.data_dir / "operator.token").read_text().strip()


def test_a_board_that_a_script_reserves_is_seen_at_once(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url)
    expect(tile(page, "Boards in use")).to_have_text("0 / 3")
    with Farm(farm.url, name="exp-42") as client, client.reserve(1) as boards:
        (serial,) = boards.serials
        expect(row(page, serial)).to_contain_text("reserved")
        expect(row(page, serial)).to_contain_text("exp-42")
        expect(tile(page, "Boards in use")).to_have_text("1 / 3")
    expect(row(page, serial)).to_contain_text("available")
    expect(tile(page, "Boards in use")).to_have_text("0 / 3")


def test_evaluations_show_as_a_rate_and_on_the_boards_page(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url)
    with Farm(farm.url, name="busy") as client, client.reserve(1, window=0.05) as boards:
        (serial,) = boards.serials

        def shows_a_rate() -> bool:
            for result in boards.evaluate([CIRCUIT] * 20):
                assert result.error is None
            return tile(page, "Evaluations/s").text_content() != "0"

        wait_until(shows_a_rate, "the page shows a rate")
        page.get_by_role("link", name=serial, exact=True).click()
        expect(page.get_by_role("heading", name=f"Board {serial}")).to_be_visible()
        facts = page.locator(".facts")
        expect(facts).to_contain_text("busy")
        expect(facts).to_contain_text("Load")
        expect(page.locator(".timeline rect").first).to_be_attached()
        expect(page.get_by_role("main")).to_contain_text("busy has reserved 1 board as pulsecount")


def test_an_operator_ends_a_reservation(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url)
    sign_in(page, token_of(farm))
    with Farm(farm.url, name="held") as client:
        (serial,) = client.reserve(1).serials
        confirm(page, f"End the reservation of board {serial}", f"board {serial} by client held")
        expect(page.get_by_role("status").filter(has_text="has ended")).to_be_visible()
        expect(row(page, serial)).to_contain_text("available")


def test_an_operator_reboots_a_board(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url)
    sign_in(page, token_of(farm))
    serial = page.locator("tbody th.serial a").first.inner_text()
    confirm(page, f"Reboot board {serial}", "nobody has it reserved")
    expect(page.locator(".messages")).to_contain_text(f"Board {serial} is being rebooted")
    page.goto(f"{farm.url}/#/events")
    expect(page.get_by_role("table")).to_contain_text("flashed and tested")


def test_a_worker_is_drained_and_resumed(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url, "workers")
    sign_in(page, token_of(farm))
    confirm(page, "Drain worker w1", "no client uses its boards")
    expect(page.locator("tbody")).to_contain_text("online, draining")
    confirm(page, "Resume worker w1", "w1")
    expect(page.locator("tbody")).not_to_contain_text("draining")


def test_workers_that_are_selected_are_drained_and_resumed_at_once(page: Page, farm: FarmProcess) -> None:
    open_page(page, farm.url, "workers")
    sign_in(page, token_of(farm))
    page.get_by_label("Select all that are shown").check()
    for action, after in (("Drain", "online, draining"), ("Resume", "online")):
        page.get_by_role("toolbar", name="Selected workers").get_by_role("button", name=f"{action} (1)").click()
        dialog = page.get_by_role("dialog")
        expect(dialog).to_contain_text(f"{action}: 1 worker (no client uses their boards)?")
        dialog.get_by_role("button", name=f"{action}: 1 worker").click()
        expect(page.locator("tbody td.state")).to_have_text(f"{'◐' if action == 'Drain' else '●'}{after}")


def test_an_operator_edits_the_labels_of_a_board(page: Page, farm: FarmProcess) -> None:
    with Farm(farm.url, "reader") as reader:
        serial = reader.available()[0]
    open_page(page, farm.url, f"board/{serial}")
    expect(page.get_by_role("button", name="Edit labels")).to_have_count(0)
    sign_in(page, token_of(farm))
    page.get_by_role("button", name="Edit labels").click()
    form = page.get_by_role("form", name=f"Labels of board {serial}")
    lines = form.get_by_label("Labels, each on a line as name=value")
    lines.fill("lab")
    form.get_by_role("button", name="Save").click()
    expect(form.get_by_role("alert")).to_contain_text('"lab" is none')
    lines.fill("lab=3\nnote=by the window")
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).to_contain_text('lab=3 note="by the window"')
    with Farm(farm.url, "reader") as reader:
        assert reader.available(where="lab=3") == [serial]
    page.get_by_role("button", name="Edit labels").click()
    with Farm(farm.url, "boss", token=token_of(farm), role="operator") as operator:
        operator.label({"batch": "7"}, serials=[serial])
    expect(page.locator(".facts")).to_contain_text("batch=7")
    lines.fill("")
    form.get_by_role("button", name="Save").click()
    expect(page.locator(".facts")).not_to_contain_text("lab=3")
    # It came while the others were being edited.
    expect(page.locator(".facts")).to_contain_text("batch=7")
    # With a column of labels, the table would have no room for the buttons that other tests press.
    with Farm(farm.url, "boss", token=token_of(farm), role="operator") as operator:
        operator.label({"batch": None}, serials=[serial])


def stopped(page: Page) -> None:
    """Let no time pass on the page until it is told to: what it waits for then takes no part of a second."""
    page.clock.pause_at(page.evaluate("Date.now() + 2000"))


def test_a_lost_router_is_told_within_a_second_and_found_again(page: Page, farm: FarmProcess) -> None:
    page.clock.install()
    open_page(page, farm.url)
    sign_in(page, token_of(farm))
    router = farm.processes("crossbar")[0]
    stopped(page)
    os.kill(router, signal.SIGKILL)
    banner = page.get_by_role("alert").filter(has_text="Not connected")
    expect(banner).to_be_visible()
    expect(page.locator(".page.stale")).to_be_attached()
    expect(page.locator("tbody .actions button").first).to_be_disabled()
    page.clock.resume()
    expect(banner).to_be_hidden(timeout=60_000)
    with Farm(farm.url, name="after") as client, client.reserve(1) as boards:
        expect(row(page, boards.serials[0])).to_contain_text("after")


def test_a_network_that_is_gone_is_told_within_a_second(page: Page, farm: FarmProcess) -> None:
    page.clock.install()
    open_page(page, farm.url)
    router = farm.processes("crossbar")
    stopped(page)
    # Nothing closes the connection: the other side just does not answer any more.
    for each in router:
        os.kill(each, signal.SIGSTOP)
    try:
        page.evaluate("dispatchEvent(new Event('offline'))")
        page.clock.run_for(1000)
        banner = page.get_by_role("alert").filter(has_text="Not connected")
        expect(banner).to_be_visible()
    finally:
        for each in router:
            os.kill(each, signal.SIGCONT)
    page.clock.resume()
    expect(banner).to_be_hidden(timeout=60_000)


def test_a_farm_on_this_machine_stays_when_the_network_is_gone(page: Page, farm: FarmProcess) -> None:
    page.clock.install()
    with page.expect_websocket() as opened:
        open_page(page, farm.url)
    stopped(page)
    # The page asks the farm, which answers.
    with opened.value.expect_event("framereceived", answers_a_call):
        page.evaluate("dispatchEvent(new Event('offline'))")
    # Longer than the page would wait for that.
    page.clock.run_for(1500)
    expect(page.get_by_role("alert").filter(has_text="Not connected")).to_be_hidden()


def answers_a_call(frame: str | bytes) -> bool:
    """Tell whether the router says the result of a call: a RESULT, in JSON."""
    return isinstance(frame, str) and frame.startswith("[50,")


def test_only_the_api_answers_in_json(farm: FarmProcess) -> None:
    with pytest.raises(HTTPError) as failure:
        urlopen(f"{farm.url}/api/nothing")
    assert json.loads(failure.value.read())["error"] == "not_found"
    with pytest.raises(HTTPError) as failure:
        urlopen(f"{farm.url}/nothing")
    assert failure.value.headers.get_content_type() == "text/html"
