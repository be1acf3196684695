"""How a fork ends: as an interpreter does, but what it has imported is not taken apart.

That would write into most of the memory that it shares with the process that has forked it, which takes longer than
most commands.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

__all__ = ["run_to_the_end"]

#: What an interpreter ends with that cannot write what it has said.
_UNWRITTEN = 120


def run_to_the_end(body: Callable[[], object]) -> NoReturn:
    """Run all that this process is for, and end it."""
    code: int | None = 0
    try:
        body()
    except SystemExit as end:
        code = _code_of(end)
    except KeyboardInterrupt:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = None
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    _finalize()
    if not _flushed():
        code = _UNWRITTEN
    if code is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code or 0)


def _code_of(end: SystemExit) -> int:
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _finalize() -> None:
    """Do what `Py_FinalizeEx` does before it destroys modules, and destroy the script's own variables."""
    shut_down: Any = threading
    shut_down._shutdown()
    atexit._run_exitfuncs()
    variables = sys.modules["__main__"].__dict__
    # Those with an underscore go first, as always.
    for name in sorted(variables, key=lambda name: not name.startswith("_") or name.startswith("__")):
        if name != "__builtins__":
            variables[name] = None
    gc.collect()


def _flushed() -> bool:
    written = True
    for stream in (sys.stdout, sys.stderr):
        if stream is None or stream.closed:
            continue
        try:
            stream.flush()
        except OSError as error:
            if stream is sys.stdout:
                written = False
                with suppress(OSError):
                    print(f"Exception ignored in: {stream!r}\n{type(error).__name__}: {error}", file=sys.stderr)
    return written
