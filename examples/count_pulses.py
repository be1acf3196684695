"""Count the pulses of bitstreams on each of some boards, with the names that existing scripts use.

icefarm up --speed 10 &
python examples/count_pulses.py examples/circuits/*.bin
"""

from __future__ import annotations

import logging
import os
import sys

from icefarm.client.drivers import PulseCountClient
from icefarm.client.lib.BatchClient import EvaluationFailed

BOARDS = 2

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
url = os.environ.get("ICEFARM_URL", "http://127.0.0.1:8080")

with PulseCountClient(url, "count-pulses", logging.getLogger("count_pulses")) as client:
    client.reserve(BOARDS, wait_for_available=True)
    for serial, path, pulses in client.evaluateBitstreams(sys.argv[1:]):
        print(serial, path, "failed" if pulses is EvaluationFailed else pulses, sep="\t")
