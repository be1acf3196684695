"""Base images are named by digest with one command, where a registry can be reached."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from build_backend.images import DEPLOY, DOCKER_HUB, Image, images_in, main

DIGEST = "sha256:" + "ab" * 32


class Registry(BaseHTTPRequestHandler):
    """A registry that wants an anonymous token, and knows every tag."""

    wants_token = True
    knows = True

    def do_HEAD(self) -> None:
        if self.wants_token and self.headers["Authorization"] != "Bearer anonymous":
            self.send_response(401)
            where = f"http://127.0.0.1:{self.server.server_address[1]}/token"
            challenge = f'Bearer realm="{where}",service="registry",scope="repository:library/python:pull"'
            self.send_header("WWW-Authenticate", challenge)
        elif self.knows and "image.index" in self.headers["Accept"]:
            self.send_response(200)
            self.send_header("Docker-Content-Digest", DIGEST)
        else:
            self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        assert self.path == "/token?service=registry&scope=repository%3Alibrary%2Fpython%3Apull"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({"token": "anonymous"}).encode())

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def registry(**how: bool) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("_Registry", (Registry,), how))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def deploy(tmp_path: Path) -> Path:
    for path in (DEPLOY / "Dockerfile", *DEPLOY.glob("compose*.yaml")):
        shutil.copy(path, tmp_path)
    return tmp_path


def named(directory: Path) -> dict[str, str | None]:
    return {image.name: digest for path in directory.iterdir() for image, digest in images_in(path.read_text())}


@pytest.mark.parametrize("wants_token", [True, False])
def test_every_base_image_gets_the_digest_that_its_registry_has(
    deploy: Path, wants_token: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = named(deploy)
    assert {name.partition(":")[0] for name in before} == {"python", "postgres"}
    with registry(wants_token=wants_token) as url:
        assert main(["--registry", url], deploy) == 0
        assert main(["--check"], deploy) == 0
        # Again: the tag is asked for, and the text stays as it is.
        texts = {path: path.read_text() for path in deploy.iterdir()}
        assert main(["--registry", url], deploy) == 0
        assert {path: path.read_text() for path in deploy.iterdir()} == texts
    assert named(deploy) == dict.fromkeys(before, DIGEST)
    for path in deploy.iterdir():
        assert path.read_text().replace(f"@{DIGEST}", "") == (DEPLOY / path.name).read_text()
    assert f"python:3.13-bookworm@{DIGEST}" in capsys.readouterr().out


def test_a_registry_without_the_image_or_out_of_reach_changes_nothing(
    deploy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with registry(knows=False) as url:
        assert main(["--registry", url], deploy) == 1
    assert "answers 404" in capsys.readouterr().err
    assert main(["--registry", "http://127.0.0.1:1"], deploy) == 1
    assert "nothing was changed" in capsys.readouterr().err
    for path in deploy.iterdir():
        assert path.read_text() == (DEPLOY / path.name).read_text()


def test_what_is_not_named_by_digest_is_told(deploy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (deploy / "Dockerfile").write_text("ARG RUN_IMAGE=python:3.13-slim\n")
    assert main(["--check"], deploy) == 1
    assert "Dockerfile: python:3.13-slim" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("python:3.13", (DOCKER_HUB, "library/python", "3.13")),
        ("bitnami/postgresql:17", (DOCKER_HUB, "bitnami/postgresql", "17")),
        ("ghcr.io/lab/python:3.13", ("https://ghcr.io", "lab/python", "3.13")),
        ("localhost/python:3", ("https://localhost", "python", "3")),
    ],
)
def test_an_image_without_a_host_is_docker_hub_s(name: str, parts: tuple[str, str, str]) -> None:
    assert Image(name).parts == parts
