"""A file whose time says when control last answered this worker, for checks from outside (containers)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from attrs import Factory, define
from twisted.logger import Logger

__all__ = ["AliveFile"]


@define(eq=False)
class AliveFile:
    """Touches a file; does nothing without one."""

    path: Path | None = None
    _failed: bool = False
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def touch(self) -> None:
        """Say that control knows this worker now.  A file that cannot be written is logged once."""
        if self.path is None:
            return
        try:
            self.path.touch()
        except OSError as error:
            if not self._failed:
                self._log.warn("cannot touch {path}: {why}", path=self.path, why=error.strerror)
            self._failed = True
        else:
            self._failed = False
