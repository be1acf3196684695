"""The page behind a reverse proxy that puts a path before it: a real nginx."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from browser.conftest import StageProcess
from browser.crowds import Crowd, gather
from browser.looking import open_page, row, sign_in
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
LIMIT = 10.0
CONFIGURATION = """\
daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
events {{}}
http {{
  access_log off;
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {{
    listen 127.0.0.1:{port};
    location /lab/icefarm/ {{
      proxy_pass http://{farm}/; proxy_http_version 1.1; proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_read_timeout 1h;
    }}
    location / {{ return 404 "not icefarm\\n"; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def crowd() -> Iterator[Crowd]:
    with StageProcess() as stage:
        yield gather(stage, 4)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def wait_until_open(port: int) -> None:
    deadline = time.monotonic() + LIMIT
    while True:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        assert time.monotonic() < deadline, "nginx does not listen"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def prefixed(crowd: Crowd) -> Iterator[str]:
    """The address of the farm behind nginx, with a path of two parts."""
    if NGINX is None:
        pytest.skip("it takes nginx: apt-get install nginx-light")
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="icefarm-") as directory:
        text = CONFIGURATION.format(port=port, farm=urlsplit(crowd.url).netloc)
        Path(directory, "nginx.conf").write_text(text)
        running = subprocess.Popen([NGINX, "-p", directory, "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            wait_until_open(port)
            yield f"http://127.0.0.1:{port}/lab/icefarm"
        finally:
            running.terminate()
            running.wait(LIMIT)


def test_the_page_is_live_under_a_path(page: Page, crowd: Crowd, prefixed: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws://", "http://")))
    open_page(page, prefixed)
    expect(row(page, crowd.busy)).to_contain_text("reserved")
    assert all(url.startswith(f"{prefixed}/") for url in asked), asked
    assert f"{prefixed}/ws" in asked


def test_an_operator_acts_under_a_path(page: Page, crowd: Crowd, prefixed: str) -> None:
    open_page(page, prefixed, "workers")
    expect(page.locator(".command")).to_contain_text(f"--control {prefixed} ")
    sign_in(page, crowd.token)
    page.get_by_role("button", name="Drain worker lab-2").click()
    page.get_by_role("dialog").get_by_role("button", name="Drain worker lab-2").click()
    expect(page.locator("tbody")).to_contain_text("online, draining")


def test_an_unknown_address_under_a_path_leads_back_to_the_page(page: Page, prefixed: str) -> None:
    page.goto(f"{prefixed}/some/where")
    page.get_by_role("link", name="first page").click()
    expect(page.locator(".tile").first).to_be_visible()
    assert page.url.startswith(f"{prefixed}/")
