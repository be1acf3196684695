"""Writes the pages that are generated from the code, before Sphinx looks for pages.

Git ignores them, except docs/wamp.md, of which only parts are generated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import http_page
import options_page
import wamp_page

__all__ = ["PAGES", "setup"]

#: By the name of the file, beside those that are written by hand.
PAGES = {"http-api.md": http_page.page, "options.md": options_page.page}


def setup(app: Any) -> dict[str, bool]:
    """Write the pages that have changed."""
    wamp_page.write()
    for name, page in PAGES.items():
        path, text = Path(app.srcdir, name), page()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    return {"parallel_read_safe": True}
