"""Settings of the documentation site: ``make docs``.

The root of the repository is the source folder, so that links work on the site and on a forge without changes.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
# The extension, and the options of the suite, which are not installed.
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "geofm_eval"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "site_text"]
root_doc = "README"
include_patterns = ["*.md", "docs/*.md", "reports/README.md", "reports/reference/tables/*.md"]
# Sphinx does not look into these folders, most of which hold no page.
exclude_patterns = [
    *sorted(path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ("docs", "reports")),
    *("docs/examples", "docs/images", "docs/templates", "reports/runs", "reports/reference/study", "**/__pycache__"),
]

myst_heading_anchors = 4  # links to headings, as a forge makes them
napoleon_numpy_docstring = False
autodoc_typehints = "description"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
smartquotes = False  # options begin with two hyphens

html_theme = "furo"
html_title = "geofm_eval"
templates_path = ["templates"]
html_additional_pages = {"index": "start.html"}
html_extra_path = ["../reports/reference/study/report.html"]
html_copy_source = html_show_copyright = html_show_sphinx = html_use_index = html_domain_indices = False
