"""Heatmaps of similarity: every layer of a backbone with every other, and with those of other backbones."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.records import Matrix
from geofm_eval.report.similarity.tables import HOW, is_control
from geofm_eval.report.wording import heading
from geofm_eval.results.similarity import Pair, SimilarityTable

COLUMNS = 5
PANEL = 2.3
"""Inches per side of a panel."""

MOST_PAIRS = 20
"""Panels of one figure; pairs without a control come first, the CSV has all."""


def within_figure(likeness: SimilarityTable, catalog: Catalog, path: Path) -> None:
    """Draw every backbone's taps with each other."""
    panels = [(model, "", one.within) for model, one in likeness.found.items() if len(one.within.rows) > 1]
    _draw(likeness, catalog, panels, "debiased CKA of the layers of each backbone", "", path)


def twins_figure(likeness: SimilarityTable, catalog: Catalog, path: Path) -> None:
    """Draw every backbone's taps with those of its random twin."""
    _draw_pairs(likeness, catalog, likeness.twins, "debiased CKA with the random twin", path)


def between_figure(likeness: SimilarityTable, catalog: Catalog, path: Path) -> None:
    """Draw the taps of pairs of backbones that are no twins."""

    def with_control(pair: Pair) -> bool:
        return is_control(pair.model, likeness, catalog) or is_control(pair.other, likeness, catalog)

    pairs = sorted(likeness.strangers, key=with_control)
    _draw_pairs(likeness, catalog, pairs, "debiased CKA of the layers of two backbones", path)


def _draw_pairs(likeness: SimilarityTable, catalog: Catalog, pairs: Sequence[Pair], what: str, path: Path) -> None:
    panels = [(pair.model, pair.other, pair.matrix) for pair in pairs[:MOST_PAIRS]]
    rest = len(pairs) - len(panels)
    _draw(likeness, catalog, panels, what, f" {rest} more pairs are in the CSV." if rest else "", path)


FIGURES = {"within": within_figure, "twins": twins_figure, "between": between_figure}
"""By the name that ends the name of the file."""


def _draw(
    likeness: SimilarityTable,
    catalog: Catalog,
    panels: Sequence[tuple[str, str, Matrix]],
    what: str,
    more: str,
    path: Path,
) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = max(PANEL * columns + 1.0, 4.6)
    figure = Figure(figsize=(width, (PANEL - 0.1) * rows + 0.9), layout="constrained")
    FigureCanvasAgg(figure)
    title = heading(likeness.comparison, catalog, f"{what}, n = {likeness.n}", HOW)
    figure.suptitle(textwrap.fill(title, int(width * 13)), fontsize=9, x=0.01, ha="left")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, (model, other, matrix) in zip(axes.flat, panels, strict=False):
        shown = _panel(axis, matrix)
        if other:
            axis.set_ylabel(model, fontsize=7)
            axis.set_xlabel(other, fontsize=7)
        else:
            axis.set_title(model, fontsize=8)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    figure.colorbar(shown, ax=axes, shrink=min(1.0, 1.4 / rows), pad=0.01, extend="min").ax.tick_params(labelsize=7)
    caption = textwrap.fill(f"Taps from shallow to deep; below 0 as 0; grey: unknown.{more}", int(width * 15))
    figure.supxlabel(caption, fontsize=8, color="#444444", x=0.01, ha="left")
    figure.savefig(path, dpi=130)


def _panel(axis: Any, matrix: Matrix) -> Any:
    values = np.array(matrix.debiased, dtype=np.float64)
    axis.set_facecolor("#bbbbbb")
    shown = axis.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
    for place, taps in (("x", matrix.columns), ("y", matrix.rows)):
        names = [tap.removeprefix("block") for tap in taps]
        getattr(axis, f"set_{place}ticks")(range(len(names)), names, fontsize=5, rotation=90 if place == "x" else 0)
    axis.tick_params(length=1.5, pad=1)
    return shown
