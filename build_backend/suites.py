"""Run suites of the Makefile: ``suites.py MAKE CORES SUITE=CORES...``; each says how many cores it keeps busy.

They begin in this order, as many at a time as there are cores for; one that takes more than there are runs alone.
``SUITE=background`` has no core of its own: one fewer than there are cores run beside the others, at a low priority, in
the time that those spend waiting; once all others have ended, one on each core.

What a suite prints comes as it is printed if all cores are its own, else whole when it ends, between those.  All suites
run, whichever fails; the last lines say which did, and how long each took.  After SIGTERM or Ctrl-C none begins, those
that run end, and what they printed is shown.  Only the standard library is needed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Any

#: What stands for the number of cores of a suite that takes what others leave.
BACKGROUND = "background"
#: How much such a suite lowers its priority: it gets a tenth of a core that another process keeps busy.
NICE = 10


@dataclass(frozen=True)
class Suite:
    """What to make, and the cores that it takes: none in the background."""

    name: str
    cores: int

    @classmethod
    def parse(cls, words: str, most: int) -> Suite:
        """Read ``NAME=CORES`` or ``NAME=background``; it gets ``most`` cores at most."""
        name, _, cores = words.partition("=")
        return cls(name, 0 if cores == BACKGROUND else min(int(cores or 1), most))

    def command(self, make: str) -> list[str]:
        """Return what runs it."""
        lower = [] if self.cores else ["nice", "-n", str(NICE)]
        return [*lower, make, "--no-print-directory", self.name]


@dataclass(eq=False)
class Running:
    """A suite that runs."""

    suite: Suite
    process: subprocess.Popen[Any]
    began: float

    def wait(self, news: SimpleQueue[Ended | int]) -> None:
        """Wait for its end, and put that there."""
        output, _ = self.process.communicate()
        news.put(Ended(self, self.process.returncode, time.monotonic() - self.began, output))


@dataclass(frozen=True)
class Ended:
    """A suite that has run, and what it printed, if that is not shown yet."""

    run: Running
    code: int
    seconds: float
    output: str | None

    @property
    def name(self) -> str:
        return self.run.suite.name

    def __str__(self) -> str:
        return f"{self.name}: {'failed' if self.code else 'passed'} in {self.seconds:.0f} s"


@dataclass
class Suites:
    """Runs them.  A thread waits for each, and the first one does all else: no signal meets work that is half done."""

    make: str
    cores: int
    left: deque[Suite]
    background: deque[Suite]
    #: Ends of suites, and numbers of signals, whose handler may put one there at any time.
    news: SimpleQueue[Ended | int] = field(default_factory=SimpleQueue)
    running: set[Running] = field(default_factory=set)
    done: list[Ended] = field(default_factory=list)
    #: What suites printed that ended while another one's output was shown.
    held: list[str] = field(default_factory=list)

    def run(self) -> list[Ended]:
        """Return how they ended, when all have.  Raises SystemExit after a signal."""
        for number in (signal.SIGTERM, signal.SIGINT):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._note)
        interrupted = False
        self._begin()
        while self.running:
            news = self.news.get()
            if isinstance(news, Ended):
                self._ended(news)
                self._begin()
            else:
                interrupted = True
                self.left.clear()
                self.background.clear()
                self._end_all(news)
        if interrupted:
            raise SystemExit("interrupted")
        return self.done

    def _note(self, number: int, _: FrameType | None) -> None:
        self.news.put(number)

    def _begin(self) -> None:
        while self.left and self.left[0].cores <= self.cores - self._cores_taken():
            self._start(self.left.popleft())
        room = self.cores - 1 if self._cores_taken() else self.cores
        while self.background and sum(not each.suite.cores for each in self.running) < room:
            self._start(self.background.popleft())

    def _cores_taken(self) -> int:
        return sum(each.suite.cores for each in self.running)

    def _is_shown(self, suite: Suite) -> bool:
        """Tell whether what a suite prints is shown at once."""
        return suite.cores == self.cores

    def _start(self, suite: Suite) -> None:
        shown = self._is_shown(suite)
        if shown:
            print(_headline(suite.name), flush=True)
        else:
            self._say(f"{suite.name} begins")
        # Descriptors stay open: make shares its jobs with the makes below by some of them.
        process = subprocess.Popen(
            suite.command(self.make),
            stdin=subprocess.DEVNULL,
            stdout=None if shown else subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            close_fds=False,
        )
        run = Running(suite, process, time.monotonic())
        self.running.add(run)
        Thread(target=run.wait, args=(self.news,)).start()

    def _ended(self, ended: Ended) -> None:
        self.running.remove(ended.run)
        self.done.append(ended)
        if ended.output is None:
            print(ended, flush=True)
            self._say()
        else:
            self._say(f"{_headline(ended.name)}\n{ended.output}{ended}")

    def _say(self, *texts: str) -> None:
        """Print them now, or when the suite ends whose output is shown as it comes."""
        self.held += texts
        if not any(self._is_shown(each.suite) for each in self.running):
            for text in self.held:
                print(text, flush=True)
            self.held.clear()

    def _end_all(self, number: int) -> None:
        """End those that run; each make ends what it started.  A Ctrl-C has reached them already."""
        if number == signal.SIGTERM:
            for each in self.running:
                each.process.terminate()


def _headline(name: str) -> str:
    return f"{f' {name} ':=^100}"


def run_all(make: str, cores: int, suites: Iterable[str]) -> list[Ended]:
    """Run all suites in this order, as many at a time as there are cores for."""
    chosen = [Suite.parse(each, cores) for each in suites]
    own, background = (deque(each for each in chosen if bool(each.cores) is has_own) for has_own in (True, False))
    return Suites(make, cores, own, background).run()


def main() -> None:
    """Run the suites that the command line names."""
    make, cores, *suites = sys.argv[1:]
    began = time.monotonic()
    done = run_all(make, int(cores), suites)
    print(_headline("all suites"))
    for each in sorted(done, key=lambda ended: -ended.seconds):
        print(each)
    print(f"took {time.monotonic() - began:.0f} s")
    failed = [each.name for each in done if each.code]
    if failed:
        raise SystemExit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
