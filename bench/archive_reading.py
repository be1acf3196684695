"""``python -m bench.archive_reading``: how fast an experiment of a million results is read, on a farm of its own.

The results are inserted into PostgreSQL directly: measuring so many would take a quarter of an hour.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

import psycopg2
from twisted.internet import reactor

from bench.accounts import accounts_of, parties
from bench.farm import running_farm
from icefarm.client import Farm
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.testing.processes.farm_process import FarmProcess

ROWS, BOARDS, TIMES = 1_000_000, 64, 5
NAME = "bench"

_EXPERIMENT = "INSERT INTO experiment (account, name) VALUES ('ada', %s) RETURNING id"
_PARTITION = """
    SELECT format('CREATE TABLE IF NOT EXISTS measurement_%%s PARTITION OF measurement FOR VALUES FROM (%%L) TO (%%L)',
                  to_char(day, 'YYYYMMDD'), day, day + 1)
      FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS day) d
"""
_ROWS = """
    INSERT INTO measurement (day, evaluation_id, experiment, client, reservation, serial, worker, kind, options, value,
                             number, error, message, sha256, circuit, labels, firmware, firmware_version, origin,
                             window_us, load_us, temperature_c, sequence, attempt, started_at, ended_at)
    SELECT (now() AT TIME ZONE 'UTC')::date, md5(n::text), %(id)s, 'ada/run', 'r' || n %% %(boards)s,
           'BOARD' || n %% %(boards)s, 'w1', 'pulsecount', '{"window": 1.0}',
           CASE WHEN n %% 1000 > 0 THEN to_json(n %% 5000) END, CASE WHEN n %% 1000 > 0 THEN n %% 5000 END,
           CASE WHEN n %% 1000 = 0 THEN 'timed_out' END, CASE WHEN n %% 1000 = 0 THEN 'it took too long' END,
           md5(n::text) || md5(n::text), 'circuits/' || n || '.bin', '{"generation": 3}', 'pulse_count', '1.1.0',
           'measured', 1000000, 34000, 31.5, n, 1, ended_at - interval '1.1 s', ended_at
      FROM generate_series(1, %(rows)s) n,
           LATERAL (SELECT date_trunc('day', now(), 'UTC')
                           + n * (now() - date_trunc('day', now(), 'UTC')) / %(rows)s AS ended_at) t
"""
_COUNTS = """
    INSERT INTO experiment_board
    SELECT experiment, day, serial, count(*) FILTER (WHERE error IS NULL), count(*) FILTER (WHERE error IS NOT NULL),
           min(ended_at), max(ended_at)
      FROM measurement WHERE experiment = %(id)s GROUP BY experiment, day, serial
"""


_STEPS = """
    INSERT INTO experiment_step
    SELECT experiment, day, date_bin('16 seconds', ended_at, to_timestamp(0)), serial,
           count(*) FILTER (WHERE error IS NULL), count(*) FILTER (WHERE error IS NOT NULL), count(number), sum(number),
           min(number), max(number)
      FROM measurement WHERE experiment = %(id)s GROUP BY 1, 2, 3, 4
"""


def fill(process: FarmProcess, rows: int) -> None:
    """Insert an experiment of so many results."""
    directory = DataDirectory(process.data_dir)
    server = PrivatePostgres(reactor, directory.postgres, directory.log("postgres"))
    connection = psycopg2.connect(server.dsn)
    with connection, connection.cursor() as cursor:
        cursor.execute(_PARTITION, ())
        cursor.execute(cursor.fetchone()[0])  # type: ignore[index]
        cursor.execute(_EXPERIMENT, (NAME,))
        id = cursor.fetchone()[0]  # type: ignore[index]
        cursor.execute(_ROWS, {"id": id, "boards": BOARDS, "rows": rows})
        cursor.execute(_COUNTS, {"id": id})
        cursor.execute(_STEPS, {"id": id})
    connection.autocommit = True
    with connection.cursor() as cursor:
        # As autovacuum does it a while later.
        cursor.execute("ANALYZE measurement")
    connection.close()


def seconds_of(function: Callable[[], Any]) -> float:
    """Return the median time of some calls."""
    taken = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        function()
        taken.append(time.perf_counter() - begin)
    return median(taken)


def _series(farm: Farm, part: float | None = None) -> None:
    """Ask for what the page draws."""
    record = farm.experiment(NAME).info().experiment
    assert record.first_at is not None
    assert record.last_at is not None
    since = None if part is None else record.last_at - part * (record.last_at - record.first_at)
    answer = farm._bound(farm._subject.call)("experiment_series", name=NAME, since=since)
    counts = sum(answer["together"]["done"]) + sum(answer["together"]["failed"])
    assert part is not None or counts == record.done + record.failed


def export(url: str, form: str) -> tuple[int, float]:
    """Download all results; return bytes and seconds."""
    begin, size = time.perf_counter(), 0
    with urllib.request.urlopen(f"{url}/api/experiments/{NAME}/results?format={form}", timeout=600) as answer:
        while block := answer.read(1 << 20):
            size += len(block)
    return size, time.perf_counter() - begin


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--forms", default="csv,jsonl,parquet", help="what is exported; default: %(default)s")
    options = parser.parse_args(arguments)
    rows = options.rows
    # What stops on Ctrl-C stops on SIGTERM too: the farm must not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with running_farm(1, "instant", print) as process:
        begin = time.perf_counter()
        fill(process, rows)
        print(f"{rows:,} results of {BOARDS} boards, inserted in {time.perf_counter() - begin:.0f} s")
        with Farm(process.url, name="reader") as farm:
            experiment = farm.experiment(NAME)
            assert sum(board.done + board.failed for board in experiment.info().boards) == rows
            print(f"counts, boards and failures   {seconds_of(experiment.info):7.3f} s")
            print(f"a plot of all of it           {seconds_of(lambda: _series(farm)):7.3f} s")
            print(f"a plot of a tenth of it       {seconds_of(lambda: _series(farm, part=0.1)):7.3f} s")
            print(f"the list of experiments       {seconds_of(farm.experiments):7.3f} s")
            print(f"a notebook's table of it      {seconds_of(experiment._repr_html_):7.3f} s")
            print(f"usage by account and board    {seconds_of(lambda: farm.usage('account,board')):7.3f} s")
        # PostgreSQL starts a process for the connection that files are read through.
        export(process.url, "csv&until=1")
        members = parties(process.pid)
        for form in filter(None, options.forms.split(",")):
            before = accounts_of(members)
            size, seconds = export(process.url, form)
            after = accounts_of(members)
            used = {party: cpu / rows * 1e6 for party, cpu in after.cpu_since(before).items()}
            cpu = ", ".join(f"{party} {used[party]:.1f}" for party in ("control", "PostgreSQL", "router"))
            grown = (after.of["control"].rss - before.of["control"].rss) / 1e6
            print(f"export as {form:<8}            {seconds:7.1f} s, {rows / seconds:,.0f} rows/s, {size >> 20} MiB")
            print(f"                              CPU per row: {cpu} us; control's memory: {grown:+.0f} MB")


if __name__ == "__main__":
    main()
