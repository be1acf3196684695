"""What processes use, as Linux counts it (proc(5)): CPU of all threads, memory, threads, bytes written and read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from attrs import Factory, frozen

from icefarm.testing.processes.farm_process import command_of, descendants

__all__ = ["Account", "Accounts", "Party", "accounts_of", "machine_time", "pace", "parties"]

_TICKS = os.sysconf("SC_CLK_TCK")

#: A party is all processes of a farm that do one job, recognised by a word in their command lines.
_WORDS = {
    "icefarm-boards": "boards",
    "icefarm-worker": "worker",
    "icefarm-control": "control",
    "crossbar": "router",
    "postgres": "PostgreSQL",
    "icefarm up": "supervisor",
}

Party = str


@frozen
class Account:
    """What a party has used so far, and holds now."""

    #: Seconds of CPU, user and system, of all threads and of children that have ended.
    cpu: float = 0.0
    #: Bytes of memory that are resident; pages shared by the party's processes count once for each of them.
    rss: int = 0
    threads: int = 0
    processes: int = 0
    #: Bytes read by read(2) and its like: sockets, pipes and ttys as well as files.
    read: int = 0

    def __add__(self, other: Account) -> Account:
        return Account(
            self.cpu + other.cpu,
            self.rss + other.rss,
            self.threads + other.threads,
            self.processes + other.processes,
            self.read + other.read,
        )


@frozen
class Accounts:
    """The accounts of all parties at one moment."""

    of: Mapping[Party, Account] = Factory(dict)

    def cpu_since(self, earlier: Accounts) -> dict[Party, float]:
        """Return the seconds of CPU that each party has used since."""
        return {party: account.cpu - earlier.of.get(party, Account()).cpu for party, account in self.of.items()}


def parties(farm: int) -> dict[Party, list[int]]:
    """Return the processes of a farm by what they do; ``client`` is this process."""
    found: dict[Party, list[int]] = {"client": [os.getpid()]}
    for pid in [farm, *descendants(farm)]:
        command = command_of(pid)
        # The path of the interpreter may have any of the words in it: the most telling word comes first.
        party = next((name for word, name in _WORDS.items() if word in command), "other")
        found.setdefault(party, []).append(pid)
    return found


def accounts_of(members: Mapping[Party, Iterable[int]]) -> Accounts:
    """Look at processes now; one that has ended counts nothing."""
    return Accounts({party: sum(map(_account, pids), Account()) for party, pids in members.items()})


def _account(pid: int) -> Account:
    with suppress(OSError):
        directory = Path(f"/proc/{pid}")
        # The name in parentheses may hold anything; the words behind it start with the third, the state.
        words = (directory / "stat").read_text().rpartition(")")[2].split()
        own_and_children = sum(map(int, words[11:15])) / _TICKS
        pages = int((directory / "statm").read_text().split()[1])
        counted = dict(line.split(": ") for line in (directory / "io").read_text().splitlines())
        return Account(own_and_children, pages * os.sysconf("SC_PAGE_SIZE"), int(words[17]), 1, int(counted["rchar"]))
    return Account()


def machine_time() -> float:
    """Return the seconds of CPU that the machine has been busy for, on all cores, since it started."""
    user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:11])
    return (user + nice + system + irq + softirq) / _TICKS


def pace() -> float:
    """Return the milliseconds of CPU that a fixed piece of Python takes, the best of three.

    Virtual machines are faster at times than at others: two measurements compare only where this is the same.
    """
    return min(_fixed_work() for _ in range(3))


def _fixed_work() -> float:
    # Of this thread: a client's reactor thread may still take results of the warm-up.
    began = time.thread_time()
    number = 1
    for _ in range(200_000):
        number = number * 48271 % 2147483647
    return (time.thread_time() - began) * 1000
