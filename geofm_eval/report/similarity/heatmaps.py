"""Heatmaps of similarity: every layer of a backbone with every other, and with those of other backbones."""

from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.records import Matrix
from geofm_eval.report.drawing import caption, name_ticks, new_figure, save
from geofm_eval.report.similarity.tables import HOW, has_control
from geofm_eval.report.wording import heading
from geofm_eval.results.similarity import SimilarityTable

COLUMNS = 5
PANEL = 2.3
"""Inches per side of a panel."""

MOST_PAIRS = 20
"""Panels of one figure; pairs without a control come first, the CSV has all."""


DRAWN = {
    "within": "of the layers of each backbone",
    "twins": "with the random twin",
    "between": "of the layers of two backbones",
}
"""What is drawn, by the name that ends the name of the file."""


def heatmap_figure(name: str, similarity: SimilarityTable, catalog: Catalog, path: Path) -> None:
    """Draw a panel per backbone, its taps with each other, or per pair of backbones; ``name`` is one of ``DRAWN``."""
    panels = [(model, "", one.within) for model, one in similarity.found.items() if len(one.within.rows) > 1]
    more = ""
    if name != "within":
        pairs = similarity.twins if name == "twins" else similarity.strangers
        ordered = sorted(pairs, key=lambda pair: name == "between" and has_control(pair, similarity, catalog))
        panels = [(pair.model, pair.other, pair.matrix) for pair in ordered[:MOST_PAIRS]]
        more = f" The CSV has {counted(len(pairs) - len(panels), 'more pair')}." if len(pairs) > len(panels) else ""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = max(PANEL * columns + 1.0, 4.6)
    title = heading(similarity.comparison, catalog, f"debiased CKA {DRAWN[name]}, n = {similarity.n}", HOW)
    figure = new_figure((width, (PANEL - 0.1) * rows + 0.9), title, 9)
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
    across = [[tap.removeprefix("block") for tap in matrix.columns] for _, _, matrix in panels]
    up = [[tap.removeprefix("block") for tap in matrix.rows] for _, _, matrix in panels]
    name_ticks(axes, across, up, fontsize=5, rotation=90)
    figure.colorbar(shown, ax=axes, shrink=min(1.0, 1.4 / rows), pad=0.01, extend="min").ax.tick_params(labelsize=7)
    text = f"Taps from shallow to deep. Values below 0 are drawn as 0; grey: unknown.{more}"
    caption(figure, text)
    save(figure, path, 130)


def _panel(axis: Any, matrix: Matrix) -> Any:
    values = np.array(matrix.debiased, dtype=np.float64)
    axis.set_facecolor("#bbbbbb")
    shown = axis.imshow(values, vmin=0, vmax=1, cmap="viridis", origin="lower")
    axis.tick_params(length=1.5, pad=1)
    return shown
