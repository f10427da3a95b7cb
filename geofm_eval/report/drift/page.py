"""What is written about tuned backbones."""

from collections.abc import Mapping
from functools import partial

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.report.drift.figures import FIGURES, heading_of
from geofm_eval.report.drift.rows import contrast_rows, layer_rows, lost_rows, value_rows
from geofm_eval.report.drift.tables import parts_table, reverted_table, summary_table
from geofm_eval.report.formats import Table
from geofm_eval.report.pages import Page, line_of
from geofm_eval.report.web.palette import LineStyle
from geofm_eval.results.drift_cases import DriftCases, DriftCell

SHOWN = 25
"""Lines in a terminal; the tables have all of them."""


def drift_page(cases: DriftCases, catalog: Catalog, styles: Mapping[str, LineStyle]) -> Page:
    """What tuning changed inside the backbones of one task."""
    slug, summary = cases.slug, summary_table(cases, catalog)
    csv = {
        f"{slug}-values": partial(value_rows, cases),
        f"{slug}-contrasts": partial(contrast_rows, cases),
        f"../figures/{slug}-layers": partial(layer_rows, cases),
        f"../figures/{slug}-lost": partial(lost_rows, cases),
    }
    files = [("drift", f"{slug}.md"), ("parts", f"{slug}-parts.md"), ("reverted", f"{slug}-reverted.md")]
    figures = {}
    # Backbones that were tuned alike stand in one figure: of all together little could be read.
    for tuning, own in cases.by_tuning.items():
        for name, (words, draw) in FIGURES.items():
            figures[f"{slug}-{name}-{tuning}"] = partial(draw, own, catalog, styles)
            files.append((f"{words}, {tuning}", f"../figures/{slug}-{name}-{tuning}.png"))
    files += [(f"CSV of {name.rpartition('-')[2]}", f"{name}.csv") for name in csv]
    return Page(
        tables=(summary, parts_table(cases, catalog), reverted_table(cases, catalog)),
        lines=(line_of(slug, cases.comparison.simulated, files),),
        text=_text(cases, summary, catalog),
        csv=csv,
        figures=figures,
    )


def _text(cases: DriftCases, summary: Table[DriftCell], catalog: Catalog) -> str:
    lines = [
        heading_of(cases, catalog, f"drift, mean over blocks, n = {cases.cells[0].drift.n}"),
        *summary.lines(SHOWN),
    ]
    if cases.left_out:
        lines.append(f"  without a measurement: {counted(len(cases.left_out), 'case')} (see the tables)")
    return "\n".join(lines)
