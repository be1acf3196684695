"""How Sphinx makes the site of these pages: ``make docs``.

With ICEFARM_REPOSITORY, the address of a repository on GitHub or GitLab, each page links to its source there.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from icefarm import __version__

project = "icefarm"
author = "the icefarm developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_copybutton", "made_pages", "api_signatures"]
exclude_patterns = ["_build", "_ext"]
# Links to headings, as on GitHub.
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"icefarm {__version__}"
# Pages are read on GitHub as well, whose names of languages these are.
highlight_language = "none"

# Docstrings name code in single backquotes.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True

# Copied are commands without their prompt, and nothing of what they print.
copybutton_prompt_text = "$ "
copybutton_line_continuation_character = "\\"

if repository := os.environ.get("ICEFARM_REPOSITORY"):
    html_theme_options = {"source_repository": repository, "source_branch": "main", "source_directory": "docs/"}
