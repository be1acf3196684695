"""The log files that `icefarm up` writes: its own, and one for the output of each part of the farm."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

from attrs import define, field
from twisted.python.logfile import LogFile

from icefarm.log_format import json_line
from icefarm.text.counts import counted

__all__ = ["RotatedLog"]

#: Bytes of a log before rotation, and how many old files stay.
LOG_BYTES, LOG_FILES = 10_000_000, 3


@define
class RotatedLog:
    """A log that only its owner may read, rotated.  A full disk costs lines and nothing else.

    A program's pipe would be closed on an error here: its output would be lost until it is restarted, and its end would
    not be told.  Twisted's observers write here, too.
    """

    path: Path
    #: The name that stands in lines of JSON; None: the lines are plain text.
    json_name: str | None = None
    file: LogFile = field(init=False)
    #: Lines that could not be written since one was.
    _missing: int = 0

    @file.default
    def _open(self) -> LogFile:
        return LogFile.fromFullPath(
            str(self.path), rotateLength=LOG_BYTES, maxRotatedFiles=LOG_FILES, defaultMode=0o600
        )

    def write(self, text: str) -> None:
        """Write one or several whole lines at once."""
        # The last line that was written may lack its end.
        said = f"\n{self._note()}\n{text}" if self._missing else text
        # A name of a file may have bytes that are no text.
        data = said.encode(errors="backslashreplace")
        try:
            self.file.write(data)
        except OSError:
            self._missing += text.count("\n")
        except ValueError:
            # A rotation has failed, which leaves the file closed.
            self._missing += text.count("\n")
            with suppress(OSError):
                self.file = self._open()
        else:
            self._missing = 0

    def _note(self) -> str:
        note = f"{counted(self._missing, 'line')} before this could not be written"
        if self.json_name is None:
            return f"({note})"
        return json_line(time.time(), "warn", self.json_name, note, {})

    def flush(self) -> None:
        """Do nothing: each write goes to the file at once."""

    def close(self) -> None:
        with suppress(OSError, ValueError):
            self.file.close()
