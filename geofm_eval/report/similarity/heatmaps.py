"""Heatmaps of similarity: every layer of a backbone with every other, and with those of other backbones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.records import Matrix
from geofm_eval.report.drawing import caption, name_ticks, new_figure, save
from geofm_eval.report.similarity.tables import HOW, has_control
from geofm_eval.report.wording import heading
from geofm_eval.results.similarity import Pair, SimilarityTable

COLUMNS = 4
PANEL = 2.6
"""Inches per side of a panel."""

MOST = 12
"""Panels of one figure; those without a control come first, the CSV has all."""


DRAWN = {
    "within": "of the layers of each backbone",
    "twins": "with the random twin",
    "between": "of the layers of two backbones",
}
"""What is drawn, by the name that ends the name of the file."""


@dataclass(frozen=True)
class Heatmap:
    """Similarity of the taps of two backbones, or of one with itself.

    Args:
        up: backbone whose taps are the rows.
        across: backbone whose taps are the columns; empty for the same backbone.
        rows: taps from shallow to deep.
        columns: taps from shallow to deep.
        values: (rows, columns), NaN where unknown.
    """

    up: str
    across: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: NDArray[np.float64]

    @classmethod
    def of(cls, up: str, across: str, matrix: Matrix) -> "Heatmap":
        """Take the debiased values of a record."""
        return cls(up, across, matrix.rows, matrix.columns, np.array(matrix.debiased, dtype=np.float64))


def heatmap_figure(name: str, similarity: SimilarityTable, catalog: Catalog, path: Path) -> None:
    """Draw a panel per backbone, its taps with each other, or per pair of backbones; ``name`` is one of ``DRAWN``."""
    found = _panels(name, similarity, catalog)
    panels = found[:MOST]
    more = f" The CSV has {counted(len(found) - MOST, 'more heatmap')}." if len(found) > MOST else ""
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    width = max(PANEL * columns + 1.0, 4.6)
    title = heading(similarity.comparison, catalog, f"debiased CKA {DRAWN[name]}, n = {similarity.n}", HOW)
    figure = new_figure((width, (PANEL - 0.1) * rows + 1.1), title, 10)
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, panel in zip(axes.flat, panels, strict=False):
        shown = _draw(axis, panel)
    for axis in axes.flat[len(panels) :]:
        axis.set_visible(False)
    across = [[tap.removeprefix("block") for tap in panel.columns] for panel in panels]
    up = [[tap.removeprefix("block") for tap in panel.rows] for panel in panels]
    name_ticks(axes, across, up, fontsize=6, rotation=90)
    scale = figure.colorbar(shown, ax=axes, shrink=min(1.0, 1.4 / rows), pad=0.01, extend="min")
    scale.set_label("debiased CKA", fontsize=8)
    scale.ax.tick_params(labelsize=7)
    text = f"Taps from shallow to deep. Values below 0 are drawn as 0; grey: unknown.{more}"
    caption(figure, text)
    save(figure, path, 130)


def _panels(name: str, similarity: SimilarityTable, catalog: Catalog) -> list[Heatmap]:
    """All heatmaps of a figure, those of pairs with a control last."""
    if name == "within":
        alone = [Heatmap.of(model, "", one.within) for model, one in similarity.found.items()]
        return [panel for panel in alone if len(panel.rows) > 1]
    pairs, order = similarity.twins if name == "twins" else similarity.strangers, list(similarity.found)
    upright = sorted(
        [(name == "between" and has_control(pair, similarity, catalog), _upright(pair, order)) for pair in pairs],
        key=lambda one: (one[0], order.index(one[1].up), order.index(one[1].across)),
    )
    return [panel for _, panel in upright]


def _upright(pair: Pair, order: Sequence[str]) -> Heatmap:
    """The heatmap of a pair, with the backbone that is first in ``order`` as the vertical one."""
    found = Heatmap.of(pair.model, pair.other, pair.matrix)
    if order.index(found.up) < order.index(found.across):
        return found
    return Heatmap(found.across, found.up, found.columns, found.rows, found.values.T)


def _draw(axis: Any, panel: Heatmap) -> Any:
    axis.set_facecolor("#bbbbbb")
    shown = axis.imshow(panel.values, vmin=0, vmax=1, cmap="viridis", origin="lower")
    axis.tick_params(length=1.5, pad=1)
    if panel.across:
        axis.set_ylabel(panel.up, fontsize=8)
        axis.set_xlabel(panel.across, fontsize=8)
    else:
        axis.set_title(panel.up, fontsize=9)
    return shown
