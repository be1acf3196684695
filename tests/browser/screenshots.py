"""Draw the pictures of the documentation from a running farm: ``make screenshots``.

A farm of virtual boards works for two clients while a third one waits; the page is photographed in light, dark and
narrow.  The argument is the directory for the pictures.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path

from browser.conftest import find_chromium
from playwright.sync_api import Browser, Page, expect, sync_playwright

from icefarm.client import Farm
from icefarm.errors import IcefarmError
from icefarm.testing.processes.farm_process import FarmProcess

CIRCUITS = Path(__file__).parents[2] / "examples" / "circuits"
SIZE, NARROW = (1280, 720), (360, 640)
#: Seconds of work before the pictures: boards are sampled every minute.
WORK = 190
#: Seconds for a client to get its boards.
LIMIT = 60.0


def work(url: str, name: str, boards: int, window: float, begun: threading.Event, over: threading.Event) -> None:
    """Evaluate as a client until it is over."""
    paths = [CIRCUITS / "square_8khz.bin", CIRCUITS / "square_2khz.bin"]
    with Farm(url, name=name) as farm, farm.reserve(boards, window=window) as reserved:
        begun.set()
        while not over.is_set():
            for _ in reserved.evaluate(paths * 4 * boards):
                if over.is_set():
                    return


def wait(url: str, name: str, boards: int) -> None:
    """Wait for boards as a client, in vain."""
    try:
        with Farm(url, name=name) as farm:
            farm.reserve(boards, wait=True, timeout=WORK + 60.0)
    except IcefarmError:
        return


def look(browser: Browser, url: str, scheme: str, size: tuple[int, int]) -> Page:
    page = browser.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    page.goto(url)
    expect(page.locator(".tile").first).to_be_visible()
    return page


def shoot(browser: Browser, url: str, directory: Path) -> None:
    light = look(browser, url, "light", SIZE)
    light.wait_for_timeout(WORK * 1000)
    light.screenshot(path=directory / "dashboard.png")
    light.locator("tbody th.serial a").first.click()
    expect(light.locator(".plot canvas").first).to_be_visible()
    light.set_viewport_size({"width": SIZE[0], "height": 900})
    light.wait_for_timeout(1500)
    light.screenshot(path=directory / "dashboard-board.png")
    look(browser, url, "dark", NARROW).screenshot(path=directory / "dashboard-narrow.png")


def main(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    arguments = (
        "--listen",
        "127.0.0.1:0",
        "--boards",
        "8",
        "--name",
        "lab-1",
    )
    with tempfile.TemporaryDirectory(prefix="icefarm-") as state, FarmProcess(Path(state) / "farm", arguments) as farm:
        farm.wait_until_ready()
        clients = []
        for name, boards, window in (("exp-42", 4, 0.25), ("ada", 2, 1.0)):
            begun = threading.Event()
            clients.append(threading.Thread(target=work, args=(farm.url, name, boards, window, begun, over)))
            clients[-1].start()
            if not begun.wait(LIMIT):
                sys.exit(f"{name} got no boards")
        threading.Thread(target=wait, args=(farm.url, "night-run", 6), daemon=True).start()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
                shoot(browser, farm.url, directory)
                browser.close()
        finally:
            over.set()
            for client in clients:
                client.join()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
