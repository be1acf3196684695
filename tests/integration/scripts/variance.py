"""Measures variance: boards by their serials, with and without the samples."""

import logging
import sys
from itertools import pairwise

from icefarm.client.drivers import VarMaxClient
from icefarm.client.lib.varmax import VarMaxEvaluation

url, path = sys.argv[1:3]
logger = logging.getLogger()

client = VarMaxClient(url, "variance", logger, log_events=False, send_waveform=True)
free = client.availableDevices()
assert client.available() == len(free)
serials = client.reserve(1, True, 30, "variance", True, 10, 25)
assert client.reserveSpecific(serials) is False

((serial, bitstream, (fitness, samples)),) = client.evaluateBitstreams([path])
assert (serial, bitstream) == (serials[0], path)
assert isinstance(fitness, float)
assert len(samples) == 500
assert abs(sum(abs(b - a) for a, b in pairwise(samples)) / len(samples) - fitness) < 1e-6

(result,) = client.evaluateEvaluations([VarMaxEvaluation(serials, path)])
assert result.value[0] == fitness
assert client.endAll() == serials

again = client.reserve(1, wait_for_available=True, available_timeout=30, send_waveform=False)
(result,) = client.evaluateBitstreams([path], again)
assert isinstance(result.value, float)
client.stop()
print("done")
