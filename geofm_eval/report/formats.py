"""One table, three formats: Markdown to read, CSV to compute with, LaTeX to print."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Value = str | float | int | bool | None

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "·": r"\textperiodcentered{}",
    "±": r"$\pm$",
}


@dataclass(frozen=True)
class Table:
    """A table to be read.

    Args:
        slug: file name without suffix.
        title: says task, adaptation, metric and unit, and that data are simulated where they are.
        header: one heading per column.
        rows: cells as they are to be read.
        notes: sentences below the table; the i-th of ``footnotes`` is marked i in the cells.
    """

    slug: str
    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    footnotes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Footnotes:
    """Collects footnotes of one table, equal texts once: ``mark("masked: B01")`` gives ``1``."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """Number of the footnote with this text."""
        return str(self._texts.setdefault(text, len(self._texts) + 1))

    @property
    def texts(self) -> tuple[str, ...]:
        """Footnotes in the order of their numbers."""
        return tuple(self._texts)


def to_markdown(table: Table) -> str:
    """Markdown with a heading, the grid, the footnotes and the notes."""
    lines = [f"# {table.title}", "", *markdown_grid(table.header, table.rows)]
    if table.footnotes:
        lines += ["", *(f"{number}. {text}" for number, text in enumerate(table.footnotes, start=1))]
    if table.notes:
        lines += ["", *(f"- {note}" for note in table.notes)]
    return "\n".join(lines) + "\n"


def markdown_grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a bare grid."""
    return [_markdown_row(header), _markdown_row(["---"] * len(header)), *(_markdown_row(row) for row in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def to_latex(table: Table) -> str:
    r"""LaTeX ``table`` in the style of booktabs, to be included with ``\input``."""
    columns = "l" * len(table.header)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{table.slug}}}",
        r"\centering\small",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        _latex_row(table.header),
        r"\midrule",
        *(_latex_row(row) for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    remarks = [f"{number}. {text}" for number, text in enumerate(table.footnotes, start=1)] + list(table.notes)
    lines += [rf"\par\footnotesize {latex(remark)}" for remark in remarks]
    return "\n".join([*lines, r"\end{table}"]) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    # Braces keep a cell that begins with "[" from being read as the optional argument of the line break before it.
    return " & ".join(f"{{{latex(cell)}}}" for cell in cells) + r" \\"


def latex(text: str) -> str:
    """Escape what LaTeX would interpret."""
    return "".join(_LATEX.get(character, character) for character in text)


def to_csv(rows: Sequence[Mapping[str, Value]]) -> str:
    """CSV of raw values: numbers in full precision, unknown values empty, true and false in words.

    Args:
        rows: all have the same keys, which become the header; without rows the file is empty.
    """
    if not rows:
        return ""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_value(value) for key, value in row.items()} for row in rows)
    return buffer.getvalue()


def _csv_value(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


Row = dict[str, Value]
