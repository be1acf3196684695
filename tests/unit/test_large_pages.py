"""Memory of a process in large pages: which of it, and that the kernel does it."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from queue import Queue

import pytest
from twisted.internet.task import Clock

from icefarm.concurrency.prompt import icefarm_large_pages
from icefarm.concurrency.prompt.icefarm_large_pages import LATER, collapsible, gather_later

MB = 1 << 20
LARGE = 2 * MB
#: Fills 16 MiB, and prints how many kB are in large pages before and after.
FILLED = """
import mmap, re
from pathlib import Path
from icefarm.concurrency.prompt.icefarm_large_pages import gather

def large():
    return int(re.search(r"AnonHugePages: +([0-9]+)", Path("/proc/self/smaps_rollup").read_text())[1])

memory = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory.madvise(mmap.MADV_NOHUGEPAGE)
memory.write(b"x" * len(memory))
before = large()
memory.madvise(mmap.MADV_HUGEPAGE)
gather()
assert memory[:] == b"x" * len(memory)
print(before, large())
"""


def area(start: int, megabytes: float, name: str = "", rss: float | None = None, rights: str = "rw-p") -> list[str]:
    """Return the first lines of an area in smaps."""
    size = int(megabytes * MB)
    device = "00:00 0" if name in ("", "[heap]", "[stack]") else "fe:00 1234"
    taken = size // 1024 if rss is None else int(rss * 1024)
    return [
        f"{start:08x}-{start + size:08x} {rights} 00000000 {device:<24} {name}".rstrip() + "\n",
        f"Size:           {size // 1024:>8} kB\n",
        f"Rss:            {taken:>8} kB\n",
        f"Pss:            {taken:>8} kB\n",
    ]


def test_whole_large_pages_of_an_area_are_gathered() -> None:
    assert list(collapsible(area(4 * LARGE + 4096, 7), LARGE)) == [(5 * LARGE, LARGE * 2)]
    assert list(collapsible(area(4 * LARGE, 7, "[heap]"), LARGE)) == [(4 * LARGE, LARGE * 3)]


@pytest.mark.parametrize(
    "lines",
    [
        area(0, 8, "/usr/lib/libpython3.11.so.1.0"),
        area(0, 8, rights="r-xp"),
        area(0, 8, "[stack]"),
        area(0, 8, rss=0.1),
        area(4096, 2),
    ],
    ids=["of a file", "code", "the stack", "hardly used", "less than a large page"],
)
def test_other_areas_stay(lines: list[str]) -> None:
    assert list(collapsible(lines, LARGE)) == []


def test_small_areas_come_first_and_no_more_than_the_bound() -> None:
    lines = [*area(0, 512), *area(1024 * MB, 8), *area(2048 * MB, 4)]
    found = list(collapsible(lines, LARGE, most=20 * MB))
    assert found == [(2048 * MB, 4 * MB), (1024 * MB, 8 * MB), (0, 8 * MB)]


def test_the_kernel_gathers_what_is_in_memory() -> None:
    kernel = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    version = tuple(map(int, re.findall("[0-9]+", os.uname().release)[:2]))
    if version < (6, 1) or not kernel.exists() or "[never]" in kernel.read_text():
        pytest.skip("this kernel does not gather pages")
    done = subprocess.run([sys.executable, "-c", FILLED], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    before, after = map(int, done.stdout.split())
    # Where the kernel always makes large pages, other memory of the process has some before.
    assert after - before >= 12 << 10


def test_a_python_without_ctypes_keeps_its_small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    spec = importlib.util.find_spec(icefarm_large_pages.__name__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.gather()


class Reactor(Clock):
    """Runs from the beginning."""

    def callWhenRunning(self, function: object, *args: object) -> None:
        function(*args)  # type: ignore[operator]


def test_it_is_done_soon_after_the_start_and_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: Queue[int] = Queue()
    monkeypatch.setattr(icefarm_large_pages, "gather", lambda: gathered.put(1))
    reactor = Reactor()
    gather_later(reactor)
    for seconds in LATER:
        reactor.advance(seconds - reactor.seconds() - 0.1)
        assert gathered.empty()
        reactor.advance(0.1)
        gathered.get(timeout=10)
    assert not reactor.getDelayedCalls()


class NoThread:
    """What a thread is where the system gives no more of them."""

    asked = 0

    def __init__(self, **_: object) -> None:
        pass

    def start(self) -> None:
        NoThread.asked += 1
        raise RuntimeError("can't start new thread")


def test_a_system_without_another_thread_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(icefarm_large_pages, "Thread", NoThread)
    reactor = Reactor()
    gather_later(reactor)
    reactor.advance(LATER[-1])
    assert NoThread.asked == len(LATER)
