"""Figures of drift: by depth with its floors, by block and part, frozen against tuned layers, over score lost."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import Catalog
from geofm_eval.plurals import counted
from geofm_eval.records import figure_name
from geofm_eval.report.drawing import (
    GREY,
    caption,
    entry,
    legend_beside,
    marker_of,
    name_ticks,
    new_figure,
    plain,
    save,
)
from geofm_eval.report.drift.tables import TUNED, part_drift, unit_of_drift
from geofm_eval.report.web.palette import COLOURS, LineStyle
from geofm_eval.report.wording import heading
from geofm_eval.results.drift_cases import NAMES, VERDICTS_ON, DriftCases, DriftCell
from geofm_eval.stats.over_seeds import estimate

ARMS = {
    "tuned": ("tuned against frozen", COLOURS[0], "-"),
    "shuffled": ("shuffled labels", COLOURS[1], "--"),
    "seeds": ("two seeds", GREY, ":"),
}
"""What is drawn over depth: words, colour and line."""

MOST = 12
"""Heatmaps of one figure; the CSV has all."""

Styles = Mapping[str, LineStyle]
"""How models are drawn."""


def depth_figure(cases: DriftCases, catalog: Catalog, _: Styles, path: Path) -> None:
    """Draw drift over blocks for the measures with a verdict: one row per tuned backbone."""
    figure, axes = _grid(cases, len(VERDICTS_ON), (3.2, 1.7), heading_of(cases, catalog, "drift by depth"))
    for row, cell in zip(axes, cases.cells, strict=True):
        for axis, measure in zip(row, VERDICTS_ON, strict=True):
            for arm, (_words, colour, style) in ARMS.items():
                _lines(axis, cell, measure, arm, colour, style)
            axis.set_ylim(bottom=0)
            axis.tick_params(axis="y", labelsize=6)
            plain(axis, grid=False)
        row[0].set_ylabel(f"{cell.model}\n{cell.name}", fontsize=7)
    name_ticks(axes, _block_names(cases))
    for axis, measure in zip(axes[0], VERDICTS_ON, strict=True):
        axis.set_title(NAMES[measure], fontsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("block", fontsize=7)
    legend_beside(axes[0][-1], [entry(words, color=colour, linestyle=line) for words, colour, line in ARMS.values()])
    caption(figure, "Thick lines: means. Thin lines: single values.")
    save(figure, path, 110)


def parts_figure(cases: DriftCases, catalog: Catalog, _: Styles, path: Path) -> None:
    """Draw drift of every part of every block, one heatmap for every measure with a verdict."""
    rows = sum(len(cell.parts) for cell in cases.cells)
    title = heading_of(cases, catalog, "drift by block and part")
    figure = new_figure((3.6 * len(VERDICTS_ON) + 1.2, 0.21 * (rows + len(cases.cells)) + 1.4), title)
    axes = figure.subplots(1, len(VERDICTS_ON), squeeze=False)
    blocks = max(_block_names(cases), key=len)
    for axis, measure in zip(axes[0], VERDICTS_ON, strict=True):
        grid = _by_part(cases, measure, len(blocks))
        top = float(np.nanmax(grid)) if np.isfinite(grid).any() else 0.0
        shown = axis.imshow(grid, vmin=0, vmax=top or 1.0, cmap="viridis", aspect="auto")
        axis.set_title(NAMES[measure], fontsize=8)
        figure.colorbar(shown, ax=axis, location="bottom", pad=0.01, aspect=40).ax.tick_params(labelsize=7)
    names = [name for cell in cases.cells for name in (*cell.parts, "")][:-1]
    name_ticks(axes, [blocks] * len(VERDICTS_ON), [names] * len(VERDICTS_ON), fontsize=7)
    axes[0][0].tick_params(axis="y", length=0)  # rows between two backbones have no name
    _name_cells(axes[0][0], cases)
    caption(figure, "Mean over seeds. Columns: blocks. One scale per measure. White: the measure does not apply.")
    save(figure, path, 110)


def _name_cells(axis: Any, cases: DriftCases) -> None:
    """Write the model and the adaptation of every group of rows to its left."""
    start = 0
    for cell in cases.cells:
        middle = start + (len(cell.parts) - 1) / 2
        axis.annotate(
            f"{cell.model}\n{cell.name}",
            (0, middle),
            (-62, 0),
            xycoords=axis.get_yaxis_transform(),
            textcoords="offset points",
            ha="center",
            va="center",
            rotation=90,
            fontsize=7,
        )
        start += len(cell.parts) + 1


def layers_figure(cases: DriftCases, catalog: Catalog, _: Styles, path: Path) -> None:
    """Draw CKA of every frozen tap with every tap of the first seed's tuned network."""
    measured = [cell for cell in cases.cells if cell.drift.layers is not None]
    if not measured:
        return
    cells = measured[:MOST]
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    size = (max(3.0 * columns + 0.8, 5.0), 3.3 * rows + 1.1)
    figure = new_figure(size, heading_of(cases, catalog, "frozen against tuned layers, CKA"))
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis, cell in zip(axes.flat, cells, strict=False):
        matrix = cell.drift.layers
        assert matrix is not None
        values = np.array(matrix.debiased, dtype=np.float64)
        shown = axis.imshow(values, vmin=0, vmax=1, cmap="magma", origin="lower")
        axis.set_title(f"{cell.model}\n{cell.name}", fontsize=7)
    for axis in axes.flat[len(cells) :]:
        axis.set_visible(False)
    taps = [[name.removeprefix("block") for name in cell.drift.layers.rows] for cell in cells if cell.drift.layers]
    name_ticks(axes, taps, taps, fontsize=6, rotation=90)
    scale = figure.colorbar(shown, ax=axes, shrink=min(1.0, 1.4 / rows), pad=0.01)
    scale.set_label("debiased CKA", fontsize=8)
    scale.ax.tick_params(labelsize=7)
    more = f" The CSV has {counted(len(measured) - MOST, 'more heatmap')}." if len(measured) > MOST else ""
    caption(figure, f"Vertical: frozen taps. Horizontal: tuned taps, first seed. Linear CKA of pooled features.{more}")
    save(figure, path, 110)


def lost_figure(cases: DriftCases, catalog: Catalog, styles: Styles, path: Path) -> None:
    """Draw what reverting a part costs over how much the part drifted, one panel per measure.

    A colour is a model, a marker a part. Single blocks are many, and are drawn small and without their intervals.
    """
    unit = unit_of_drift(cases, catalog)
    title = heading_of(cases, catalog, f"{unit.label} lost on reverting, over drift")
    figure = new_figure((4.3 * len(VERDICTS_ON) + 1.6, 4.8), title)
    axes = figure.subplots(1, len(VERDICTS_ON), squeeze=False)[0]
    parts = [name for name in cases.cells[0].drift.reverted if name != "all" and not name.startswith("block")]
    for axis, measure in zip(axes, VERDICTS_ON, strict=True):
        for (model, name), points in _losses(cases, measure, parts).items():
            colour = styles[model].colour
            places, values, lows, highs = np.array(points).T * [[1], *[[unit.factor]] * 3]
            if name in parts:
                axis.vlines(places, lows, highs, color=colour, linewidth=0.9, alpha=0.45)
                axis.plot(places, values, linestyle="", marker=marker_of(parts.index(name)), markersize=5, color=colour)
            else:
                axis.plot(places, values, linestyle="", marker=".", markersize=4, alpha=0.35, color=colour)
        axis.axhline(0, color="#000000", linewidth=0.6)
        axis.set_xlabel(NAMES[measure], fontsize=8)
        plain(axis, grid=False)
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel(f"{unit.label} lost")
    named = {cell.model: figure_name(cell.record) for cell in cases.cells}
    models = [entry(name, marker="s", markersize=7, color=styles[model].colour) for model, name in named.items()]
    marks = [entry(name, marker=marker_of(number), color="#000000") for number, name in enumerate(parts)]
    marks.append(entry("one block", marker=".", color="#000000"))
    legend_beside(axes[-1], [*models, entry(""), entry("reverted:"), *marks])
    text = "One point per tuned backbone and part (mean over blocks; qkv: mean of three) or block that could change. "
    caption(figure, f"{text}Bars of parts: 95 %, over seeds and samples; those of blocks are in the CSV.")
    save(figure, path, 110)


def _losses(cases: DriftCases, measure: str, parts: Sequence[str]) -> dict[tuple[str, str], list[tuple[float, ...]]]:
    """Drift, loss, and the ends of its interval (NaN if unknown), by model and part; all blocks share no name."""
    found: defaultdict[tuple[str, str], list[tuple[float, ...]]] = defaultdict(list)
    for cell in cases.cells:
        drifts = part_drift(cell, measure)
        for name, lost in cell.drift.reverted.items():
            if name in drifts and (name in cell.tuned_parts or name in cell.blocks):
                one = estimate(lost, cell.drift.units)
                ends = (np.nan, np.nan) if one.low is None or one.high is None else (one.low, one.high)
                found[cell.model, name if name in parts else ""].append((drifts[name], one.value, *ends))
    return found


def heading_of(cases: DriftCases, catalog: Catalog, what: str) -> str:
    """Title of a table or figure of drift."""
    return heading(cases.comparison, catalog, what, TUNED)


def _by_part(cases: DriftCases, measure: str, width: int) -> NDArray[np.float64]:
    """Means over seeds, (rows, width): the parts of all backbones, with an empty row between two of them."""
    rows: list[list[float]] = []
    for cell in cases.cells:
        means = cell.mean(measure, "tuned")
        rows += [[means[f"{block}.{part}"] for block in cell.blocks] for part in cell.parts]
        rows.append([])
    return np.array([row + [np.nan] * (width - len(row)) for row in rows[:-1]])


def _block_names(cases: DriftCases) -> list[list[str]]:
    """Names of the blocks of every panel of a grid with a row per cell and a column per measure."""
    return [[block.removeprefix("block") for block in cell.blocks] for cell in cases.cells for _ in VERDICTS_ON]


def _lines(axis: Any, cell: DriftCell, measure: str, arm: str, colour: str, style: str) -> None:
    columns = [cell.drift.taps.index(block) for block in cell.blocks]
    rows = cell.rows(measure, arm)[:, columns]
    if not len(rows) or not np.isfinite(rows).all():
        return
    # One broken line: a line for each row would take longer.
    broken = np.pad(rows, ((0, 0), (0, 1)), constant_values=np.nan)
    places = np.tile(np.arange(broken.shape[1]), len(rows))
    axis.plot(places, broken.ravel(), color=colour, linestyle=style, linewidth=0.5, alpha=0.4)
    axis.plot(rows.mean(0), color=colour, linestyle=style, linewidth=1.4)


def _grid(cases: DriftCases, columns: int, size: tuple[float, float], title: str) -> tuple[Any, Any]:
    rows = len(cases.cells)
    figure = new_figure((size[0] * columns + 1.2, size[1] * rows + 1.0), title)
    return figure, figure.subplots(rows, columns, squeeze=False)


FIGURES: Mapping[str, tuple[str, Callable[[DriftCases, Catalog, Styles, Path], None]]] = {
    "depth": ("drift by depth", depth_figure),
    "parts": ("by block and part", parts_figure),
    "layers": ("frozen against tuned layers", layers_figure),
    "lost": ("score lost on reverting", lost_figure),
}
"""What is drawn of each tuning, by the name in the name of the file, with words for a link."""
