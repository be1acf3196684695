"""Control's HTTP: what the front answers, and what the page says."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord
from icefarm.control.http.fallback_page import not_found_page, page, unavailable_page
from icefarm.control.http.site import FarmView, Front
from icefarm.dashboard.page import PageFile
from icefarm.errors import Busy

URL = "http://farm.example:8080"


def device(serial: str = "A", reason: str | None = None, client: str | None = None) -> DeviceRecord:
    status = DeviceStatus.AVAILABLE if reason is None else DeviceStatus.BROKEN
    return DeviceRecord(
        serial, "w1", status, reason, client, None, None, "default", "1.0", None, 7, 1, 0, None, 1_000_000.0
    )


def worker(name: str = "w1") -> WorkerRecord:
    return WorkerRecord(name, "online", False, "host", "1.0", ["pulsecount"], 1, 1_000_000.0)


def front(
    *,
    connected: bool = True,
    away: bool = False,
    public: bool = True,
    files: dict[str, PageFile] | None = None,
    lost: tuple[str, ...] = (),
    full: str = "",
) -> Front:
    async def overview() -> tuple[list[WorkerRecord], list[DeviceRecord]]:
        if away:
            raise Busy("the database is <away>")
        return [worker()], [device()]

    async def metrics() -> tuple[bytes, str]:
        return b"icefarm_info 1\n", "text/plain"

    farm = FarmView(
        lambda: connected, overview, metrics, files or {}, public=public, lost=lambda: lost, full=lambda: full
    )
    return Front(farm)


@ensureDeferred
async def test_the_page_shows_boards_and_how_to_add_a_worker() -> None:
    answer = await front().answer("GET", "/", URL)
    assert answer.code == 200
    assert "<td>A</td>" in answer.body
    assert f"twistd -n icefarm-worker --control {URL} --name NAME" in answer.body


@ensureDeferred
async def test_without_the_database_the_page_says_so() -> None:
    answer = await front(away=True).answer("GET", "/", URL)
    assert answer.code == 503
    assert "the database is &lt;away&gt;" in answer.body


@ensureDeferred
async def test_health_names_the_routers_that_are_lost_and_is_good_with_one() -> None:
    answer = await front(lost=("https://farm:8082",)).answer("GET", "/health", URL)
    assert answer.code == 200
    assert json.loads(answer.body)["routers_lost"] == ["https://farm:8082"]


@ensureDeferred
async def test_health_says_that_the_database_has_no_room_and_what_to_do() -> None:
    answer = await front(full='could not extend file "base/5/7"').answer("GET", "/health", URL)
    state = json.loads(answer.body)
    # The farm goes on, as far as it only reads.
    assert (answer.code, state["status"], state["database"]) == (200, "degraded", True)
    assert state["reason"] == (
        'the database has no room to write: could not extend file "base/5/7"; free space on its disk'
    )


@ensureDeferred
async def test_a_database_that_is_away_is_a_better_reason_than_that_it_was_full() -> None:
    answer = await front(full="could not extend", away=True).answer("GET", "/health", URL)
    assert answer.code == 503
    assert json.loads(answer.body)["reason"] == "the database is <away>"


@pytest.mark.parametrize(
    ("connected", "away", "code"), [(True, False, 200), (False, False, 503), (True, True, 503), (False, True, 503)]
)
@ensureDeferred
async def test_health_is_good_only_with_router_and_database(connected: bool, away: bool, code: int) -> None:
    answer = await front(connected=connected, away=away).answer("GET", "/health", URL)
    state = json.loads(answer.body)
    assert answer.code == code
    assert (state["router"], state["database"]) == (connected, not away)
    assert state["status"] == ("ok" if code == 200 else "degraded")


@pytest.mark.parametrize("path", ["/nothing", "/health/", "//", "/../etc/passwd", "/<b>", ""])
@ensureDeferred
async def test_an_unknown_path_is_a_page_that_says_so(path: str) -> None:
    answer = await front().answer("GET", path, URL)
    assert (answer.code, answer.kind) == (404, "text/html; charset=utf-8")
    assert "There is nothing at" in str(answer.body)
    assert "<b>" not in str(answer.body)


@pytest.mark.parametrize(("path", "root"), [("/nothing", "./"), ("/a/b", "../"), ("/a/b/", "../../")])
def test_an_unknown_path_leads_to_the_first_page_under_any_prefix(path: str, root: str) -> None:
    assert f'<a href="{root}">first page</a>' in not_found_page(path)
    assert f'href="{root}style.css"' in not_found_page(path)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "BREW"])
@ensureDeferred
async def test_pages_can_only_be_read(method: str) -> None:
    answer = await front().answer(method, "/health", URL)
    assert (answer.code, answer.kind) == (405, "text/plain; charset=utf-8")


@ensureDeferred
async def test_where_the_dashboard_was_built_it_is_the_page() -> None:
    files = {"/": PageFile(b"<html>", "text/html", False), "/assets/a.js": PageFile(b"1", "text/javascript", True)}
    pages = front(files=files)
    assert (await pages.answer("GET", "/", URL)).body == b"<html>"
    script = await pages.answer("GET", "/assets/a.js", URL)
    assert "immutable" in script.headers["Cache-Control"]
    assert (await pages.answer("GET", "/nothing", URL)).code == 404


@ensureDeferred
async def test_where_it_was_not_built_the_page_says_so() -> None:
    answer = await front().answer("GET", "/", URL)
    assert "ICEFARM_DASHBOARD=skip" in str(answer.body)


@ensureDeferred
async def test_a_farm_that_asks_for_tokens_shows_no_boards_to_strangers() -> None:
    answer = await front(public=False).answer("GET", "/", URL)
    assert "<td>" not in str(answer.body)


@ensureDeferred
async def test_metrics_are_served() -> None:
    answer = await front().answer("GET", "/metrics", URL)
    assert (answer.code, answer.body) == (200, b"icefarm_info 1\n")


def test_a_farm_without_boards_says_what_to_do() -> None:
    text = page("1.0", URL, [], [])
    assert "There is no board yet" in text
    assert "icefarm-worker" in text


@given(st.text())
def test_no_text_becomes_markup(text: str) -> None:
    shown = page("1.0", URL, [worker(f"<w>{text}")], [device(f"<a>{text}", f"<b>{text}", f"<c>{text}")])
    shown += unavailable_page(f"<d>{text}")
    assert not any(tag in shown for tag in ("<w>", "<a>", "<b>", "<c>", "<d>", "<script"))


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    text = page("1.0", "http://HOST:8080", [worker()], [device()])
    assert "<script" not in text
    assert "style=" not in text
    assert "src=" not in text
    assert 'href="./style.css"' in text
