"""Makes a circuit and counts its pulses."""

import logging
import sys

from icefarm.client.lib.drivers import PulseCountClient
from icefarm.utils import generate_circuit

url, directory = sys.argv[1:3]
path, kilohertz = generate_circuit(4000, directory)
assert abs(kilohertz - 4) < 0.001, kilohertz
with PulseCountClient(url, "circuits", logging.getLogger()) as client:
    client.reserve(1, wait_for_available=True, available_timeout=30)
    ((_, filepath, pulses),) = client.evaluateBitstreams([path])
    assert filepath is path
    assert pulses >= 0
print("done")
