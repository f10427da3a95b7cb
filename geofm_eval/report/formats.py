"""One table of typed cells, four formats: Markdown and terminal text to read, LaTeX to print, CSV to compute with."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, Generic, TypeVar

from geofm_eval.records import Record, Score, display_name
from geofm_eval.results.units import UNKNOWN, MetricFormat
from geofm_eval.stats.difference import Difference

Value = str | float | int | bool | None
Row = dict[str, Value]
T = TypeVar("T")

PLAIN = MetricFormat("", "", 1.0, 3)

_LATEX = str.maketrans({
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
})  # fmt: skip


@dataclass(frozen=True)
class Column(Generic[T]):
    """One column: how its cell is read off a row, and where the cell is shown.

    A cell is a text, a number, a score, a difference, a record (shown as the name of its model), a tuple of footnotes,
    None where it is unknown, or, for CSV alone, a row of fields.

    Args:
        name: heading; None in columns that Markdown and LaTeX leave out.
        of: cell in a row.
        fields: names in the CSV, separated by spaces: of a score and a difference value, low and high, of a record
            model and whether it is a control. A row of fields needs none.
        show: how a known cell is written; by default by its type, numbers in the unit of the table.
        short: heading in a terminal; None where that leaves the column out.
        right: aligned to the right in a terminal.
    """

    name: str | None
    of: Callable[[T], Any]
    fields: str = ""
    show: Callable[[Any], str] | None = None
    short: str | None = None
    right: bool = False


@dataclass(frozen=True)
class Table(Generic[T]):
    """A table; ``slug`` is its file name without suffix.

    Columns are in the order of reading and of the CSV, and read their cells from the rows. ``unit`` is that of scores,
    differences and floats. Notes are sentences below the footnotes.
    """

    slug: str
    title: str
    columns: Sequence[Column[T]]
    rows: Sequence[T]
    unit: MetricFormat = PLAIN
    notes: tuple[str, ...] = ()

    @cached_property
    def cells(self) -> list[list[Any]]:
        """Cells of all columns, row by row."""
        return [[column.of(row) for column in self.columns] for row in self.rows]

    @cached_property
    def footnotes(self) -> dict[str, int]:
        """Numbers of the footnotes, equal texts once."""
        texts = [text for row in self.cells for cell in row if isinstance(cell, tuple) for text in cell]
        return {text: number for number, text in enumerate(dict.fromkeys(texts), start=1)}

    @property
    def header(self) -> list[str]:
        """Headings of what is read."""
        return [column.name for column in self.columns if column.name is not None]

    @cached_property
    def grid(self) -> list[list[str]]:
        """Cells as they are read."""
        return self._texts([column.name is not None for column in self.columns])

    @property
    def remarks(self) -> list[str]:
        """Footnotes with their numbers."""
        return [f"{number}. {text}" for text, number in self.footnotes.items()]

    def data(self) -> list[Row]:
        """Fields of the CSV, row by row."""
        return [dict(pair for column, cell in zip(self.columns, row, strict=True) for pair in _fields(column, cell))
                for row in self.cells]  # fmt: skip

    def lines(self, most: int | None = None) -> list[str]:
        """Lines for a terminal, with the first ``most`` rows."""
        columns = [column for column in self.columns if column.short is not None]
        rows = self._texts([column.short is not None for column in self.columns], short=True)[:most]
        sides = "".join("r" if column.right else "l" for column in columns)
        shown, more = aligned([[column.short or "" for column in columns], *rows], sides), len(self.rows) - len(rows)
        return [*shown, f"  and {more} more in the tables"] if more else shown

    def _texts(self, shown: Sequence[bool], short: bool = False) -> list[list[str]]:
        columns = [(number, column) for number, column in enumerate(self.columns) if shown[number]]
        return [[self._text(column, row[number], short) for number, column in columns] for row in self.cells]

    def _text(self, column: Column[T], cell: Any, short: bool) -> str:
        if cell is None:
            return UNKNOWN
        if column.show is not None:
            return column.show(cell)
        match cell:
            case Score():
                return self.unit.score(cell)
            case Difference():
                return self.unit.difference(cell)
            case Record():
                return display_name(cell, short=short)
            case tuple():
                return " ".join(str(self.footnotes[text]) for text in cell)
            case bool():
                return "yes" if cell else ""
            case float():
                return self.unit.value(cell)
        return str(cell)


def listed(*names: str) -> list[Column[Sequence[Any]]]:
    """Columns of a table whose rows are the cells themselves."""
    return [Column(name, itemgetter(number)) for number, name in enumerate(names)]


def ends(name: str) -> str:
    """CSV fields of a difference."""
    return f"{name} {name}_low {name}_high"


def described(record: Record, names: str) -> Row:
    """CSV fields of a record's case, such as ``"evidence task model"``."""
    known = {"evidence": record.evidence, "control": record.case.is_control}
    return {name: known[name] if name in known else getattr(record.case, name) for name in names.split()}


def attributes(thing: object | None, same: str = "", **renamed: str) -> Row:
    """CSV fields from attributes, those in ``same`` under their own names; all unknown without ``thing``."""
    names = _same_names(same) | renamed
    return {field: None if thing is None else getattr(thing, name) for field, name in names.items()}


@lru_cache(maxsize=256)
def _same_names(names: str) -> dict[str, str]:
    return {name: name for name in names.split()}


def _fields(column: Column[Any], cell: Any) -> Iterable[tuple[str, Value]]:
    if isinstance(cell, dict):
        return cell.items()
    values: tuple[Value, ...] = (cell,) * 3
    match cell:
        case Score():
            interval = cell.interval
            values = (cell.value, None, None) if interval is None else (cell.value, interval.low, interval.high)
        case Difference():
            values = (cell.value, cell.low, cell.high)
        case Record():
            values = (cell.case.model, cell.case.is_control)
    return zip(column.fields.split(), values, strict=False)


def to_markdown(table: Table[Any]) -> str:
    """Markdown with a heading, the grid, the footnotes and the notes."""
    lines = [f"# {table.title}", "", *markdown_grid(table.header, table.grid)]
    for more in (table.remarks, [f"- {note}" for note in table.notes]):
        lines += ["", *more] if more else []
    return "\n".join(lines) + "\n"


def markdown_grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a bare grid."""
    return [_markdown_row(header), _markdown_row(["---"] * len(header)), *(_markdown_row(row) for row in rows)]


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def to_latex(table: Table[Any]) -> str:
    r"""LaTeX ``table`` in the style of booktabs, to be included with ``\input``."""
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        rf"\caption{{{latex(table.title)}}}",
        rf"\label{{tab:{table.slug}}}",
        r"\centering\small",
        rf"\begin{{tabular}}{{{'l' * len(table.header)}}}",
        r"\toprule",
        _latex_row(table.header),
        r"\midrule",
        *(_latex_row(row) for row in table.grid),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize {latex(remark)}" for remark in (*table.remarks, *table.notes)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    # Braces keep a cell that begins with "[" from being read as the optional argument of the line break before it.
    return " & ".join(f"{{{latex(cell)}}}" for cell in cells) + r" \\"


def latex(text: str) -> str:
    """Escape what LaTeX would interpret."""
    return text.translate(_LATEX)


def to_csv(rows: Iterable[Row]) -> str:
    """CSV of raw values: numbers in full precision, unknown values empty, true and false in words.

    Args:
        rows: all have the same keys, which become the header; without rows the file is empty.
    """
    left = iter(rows)
    first = next(left, None)
    if first is None:
        return ""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = list(first)
    writer.writerow(names)
    # The writer itself leaves unknown values empty and gives numbers in full precision.
    writer.writerows(
        ["true" if (cell := row[name]) is True else "false" if cell is False else cell for name in names]
        for row in chain([first], left)
    )
    return buffer.getvalue()


def aligned(rows: Sequence[Sequence[str]], alignment: str) -> list[str]:
    """Rows as lines of equal columns, indented by two; ``l`` or ``r`` per column."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(alignment))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, alignment, strict=True)
        ]
        lines.append(("  " + "  ".join(cells)).rstrip())
    return lines
