"""How Sphinx makes the site of these pages: ``make docs``."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from icefarm import __version__

project = "icefarm"
author = "the icefarm developers"
version = release = __version__

extensions = ["myst_parser", "made_pages"]
exclude_patterns = ["_build", "_ext"]
# Links to headings, as on GitHub.
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"icefarm {__version__}"
# Pages are read on GitHub as well, whose names of languages these are.
highlight_language = "none"
