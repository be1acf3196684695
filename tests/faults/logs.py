"""What no log of a farm may have, whatever happened to it."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import Factory, define

__all__ = ["LogCheck"]

#: Errors that nobody handled, and those that were logged with their traceback.
_BLUNDER = re.compile(r"Unhandled|Traceback")
#: Errors of Crossbar.io itself.  It logs a traceback for each question to its authorizer, which is control, while that
#: is away; and its dealer fails (``on_register``) if a session ends while control is asked what it may register.
_ALLOWED = re.compile(
    r"^.*Authorization of .* failed\nTraceback .*\n"
    r"Failure: autobahn\.wamp\.exception\.(?:ApplicationError|TransportLost).*$"
    r"|^.*(?:Unhandled.*\n(?:.*\n)??)?.*Traceback(?:(?!Traceback)[\s\S])*?"
    r"KeyError: <crossbar\.router\.session\.RouterSession.*$"
    # Its controller's line for a killed worker: a traceback without frames.
    r"|^.*Node worker \S+ ended with error \(\[Failure instance: Traceback \(failure with no frames\).*$",
    re.MULTILINE,
)
#: Characters of the log that the message shows, from the line before it.
SHOWN = 3000


@define(eq=False)
class LogCheck:
    """Checks each log from where the last check ended."""

    directory: Path
    _checked: dict[Path, int] = Factory(dict)

    def check(self) -> None:
        """Raises AssertionError with the first blunder of each log, and what follows it."""
        found = self.found()
        assert found == [], "\n".join(found)

    def found(self) -> list[str]:
        """Return the first blunder of each log, and what follows it."""
        return [text for log in sorted(self.directory.glob("*.log")) if (text := self._blunder(log))]

    def _blunder(self, log: Path) -> str:
        content = log.read_bytes()
        start = self._checked.get(log, 0)
        # A shorter log is a fresh one: it was rotated.
        text = content[start if start <= len(content) else 0 :].decode(errors="replace")
        self._checked[log] = len(content)
        text = _ALLOWED.sub("", text)
        match = _BLUNDER.search(text)
        if match is None:
            return ""
        begin = text.rfind("\n", 0, match.start()) + 1
        return f"{log}:\n{text[begin : begin + SHOWN]}"
