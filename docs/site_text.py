"""Text that only the documentation site has: its navigation, and what is read from the program.

A page marks the place with a comment on a line of its own, which a forge does not show: ``<!-- site: commands -->``.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path

import typer
from sphinx.application import Sphinx
from typer.cli import get_docs_for_click
from typer.main import get_command

from fixtures.options import add_options
from geofm_eval.cli import app as commands

OVERVIEW = Path(__file__).with_name("README.md")
"""The navigation has its sections and pages, in its order."""

TABLES = "reports/reference/tables/"
INDEX = f"{TABLES}README"
MARK = re.compile(r"^<!-- site: (\w+) -->$", re.MULTILINE)
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
PAGE = re.compile(r"^- \[(?P<title>[^]]+)\]\((?P<target>[^)#]+)\.md\)", re.MULTILINE)


class OptionTable:
    """Stands for the parser of pytest, and keeps a row of Markdown per option."""

    def __init__(self):
        self.rows = ["| option | meaning |", "|---|---|"]

    def getgroup(self, *_: str) -> "OptionTable":
        """Return itself, because there is one group."""
        return self

    def addoption(self, name: str, *, help: str, metavar: str = "", choices: tuple[str, ...] = (), **_: object) -> None:
        """Add the row of an option."""
        value = metavar or "\\|".join(choices)
        self.rows.append(f"| `{f'{name} {value}'.strip()}` | {help} |")


def navigation(_: str) -> str:
    """Return one table of contents per section of the overview."""
    _, *parts = SECTION.split(OVERVIEW.read_text(encoding="utf-8"))
    contents = [_contents("", ["/docs/README"])]
    for caption, text in zip(parts[::2], parts[1::2], strict=True):
        contents.append(_contents(f":caption: {caption}", [_entry(**link.groupdict()) for link in PAGE.finditer(text)]))
    return "\n".join(contents)


def _contents(caption: str, entries: list[str]) -> str:
    return "\n".join(["```{toctree}", ":hidden:", caption, "", *entries, "```", ""])


def _entry(title: str, target: str) -> str:
    return f"{title} </{os.path.normpath(f'docs/{target}')}>"


def option_table(_: str) -> str:
    """Return a table of the options of the suite."""
    table = OptionTable()
    add_options(table)
    return "\n".join(table.rows)


def command_sections(_: str) -> str:
    """Return a section per command, one level below the title of the page."""
    command = get_command(commands)
    text = get_docs_for_click(obj=command, ctx=typer.Context(command), name="geofm-eval")
    return re.sub(r"^#", "##", text, flags=re.MULTILINE)


def link_to_reference(page: str) -> str:
    """Return a link to the page of the committed reference, which the site has in its root."""
    address = "../" * page.count("/") + "report.html"
    return f'<p><a href="{address}">The page of the committed reference</a>.</p>'


TEXTS: dict[str, Callable[[str], str]] = {
    "navigation": navigation,
    "options": option_table,
    "commands": command_sections,
    "reference": link_to_reference,
}
"""What each mark stands for, given the name of the page."""


def add_text(_: Sphinx, page: str, source: list[str]) -> None:
    """Replace the marks of a page; the committed tables have no marks, because a study writes them."""
    source[0] = MARK.sub(lambda mark: TEXTS[mark[1]](page), source[0])
    if page == INDEX:
        source[0] += "\n\n" + link_to_reference(page)
    elif page.startswith(TABLES):
        source[0] = f"---\norphan: true\n---\n{source[0]}"  # reached from the index, and too many for the navigation


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the extension."""
    app.connect("source-read", add_text)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
