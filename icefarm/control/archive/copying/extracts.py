"""Pages of results as parts of a file, which PostgreSQL writes: control passes bytes on, and makes no objects of rows.

A page has so many rows, or so many bytes, and a transaction of its own: a reader that is slow holds nothing up.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from attrs import Factory, define

from icefarm.contract import RESULT_FIELDS
from icefarm.control.archive.interface import Extract, FileForm, ResultQuery

__all__ = ["PAGE", "RESULT", "as_lines", "extract", "result_fields"]

_TIMES = ("started_at", "ended_at")
#: A row of the table as a result.
RESULT = ", ".join(
    f"extract(epoch FROM {name})::float8 AS {name}" if name in _TIMES else name for name in RESULT_FIELDS
)

#: The rows of a page, each with the bytes of the values of all up to it; a row has at least 25 bytes in any form.
PAGE = f"""
    SELECT {RESULT}, until
      FROM (SELECT *, sum(size) OVER (ORDER BY seq) AS until
              FROM (SELECT *, coalesce(octet_length(value::text), 0) + 25 AS size
                      FROM measurement
                     WHERE experiment = %(id)s AND seq > %(after)s
                       AND (%(serials)s::text[] IS NULL OR serial = ANY (%(serials)s))
                       AND (%(since)s::float8 IS NULL OR ended_at >= to_timestamp(%(since)s))
                       AND (%(until)s::float8 IS NULL OR ended_at < to_timestamp(%(until)s))
                       AND (%(failed)s::boolean IS NULL OR (error IS NOT NULL) = %(failed)s)
                       AND (%(kind)s::text IS NULL OR kind = %(kind)s)
                       AND (%(sha256)s::text[] IS NULL OR sha256 = ANY (%(sha256)s))
                     ORDER BY seq LIMIT %(limit)s) m) m
     WHERE until - size < %(size)s ORDER BY seq
"""
_FIELDS = ", ".join(RESULT_FIELDS)
_JSON = json.JSONEncoder(separators=(",", ":")).encode

# JSON has no characters of control in it: as CSV with such a delimiter and quote it comes as it is.
_COPY = {
    FileForm.CSV: f"COPY (SELECT {_FIELDS} FROM ({PAGE}) page) TO STDOUT (FORMAT csv)",
    FileForm.JSON_LINES: f"""
        COPY (SELECT row_to_json(page) FROM (SELECT {_FIELDS} FROM ({PAGE}) page) page)
          TO STDOUT (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')
    """,
}
#: Where the number of a result stands in its row, from and up to: it is the first field.
_SEQ = {FileForm.CSV: (0, b","), FileForm.JSON_LINES: (len('{"seq":'), b",")}


def result_fields(id: int, query: ResultQuery) -> dict[str, Any]:
    """Return the parameters of `PAGE`."""
    return {
        "id": id, "after": query.after, "limit": query.limit, "size": query.size, "since": query.since,
        "until": query.until, "serials": None if query.serials is None else list(query.serials),
        "failed": query.failed, "kind": query.kind, "sha256": None if query.sha256 is None else list(query.sha256),
    }  # fmt: skip


#: Fields that are JSON in a file of CSV.
_AS_JSON = ("options", "value", "labels", "board_labels")


def as_lines(fields: Sequence[str], rows: Sequence[Sequence[Any]], form: FileForm) -> bytes:
    """Return results as lines of a file, as PostgreSQL writes them."""
    if form is FileForm.JSON_LINES:
        return "".join(_JSON(dict(zip(fields, row, strict=True))) + "\n" for row in rows).encode()
    file = io.StringIO()
    places = [fields.index(name) for name in _AS_JSON]
    writer = csv.writer(file, lineterminator="\n")
    for row in map(list, rows):
        for place in places:
            if row[place] is not None:
                row[place] = _JSON(row[place])
        writer.writerow(row)
    return file.getvalue().encode()


@define
class _Rows:
    """A file that PostgreSQL writes to, one row a call."""

    rows: list[bytes] = Factory(list)

    def write(self, row: bytes) -> int:
        self.rows.append(row)
        return len(row)


def extract(id: int, query: ResultQuery, form: FileForm, cursor: Any) -> Extract:
    """Read a page with a cursor that blocks."""
    file = _Rows()
    cursor.copy_expert(cursor.mogrify(_COPY[form], result_fields(id, query)).decode(), file)
    if not file.rows:
        return Extract(b"", 0, query.after, False)
    data = b"".join(file.rows)
    begin, end = _SEQ[form]
    last = int(file.rows[-1][begin:].split(end, 1)[0])
    return Extract(data, len(file.rows), last, len(file.rows) == query.limit or len(data) >= query.size)
