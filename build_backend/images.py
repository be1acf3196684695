"""Names the base images of deploy/ by digest, as their registries have them now: ``make lock-images``.

``python build_backend/images.py`` asks each image's registry (OCI distribution specification: one request for a
manifest, with an anonymous token where the registry wants one) and writes ``NAME:TAG@sha256:DIGEST`` into the files
that name it.  A tag stays readable, and is what the next run asks for.  ``--check`` changes nothing, asks nobody, and
says what is not named by digest.  ``--registry URL`` asks a mirror instead, such as one inside a lab.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Failed", "Image", "images_in", "main", "pinned"]

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
#: Where images are named: an argument of a Dockerfile, an image of a service.  Our own has no slash, tag or digest.
_NAMED = re.compile(
    r"^(?P<before>ARG \w+_IMAGE=|\s+image: )(?P<image>[\w./-]+:[\w.-]+)(?P<digest>@sha256:[0-9a-f]{64})?$", re.M
)
#: Of all machines together, so that each pulls its own.
_ACCEPTED = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
#: Where images are whose names have no host, and seconds for an answer.
DOCKER_HUB, LIMIT = "https://registry-1.docker.io", 30.0


class Failed(Exception):
    """A registry has no answer; the message is for a person."""


@dataclass(frozen=True)
class Image:
    """An image by its tag."""

    name: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """The registry's URL, the repository there, and the tag."""
        path, _, tag = self.name.rpartition(":")
        host, slash, rest = path.partition("/")
        if slash and ("." in host or ":" in host or host == "localhost"):
            return f"https://{host}", rest, tag
        return DOCKER_HUB, path if slash else f"library/{path}", tag

    def digest(self, mirror: str | None = None) -> str:
        """Ask the registry for the digest of the tag.  Raises `Failed`."""
        registry, repository, tag = self.parts
        url = f"{mirror or registry}/v2/{repository}/manifests/{tag}"
        try:
            found = _asked(url)
        except urllib.error.HTTPError as error:
            raise Failed(f"{url} answers {error.code}") from None
        if found is None or not _DIGEST.fullmatch(found):
            raise Failed(f"{url} answers without a digest")
        return found


def _asked(url: str) -> str | None:
    try:
        return _head(url, None)
    except urllib.error.HTTPError as error:
        if error.code != 401:
            raise
        return _head(url, _token(error.headers.get("WWW-Authenticate", "")))


def _head(url: str, token: str | None) -> str | None:
    headers = {"Accept": _ACCEPTED} | ({} if token is None else {"Authorization": f"Bearer {token}"})
    request = urllib.request.Request(url, headers=headers, method="HEAD")
    with urllib.request.urlopen(request, timeout=LIMIT) as answer:
        digest: str | None = answer.headers.get("Docker-Content-Digest")
        return digest


def _token(challenge: str) -> str:
    """Get an anonymous token where a registry says that one is to be had.  Raises `Failed`."""
    scheme, _, rest = challenge.partition(" ")
    fields = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    if scheme.lower() != "bearer" or "realm" not in fields:
        raise Failed(f"the registry asks for a sign-in that is not known here: {challenge!r:.100}")
    query = urllib.parse.urlencode({name: fields[name] for name in ("service", "scope") if name in fields})
    with urllib.request.urlopen(f"{fields['realm']}?{query}", timeout=LIMIT) as answer:
        given = json.load(answer)
    token: str = given.get("token") or given.get("access_token") or ""
    return token


def images_in(text: str) -> Iterator[tuple[Image, str | None]]:
    """Return the images that a file names by tag, and their digests where it has them."""
    for found in _NAMED.finditer(text):
        digest = found["digest"]
        yield Image(found["image"]), None if digest is None else digest.removeprefix("@")


def pinned(text: str, digests: dict[Image, str]) -> str:
    """Return a file's text with these digests behind the tags."""

    def with_digest(found: re.Match[str]) -> str:
        return f"{found['before']}{found['image']}@{digests[Image(found['image'])]}"

    return _NAMED.sub(with_digest, text)


def main(arguments: Sequence[str] | None = None, directory: Path = DEPLOY) -> int:
    parser = argparse.ArgumentParser("images.py", description=__doc__)
    parser.add_argument("--check", action="store_true", help="only say which images are not named by digest")
    parser.add_argument("--registry", metavar="URL", help="ask this mirror for all of them")
    options = parser.parse_args(arguments)
    files = [directory / "Dockerfile", *sorted(directory.glob("compose*.yaml"))]
    named = {(path, *each) for path in files for each in images_in(path.read_text())}
    if options.check:
        missing = sorted(f"{path.name}: {image.name}" for path, image, digest in named if digest is None)
        print("\n".join(missing) or "all images are named by digest")
        return 1 if missing else 0
    try:
        images = sorted({image for _, image, _ in named}, key=lambda image: image.name)
        digests = {image: image.digest(options.registry) for image in images}
    except (Failed, OSError) as error:
        print(f"nothing was changed: {error}", file=sys.stderr)
        return 1
    for path in files:
        path.write_text(pinned(path.read_text(), digests))
    for image, digest in digests.items():
        print(f"{image.name}@{digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
