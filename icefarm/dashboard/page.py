"""The files of the dashboard, as `vite build` made them, read once and cached."""

from __future__ import annotations

from pathlib import Path

from attrs import frozen

__all__ = ["PageFile", "page_files"]

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".md": "text/plain; charset=utf-8",
}


@frozen
class PageFile:
    """One file for a browser."""

    content: bytes
    #: Its media type.
    kind: str
    #: Its name changes with its content, so browsers may cache it forever.
    lasting: bool


def page_files(directory: Path | None = None) -> dict[str, PageFile]:
    """Return the files by their path on the server, including ``/``; none if the dashboard was not built."""
    root = Path(__file__).parent / "static" if directory is None else directory
    if not (root / "index.html").is_file():
        return {}
    files = {}
    for path in sorted(root.rglob("*")):
        if path.is_file() and path.suffix in _KINDS:
            name = "/" + path.relative_to(root).as_posix()
            lasting = name.startswith("/assets/")
            files["/" if name == "/index.html" else name] = PageFile(path.read_bytes(), _KINDS[path.suffix], lasting)
    return files
