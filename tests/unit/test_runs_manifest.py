"""The canonical form of runs, their manifests, and the files that they are exported as."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from icefarm.bitstream import made_up_bitstream
from icefarm.contract import RESULT_FIELDS
from icefarm.errors import InvalidArgument
from icefarm.runs.canonical import (
    _tamed,
    canonical,
    canonical_text,
    canonical_texts,
    digest,
    moment,
    moments,
    seconds_of,
)
from icefarm.runs.manifest import LISTED, Summary, checked_manifest, columns_of
from icefarm.runs.numbers import evaluation_id, last_id, position_of
from icefarm.runs.package import LONGEST_LINE, Package, PackageWriter

NUMBER = "0123456789abcdef" * 2
SHA = ["ab" * 32, "cd" * 32]
TOLD = {
    "account": "ada", "experiment": "ga-7", "client": "ada/laptop", "number": NUMBER, "kind": "pulsecount",
    "options": {"window": 0.1}, "evaluation_options": {"repeats": 2}, "placement": {"placement": "spread", "seed": 3},
    "seed": 3, "labels": {}, "answered": None, "versions": {"client": "1", "control": "1", "workers": {"w1": "1"}},
}  # fmt: skip

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


def row(index: int = 0, board: int = 0, **fields: Any) -> dict[str, Any]:
    usual = dict.fromkeys(RESULT_FIELDS) | {
        "seq": index + 1, "evaluation_id": evaluation_id(NUMBER, index, board), "client": "ada", "reservation": "r",
        "serial": "A", "worker": "w1", "kind": "pulsecount", "options": {}, "value": 7, "number": 7.0,
        "sha256": SHA[index % 2], "circuit": "a.bin", "firmware": "pulse_count", "firmware_version": "1.2",
        "origin": "simulated", "attempt": 1, "started_at": 100.0 + index, "ended_at": 100.5 + index,
    }  # fmt: skip
    return usual | fields


def failure(index: int = 0, **fields: Any) -> dict[str, Any]:
    nothing = {"value": None, "number": None, "origin": None, "started_at": None}
    return row(index, **{**nothing, "error": "device_failed", "message": "silent", **fields})


def made(*rows: dict[str, Any]) -> tuple[bytes, bytes]:
    """Return the manifest and the lines of a run with these rows."""
    summary = Summary()
    lines = summary.add(columns_of(rows))
    return canonical(summary.manifest(TOLD)), lines


def exported(path: Path, manifest: bytes, lines: bytes, circuits: dict[str, bytes] | None = None) -> Path:
    writer = PackageWriter(manifest)
    writer.add_lines(lines)
    for sha256, data in sorted((circuits or {}).items()):
        writer.add_circuit(sha256, data)
    writer.end()
    path.write_bytes(writer.taken())
    return path


numbers = st.floats(allow_nan=False) | st.floats(1e-7, 1e-3) | st.floats(1e14, 1e22) | st.integers().map(float)
usual = st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | st.text(st.characters(max_codepoint=0x82)),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(max_codepoint=0x82)), inner),
    max_leaves=8,
)


@pytest.mark.thorough
@given(usual)
@settings(max_examples=400)
def test_what_the_standard_library_writes_is_the_canonical_form_too(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(_tamed(value))


@given(values)
def test_the_canonical_form_is_read_back_and_written_again_as_the_same_bytes(value: Any) -> None:
    form = canonical(value)
    again = canonical(json.loads(form))
    assert again == form


@pytest.mark.parametrize(
    ("value", "form"),
    [
        ({"b": 1, "a": [True, None, 1.0]}, b'{"a":[true,null,1],"b":1}'),
        (1e21, b"1e+21"),
        (1e-7, b"1e-7"),
        (333333333.33333329, b"333333333.3333333"),
        (0.000001, b"0.000001"),
        (-0.0, b"0"),
        (2**53 - 1, b"9007199254740991"),
        (2**53, b'"9007199254740992"'),
        (float("nan"), b'"nan"'),
        ('€\x0f\n"\\', b'"\xe2\x82\xac\\u000f\\n\\"\\\\"'),
        ({"\U00010000": 1, "\ue000": 2}, '{"\U00010000":1,"\ue000":2}'.encode()),
        (2**53 + 0.0, b'"9007199254740992"'),
        (1 - 2**53, b"-9007199254740991"),
        ("a\ud800b", '"a\ufffdb"'.encode()),
        (["\ud83d\ude00", (1,), {1: None}], '["\U0001f600",[1],{"1":null}]'.encode()),
    ],
)
def test_the_canonical_form_is_that_of_rfc_8785(value: Any, form: bytes) -> None:
    assert canonical(value) == form


@pytest.mark.parametrize(
    "value", [{"a": [True, None, 1.5, -0.25], "b": {"c": "text"}}, 2**53 - 1, 1 - 2**53, 1e-4, "a\n", [], {}]
)
def test_what_nearly_all_values_are_is_written_by_the_standard_library(
    monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    form = rfc8785.dumps(value)
    monkeypatch.setattr(rfc8785, "dumps", None)
    assert canonical(value) == form


LARGEST = 2**53 - 1


@pytest.mark.parametrize(
    "values",
    [
        ["a", "", "b c"],
        ["a", 'b"', "c\\", "d\n"],
        ["a", "\u20ac"],
        [1, -2, LARGEST, -LARGEST],
        [1, LARGEST + 1],
        [-LARGEST - 1, 1],
        [True, 1],
        [True, False],
        ["a", 1, None, 1.5, 1e-7, 2.0, 1e16, float("inf"), [1], {"b": 1}],
        [],
    ],
)
def test_values_are_written_at_once_as_each_by_itself(values: list[Any]) -> None:
    forms = [canonical(value).decode() for value in values]
    assert list(canonical_texts(values)) == forms
    assert [canonical_text(value) for value in values] == forms


@given(st.lists(st.none() | st.floats(-5, 5) | st.floats(1e9, 1e9 + 3) | st.floats(0, 4e9), max_size=8))
def test_times_are_written_at_once_as_each_by_itself(times: list[float | None]) -> None:
    assert moments(times) == [moment(seconds) for seconds in times]


def test_a_time_is_written_in_utc_to_the_microsecond() -> None:
    times = [None, -0.5, 0.0, 0.25, 1.0, 1.000001, 1_795_912_200.25, 1_795_912_200.75, 1_795_912_201.0]
    texts = [
        None,
        "1969-12-31T23:59:59.500000Z",
        "1970-01-01T00:00:00.000000Z",
        "1970-01-01T00:00:00.250000Z",
        "1970-01-01T00:00:01.000000Z",
        "1970-01-01T00:00:01.000001Z",
        "2026-11-29T00:30:00.250000Z",
        "2026-11-29T00:30:00.750000Z",
        "2026-11-29T00:30:01.000000Z",
    ]
    assert moments(times) == [moment(seconds) for seconds in times] == texts


def test_a_run_is_the_same_in_however_many_parts_its_results_come() -> None:
    rows = [row(0), row(0, board=1, serial="B", worker="w2"), row(1), failure(2)]
    whole, parts = Summary(), Summary()
    whole.add(columns_of(rows))
    for part in (rows[:1], rows[1:3], rows[3:]):
        parts.add(columns_of(part))
    manifest = parts.manifest(TOLD)
    assert manifest == whole.manifest(TOLD)
    assert manifest["circuits"]["sha256"] == [SHA[0], SHA[1], SHA[0]]
    assert [(board["serial"], board["workers"]) for board in manifest["boards"]] == [("A", ["w1"]), ("B", ["w2"])]
    assert (manifest["results"]["count"], manifest["results"]["failed"]) == (3, 1)


@pytest.mark.parametrize("label", ["3", 1, True, 1.0, None, ["lab", 3], {"room": 3}])
def test_a_line_has_the_labels_of_its_board_in_the_canonical_form(label: Any) -> None:
    summary = Summary()
    summary.add(columns_of([row(board_labels={"lab": 1})]))
    labels = {"lab": label}
    assert canonical(labels) == canonical(
        json.loads(summary.add(columns_of([row(1, board_labels=labels)])))["board_labels"]
    )


@given(st.dictionaries(st.text(), st.integers(), max_size=6), st.randoms())
def test_the_digest_does_not_depend_on_the_order_of_names(value: dict[str, int], random: Any) -> None:
    names = list(value)
    random.shuffle(names)
    assert digest(canonical({name: value[name] for name in names})) == digest(canonical(value))


@given(st.integers(0, 2**51))
def test_a_time_is_kept_to_the_microsecond(microseconds: int) -> None:
    text = moment(microseconds / 1e6)
    assert text is not None
    assert round(seconds_of(text) * 1e6) == microseconds


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1))
def test_ids_are_ordered_as_the_run_is(index: int, board: int, other: int, its_board: int) -> None:
    one, two = evaluation_id(NUMBER, index, board), evaluation_id(NUMBER, other, its_board)
    assert (one < two) == ((index, board) < (other, its_board))
    assert NUMBER < one <= last_id(NUMBER)
    position = position_of(one)
    assert position is not None
    assert (position.run, position.index, position.board) == (NUMBER, index, board)


def test_a_manifest_says_what_its_results_amount_to() -> None:
    manifest = checked_manifest(made(row(0), row(1, serial="B", origin="measured"), failure(2, serial="B"))[0])
    assert manifest["results"]["count"] == 2
    assert manifest["results"]["failed"] == 1
    assert manifest["circuits"]["sha256"] == [SHA[0], SHA[1], SHA[0]]
    assert [(each["serial"], each["results"], each["failed"]) for each in manifest["boards"]] == [
        ("A", 1, 0),
        ("B", 1, 1),
    ]
    assert manifest["boards"][1]["origins"] == ["measured"]
    assert (manifest["begin"], manifest["end"]) == ("1970-01-01T00:01:40.000000Z", "1970-01-01T00:01:42.500000Z")


def test_a_circuit_that_several_boards_measured_is_one_of_the_run() -> None:
    manifest = json.loads(made(row(0, 1), row(0, 2, serial="B"), row(1, 1))[0])
    assert manifest["circuits"]["sha256"] == SHA


def test_failures_of_different_kinds_and_boards_add_up() -> None:
    rows = [
        failure(0),
        failure(1, error="timed_out"),
        failure(2, serial="B"),
        row(3),
        failure(4, error="timed_out", firmware_version="1.9"),
    ]
    manifest = json.loads(made(*rows)[0])
    assert (manifest["results"]["count"], manifest["results"]["failed"]) == (1, 4)
    assert [(each["serial"], each["results"], each["failed"]) for each in manifest["boards"]] == [
        ("A", 1, 3),
        ("B", 0, 1),
    ]


def test_as_many_circuits_as_may_be_listed_are_listed_in_however_many_parts_they_come() -> None:
    rows = [row(n) for n in range(LISTED)]
    summary = Summary()
    for part in (rows[:1], rows[1:700], rows[700:]):
        summary.add(columns_of(part))
    assert summary.manifest(TOLD)["circuits"]["sha256"] == [SHA[n % 2] for n in range(LISTED)]


def test_of_many_circuits_the_manifest_has_their_digest() -> None:
    manifest = json.loads(made(*(row(n) for n in range(LISTED + 1)))[0])
    assert "sha256" not in manifest["circuits"]
    listed = "".join(f"{SHA[n % 2]}\n" for n in range(LISTED + 1)).encode()
    assert manifest["circuits"]["digest"] == hashlib.sha256(listed).hexdigest()


@pytest.mark.parametrize(
    "change",
    [
        {"value": 8}, {"serial": "B"}, {"sha256": "00" * 32}, {"temperature_c": 20.0}, {"ended_at": 100.500001},
        {"attempt": 2}, {"firmware_version": "1.3"}, {"origin": "measured"}, {"circuit": "b.bin"},
    ],
)  # fmt: skip
def test_whatever_changes_in_a_result_changes_the_runs_id(change: dict[str, Any]) -> None:
    assert digest(made(row(0, **change))[0]) != digest(made(row(0))[0])


def test_the_same_run_is_exported_as_the_same_bytes_and_read_back(tmp_path: Path) -> None:
    circuit = made_up_bitstream(3)
    data = circuit if isinstance(circuit, bytes) else circuit.data
    manifest, lines = made(row(0, sha256=digest(data)), failure(1))
    paths = [exported(tmp_path / name, manifest, lines, {digest(data): data}) for name in ("a.zip", "b.zip")]
    assert paths[0].read_bytes() == paths[1].read_bytes()
    with Package.open(paths[0]) as package:
        assert package.id == digest(manifest)
        assert [each["error"] for each in package.results()] == [None, "device_failed"]
        assert package.circuit(digest(data)) == data
        assert package.circuit("00" * 32) is None
    with zipfile.ZipFile(paths[0]) as plain:
        assert plain.namelist() == ["manifest.json", "results.jsonl", f"circuits/{digest(data)}.bin"]
        assert hashlib.sha256(plain.read("results.jsonl")).hexdigest() == json.loads(manifest)["results"]["digest"]
        assert plain.testzip() is None


def _read_all(path: Path) -> None:
    with Package.open(path) as package:
        list(package.results())
        for sha256 in package.circuits:
            package.circuit(sha256)


def test_a_file_that_was_changed_is_refused_with_what_is_wrong(tmp_path: Path) -> None:
    manifest, lines = made(row(0), row(1))
    path = tmp_path / "run.zip"
    for changed, said in (
        ((manifest, lines[: len(lines) // 2]), "is not that of the manifest"),
        ((manifest, lines + lines), "more lines"),
        ((manifest, lines.replace(b'"value":7', b'"value":8')), "is not that of the manifest"),
        ((manifest, b"[]\n" + lines), "line 1 of results.jsonl is not an object"),
        ((manifest, b"{}\n" + lines), "line 1 of results.jsonl has no index"),
        ((manifest, lines.replace(b'"serial":"', b'"aerial":"', 1)), "line 1 of results.jsonl has no serial"),
        ((manifest, lines.replace(b'"value":', b'"valve":', 1)), "line 1 of results.jsonl has no value"),
        ((manifest, lines.replace(b'"circuit":"', b'"circuit":[],"c":"', 1)), "line 1 of results.jsonl has no circuit"),
        ((manifest, b"x" * (LONGEST_LINE + 1)), "a line of more than"),
        ((manifest[:-1], lines), "not JSON"),
        ((b" " + manifest, lines), "canonical"),
        ((manifest.replace(b"icefarm run 1", b"icefarm run 9"), lines), "format"),
        ((manifest.replace(b'"boards":', b'"hoards":'), lines), "no boards"),
        ((manifest.replace(b'"workers":{"w1":"1"}', b'"workers":[]'), lines), "no workers"),
        ((manifest.replace(b'"count":2', b'"count":-2'), lines), "no count"),
        ((b"[" * 100_000, lines), "not JSON"),
    ):
        with pytest.raises(InvalidArgument, match=said):
            _read_all(exported(path, *changed))


def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.zip"
    with pytest.raises(InvalidArgument, match="no such file"):
        Package.open(path)
    path.write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(InvalidArgument, match="not a run that icefarm exported"):
        Package.open(path)
    with pytest.raises(InvalidArgument, match="not a run that icefarm exported"):
        Package.open(tmp_path)
    manifest, lines = made(row(0))
    whole = exported(path, manifest, lines).read_bytes()
    for name in ("../manifest.json", "circuits/x.bin", "/etc/passwd"):
        path.write_bytes(whole)
        with zipfile.ZipFile(path, "a") as more:
            more.writestr(name, b"")
        with pytest.raises(InvalidArgument, match="it has a file"):
            Package.open(path)


def test_no_byte_that_is_changed_goes_unnoticed(tmp_path: Path) -> None:
    manifest, lines = made(row(0), row(1))
    path = tmp_path / "run.zip"
    whole = exported(path, manifest, lines).read_bytes()
    for place in range(0, len(whole) - 22, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            with Package.open(path) as package:
                assert package.id == digest(manifest)
                # Times and the like in the zip itself say nothing of the run.
                assert [each["value"] for each in package.results()] == [7, 7]
        except InvalidArgument:
            pass


def test_a_circuit_that_unpacks_to_more_than_any_circuit_has_is_refused(tmp_path: Path) -> None:
    manifest, lines = made(row(0))
    path = exported(tmp_path / "run.zip", manifest, lines, {SHA[0]: bytes(50_000_000)})
    assert path.stat().st_size < 100_000
    with Package.open(path) as package, pytest.raises(InvalidArgument, match="more than 104,090 bytes"):
        package.circuit(SHA[0])


def test_a_circuit_that_is_not_the_one_that_it_is_called_is_refused(tmp_path: Path) -> None:
    manifest, lines = made(row(0))
    with (
        Package.open(exported(tmp_path / "run.zip", manifest, lines, {SHA[0]: b"x"})) as package,
        pytest.raises(InvalidArgument, match="has the SHA-256"),
    ):
        package.circuit(SHA[0])
