"""For all tests."""

from __future__ import annotations

import signal

# A shell that starts a test run in the background has it ignore Ctrl-C, and every process that a test starts inherits
# that: those that a test interrupts would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
