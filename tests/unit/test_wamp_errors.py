"""Errors of the router in our words."""

from __future__ import annotations

import pytest
from autobahn.wamp.exception import ApplicationError
from twisted.internet.task import Clock

from icefarm.errors import IcefarmError, InternalError, LinkLost, NoSuchProcedure
from icefarm.wamp.bus import WampBus


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ApplicationError("wamp.error.runtime_error"), LinkLost),
        (ApplicationError("wamp.error.runtime_error", "division by zero"), InternalError),
        (ApplicationError("wamp.close.transport_lost"), LinkLost),
        (ApplicationError("wamp.error.canceled"), LinkLost),
        (ApplicationError("wamp.error.no_such_procedure"), NoSuchProcedure),
    ],
)
def test_a_farm_that_stops_is_a_lost_link_and_a_fault_is_an_internal_error(
    error: ApplicationError, expected: type[IcefarmError]
) -> None:
    bus = WampBus(Clock(), None, "ada", 1)  # type: ignore[arg-type]
    assert type(bus._explained(error, "icefarm.v1.control.snapshot")) is expected
