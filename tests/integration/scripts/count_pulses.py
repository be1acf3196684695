"""Counts pulses as scripts for icefarm 0.1.x do: positional arguments, unpacked results, an end by atexit."""

import atexit
import logging
import sys

from icefarm.client.drivers import PulseCountClient

url, *paths = sys.argv[1:]
logger = logging.getLogger(__name__)
logger.addHandler(logging.StreamHandler(sys.stderr))

client = PulseCountClient(url, "count_pulses", logger, log_events=True)
atexit.register(client.stop)
atexit.register(client.endAll)

serials = client.reserve(
    2,
    wait_for_available=True,
    available_timeout=30,
    kind="pulsecount",
    flush_interval_seconds=2,
    flush_at_bitstreams_remaining=5,
)
assert len(serials) == 2
assert sorted(serials) == sorted(client.getSerials())

counts = {}
for serial, path, pulses in client.evaluateBitstreams(paths):
    counts[serial, path] = pulses
assert set(counts) == {(serial, path) for serial in serials for path in paths}
assert all(int(pulses) >= 0 for pulses in counts.values())

one = serials[0]
results = list(client.evaluateBitstreams(paths, serials=[one]))
assert [result.serial for result in results] == [one] * len(paths)
assert {result.evaluation.filepath for result in results} == set(paths)
# The same circuit on the same board counts the same.
assert {(result.serial, result.evaluation.filepath): result.value for result in results}.items() <= counts.items()

assert sorted(client.extendAll()) == sorted(serials)
assert client.extend([one]) == [one]
assert client.end([one]) == [one]
assert client.getSerials() == [serials[1]]
print("done")
