"""Draw the pictures of the documentation from a running farm: ``make screenshots``.

Three workers with 64 virtual boards work for clients, one request waits, one board is broken and one is unplugged.  The
page is photographed in light and dark, wide and narrow.  Arguments: the directory for the pictures, and the seconds of
work before them.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from attrs import frozen
from browser.conftest import find_chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright

from icefarm.client import Farm
from icefarm.errors import IcefarmError
from icefarm.testing.processes.farm_process import FarmProcess

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
WIDE, HIGH, NARROW = (1280, 720), (1280, 1000), (360, 740)
#: Boards of each worker.
WORKERS = {"lab-1": 24, "lab-2": 24, "lab-3": 16}
#: Name, number of boards and window of each client that works.
CLIENTS = (("exp-42", 12, 0.5), ("ada", 6, 1.0), ("evolve-7", 8, 0.7))
#: What they call their experiment, and how many evaluations they expect.
EXPERIMENT, TOTAL = "ga-7", 20_000
#: Seconds of work before the pictures: boards are sampled every minute.
WORK = 190.0
#: Seconds for a client to get its boards, and for a board to be found broken.
LIMIT = 60.0


@frozen
class Shot:
    """One picture."""

    name: str
    where: str
    scheme: str
    size: tuple[int, int]
    #: What is waited for.
    ready: str


def shots(busy: str) -> tuple[Shot, ...]:
    """Return the pictures to take; ``busy`` is a board that works."""
    table, drawn = "tbody tr", ".plot canvas"
    return (
        Shot("dashboard", "boards", "light", WIDE, table),
        Shot("dashboard-dark", "boards", "dark", WIDE, table),
        Shot("dashboard-narrow", "boards", "dark", NARROW, table),
        Shot("dashboard-board", f"board/{busy}", "light", HIGH, drawn),
        Shot("dashboard-events", "events", "light", WIDE, table),
        Shot("dashboard-experiment", f"experiment/{CLIENTS[0][0]}/{EXPERIMENT}", "light", HIGH, drawn),
        Shot("dashboard-plots", "plots?span=900", "dark", WIDE, drawn),
    )


@contextmanager
def worker(url: str, name: str, boards: int, commands: Path) -> Iterator[None]:
    """Run a worker with virtual boards that takes commands at a socket."""
    arguments = ["--control", url, "--name", name, "--no-usb", "--virtual-boards", str(boards)]
    arguments += ["--virtual-commands", str(commands)]
    twistd = [str(Path(sys.executable).with_name("twistd")), "-n", "--pidfile=", "icefarm-worker"]
    running = subprocess.Popen([*twistd, *arguments], stdout=subprocess.DEVNULL, cwd=commands.parent)
    try:
        yield
    finally:
        running.terminate()
        running.wait(LIMIT)


def command(path: Path, line: str) -> None:
    """Give a command to virtual boards."""
    with socket.socket(socket.AF_UNIX) as boards:
        boards.connect(str(path))
        boards.sendall(f"{line}\n".encode())
        answer = boards.recv(200).decode().strip()
    if answer != "done":
        sys.exit(f"{line}: {answer}")


def until_there(farm: Farm, boards: int) -> None:
    """Wait until so many boards are available."""
    deadline = time.monotonic() + LIMIT
    while len(farm.available()) < boards:
        if time.monotonic() > deadline:
            sys.exit("the boards did not come")
        time.sleep(0.5)


def work(url: str, name: str, boards: int, window: float, begun: threading.Event, over: threading.Event) -> None:
    """Evaluate as a client until it is over, a generation after another."""
    paths = [CIRCUITS / "square_8khz.bin", CIRCUITS / "square_2khz.bin"]
    with Farm(url, name=name, experiment=EXPERIMENT) as farm, farm.reserve(boards, window=window) as reserved:
        begun.set()
        for generation in count(1):
            for _ in reserved.evaluate(paths * 4 * boards, total=TOTAL):
                if over.is_set():
                    return
            farm.experiment().log(generation=generation, best_fitness=1 - 0.9**generation)


def wait(url: str, name: str, boards: int, limit: float) -> None:
    """Wait for boards as a client, in vain."""
    try:
        with Farm(url, name=name) as farm:
            farm.reserve(boards, wait=True, timeout=limit)
    except IcefarmError:
        return


def take(browser: Browser, url: str, directory: Path, shot: Shot) -> None:
    """Take one picture."""
    width, height = shot.size
    page: Page = browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme=shot.scheme,  # type: ignore[arg-type]
    )
    page.goto(f"{url}/#/{shot.where}")
    expect(page.locator(shot.ready).first).to_be_visible()
    # Plots and readings arrive a moment after the records.
    page.wait_for_timeout(1500)
    page.screenshot(path=directory / f"{shot.name}.png")
    page.close()


def photograph(url: str, directory: Path, busy: str) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for shot in shots(busy):
            take(browser, url, directory, shot)
        browser.close()


def spoil(farm: Farm, commands: Path) -> None:
    """Let one board of lab-3 break and unplug another one."""
    serials = sorted(board.serial for board in farm.devices() if board.worker == "lab-3" and board.client is None)
    command(commands, f"fault {serials[0]} silent on")
    command(commands, f"unplug {serials[1]}")


def main(directory: Path, seconds: float) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    first = ("--boards", str(WORKERS["lab-1"]), "--name", "lab-1")
    with ExitStack() as stack:
        state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="icefarm-")))
        up = stack.enter_context(FarmProcess(state / "farm", ("--listen", "127.0.0.1:0", *first)))
        up.wait_until_ready()
        for name in ("lab-2", "lab-3"):
            (state / name).mkdir()
            stack.enter_context(worker(up.url, name, WORKERS[name], state / name / "boards.sock"))
        with Farm(up.url, name="look") as farm:
            until_there(farm, sum(WORKERS.values()))
            spoil(farm, state / "lab-3" / "boards.sock")
        clients = []
        for name, boards, window in CLIENTS:
            begun = threading.Event()
            clients.append(threading.Thread(target=work, args=(up.url, name, boards, window, begun, over)))
            clients[-1].start()
            if not begun.wait(LIMIT):
                over.set()
                sys.exit(f"{name} got no boards")
        threading.Thread(target=wait, args=(up.url, "night-run", 60, seconds + LIMIT), daemon=True).start()
        try:
            time.sleep(seconds)
            with Farm(up.url, name="look") as farm:
                busy = next(board.serial for board in farm.devices() if board.client == "exp-42")
            photograph(up.url, directory, busy)
        finally:
            over.set()
            for client in clients:
                client.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else WORK)
