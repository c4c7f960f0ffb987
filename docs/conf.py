"""How `make docs` makes the site: Sphinx, MyST for Markdown as GitHub reads it, and Furo.

The source is the clone itself, so that links between README, docs/ and the rest are what they are on GitHub.
"""

from pathlib import Path

from kernelexec import __version__

HERE = Path(__file__).parent

project = "kernelexec"
author = "the kernelexec maintainers"
version = release = __version__

extensions = ["myst_parser", "sphinx_copybutton", "sphinx_external_toc"]
include_patterns = ["*.md", "docs/*.md"]
external_toc_path = str(HERE / "contents.yml")
nitpicky = True  # what does not resolve is an error

myst_heading_anchors = 4  # and with GitHub's names
copybutton_exclude = ".linenos, .gp, .c, .c1"  # a comment behind a command is for the reader

highlight_language = "sh"  # of indented blocks: what one types

html_theme = "furo"
html_title = "kernelexec"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_extra_path = ["redirect"]  # /index.html, which leads to docs/
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False
