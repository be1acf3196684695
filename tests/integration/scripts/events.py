"""Handles events: its own handlers, the ready-made ones, and requests whose results come as events."""

import logging
import queue
import sys
from pathlib import Path

from icefarm.client.drivers import PulseCountClient
from icefarm.client.lib import AbstractEventHandler, Event, EventServer, register
from icefarm.client.lib.utils import (
    AvailabilityWaiter,
    DefaultBaseEventHandler,
    LoggerEventHandler,
    ReservationExtender,
)

url, path = sys.argv[1:3]
logger = logging.getLogger("events")
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stderr))
seen = queue.Queue()


class Mine(DefaultBaseEventHandler):
    def handleReservationEnd(self, serial):
        seen.put(("ended", serial))

    def exit(self):
        seen.put(("exit", None))


class Results(AbstractEventHandler):
    @register("results", "batch_id", "serial", "results")
    def results(self, batch_id, serial, results):
        for key, value in results:
            seen.put((batch_id, serial, key, value))

    @register("initialized", "serial")
    def ready(self, serial):
        self.sendEvent(Event(serial, "noticed", {"serial": serial}))

    @register("noticed", "serial")
    def noticed(self, serial):
        seen.put(("noticed", serial))


client = PulseCountClient(url, "events", logger)
client.addEventHandler(Mine(client.server))
client.addEventHandler(Results(client.server))
client.addEventHandler(LoggerEventHandler(client.server, logger))
client.addEventHandler(ReservationExtender(client.server, client, logger))
waiter = AvailabilityWaiter(client.server, client)
client.addEventHandler(waiter)
waiter.waitForAmountAvailable(2)

serials = client.reserve(2, wait_for_available=True, available_timeout=30)
assert sorted(seen.get(timeout=10) for _ in serials) == sorted(("noticed", serial) for serial in serials)

data = Path(path).read_bytes()
assert client.requestBatchWorker(serials, "evaluate", {"batch_id": "b", "files": {"x": data}}) == []
assert client.requestWorker(serials[0], "evaluate", {"batch_id": "c", "files": {"y": data}}) is True
assert client.requestWorker("no-such-board", "evaluate", {"files": {}}) is False
got = sorted(seen.get(timeout=30)[:3] for _ in range(3))
assert got == sorted([("b", serials[0], "x"), ("b", serials[1], "x"), ("c", serials[0], "y")]), got

client.end([serials[0]])
assert seen.get(timeout=10) == ("ended", serials[0])
client.stop()
assert seen.get(timeout=10) == ("exit", None)

alone = EventServer("events-alone", [], logger)
alone.addEventHandler(Mine(alone))
alone.connectControl(url)
alone.connectWorker(url)
alone.handleEvent(Event("A", "reservation end", {"serial": "A"}))
assert seen.get(timeout=10) == ("ended", "A")
alone.exit()
print("done")
