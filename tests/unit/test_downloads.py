"""Results of an experiment as files: what is in the archive is in each of them."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from pyarrow import parquet

from icefarm.contract import RESULT_FIELDS
from icefarm.control.http import downloads
from icefarm.control.http.downloads import download
from icefarm.errors import InvalidArgument

ODD = 'é, "x"\\N\\\n'


def result(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = dict.fromkeys(RESULT_FIELDS)
    return {
        **fields, "seq": number, "evaluation_id": f"e{number}", "client": "ada", "serial": "A", "options": {"n": 1},
        "value": [number, ODD], "number": number / 2, "circuit": "" if number % 2 else ODD, "labels": {"who": ODD},
        "attempt": 1, "ended_at": 1.5,
    }  # fmt: skip


RESULTS = [result(number) for number in range(7)]


def field(value: Any) -> str:
    """Write a field as PostgreSQL does: what is null has no quotes."""
    if value is None:
        return ""
    text = json.dumps(value) if isinstance(value, dict | list) else str(value)
    return '"' + text.replace('"', '""') + '"'


async def ask(after: str | None, form: str) -> Mapping[str, Any]:
    """Answer as control does, two results at a time."""
    begin = 0 if after is None else int(after) + 1
    some = RESULTS[begin : begin + 2]
    if form == "jsonl":
        lines = [json.dumps(each) for each in some]
    else:
        lines = [",".join(field(value) for value in each.values()) for each in some]
    data = "".join(line + "\n" for line in lines).encode()
    more = begin + 2 < len(RESULTS)
    return {"fields": list(RESULT_FIELDS), "data": data, "next": str(begin + 1), "more": more}


async def here(function: Callable[..., bytes], *args: Any) -> bytes:
    return function(*args)


def saved(form: str) -> bytes:
    async def whole() -> bytes:
        file = await download(form, ask, here)
        return b"".join([chunk async for chunk in file.chunks])

    return asyncio.run(whole())


def test_json_lines_are_the_results() -> None:
    assert [json.loads(line) for line in saved("jsonl").decode().splitlines()] == RESULTS


def test_csv_has_the_names_of_its_fields_once() -> None:
    rows = list(csv.DictReader(io.StringIO(saved("csv").decode(), newline="")))
    assert [int(row["seq"]) for row in rows] == list(range(7))
    assert json.loads(rows[3]["value"]) == [3, ODD]
    assert rows[2]["circuit"] == ODD


@pytest.mark.parametrize("group", [1, 10**6])
def test_a_parquet_file_has_types_and_tells_nothing_from_an_empty_text(
    monkeypatch: pytest.MonkeyPatch, group: int
) -> None:
    monkeypatch.setattr(downloads, "GROUP", group)
    table = parquet.read_table(io.BytesIO(saved("parquet")))
    rows = table.to_pylist()
    assert [row["seq"] for row in rows] == list(range(7))
    assert [row["circuit"] for row in rows] == [each["circuit"] for each in RESULTS]
    assert [row["number"] for row in rows] == [each["number"] for each in RESULTS]
    assert [json.loads(row["value"]) for row in rows] == [each["value"] for each in RESULTS]
    assert {row["error"] for row in rows} == {None}
    assert parquet.ParquetFile(io.BytesIO(saved("parquet"))).num_row_groups == (4 if group == 1 else 1)


def test_another_format_is_refused_before_anything_is_asked() -> None:
    with pytest.raises(InvalidArgument, match="csv, jsonl, parquet"):
        saved("xml")
