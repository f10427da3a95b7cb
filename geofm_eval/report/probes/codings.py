"""The table and figure of coded features, on a page of their own."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from geofm_eval.catalog import Catalog
from geofm_eval.records import display_name
from geofm_eval.report.drawing import caption, entry, legend_beside, new_figure, plain, save
from geofm_eval.report.formats import Column, Row, Table, described, ends
from geofm_eval.report.pages import Page, line_of
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.report.wording import heading
from geofm_eval.results.codings import CodedFeatures, CodedRow
from geofm_eval.results.units import unit_of

WORDS = {
    "int8": "8 bits per dimension",
    "bit": "1 bit per dimension",
    "pca": "principal components",
    "first": "first dimensions",
}
"""Codings in words."""

DIMENSIONAL = ("pca", "first")


def codings_page(found: CodedFeatures, catalog: Catalog, styles: Mapping[str, LineStyle]) -> Page:
    """One row per model and coding; a figure over the number of dimensions if a coding varies it."""
    table = _table(found, catalog)
    curved = [row for row in found.rows if row.coding in DIMENSIONAL]
    files = [("table", f"{found.slug}.md"), ("LaTeX", f"{found.slug}.tex"), ("CSV", f"{found.slug}.csv")]
    figure = [("figure", f"../figures/{found.slug}.png")] if curved else []
    return Page(
        tables=(table,),
        lines=(line_of(found.slug, found.comparison.simulated, [*files, *figure]),),
        text="\n".join([table.title, *table.lines()]),
        csv={found.slug: table.data},
        figures={found.slug: partial(_draw, found, curved, catalog, styles)} if curved else {},
    )


def _table(found: CodedFeatures, catalog: Catalog) -> Table[CodedRow]:
    unit = unit_of(found.comparison)
    columns: list[Column[CodedRow]] = [
        Column(None, lambda row: described(row.record, "evidence task")),
        Column("model", lambda row: row.record, "model control", short="model"),
        Column("coding", lambda row: WORDS[row.coding], short="coding"),
        Column("dimensions", lambda row: row.dimensions, show="{:.4g}".format, short="dimensions", right=True),
        Column("bytes", lambda row: row.bytes, show=_sizes, short="bytes", right=True),
        Column("tap", lambda row: row.chosen.tap, "tap", short="tap"),
        Column(f"original {unit.label}", lambda row: row.original, "original", short="original", right=True),
        Column("coded", lambda row: row.record.scores[row.fraction].value, "coded", short="coded", right=True),
        Column("coded minus original", lambda row: row.difference, ends("difference"), short="difference [interval]"),
        Column(None, _fields),
    ]
    return Table(
        slug=found.slug,
        title=heading(found.comparison, catalog, f"cost of smaller representations, test {unit.label}"),
        columns=columns,
        rows=found.rows,
        unit=unit,
        notes=(
            "Tap: chosen on validation with the original features (float32). Codings are fitted on training features "
            "without labels; the number of dimensions is chosen on validation, mean over the draws of labels. Bytes "
            "per sample: original to coded. Differences have paired 95 % intervals over the same test samples, not "
            "adjusted for the number of rows.",
        ),
    )


def _sizes(sizes: tuple[float | None, float | None]) -> str:
    return " to ".join("unknown" if size is None else f"{size:,.4g}" for size in sizes)


def _fields(row: CodedRow) -> Row:
    original, coded = row.bytes
    return {"coding": row.coding, "dimensions": row.dimensions, "bytes_original": original, "bytes_coded": coded}


def _draw(
    found: CodedFeatures, rows: list[CodedRow], catalog: Catalog, styles: Mapping[str, LineStyle], path: Path
) -> None:
    """Draw test score over the number of dimensions; a level line is the original."""
    unit = unit_of(found.comparison)
    what = f"test {unit.label} by number of dimensions"
    figure = new_figure((9.0, 5.0), heading(found.comparison, catalog, what), 11)
    caption(figure, "Lines: principal components. Dashed: first dimensions. Dotted: all dimensions, float32.")
    axis = figure.subplots()
    named = {}
    for row in rows:
        colour = styles[row.subject.model].colour
        named[display_name(row.record)] = colour
        curve = sorted(row.curve.items())
        line = "-" if row.coding == "pca" else "--"
        axis.plot([k for k, _ in curve], [unit.factor * value for _, value in curve], line, marker="o", color=colour)
        axis.axhline(unit.factor * row.original, linestyle=":", linewidth=0.8, color=colour)
    axis.set_xscale("log", base=2)
    axis.set_xlabel("dimensions")
    axis.set_ylabel(f"test {unit.label}")
    legend_beside(axis, [entry(name, color=colour, linestyle="-") for name, colour in named.items()])
    plain(axis)
    save(figure, path, 110)
