"""The client of a console: a circuit's output as text, and input to it."""

from __future__ import annotations

import time
from typing import Any

from icefarm.client.device import Device
from icefarm.errors import DeviceFailed, TimedOut

#: Seconds to wait for the circuit's output.
PATIENCE = 5.0


class Console(Device, kind="console"):
    """One board whose circuit has a serial port."""

    _circuit = 0
    _position = 0
    _text = b""

    def open(self, bitstream: Any) -> None:
        """Load a circuit (path or bytes) and connect to it."""
        self._circuit = self.ask("open", bitstream=self.packed(bitstream))
        self._position, self._text = 0, b""

    def write(self, data: bytes) -> None:
        """Send bytes to the circuit, all of them.  Raises `DeviceFailed` if it accepts no more."""
        while data:
            taken = self.ask("write", data=data)
            if taken == 0:
                raise DeviceFailed(f"the circuit on {self.serial} takes no more", serial=self.serial)
            data = data[taken:]

    def read_until(self, end: bytes, timeout: float = PATIENCE) -> bytes:
        """Return the circuit's output up to ``end``.  Raises `TimedOut`, `DeviceFailed`."""
        deadline = time.monotonic() + timeout
        while end not in self._text:
            try:
                event = self.next_event(max(0.0, deadline - time.monotonic()))
            except TimedOut:
                self._take("output", self.ask("read", position=self._position))
                if end not in self._text:
                    raise
            else:
                if event.fields.get("circuit") == self._circuit:
                    self._take(event.name, event.fields)
        head, found, self._text = self._text.partition(end)
        return head + found

    def _take(self, name: str, fields: Any) -> None:
        if name == "closed":
            raise DeviceFailed(f"board {self.serial} was restarted: open the circuit again", serial=self.serial)
        if fields["position"] > self._position:
            # Events are sent once. One was lost, perhaps with the connection; the worker still has its content.
            fields = self.ask("read", position=self._position)
        new = fields["data"][max(0, self._position - fields["position"]) :]
        self._text += new
        self._position = max(self._position, fields["position"] + len(fields["data"]))
