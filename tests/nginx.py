"""A real nginx in front of a farm, as docs/operations.md configures it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from guides import sections
from waiting import wait_until

__all__ = ["PREFIX", "nginx", "with_stream_module"]

_PROGRAM = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
#: Seconds for nginx to begin, and to end.
LIMIT = 10.0
#: The path that nginx puts before the farm.
PREFIX = "/lab/icefarm"
_CONFIGURATION = """\
daemon off; pid nginx.pid; error_log error.log; worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
  server {
    listen 127.0.0.1:PORT;
    LOCATION
    location / { return 404 "not icefarm\\n"; }
  }
}
"""


def _location(farm: str) -> str:
    """Return the page's block for a farm at another address, and a path of two parts."""
    (block,) = sections()["docs/operations.md", "Behind a reverse proxy"]
    assert "location /icefarm/ {" in block.text
    assert "http://127.0.0.1:8080/;" in block.text
    return block.text.replace("location /icefarm/", f"location {PREFIX}/").replace("127.0.0.1:8080", farm)


@contextmanager
def nginx(port: int, farm: str) -> Iterator[str]:
    """Run nginx before the farm at HOST:PORT, and yield the farm's URL from outside; skips where nginx is missing."""
    if _PROGRAM is None:
        pytest.skip("it takes nginx: apt-get install nginx-light")
    with tempfile.TemporaryDirectory(prefix="icefarm-") as directory:
        text = _CONFIGURATION.replace("PORT", str(port)).replace("LOCATION", _location(farm))
        Path(directory, "nginx.conf").write_text(text)
        running = subprocess.Popen([_PROGRAM, "-p", directory, "-c", "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            _wait_until_open(port)
            yield f"http://127.0.0.1:{port}{PREFIX}"
        finally:
            running.terminate()
            running.wait(LIMIT)


def _wait_until_open(port: int) -> None:
    def is_open() -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", port)) == 0

    wait_until(is_open, "nginx listens", LIMIT)


def with_stream_module(prefix: Path) -> None:
    """Let nginx find its stream module under a directory that is its prefix; skips where that is not installed."""
    found = list(Path("/usr").glob("*/nginx/modules/ngx_stream_module.so"))
    if not found:
        pytest.skip("it takes nginx's stream module: apt-get install libnginx-mod-stream")
    (prefix / "modules").symlink_to(found[0].parent)
