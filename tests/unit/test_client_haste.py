"""A second Ctrl-C, while boards are being returned, ends a script without the interpreter's cleaning up."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

#: A script whose object says when the interpreter cleans up.
SCRIPT = """
import atexit
from icefarm.system.haste import end_in_haste, leaving

class Slow:
    def __del__(self, say=print):
        say("cleaned up", flush=True)

slow = Slow()
atexit.register(print, "the script's own handler")
print("written", end=" ")
{}
"""
INTERRUPTED = "raise KeyboardInterrupt"
CLEANED = "written the script's own handler\ncleaned up\n"
WHILE_LEAVING = "with leaving(): raise KeyboardInterrupt"


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [
        (WHILE_LEAVING, -signal.SIGINT, "written the script's own handler\n"),
        (INTERRUPTED, -signal.SIGINT, CLEANED),
        ("", 0, CLEANED),
        (f"try:\n    {WHILE_LEAVING}\nexcept KeyboardInterrupt: end_in_haste(130)", 130, "written "),
        (
            f"try:\n    {INTERRUPTED}\nexcept KeyboardInterrupt: end_in_haste(130)",
            0,
            "written the script's own handler\ncleaned up\n",
        ),
        (
            f"try:\n    {WHILE_LEAVING}\nexcept KeyboardInterrupt: pass",
            0,
            "written the script's own handler\ncleaned up\n",
        ),
    ],
)
def test_only_an_interrupt_while_leaving_skips_the_cleaning_up(end: str, code: int, said: str) -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT.format(end)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (code, said), done.stderr
