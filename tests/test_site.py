"""The documentation site: its navigation, links, reference pages, and that it needs no network."""

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from typer.main import get_command

import geofm_eval
from fixtures.options import CHOICES, FLAGS, REPEATABLE, VALUES
from geofm_eval.cli import app

IMPORT = re.compile(r"^from (geofm_eval[\w.]*) import ([\w, ]+)$", re.MULTILINE)
LOADING = re.compile(r"url\(\s*[\"']?(?:https?:)?//|@import\s+[\"'](?:https?:)?//")
"""What makes a style sheet load something from another server."""


@dataclass
class SitePage(HTMLParser):
    """One HTML page of the site.

    Args:
        path: its file.
        ids: names that links can lead to.
        links: targets of links.
        navigation: targets of the links in the sidebar, out of ``links``.
        loaded: addresses of what a browser loads with the page.
        in_text: the reader is behind the sidebar.
    """

    path: Path
    ids: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    navigation: list[str] = field(default_factory=list)
    loaded: list[str] = field(default_factory=list)
    in_text: bool = False

    def __post_init__(self):
        super().__init__()
        self.feed(self.path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]):
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
            if "reference" in values.get("class", "").split() and not self.in_text:
                self.navigation.append(values["href"])
        elif tag != "a":
            self.loaded += [values[name] for name in ("src", "srcset", "href", "data", "poster") if name in values]
        self.in_text |= tag == "article"

    def target(self, link: str) -> tuple[Path, str]:
        """Return the file and the id that a link leads to."""
        parts = urlsplit(link)
        return (self.path.parent / unquote(parts.path)).resolve() if parts.path else self.path, unquote(parts.fragment)


@pytest.fixture(scope="module")
def site(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as by make docs; only the page of the reference, which takes a minute, is an empty one."""
    folder = tmp_path_factory.mktemp("documentation")
    report = folder / "report.html"
    report.write_text("<!doctype html><title>Report</title>", encoding="utf-8")
    settings = ["-W", "--keep-going", "-q", "-c", "docs", "-D", f"html_extra_path={report}", "-d", f"{folder / 'read'}"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *settings, ".", str(folder / "site")],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, SitePage]:
    """All pages by file; the first page only leads to another."""
    return {path.resolve(): SitePage(path.resolve()) for path in site.rglob("*.html")}


@pytest.mark.docs
@pytest.mark.slow
def test_every_manual_page_is_in_the_navigation(site: Path, pages: dict[Path, SitePage], repository: Path):
    first = pages[site.resolve() / "README.html"]
    reached = [first.target(link)[0] for link in first.navigation]
    named = [repository / "CONTRIBUTING.md", repository / "CHANGELOG.md", *(repository / "docs").glob("*.md")]
    expected = {site.resolve() / path.relative_to(repository).with_suffix(".html") for path in named}
    assert not expected - {*reached}
    order = [path.stem for path in reached]
    steps = ["notebook", "bring_data", "dense", "report", "intervals", "command_line", "CONTRIBUTING", "CHANGELOG"]
    assert [name for name in order if name in steps] == steps


@pytest.mark.docs
def test_links_lead_to_files_and_headings_of_the_site(pages: dict[Path, SitePage], site: Path):
    def dead(page: SitePage) -> Iterator[str]:
        for link in [*page.links, *page.loaded]:
            if urlsplit(link).scheme:
                continue
            path, anchor = page.target(link)
            if not path.is_file() or (anchor and path in pages and anchor not in pages[path].ids):
                yield f"{page.path.relative_to(site.resolve())}: {link}"

    assert not [link for page in pages.values() for link in dead(page)]


@pytest.mark.docs
def test_the_report_of_the_reference_is_reached(pages: dict[Path, SitePage], site: Path):
    folder = site.resolve()
    for name in ("docs/report.html", "reports/reference/tables/README.html"):
        page = pages[folder / name]
        assert folder / "report.html" in [page.target(link)[0] for link in page.links], name


@pytest.mark.docs
def test_pages_load_nothing_from_other_servers(pages: dict[Path, SitePage], site: Path):
    loaded = {address for page in pages.values() for address in page.loaded}
    assert loaded
    assert not [address for address in loaded if urlsplit(address).netloc]
    sheets = {path.name: path.read_text(encoding="utf-8") for path in site.rglob("*.css")}
    assert sheets
    assert not [name for name, text in sheets.items() if LOADING.search(text)]


@pytest.mark.docs
def test_the_reference_has_every_public_name_and_every_name_that_the_manual_imports(
    pages: dict[Path, SitePage], site: Path, repository: Path
):
    text = "\n".join(path.read_text(encoding="utf-8") for path in (repository / "docs").glob("*.md"))
    imported = {f"{module}.{name}" for module, names in IMPORT.findall(text) for name in names.split(", ")}
    public = {f"geofm_eval.{name}" for name in geofm_eval.__all__ if name != "__version__"}
    assert len(imported - public) > 3
    assert not (imported | public) - pages[site.resolve() / "docs" / "api.html"].ids


@pytest.mark.docs
def test_the_reference_has_every_command_and_option(pages: dict[Path, SitePage], site: Path):
    page = pages[site.resolve() / "docs" / "command_line.html"]
    assert not {f"geofm-eval-{name}" for name in get_command(app).commands} - page.ids
    text = page.path.read_text(encoding="utf-8")
    options = [name for name, *_ in (*VALUES, *CHOICES, *REPEATABLE, *FLAGS)]
    assert not [name for name in options if f'<span class="pre">{name}' not in text]


def test_public_names_have_docstrings():
    without = [name for name in geofm_eval.__all__ if name != "__version__" and not getattr(geofm_eval, name).__doc__]
    assert not without
