"""The HTTP API over control in memory: what is asked, who may, and how errors look."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from icefarm.contract import DeviceStatus, Role
from icefarm.control.http.api import ApiRequest, HttpApi
from icefarm.control.http.auth import Asker, local_address
from icefarm.control.http.endpoints.boards import Reserve
from icefarm.control.http.endpoints.endpoint import MAX_BODY, read
from icefarm.control.http.errors import ApiAnswer, refused, status_of
from icefarm.control.http.routes import ENDPOINTS
from icefarm.control.http.waiting import BLOCKED, FORGOTTEN, UNREAD
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.wiring.server import http_api
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import Busy, IcefarmError, InvalidArgument, LinkLost, NotAuthorized, UnknownDevice
from icefarm.testing.memory.control_harness import MemoryControl, RecordingWorker

LOCAL = Asker("127.0.0.1", "localhost:8080")
TOKEN = "icefarm_" + "x" * 43
CHANGING = sorted(path for path, endpoint in ENDPOINTS.items() if not endpoint.reading)
READING = sorted(path for path, endpoint in ENDPOINTS.items() if endpoint.reading)


def bearer(token: str = TOKEN, peer: str = "192.0.2.7", host: str = "farm.example") -> Asker:
    return Asker(peer, host, None, token)


async def farm_of(policy: SignInPolicy = SignInPolicy.OPEN) -> tuple[MemoryControl, HttpApi]:
    farm = MemoryControl(ControlSettings(sign_in=policy))
    # Let in without the question of tokens.
    await RecordingWorker("w1", ["A", "B"]).joined(farm.router.join("w1", Role.WORKER))
    farm.clock.advance(0)
    return farm, http_api(farm.control)


async def get(api: HttpApi, path: str, asker: Asker = LOCAL, **query: str) -> ApiAnswer:
    return await api.answer(ApiRequest("GET", path, asker, query))


async def post(api: HttpApi, path: str, body: Any, asker: Asker = LOCAL, media: str = "application/json") -> ApiAnswer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return await api.answer(ApiRequest("POST", path, asker, {}, media, content))


def told(answer: ApiAnswer) -> tuple[int, str]:
    return answer.code, answer.value["error"]


ADA = {"name": "ada", "amount": 1, "kind": "pulsecount", "args": {}}

# ------------------------------------------------------------------------------------------------ what it does


@ensureDeferred
async def test_what_is_available_is_read() -> None:
    _, api = await farm_of()
    assert (await get(api, "/api/available")).value == {"amount": 2, "serials": ["A", "B"]}
    assert (await get(api, "/devices", kind="pulsecount")).value == ["A", "B"]
    assert (await get(api, "/api/devices", kind="perpetuum")).value == []


@pytest.mark.parametrize("base", ["", "/api"])
@ensureDeferred
async def test_boards_are_reserved_extended_rebooted_and_given_back(base: str) -> None:
    farm, api = await farm_of()
    (record,) = (await post(api, f"{base}/reserve", ADA)).value
    assert (record["serial"], record["client"], record["kind"]) == ("A", "ada", "pulsecount")
    named = {"name": "ada", "serials": ["A"]}
    assert (await post(api, f"{base}/extend", {**named, "seconds": 7200})).value == ["A"]
    assert (await post(api, f"{base}/extendall", {"name": "ada"})).value == ["A"]
    assert (await post(api, f"{base}/reboot", named)).value == ["A"]
    assert (await post(api, f"{base}/end", named)).value == ["A"]
    assert (await post(api, f"{base}/end", named)).value == []
    assert await farm.store.active() == []


@ensureDeferred
async def test_named_boards_are_reserved_for_a_time_of_ones_own() -> None:
    farm, api = await farm_of()
    asked = {"name": "ada", "serials": ["B", "A"], "kind": "pulsecount", "seconds": 60.0}
    records = (await post(api, "/api/reserveserials", asked)).value
    assert [record["serial"] for record in records] == ["B", "A"]
    assert {record["expires_at"] for record in records} == {farm.clock.seconds() + 60}
    assert (await post(api, "/api/endall", {"name": "ada"})).value == ["A", "B"]


@ensureDeferred
@pytest.mark.parametrize("path", ["/api/reserve", "/api/reserveserials", "/api/requests"])
async def test_boards_are_shared_by_those_who_say_so(path: str) -> None:
    farm, api = await farm_of()
    which = {"serials": ["A"]} if path == "/api/reserveserials" else {"amount": 2}
    for name in ("ada", "bob"):
        asked = {"name": name, **which, "kind": "pulsecount", "shared": True}
        assert (await post(api, path, asked)).code == 200
    shares = {board.serial: list(board.shares.values()) for board in await farm.store.devices()}
    assert shares["A"] == ["ada", "bob"]


@ensureDeferred
async def test_options_have_the_names_of_earlier_versions_too() -> None:
    _, api = await farm_of()
    args = {"flush_interval_seconds": 10, "flush_at_bitstreams_remaining": 25, "window": 0.5}
    (record,) = (await post(api, "/reserve", {**ADA, "args": args})).value
    assert record["options"] == {"window": 0.5}


def waiting(api: HttpApi, **more: Any) -> Deferred[ApiAnswer]:
    """Begin to wait for both boards of the farm, as bob."""
    asked = {"name": "bob", "amount": 2, "kind": "pulsecount", "wait": True, **more}
    return Deferred.fromCoroutine(post(api, "/api/reserve", asked))


@ensureDeferred
async def test_a_request_waits_in_the_queue_where_that_is_asked_for() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    answer = waiting(api)
    assert not answer.called
    ada = await farm.client("eve")
    assert [record["client"] for record in (await ada.call("snapshot"))["queue"]] == ["bob"]
    await post(api, "/api/endall", {"name": "ada"})
    assert answer.called
    assert [record["serial"] for record in (await answer).value] == ["A", "B"]


@ensureDeferred
async def test_a_request_waits_no_longer_than_it_says() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    answers = [waiting(api, timeout=20.0), waiting(api)]
    farm.pass_time(19)
    assert not any(answer.called for answer in answers)
    farm.pass_time(1)
    assert [answer.called for answer in answers] == [True, False]
    farm.pass_time(5)
    assert [told(await answer) for answer in answers] == [(504, "timed_out")] * 2


@ensureDeferred
async def test_whoever_closes_the_connection_waits_no_more() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    answer = waiting(api)
    answer.cancel()
    with pytest.raises(CancelledError):
        await answer
    farm.pass_time(5)
    assert await farm.store.waiting() == []


@ensureDeferred
async def test_boards_that_were_waited_for_are_on_probation_until_their_caller_shows_up() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    answer = waiting(api, seconds=7200.0)
    await post(api, "/api/endall", {"name": "ada"})
    records = (await answer).value
    assert [record["expires_at"] - farm.clock.seconds() for record in records] == [pytest.approx(UNREAD)] * 2
    farm.pass_time(UNREAD + 1)
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_long_wait_goes_on_by_polls() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    answer = waiting(api, timeout=600.0)
    farm.pass_time(BLOCKED + 1)
    view = await answer
    assert (view.code, view.value["state"], view.value["place"]) == (202, "waiting", 1)
    assert (await polled(api, view.value["id"], seconds=0)).value["id"] == view.value["id"]


BOB = {"name": "bob", "amount": 2, "kind": "pulsecount"}


async def opened(api: HttpApi, **more: Any) -> str:
    """Have ada take a board, and bob wait for both; return the id of his request."""
    await post(api, "/api/reserve", ADA)
    answer = await post(api, "/api/requests", {**BOB, **more})
    assert (answer.code, answer.value["state"]) == (202, "waiting")
    return str(answer.value["id"])


def polled(api: HttpApi, id: str, name: str = "bob", **more: Any) -> Deferred[ApiAnswer]:
    return Deferred.fromCoroutine(post(api, "/api/requests/poll", {"name": name, "id": id, **more}))


@ensureDeferred
async def test_a_request_that_need_not_wait_is_answered_with_its_boards() -> None:
    _, api = await farm_of()
    answer = await post(api, "/api/requests", BOB)
    assert (answer.code, [record["serial"] for record in answer.value]) == (200, ["A", "B"])


@ensureDeferred
async def test_a_poll_says_the_place_and_why() -> None:
    farm, api = await farm_of()
    id = await opened(api)
    poll = polled(api, id, seconds=20.0)
    farm.pass_time(19)
    assert not poll.called
    farm.pass_time(1)
    answer = await poll
    assert (answer.code, answer.value["place"]) == (202, 1)
    assert "reserved" in answer.value["reason"]


@ensureDeferred
async def test_boards_are_handed_over_to_a_call_that_comes_after_they_are_ready() -> None:
    farm, api = await farm_of()
    id = await opened(api, seconds=7200.0)
    poll = polled(api, id)
    await post(api, "/api/endall", {"name": "ada"})
    assert (await poll).value["state"] == "ready"
    farm.pass_time(5)
    answer = await polled(api, id)
    assert [record["expires_at"] - farm.clock.seconds() for record in answer.value] == [pytest.approx(7200.0)] * 2
    assert told(await polled(api, id)) == (409, "reservation_ended")


@ensureDeferred
async def test_a_request_that_nobody_asks_for_is_forgotten() -> None:
    farm, api = await farm_of()
    id = await opened(api)
    farm.pass_time(FORGOTTEN - 1)
    await polled(api, id, seconds=0)
    farm.pass_time(FORGOTTEN - 1)
    assert len(await farm.store.waiting()) == 1
    farm.pass_time(2)
    assert await farm.store.waiting() == []
    assert told(await polled(api, id)) == (409, "reservation_ended")


@ensureDeferred
async def test_boards_that_nobody_fetches_are_free_again() -> None:
    farm, api = await farm_of()
    await opened(api)
    await post(api, "/api/endall", {"name": "ada"})
    assert len(await farm.store.active()) == 2
    farm.pass_time(FORGOTTEN + 1)
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_request_that_is_cancelled_leaves_the_queue() -> None:
    farm, api = await farm_of()
    id = await opened(api)
    assert (await post(api, "/api/requests/cancel", {"name": "bob", "id": id})).value == []
    farm.pass_time(1)
    assert await farm.store.waiting() == []


@ensureDeferred
async def test_nobody_polls_or_cancels_the_request_of_another() -> None:
    farm, api = await farm_of()
    id = await opened(api)
    assert told(await polled(api, id, name="mallory")) == (409, "reservation_ended")
    assert told(await post(api, "/api/requests/cancel", {"name": "mallory", "id": id})) == (409, "reservation_ended")
    assert len(await farm.store.waiting()) == 1


@ensureDeferred
async def test_a_request_that_fails_says_so_to_the_next_poll() -> None:
    farm, api = await farm_of()
    id = await opened(api)
    (queued,) = await farm.store.waiting()
    await farm.operator().call("dismiss", ids=[queued.id])
    answer = await polled(api, id)
    assert answer.code >= 400
    assert told(await polled(api, id)) == (409, "reservation_ended")


@pytest.mark.parametrize("which", [{}, {"amount": 1, "serials": ["A"]}])
@ensureDeferred
async def test_a_request_is_for_an_amount_or_for_named_boards(which: dict[str, Any]) -> None:
    _, api = await farm_of()
    asked = {"name": "bob", "kind": "pulsecount", **which}
    assert told(await post(api, "/api/requests", asked)) == (400, "invalid_argument")


@pytest.mark.parametrize("timeout", [0, -1, 601, 1e9])
@ensureDeferred
async def test_a_wait_without_bounds_is_refused(timeout: float) -> None:
    _, api = await farm_of()
    answer = await post(api, "/api/reserve", {**ADA, "wait": True, "timeout": timeout})
    assert told(answer) == (400, "invalid_argument")
    assert "above 0 s and at most 10 min" in answer.value["message"]


@ensureDeferred
async def test_a_reservation_over_http_needs_no_signs_of_life() -> None:
    farm = MemoryControl(ControlSettings(grace=10.0))
    worker = await farm.worker("w1", "A")
    await post(http_api(farm.control), "/api/reserve", ADA)
    for _ in range(20):
        farm.pass_time(5)
        await worker.heartbeat()
    assert [record.client for record in await farm.store.active()] == ["ada"]


@ensureDeferred
async def test_a_reservation_over_http_outlives_a_session_of_that_name_and_a_restart_of_control() -> None:
    farm = MemoryControl(ControlSettings(grace=10.0))
    worker = await farm.worker("w1", "A", "B")
    await post(http_api(farm.control), "/api/reserve", ADA)
    client = await farm.client("ada")
    await client.call("reserve", amount=1, kind="pulsecount")
    client.bus.drop("it crashed")
    for restart in (False, True):
        if restart:
            farm.stop_control()
            farm.start_control()
        for _ in range(20):
            farm.pass_time(5)
            await worker.heartbeat()
        assert [record.serial for record in await farm.store.active()] == ["A"]


@ensureDeferred
async def test_a_reservation_over_http_ends_when_its_time_is_over() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", {**ADA, "seconds": 8.0})
    farm.pass_time(7)
    assert len(await farm.store.active()) == 1
    farm.pass_time(2)
    assert await farm.store.active() == []


@ensureDeferred
async def test_an_operator_labels_boards_and_workers() -> None:
    farm, api = await farm_of()
    await farm.store.add_token("boss", Role.OPERATOR, token_hash(TOKEN))
    (board,) = (await post(api, "/api/label", {"serials": ["A"], "labels": {"lab": "3"}}, bearer())).value
    assert (board["serial"], board["labels"]) == ("A", {"lab": "3"})
    boards = (await post(api, "/api/label", {"worker": "w1", "labels": {"room": "E1"}}, bearer())).value
    assert {each["labels"]["room"] for each in boards} == {"E1"}
    assert (await get(api, "/api/devices", where="lab=3")).value == ["A"]
    (board,) = (await post(api, "/api/label", {"serials": ["A"], "labels": {"lab": None}}, bearer())).value
    assert board["labels"] == {"room": "E1"}
    wrong = await post(api, "/api/label", {"labels": {"lab": "3"}}, bearer())
    assert told(wrong) == (400, "invalid_argument")
    assert told(await post(api, "/api/label", {"serials": ["X"], "labels": {"lab": "3"}}, bearer())) == (
        404,
        "unknown_device",
    )


@ensureDeferred
async def test_an_operator_makes_rules_of_access_and_reads_them() -> None:
    farm, api = await farm_of()
    await farm.store.add_token("boss", Role.OPERATOR, token_hash(TOKEN))
    assert (await post(api, "/api/access/group", {"group": "class-a", "add": ["ada"]}, bearer())).value == ["ada"]
    wanted = {"group": "class-a", "where": "serial=A", "seconds": 600.0, "kinds": ["pulsecount"]}
    rule = (await post(api, "/api/access/add", wanted, bearer())).value
    assert {name: rule[name] for name in wanted} == wanted
    listed = (await get(api, "/api/access/rules", bearer())).value
    assert listed == {"rules": [rule], "groups": {"class-a": ["ada"]}}
    assert (await get(api, "/api/access", bearer(), account="ada")).value["rules"] == [rule]
    assert (await post(api, "/api/access/remove", {"ids": [rule["id"], 99]}, bearer())).value == [rule["id"]]
    assert (await post(api, "/api/access/group", {"group": "class-a", "remove": ["ada"]}, bearer())).value == []


OPERATING = ["/label", "/access/rules", "/access/add", "/access/remove", "/access/group", "/limits/set"]


@pytest.mark.parametrize("path", OPERATING)
@pytest.mark.parametrize("role", [None, Role.CLIENT])
@ensureDeferred
async def test_labels_and_rules_are_for_operators(path: str, role: Role | None) -> None:
    farm, api = await farm_of()
    if role is not None:
        await farm.store.add_token("ada", role, token_hash(TOKEN))
    asker = LOCAL if role is None else bearer()
    body = {
        "/label": {"serials": ["A"], "labels": {"lab": "3"}},
        "/access/add": {"account": "ada"},
        "/access/remove": {"ids": [1]},
        "/access/group": {"group": "class-a", "add": ["ada"]},
        "/limits/set": {"account": "ada", "limits": {"boards": 9}},
    }.get(path)
    answer = await (get(api, f"/api{path}", asker) if body is None else post(api, f"/api{path}", body, asker))
    assert told(answer) == (401 if role is None else 403, "not_authorized")


@ensureDeferred
async def test_an_operator_forgets_boards_that_are_offline() -> None:
    farm, api = await farm_of()
    await farm.store.add_token("boss", Role.OPERATOR, token_hash(TOKEN))
    worker = await farm.worker("w2", "C")
    await worker.report("C", DeviceStatus.OFFLINE)
    assert (await post(api, "/delete", {"serials": ["C"]}, bearer())).value == ["C"]
    assert [device.serial for device in await farm.store.devices()] == ["A", "B"]


# ------------------------------------------------------------------------------------------------------- form


@pytest.mark.parametrize("path", CHANGING)
@ensureDeferred
async def test_what_changes_something_answers_to_post_alone(path: str) -> None:
    farm, api = await farm_of()
    body = json.dumps({**ADA, "serials": ["A"]}).encode()
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        request = ApiRequest(method, path, LOCAL, {"json": body.decode()}, "application/json", body)
        answer = await api.answer(request)
        assert (told(answer), answer.headers) == ((405, "method_not_allowed"), {"Allow": "POST"}), method
        assert await farm.store.active() == [], method


@pytest.mark.parametrize("path", READING)
@ensureDeferred
async def test_what_is_read_answers_to_get_alone(path: str) -> None:
    _, api = await farm_of()
    answer = await post(api, f"/api{path}", {})
    assert (answer.code, answer.headers) == (405, {"Allow": "GET, HEAD"})


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/reserve/", "/api//reserve", "/api/openapi.yaml"]
)
@ensureDeferred
async def test_another_path_under_api_is_not_found(path: str) -> None:
    _, api = await farm_of()
    assert api.knows(path)
    assert told(await get(api, path)) == (404, "not_found")


def test_paths_of_other_pages_are_left_alone() -> None:
    api = http_api(MemoryControl().control)
    assert [path for path in ("/", "/health", "/metrics", "/apiary", "/openapi.json") if api.knows(path)] == []


@pytest.mark.parametrize("media", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
@ensureDeferred
async def test_a_body_that_any_web_page_can_send_is_refused(media: str) -> None:
    farm, api = await farm_of()
    assert told(await post(api, "/api/reserve", ADA, media=media)) == (415, "unsupported_media_type")
    assert await farm.store.active() == []


@ensureDeferred
async def test_the_media_type_may_have_parameters() -> None:
    _, api = await farm_of()
    assert (await post(api, "/api/reserve", ADA, media="Application/JSON; charset=utf-8")).code == 200


@ensureDeferred
async def test_a_body_without_end_is_refused() -> None:
    _, api = await farm_of()
    assert told(await post(api, "/api/reserve", b" " * (MAX_BODY + 1))) == (413, "too_large")


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff\xfe", b"[]", b"null", b"7", b'"ada"', b"[" * 100_000, b'{"amount": NaN}',
        b'{"amount": 1e999, "kind": "pulsecount", "name": "ada"}',
        b'{"name": "ada"}',
        b'{"name": "ada", "kind": "pulsecount"}',
        b'{"name": "ada", "kind": "pulsecount", "amount": "1"}',
        b'{"name": "ada", "kind": "pulsecount", "amount": true}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 1.0}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 0}',
        b'{"name": "ada", "kind": "pulsecount", "amount": -1}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 99999}',
        b'{"name": "ada", "kind": "", "amount": 1}',
        b'{"name": "ada", "kind": 7, "amount": 1}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 1, "args": []}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 1, "more": 1}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 1, "seconds": 0}',
        b'{"name": "ada", "kind": "pulsecount", "amount": 1, "seconds": 1e12}',
        b'{"name": "", "kind": "pulsecount", "amount": 1}',
        b'{"name": " ada", "kind": "pulsecount", "amount": 1}',
        b'{"name": "a\\nb", "kind": "pulsecount", "amount": 1}',
        b'{"name": "control", "kind": "pulsecount", "amount": 1}',
        b'{"name": ["ada"], "kind": "pulsecount", "amount": 1}',
        b'{"kind": "pulsecount", "amount": 1}',
    ],
)  # fmt: skip
@ensureDeferred
async def test_a_strange_body_is_an_invalid_argument(body: bytes) -> None:
    farm, api = await farm_of()
    assert told(await post(api, "/api/reserve", body)) == (400, "invalid_argument")
    assert await farm.store.active() == []


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_whatever_the_body_is_it_is_read_or_refused(body: bytes) -> None:
    try:
        asked = read(body, Reserve)
    except InvalidArgument:
        return
    assert isinstance(asked.amount, int)


# ------------------------------------------------------------------------------------------------------ errors


@ensureDeferred
async def test_errors_have_the_names_and_fields_that_they_have_everywhere() -> None:
    _, api = await farm_of()
    answer = await post(api, "/api/reserve", {**ADA, "amount": 5})
    assert told(answer) == (409, "unavailable")
    assert (answer.value["fields"]["free"], answer.value["fields"]["asked"]) == (2, 5)
    assert told(await post(api, "/api/reserve", {**ADA, "kind": "perpetuum"})) == (404, "unknown_kind")
    serials = {"name": "ada", "serials": ["Z"]}
    assert told(await post(api, "/api/reserveserials", {**serials, "kind": "pulsecount"})) == (404, "unknown_device")
    assert told(await post(api, "/api/end", serials)) == (404, "unknown_device")
    assert told(await post(api, "/api/extend", serials)) == (403, "not_yours")
    assert told(await post(api, "/api/end", {"name": "ada", "serials": []})) == (400, "invalid_argument")


@ensureDeferred
async def test_another_clients_boards_are_not_ones_own() -> None:
    farm, api = await farm_of()
    await post(api, "/api/reserve", ADA)
    for path in ("/api/end", "/api/extend", "/api/reboot"):
        assert told(await post(api, path, {"name": "bob", "serials": ["A"]})) == (403, "not_yours")
    assert (await post(api, "/api/endall", {"name": "bob"})).value == []
    assert [record.client for record in await farm.store.active()] == ["ada"]


@ensureDeferred
async def test_while_the_database_is_away_a_client_is_asked_to_come_back() -> None:
    farm, api = await farm_of()
    farm.database.away = True
    answer = await get(api, "/api/available")
    assert (told(answer), answer.headers) == ((503, "busy"), {"Retry-After": "5"})


@pytest.mark.parametrize(
    "error", [each for each in IcefarmError._by_name.values() if each.__module__ == "icefarm.errors"]
)
def test_every_error_has_a_status_of_its_own_kind(error: type[IcefarmError]) -> None:
    assert 400 <= status_of(error) < 600
    assert refused(error("what")).value == {"error": error.name, "message": "what", "fields": {}}


def test_a_kind_of_lost_link_has_its_parents_status() -> None:
    class Elsewhere(LinkLost):
        name = "elsewhere"

    assert status_of(Elsewhere) == status_of(Busy) == 503
    assert status_of(UnknownDevice) == 404


# ---------------------------------------------------------------------------------------------------- who asks


@pytest.mark.parametrize(
    "asker",
    [
        Asker("192.0.2.7", "localhost:8080"),
        Asker("", "localhost:8080"),
        Asker("127.0.0.1", "farm.example:8080"),
        Asker("127.0.0.1", ""),
        Asker("127.0.0.1", "localhost.evil.example"),
        Asker("127.0.0.1", "localhost:8080", "https://evil.example"),
        Asker("127.0.0.1", "localhost:8080", "null"),
    ],
)
@ensureDeferred
async def test_without_a_token_others_hosts_and_pages_of_others_may_nothing(asker: Asker) -> None:
    farm, api = await farm_of()
    for answer in (await post(api, "/api/reserve", ADA, asker), await get(api, "/api/available", asker)):
        assert answer.code in (401, 403)
        assert answer.value["error"] == "not_authorized"
    assert await farm.store.active() == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:1", "[::1]:8080", "farm.localhost:8080"])
@ensureDeferred
async def test_this_host_may_ask_by_any_of_its_names(host: str) -> None:
    _, api = await farm_of()
    assert (await post(api, "/api/reserve", ADA, Asker("::ffff:127.0.0.1", host, f"http://{host}"))).code == 200


@ensureDeferred
async def test_the_name_of_a_live_session_is_its_own() -> None:
    farm, api = await farm_of()
    client = await farm.client("ada")
    await client.call("reserve", amount=1, kind="pulsecount")
    assert told(await post(api, "/api/endall", {"name": "ada"})) == (409, "name_in_use")
    assert len(await farm.store.active()) == 1


@ensureDeferred
async def test_a_farm_of_tokens_answers_nobody_without_one() -> None:
    farm, api = await farm_of(SignInPolicy.TOKENS)
    for answer in (await post(api, "/api/reserve", ADA), await get(api, "/api/available")):
        assert told(answer) == (401, "not_authorized")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert await farm.store.active() == []


@ensureDeferred
async def test_an_unknown_token_is_refused_even_where_none_is_needed() -> None:
    _, api = await farm_of()
    assert told(await get(api, "/api/available", bearer("icefarm_wrong"))) == (401, "not_authorized")


@ensureDeferred
async def test_with_a_token_its_account_is_who_asks_and_a_name_is_one_inside_it() -> None:
    farm, api = await farm_of(SignInPolicy.TOKENS)
    await farm.store.add_token("ada", Role.CLIENT, token_hash(TOKEN))
    (record,) = (await post(api, "/api/reserve", {"amount": 1, "kind": "pulsecount"}, bearer())).value
    assert record["client"] == "ada"
    assert (await post(api, "/api/endall", {"name": "bob"}, bearer())).value == []
    asked = {"amount": 1, "kind": "pulsecount", "name": "bob"}
    assert (await post(api, "/api/reserve", asked, bearer())).value[0]["client"] == "ada/bob"
    assert (await post(api, "/api/endall", {"name": "ada"}, bearer())).value == ["A"]
    assert (await post(api, "/api/endall", {"name": "ada/bob"}, bearer())).value == ["B"]


@ensureDeferred
async def test_an_operators_token_acts_for_nobody_else() -> None:
    farm, api = await farm_of(SignInPolicy.TOKENS)
    await farm.store.add_token("boss", Role.OPERATOR, token_hash(TOKEN))
    ada = await farm.client_of("ada")
    await ada.call("reserve", 1, kind="pulsecount")
    assert (await post(api, "/api/endall", {"name": "ada"}, bearer())).value == []
    assert (await post(api, "/api/reserve", ADA, bearer())).value[0]["client"] == "boss/ada"


@ensureDeferred
async def test_a_workers_token_is_none_for_this() -> None:
    farm, api = await farm_of(SignInPolicy.TOKENS)
    await farm.store.add_token("w1", Role.WORKER, token_hash(TOKEN))
    assert told(await get(api, "/api/available", bearer())) == (401, "not_authorized")


@pytest.mark.parametrize("role", [None, Role.CLIENT])
@ensureDeferred
async def test_only_operators_forget_boards(role: Role | None) -> None:
    farm, api = await farm_of()
    if role is not None:
        await farm.store.add_token("ada", role, token_hash(TOKEN))
    answer = await post(api, "/api/delete", {"serials": ["A"]}, LOCAL if role is None else bearer())
    assert told(answer) == (401 if role is None else 403, "not_authorized")
    assert len(await farm.store.devices()) == 2


@pytest.mark.parametrize(
    ("host", "own"),
    [
        ("127.0.0.1", True), ("127.8.9.1", True), ("::1", True), ("[::1]", True), ("::ffff:127.0.0.1", True),
        ("localhost", True), ("LOCALHOST", True), ("a.localhost", True), ("0.0.0.0", False), ("::ffff:10.0.0.1", False),
        ("10.0.0.1", False), ("127.0.0.1.evil.example", False), ("localhost.", False), ("", False),
    ],
)  # fmt: skip
def test_this_hosts_own_addresses(host: str, own: bool) -> None:
    assert local_address(host) is own


def test_a_missing_token_is_a_challenge_and_a_forbidden_thing_is_none() -> None:
    assert refused(NotAuthorized("sign in", token="missing")).code == 401
    assert refused(NotAuthorized("no")).headers == {}
