"""The HTTP API through the router of a real farm, and its OpenAPI description, held true against it."""

from __future__ import annotations

import csv
import hashlib
import http.client
import io
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from attrs import define, field
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from pyarrow import parquet
from waiting import wait_until

from icefarm.bitstream import made_up_bitstream
from icefarm.client import Farm
from icefarm.client.lib.drivers import PulseCountClient
from icefarm.runs.package import Package
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

BOARDS = 2
#: Seconds for an answer; boards may have to be flashed.
LIMIT = 60.0
CIRCUIT = Path(__file__).resolve().parents[2] / "examples" / "circuits" / "square_2khz.bin"


@define
class Api:
    """Asks a farm, and checks every answer against the description."""

    url: str
    token: str
    data_dir: Path
    description: dict[str, Any]
    #: What was seen: path, method, status.
    seen: set[tuple[str, str, int]] = field(factory=set)
    #: The tests that have run.
    ran: set[str] = field(factory=set)

    def ask(self, method: str, path: str, body: Any = None, *, token: bool = False, **headers: str) -> tuple[int, Any]:
        """Return status and value of an answer."""
        content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            headers = {"Content-Type": "application/json", **headers}
        if token:
            headers["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.url + path, content, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT) as answer:
                code, text, told = answer.status, answer.read(), answer.headers
        except urllib.error.HTTPError as error:
            code, text, told = error.code, error.read(), error.headers
        assert told["Content-Type"] == "application/json"
        assert told["X-Content-Type-Options"] == "nosniff"
        if code == 405:
            assert told["Allow"]
        value = json.loads(text)
        self._check(method, path, code, value)
        return code, value

    def post(self, path: str, body: Any, **more: Any) -> tuple[int, Any]:
        return self.ask("POST", path, body, **more)

    def _check(self, method: str, path: str, code: int, value: Any) -> None:
        where = path.partition("?")[0].removeprefix("/api")
        where = next((known for known in self.description["paths"] if _is_of(known, where)), where)
        operations = self.description["paths"].get(where)
        if operations is None:
            assert (code, value["error"]) == (404, "not_found")
            return
        (described,) = operations.keys() & {"get", "post"}
        responses = operations[described]["responses"]
        assert str(code) in responses, f"{method} {path} answered {code}, which is not described: {value}"
        schema = responses[str(code)]["content"]["application/json"]["schema"]
        whole = {**schema, "components": self.description["components"]}
        Draft202012Validator(whole).validate(value)
        self.seen.add((where, described, code))


def _is_of(known: str, path: str) -> bool:
    """Tell whether a path is one of those that are described as ``/experiments/{experiment}``."""
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), path) is not None


@pytest.fixture(scope="module")
def farm(short_directory: Path) -> Iterator[FarmProcess]:
    """A farm that runs for the tests of this module."""
    arguments = ("--boards", str(BOARDS), "--listen", "127.0.0.1:0", "--speed", "instant", "--grace", "2")
    with FarmProcess(short_directory / "farm", arguments) as farm:
        farm.wait_until_ready()
        yield farm


@pytest.fixture(scope="module")
def api(farm: FarmProcess, request: pytest.FixtureRequest) -> Iterator[Api]:
    with urllib.request.urlopen(f"{farm.url}/api/openapi.json", timeout=LIMIT) as answer:
        description = json.load(answer)
    token = (farm.data_dir / "operator.token").read_text().strip()
    api = Api(farm.url, token, farm.data_dir, description)
    yield api
    if api.ran >= {name for name in vars(request.module) if name.startswith("test_")}:
        all_that_is_described_was_asked_for(api)


def all_that_is_described_was_asked_for(api: Api) -> None:
    """All tests of this module together use each path as it is meant."""
    described = {
        (path, method)
        for path, operations in api.description["paths"].items()
        for method in operations.keys() & {"get", "post"}
    }
    assert {(path, method) for path, method, _ in api.seen} >= described - {("/delete", "post")}
    succeeded = {path for path, _, code in api.seen if code == 200}
    assert succeeded >= {path for path, _ in described} - {"/delete", "/openapi.json"}


@pytest.fixture(autouse=True)
def all_boards_free(api: Api, request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait until what a test before gave back can be reserved by name again."""
    with Farm(api.url, name="waiting") as waiting:
        wait_until(
            lambda: len(waiting.available()) == BOARDS, lambda: f"all boards are free: {waiting.snapshot()}", LIMIT
        )
    yield
    api.ran.add(request.function.__name__)


ADA = {"name": "ada", "amount": 1, "kind": "pulsecount", "args": {"window": 0.01}}


def test_the_description_is_one_of_openapi(api: Api) -> None:
    OpenAPIV31SpecValidator(api.description).validate()


@pytest.mark.parametrize("base", ["", "/api"])
def test_boards_are_reserved_and_given_back_by_curl_alone(base: str, api: Api) -> None:
    code, (record,) = api.post(f"{base}/reserve", ADA)
    assert (code, record["client"], record["options"]) == (200, "ada", {"window": 0.01})
    named = {"name": "ada", "serials": [record["serial"]]}
    assert record["serial"] not in api.ask("GET", f"{base}/devices")[1]
    assert api.ask("GET", f"{base}/available")[1]["amount"] <= BOARDS - 1
    assert api.post(f"{base}/extend", {**named, "seconds": 7200.0}) == (200, named["serials"])
    assert api.post(f"{base}/extendall", {"name": "ada"}) == (200, named["serials"])
    assert api.post(f"{base}/reboot", named) == (200, named["serials"])
    assert api.post(f"{base}/end", named) == (200, named["serials"])
    assert api.post(f"{base}/endall", {"name": "ada"}) == (200, [])


def test_named_boards_are_reserved(api: Api) -> None:
    _, serials = api.ask("GET", "/api/devices?kind=pulsecount")
    asked = {"name": "ada", "serials": serials, "kind": "pulsecount"}
    code, records = api.post("/api/reserveserials", asked)
    assert (code, [record["serial"] for record in records]) == (200, serials)
    assert sorted(api.post("/api/endall", {"name": "ada"})[1]) == sorted(serials)


def test_a_script_takes_over_what_was_reserved_over_http(api: Api) -> None:
    import logging

    _, (record,) = api.post("/api/reserve", ADA)
    with PulseCountClient(api.url, "ada", logging.getLogger("ada")) as client:
        client.addSerial(record["serial"])
        (result,) = client.evaluateBitstreams([CIRCUIT])
        assert result.serial == record["serial"]
        # While its session lives, nobody else asks in its name.
        assert api.post("/api/endall", {"name": "ada"})[0] == 409
    assert api.post("/api/endall", {"name": "ada"}) == (200, [])


def test_an_operator_ends_anybodys_reservation_and_forgets_boards(api: Api) -> None:
    _, (record,) = api.post("/api/reserve", ADA)
    assert api.post("/api/endall", {"name": "ada"}, token=True) == (200, [])
    assert api.post("/api/endany", {"serials": [record["serial"]]}, token=True) == (200, [record["serial"]])
    code, value = api.post("/api/delete", {"serials": [record["serial"]]}, token=True)
    assert (code, value["error"]) == (400, "invalid_argument")


BAD = [
    ("/api/reserve", {**ADA, "amount": 99}, 409, "unavailable"),
    ("/api/reserve", {**ADA, "kind": "perpetuum"}, 404, "unknown_kind"),
    ("/api/reserve", {**ADA, "args": {"window": "long"}}, 400, "invalid_argument"),
    ("/api/reserve", {"name": "ada"}, 400, "invalid_argument"),
    ("/api/reserve", b"{", 400, "invalid_argument"),
    ("/api/reserve", b" " * 1_100_000, 413, "too_large"),
    ("/api/reserve", {**ADA, "name": "control"}, 400, "invalid_argument"),
    ("/api/reserveserials", {"name": "ada", "serials": ["Z"], "kind": "pulsecount"}, 404, "unknown_device"),
    ("/api/extend", {"name": "ada", "serials": ["Z"]}, 403, "not_yours"),
    ("/api/extendall", {"name": 7}, 400, "invalid_argument"),
    ("/api/end", {"name": "ada", "serials": ["Z"]}, 404, "unknown_device"),
    ("/api/endall", {}, 400, "invalid_argument"),
    ("/api/reboot", {"name": "ada", "serials": ["Z"]}, 404, "unknown_device"),
    ("/api/delete", {"serials": ["Z"]}, 401, "not_authorized"),
    ("/api/endany", {"serials": ["Z"]}, 401, "not_authorized"),
]


@pytest.mark.parametrize(("path", "body", "code", "error"), BAD)
def test_what_cannot_be_done_is_a_named_error(path: str, body: Any, code: int, error: str, api: Api) -> None:
    answer, value = api.post(path, body)
    assert (answer, value["error"]) == (code, error)


@pytest.mark.parametrize("base", ["", "/api"])
def test_reading_changes_nothing(base: str, api: Api) -> None:
    body = {**ADA, "serials": ["Z"]}
    for path, operations in api.description["paths"].items():
        if "servers" in operations and not base:
            continue
        if "post" in operations:
            assert api.ask("GET", base + path, body)[0] == 405
        else:
            named = path.replace("{experiment}", "ga-7").replace("{run}", "0" * 8)
            assert api.post(base + named, body)[0] == 405
    assert api.ask("GET", "/api/available")[1]["amount"] == BOARDS


def test_another_sites_page_and_another_form_are_refused(api: Api) -> None:
    assert api.post("/api/reserve", ADA, Origin="https://evil.example")[0] == 403
    assert api.post("/api/reserve", ADA, Host="evil.example")[0] == 403
    assert api.ask("GET", "/api/devices", Host="evil.example")[0] == 403
    assert api.post("/api/reserve", json.dumps(ADA).encode(), **{"Content-Type": "text/plain"})[0] == 415


def test_a_wrong_token_is_refused(api: Api) -> None:
    assert api.ask("GET", "/api/available", Authorization="Bearer icefarm_wrong")[0] == 401


def test_a_path_that_is_not_there_is_a_json_error(api: Api) -> None:
    assert api.ask("GET", "/api/nothing")[0] == 404


def _wait_for_queue(api: Api, clients: list[str]) -> None:
    """Wait until just these clients are in the queue."""
    with Farm(api.url, name="looking") as looking:
        for _ in islice(looking.watch(interval=1.0), int(LIMIT)):
            if [waiting.client for waiting in looking.queue()] == clients:
                return
        pytest.fail(f"the queue is {looking.queue()}")


def test_who_waits_asks_again_and_gets_boards_when_they_are_free(api: Api) -> None:
    api.post("/api/reserve", {**ADA, "amount": BOARDS})
    code, opened = api.post("/api/requests", {**ADA, "name": "bob"})
    assert (code, opened["state"]) == (202, "waiting")
    poll = {"name": "bob", "id": opened["id"]}
    code, waiting = api.post("/api/requests/poll", {**poll, "seconds": 0.5})
    assert (code, waiting["place"]) == (202, 1)
    api.post("/api/endall", {"name": "ada"})
    while code == 202:
        code, answer = api.post("/api/requests/poll", poll)
    assert (code, [record["client"] for record in answer]) == (200, ["bob"])
    assert api.post("/api/requests/poll", poll)[0] == 409
    api.post("/api/endall", {"name": "bob"})


def test_a_request_that_need_not_wait_has_its_boards_at_once(api: Api) -> None:
    code, (record,) = api.post("/api/requests", ADA)
    assert (code, record["client"]) == (200, "ada")
    api.post("/api/endall", {"name": "ada"})


def test_who_waits_no_longer_leaves_the_queue(api: Api) -> None:
    api.post("/api/reserve", {**ADA, "amount": BOARDS})
    _, opened = api.post("/api/requests", {**ADA, "name": "bob"})
    _wait_for_queue(api, ["bob"])
    assert api.post("/api/requests/cancel", {"name": "bob", "id": opened["id"]}) == (200, [])
    _wait_for_queue(api, [])
    api.post("/api/endall", {"name": "ada"})


def test_a_body_in_chunks_is_refused_at_once(api: Api) -> None:
    host, _, port = api.url.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=LIMIT)
    connection.request("POST", "/api/endall", iter([b'{"name": "ada"}']), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    assert answer.status == 411
    assert "Content-Length" in json.loads(answer.read())["message"]
    connection.close()


def test_what_displays_show_is_read_in_one_request_each(api: Api) -> None:
    serial = api.ask("GET", "/api/devices")[1][0]
    assert api.ask("GET", "/api/snapshot")[1]["devices"]
    assert api.ask("GET", f"/api/history?serial={serial}")[0] == 200
    assert api.ask("GET", "/api/journal")[0] == 200


def _experiment_with(api: Api, path: str, done: int) -> Any:
    code, answer = api.ask("GET", path)
    return answer if code == 200 and answer["experiment"]["done"] == done else None


def _closed_runs(api: Api, path: str) -> Any:
    code, answer = api.ask("GET", path)
    return answer if code == 200 and answer["runs"] and answer["runs"][0]["state"] == "closed" else None


def test_an_experiment_is_read_as_json_and_its_results_as_a_file(api: Api) -> None:
    circuit = made_up_bitstream(1)
    with Farm(api.url, name="ada", experiment="ga 7/é") as farm:
        with farm.reserve(1, window=0.01) as boards:
            values = [result.value for result in boards.evaluate([circuit] * 3, labels={"generation": 1}, total=3)]
        farm.experiment().log(best=0.5)
    path = f"/api/experiments/{quote('ga 7/é', safe='')}"
    answer = wait_until(partial(_experiment_with, api, path, 3), "the results are in the archive", LIMIT)
    assert (answer["experiment"]["account"], answer["experiment"]["total"]) == ("ada", 3)
    assert [each["name"] for each in api.ask("GET", "/api/experiments?account=ada&limit=5")[1]["experiments"]]
    assert api.ask("GET", f"{path}/figures")[1]["figures"][0]["figures"] == {"best": 0.5}
    assert api.ask("GET", "/api/experiments/none")[0] == 404
    assert api.ask("GET", f"{path}/results?format=xml")[0] == 400
    assert api.ask("GET", "/api/experiments?limit=x")[0] == 400

    def file(form: str) -> bytes:
        with urllib.request.urlopen(f"{api.url}{path}/results?format={form}&failed=false", timeout=LIMIT) as answer:
            return bytes(answer.read())

    api.seen.add(("/experiments/{experiment}/results", "get", 200))
    rows = list(csv.DictReader(io.StringIO(file("csv").decode())))
    assert [int(row["value"]) for row in rows] == values
    lines = [json.loads(line) for line in file("jsonl").splitlines()]
    assert [(line["value"], line["labels"]) for line in lines] == [(value, {"generation": 1}) for value in values]
    table = parquet.read_table(io.BytesIO(file("parquet")))
    assert [json.loads(value) for value in table["value"].to_pylist()] == values


def test_a_run_is_listed_shown_and_downloaded_and_its_digests_are_right(api: Api, tmp_path: Path) -> None:
    with Farm(api.url, name="ada", experiment="cited") as farm, farm.reserve(1, window=0.01) as boards:
        values = [result.value for result in boards.evaluate([made_up_bitstream(n) for n in range(3)])]
    answer = wait_until(partial(_closed_runs, api, "/api/experiments/cited/runs"), "the run is closed", LIMIT)
    (run,) = answer["runs"]
    assert (run["results"], run["failed"], answer["next"]) == (3, 0, None)
    code, answer = api.ask("GET", f"/api/runs/{run['number'][:10]}")
    assert (code, answer["run"]) == (200, run)
    assert hashlib.sha256(answer["manifest"].encode()).hexdigest() == run["id"]
    with urllib.request.urlopen(f"{api.url}/api/runs/{run['id']}/file", timeout=LIMIT) as response:
        assert response.headers.get_filename() == f"run-{run['id'][:12]}.icefarm.zip"
        (tmp_path / "http.zip").write_bytes(response.read())
    api.seen.add(("/runs/{run}/file", "get", 200))
    with Farm(api.url, name="reader") as farm:
        farm.archived_run(run["id"]).export(tmp_path / "wamp.zip")
    assert (tmp_path / "http.zip").read_bytes() == (tmp_path / "wamp.zip").read_bytes()
    with Package.open(tmp_path / "http.zip") as package:
        assert package.id == run["id"]
        assert [each["value"] for each in package.results()] == values
    for path in ("", "/file"):
        assert api.ask("GET", f"/api/runs/{'0' * 64}{path}")[0] == 404
        assert api.ask("GET", f"/api/runs/zz{path}")[0] == 400


def test_boards_are_chosen_by_a_selector(api: Api) -> None:
    code, answer = api.ask("GET", "/api/available?where=virtual%20and%20not%20real")
    assert (code, answer["amount"] > 0) == (200, True)
    assert api.ask("GET", "/api/available?where=real")[1] == {"amount": 0, "serials": []}
    code, answer = api.ask("GET", "/api/available?where=lab%3D")
    assert (code, answer["message"]) == (400, "where must have a value after lab=, not the end")
    wanted = {"amount": 1, "kind": "pulsecount", "name": "chooser", "where": "real"}
    code, answer = api.post("/api/reserve", wanted)
    assert (code, "real leaves 0" in answer["message"]) == (409, True)
    code, answer = api.post("/api/reserve", {**wanted, "where": "simulated"})
    assert (code, len(answer)) == (200, 1)
    assert api.post("/api/end", {"serials": [answer[0]["serial"]], "name": "chooser"})[0] == 200


def test_what_an_account_may_have_is_its_own_to_read_and_an_operators(api: Api) -> None:
    code, answer = api.ask("GET", "/api/access?account=ada", token=True)
    assert (code, answer) == (200, {"account": "ada", "group": None, "rules": []})
    assert api.ask("GET", "/api/access?account=ada")[0] in (401, 403)


def test_labels_and_rules_of_access_are_read_and_changed_by_operators(api: Api) -> None:
    serial = api.ask("GET", "/api/devices")[1][0]
    code, (board,) = api.post("/api/label", {"serials": [serial], "labels": {"lab": "3"}}, token=True)
    assert (code, board["labels"]) == (200, {"lab": "3"})
    assert api.ask("GET", "/api/devices?where=lab=3") == (200, [serial])
    assert api.post("/api/label", {"serials": [serial], "labels": {"lab": None}})[0] == 401
    assert api.post("/api/label", {"serials": [serial], "labels": {"lab": None}}, token=True)[0] == 200
    assert api.post("/api/access/group", {"group": "class-a", "add": ["kim"]}, token=True) == (200, ["kim"])
    code, rule = api.post("/api/access/add", {"group": "class-a", "seconds": 600.0}, token=True)
    assert (code, rule["group"], rule["seconds"]) == (200, "class-a", 600.0)
    listed = api.ask("GET", "/api/access/rules", token=True)
    assert listed == (200, {"rules": [rule], "groups": {"class-a": ["kim"]}})
    assert api.post("/api/access/remove", {"ids": [rule["id"]]}, token=True) == (200, [rule["id"]])
    assert api.post("/api/access/group", {"group": "class-a", "remove": ["kim"]}, token=True) == (200, [])
    assert api.ask("GET", "/api/access/rules")[0] == 401


def test_usage_is_ones_own_and_an_operators_is_everybodys(api: Api) -> None:
    with Farm(api.url, name="ada") as farm, farm.reserve(1, window=0.01):
        code, answer = api.ask("GET", "/api/usage?by=account,board", token=True)
        assert code == 200
        assert "ada" in [each["account"] for each in answer["usage"]]
        assert [each for each in api.ask("GET", "/api/usage")[1]["usage"] if each["account"] == "ada"] == []
    assert api.ask("GET", "/api/usage?by=place")[0] == 400
    assert api.ask("GET", "/api/usage?account=ada")[0] in (401, 403)


def test_limits_are_read_by_their_account_and_set_by_operators(api: Api) -> None:
    code, answer = api.post("/api/limits/set", {"account": "bob", "limits": {"boards": 3}}, token=True)
    assert (code, answer["account"], answer["limits"]["boards"]) == (200, "bob", 3)
    code, answer = api.ask("GET", "/api/limits?account=bob", token=True)
    assert (code, answer["limits"]["boards"], answer["has"]) == (200, 3, {"boards": 0, "queue": 0, "sessions": 0})
    assert api.post("/api/limits/set", {"account": "bob", "limits": {"boards": None}}, token=True)[0] == 200
    assert api.ask("GET", "/api/limits?account=bob")[0] in (401, 403)
    assert api.post("/api/limits/set", {"account": "bob", "limits": {"boards": 3}})[0] == 401
    assert api.post("/api/limits/set", {"account": "bob", "limits": {"chairs": 3}}, token=True)[0] == 400


def test_boards_are_booked_and_bookings_are_cancelled_by_their_account(api: Api) -> None:
    wanted = {"starts_at": time.time() + 86400, "seconds": 3600, "amount": 1, "name": "ada"}
    code, booking = api.post("/api/book", wanted)
    assert (code, booking["account"], booking["amount"], booking["kept"]) == (200, "ada", 1, 1)
    code, bookings = api.ask("GET", "/api/bookings")
    assert (code, booking["id"] in [each["id"] for each in bookings]) == (200, True)
    assert api.post("/api/bookings/cancel", {"ids": [booking["id"]], "name": "bob"})[0] == 403
    assert api.post("/api/bookings/cancel", {"ids": [booking["id"]], "name": "ada"}) == (200, [booking["id"]])
    assert api.post("/api/book", {**wanted, "starts_at": 5.0})[0] == 400


def test_boards_are_compared_and_their_readings_listed(api: Api) -> None:
    code, answer = api.ask("GET", "/api/calibrations?reference=oscillator")
    assert (code, answer["calibrations"], answer["suspects"]) == (200, [], {})
    assert api.ask("GET", "/api/calibrations?reference=quartz")[0] == 400
    code, answer = api.ask("GET", "/api/readings?serial=A&reference=crystal")
    assert (code, answer["readings"]) == (200, [])
    assert api.ask("GET", "/api/readings")[0] == 400


def test_tokens_are_in_no_log(api: Api) -> None:
    assert api.ask("GET", "/api/available", token=True)[0] == 200
    for log in api.data_dir.rglob("*.log*"):
        assert api.token not in log.read_text(errors="replace"), log
