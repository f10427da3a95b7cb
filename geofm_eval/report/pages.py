"""Pages of a collation about one comparison, set of trained cases or question."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geofm_eval.report.formats import Row, Table, to_csv, to_latex, to_markdown
from geofm_eval.results.units import SIMULATED

Draw = Callable[[Path], object]
"""Draws a figure into a file."""

MakeRows = Callable[[], Iterable[Row]]
"""Makes the rows of a CSV only when they are written: there may be hundreds of thousands."""


@dataclass(frozen=True)
class Page:
    """Files of one topic, its ``lines`` in the index and its ``text`` for a terminal.

    Tables are written as Markdown and LaTeX. ``csv`` is by path without suffix, relative to the folder of tables;
    ``figures`` and ``markdown``, texts of further pages, are by file name without suffix.
    """

    tables: Sequence[Table[Any]] = ()
    lines: Sequence[str] = ()
    text: str = ""
    csv: Mapping[str, MakeRows] = field(default_factory=dict)
    figures: Mapping[str, Draw] = field(default_factory=dict)
    markdown: Mapping[str, str] = field(default_factory=dict)

    def write(self, tables: Path, figures: Path) -> None:
        """Write all files of the page."""
        texts = {f"{name}.md": text for name, text in self.markdown.items()}
        texts |= {f"{table.slug}.md": to_markdown(table) for table in self.tables}
        texts |= {f"{table.slug}.tex": to_latex(table) for table in self.tables}
        for name, text in texts.items():
            (tables / name).write_text(text, encoding="utf-8")
        for name, rows in self.csv.items():
            (tables / f"{name}.csv").write_text(to_csv(rows()), encoding="utf-8")
        for name, draw in self.figures.items():
            draw(figures / f"{name}.png")


def links(files: Iterable[tuple[str, str]]) -> str:
    """Markdown links from words and files."""
    return ", ".join(f"[{words}]({file})" for words, file in files)


def line_of(slug: str, simulated: bool, files: Iterable[tuple[str, str]]) -> str:
    """Line of the index: what it is about, and links to its files."""
    return f"{slug}{f' ({SIMULATED})' if simulated else ''}: {links(files)}"
