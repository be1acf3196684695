"""Has the kernel keep what a process has in memory in large pages (2 MiB on x86-64) instead of small ones (4 KiB).

What a lone message needs is spread over some MB of the interpreter's objects, of which the processor remembers few
pages from one message to the next; on a virtual machine it looks each of the others up in two tables.  With large
pages an evaluation that is alone takes a tenth less.

It is Linux's ``madvise(MADV_COLLAPSE)``, from 6.1 on (madvise(2)); elsewhere, and where the administrator has turned
large pages off, nothing happens.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

__all__ = ["MOST", "collapsible", "gather", "gather_later"]

#: The number of the advice in Linux's ``asm-generic/mman-common.h``.
MADV_COLLAPSE = 25
#: Bytes that are gathered at most: a client's process has its user's arrays too.
MOST = 64 << 20
#: The part of an area that is in memory from which on it is gathered.  A thread's stack, for example, is nearly empty,
#: and would take all of its pages.
FULL = 0.75
#: Seconds from one large page to the next: what is being gathered cannot be used for half a millisecond.
PAUSE = 0.02
#: Seconds from the start of a reactor: a process has imported most of what it needs, and once it works it has the rest.
LATER = (1.0, 10.0)

_KERNEL = Path("/sys/kernel/mm/transparent_hugepage")
_AREAS = Path("/proc/self/smaps")
#: An area of private memory that no file is behind, as the first line of its entry in smaps says it (proc(5)).
_ANONYMOUS = re.compile(r"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ 00:00 0 *(\[heap\])?$")
_IN_MEMORY = re.compile(r"Rss: +([0-9]+) kB$")


def collapsible(areas: Iterable[str], size: int, most: int = MOST) -> Iterator[tuple[int, int]]:
    """Yield address and length of what is to be gathered into pages of ``size`` bytes; ``areas`` are lines of smaps.

    Small areas come first, until there are ``most`` bytes.
    """
    left = most
    for began, ended in sorted(_full(areas), key=lambda area: area[1] - area[0]):
        start = -(-began // size) * size
        length = min(ended, start + left) // size * size - start
        if length > 0:
            left -= length
            yield start, length


def _full(areas: Iterable[str]) -> Iterator[tuple[int, int]]:
    area = None
    for line in areas:
        if found := _ANONYMOUS.match(line):
            area = int(found[1], 16), int(found[2], 16)
        elif area is not None and (found := _IN_MEMORY.match(line)):
            if int(found[1]) * 1024 >= FULL * (area[1] - area[0]):
                yield area
            area = None


def gather() -> None:
    """Gather what this process has in memory, one large page after the other."""
    with suppress(OSError, ValueError, AttributeError, ImportError):
        if "[never]" in (_KERNEL / "enabled").read_text():
            return
        size = int((_KERNEL / "hpage_pmd_size").read_text())
        with _AREAS.open() as lines:
            areas = list(collapsible(lines, size))
        # A Python that was built without libffi has none; and it takes 10 ms of the start of a script.
        import ctypes

        advise = ctypes.CDLL(None).madvise
        for start, length in areas:
            for page in range(start, start + length, size):
                # Where it fails, pages stay as they are.
                advise(ctypes.c_void_p(page), ctypes.c_size_t(size), MADV_COLLAPSE)
                time.sleep(PAUSE)


def gather_later(reactor: Any) -> None:
    """Gather soon after this reactor has started, in threads that end with it."""
    for seconds in LATER:
        reactor.callWhenRunning(reactor.callLater, seconds, _gather_apart)


def _gather_apart() -> None:
    # Where the system gives no more threads, pages stay as they are.
    with suppress(RuntimeError):
        Thread(target=gather, name="icefarm-large-pages", daemon=True).start()
