"""Looks after boards: what is available, reboot, requests to control, what fails and how."""

import logging
import sys

from icefarm.client.drivers import PulseCountClient
from icefarm.client.lib import BaseAPI, BaseClient
from icefarm.client.lib.BatchClient import BatchClient

url, path = sys.argv[1:3]
logger = logging.getLogger()


class Driver(BatchClient):
    """A driver of the script's own."""

    def reserve(self, amount):
        return super().reserve(amount, "pulsecount", {"window": 0.01}, wait_for_available=True, available_timeout=30)


client = Driver(url, "managing", logger)
assert isinstance(client, BaseClient)
assert isinstance(client, BaseAPI)
(serial,) = client.reserve(1)
worker = client.getConnectionInfo(serial)
assert client.usingConnection(worker)

assert serial not in client.availableDevices()
assert client.requestControl("available", {})["amount"] == client.available()
assert client.requestControl("extend", {"name": "ignored", "serials": [serial]}) == [serial]
assert client.requestControl("nothing", {}) is False
assert client.clearWorkers() is False
assert client.extend(["no-such-board"]) is False
assert client.end(["no-such-board"]) is False

assert client.reboot([serial], timeout=60) == []
client.removeSerial(serial)
assert client.getSerials() == []
client.addSerial(serial, url)
assert client.getSerials() == [serial]
client.stop()
client.stop()

other = PulseCountClient(url, "managing-2", logger)
failures = []
for wait in (False, True):
    try:
        other.reserve(999, wait_for_available=wait, available_timeout=0.2)
    except Exception as error:
        failures.append(str(error))
assert "999" in failures[0]
assert "waited" in failures[1]
assert other.reserve(1, kind="perpetuum") is False
assert other.reserveSpecific(["no-such-board"]) is False
assert other.endAll() == []
other.stop()
print("done")
