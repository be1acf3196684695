"""For all tests."""

from __future__ import annotations

import os
import signal

if os.environ.get("CI"):
    # Not above: a lab that runs tests/acceptance need not have it.
    from hypothesis import settings

    # Continuous integration asks whether this change is right, with the same examples each time and on machines that
    # may be slow; finding new examples is for those who can look at them, wherever tests run by hand.
    settings.register_profile("ci", derandomize=True, deadline=None)
    settings.load_profile("ci")

# A shell that starts a test run in the background has it ignore Ctrl-C, and every process that a test starts inherits
# that: those that a test interrupts would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
