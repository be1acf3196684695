"""Adds the endpoint ``icefarm:PORT:...`` to those that Twisted knows, and so to those of a Crossbar.io node."""

import sys

from autobahn.twisted.rawsocket import WampRawSocketProtocol
from autobahn.wamp import message, serializer
from icefarm_guard.endpoint import GuardParser  # type: ignore[import-not-found]
from icefarm_large_pages import gather_later  # type: ignore[import-not-found]
from icefarm_lean_messages import lighten  # type: ignore[import-not-found]
from icefarm_messages import bound  # type: ignore[import-not-found]
from icefarm_plain_text import spare  # type: ignore[import-not-found]
from icefarm_prompt import poll_directly, send_string, without_delay  # type: ignore[import-not-found]
from icefarm_rawsocket import data_received, receives, sends  # type: ignore[import-not-found]
from icefarm_relay import relay_until_gone  # type: ignore[import-not-found]
from twisted.internet import reactor

guard = GuardParser()
# A router looks for the endpoint when it has started its realm, and so has imported what is replaced, and py_ecc.
spare(sys.modules)
bound(serializer)
lighten(message)
relay_until_gone()
WampRawSocketProtocol.connectionMade = without_delay(  # type: ignore[method-assign]
    WampRawSocketProtocol.connectionMade
)
WampRawSocketProtocol.dataReceived = data_received  # type: ignore[method-assign]
WampRawSocketProtocol.stringReceived = receives(  # type: ignore[method-assign]
    WampRawSocketProtocol.stringReceived
)
WampRawSocketProtocol.send = sends(WampRawSocketProtocol.send)  # type: ignore[method-assign]
WampRawSocketProtocol.sendString = send_string  # type: ignore[method-assign]
poll_directly(reactor)
gather_later(reactor)
