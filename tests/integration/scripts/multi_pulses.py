"""Counts pulses on several pins: boards by number and by their serials, paths and evaluations."""

import logging
import sys

from icefarm.client.drivers import MultiPulseCountClient
from icefarm.client.lib.multipulsecount import PulseCountEvaluation

url, path = sys.argv[1:3]
logger = logging.getLogger()

client = MultiPulseCountClient(url, "several pins", logger, log_events=True)
serials = client.reserve(2, wait_for_available=True, available_timeout=30)
assert len(serials) == 2

evaluations = [PulseCountEvaluation(serials, path), PulseCountEvaluation([serials[0]], path)]
counted = []
for serial, evaluation, result in client.evaluateEvaluations(evaluations, batch_size=4, target_batches=2):
    assert evaluation.filepath == path
    assert [float(pulses) for _, pulses in zip([9, 11, 25, 27], result, strict=True)] == [1000, 2000, 4000, 8000]
    counted.append(serial)
assert sorted(counted) == sorted([serials[0], *serials])
client.endAll()

again = client.reserveSpecific(serials[:1], flush_interval_seconds=10, flush_at_bitstreams_remaining=25)
assert again == serials[:1]
((serial, bitstream, (pin_9, pin_11, pin_25, pin_27)),) = client.evaluateBitstreams([path], serials=again)
assert (serial, bitstream) == (again[0], path)
assert (pin_9, pin_11, pin_25, pin_27) == (1000, 2000, 4000, 8000)
client.stop()
print("done")
