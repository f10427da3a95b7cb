"""Figures of drift: by depth with its floors, by block and part, frozen against tuned layers, over score lost."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.catalog import Catalog
from geofm_eval.report.drawing import COLOURS, GREY, caption, key_of, look, name_ticks, new_figure, plain, save
from geofm_eval.report.drift.tables import TUNED, part_drift, unit_of_drift
from geofm_eval.report.wording import heading
from geofm_eval.results.drift_cases import NAMES, VERDICTS_ON, DriftCases, DriftCell
from geofm_eval.stats.over_seeds import estimate

ARMS = (("tuned", COLOURS[0], "-"), ("shuffled", COLOURS[1], "--"), ("seeds", GREY, ":"))
"""Colour and line of what is drawn over depth."""


def depth_figure(cases: DriftCases, catalog: Catalog, path: Path) -> None:
    """Draw drift over blocks for the measures with a verdict: one row per tuned backbone."""
    figure, axes = _grid(cases, len(VERDICTS_ON), (3.2, 1.7), heading_of(cases, catalog, "drift by depth"))
    for row, cell in zip(axes, cases.cells, strict=True):
        for axis, measure in zip(row, VERDICTS_ON, strict=True):
            for arm, colour, style in ARMS:
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
    text = (
        "Blue: tuned against frozen. Orange, dashed: shuffled labels. Grey, dotted: two seeds. Thin lines: single "
        "values."
    )
    caption(figure, text)
    save(figure, path, 110)


def parts_figure(cases: DriftCases, catalog: Catalog, path: Path) -> None:
    """Draw drift of every part of every block as a heatmap, for the measures with a verdict."""
    figure, axes = _grid(cases, len(VERDICTS_ON), (3.4, 2.3), heading_of(cases, catalog, "drift by block and part"))
    for column, measure in enumerate(VERDICTS_ON):
        grids = [_by_part(cell, measure) for cell in cases.cells]
        top = max((float(np.nanmax(grid)) for grid in grids if np.isfinite(grid).any()), default=1.0) or 1.0
        for row, (cell, grid) in enumerate(zip(cases.cells, grids, strict=True)):
            axis = axes[row][column]
            shown = axis.imshow(grid, vmin=0, vmax=top, cmap="viridis", aspect="auto")
            if column == 0:
                axis.set_ylabel(f"{cell.model}\n{cell.name}", fontsize=7)
            if row == 0:
                axis.set_title(NAMES[measure], fontsize=7)
        figure.colorbar(shown, ax=[line[column] for line in axes], shrink=0.6, pad=0.01).ax.tick_params(labelsize=6)
    name_ticks(axes, _block_names(cases), [cell.parts for cell in cases.cells for _ in VERDICTS_ON])
    caption(figure, "Mean over seeds. Columns: blocks. One scale per measure. White: the measure does not apply.")
    save(figure, path, 110)


def layers_figure(cases: DriftCases, catalog: Catalog, path: Path) -> None:
    """Draw CKA of every frozen tap with every tap of the first seed's tuned network."""
    cells = [cell for cell in cases.cells if cell.drift.layers is not None]
    if not cells:
        return
    columns = min(4, len(cells))
    rows = -(-len(cells) // columns)
    figure = new_figure(
        (3.0 * columns + 0.8, 3.1 * rows + 0.8), heading_of(cases, catalog, "frozen against tuned layers, CKA")
    )
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
    name_ticks(axes, taps, taps, fontsize=5, rotation=90)
    figure.colorbar(shown, ax=axes, shrink=0.6, pad=0.01).ax.tick_params(labelsize=6)
    caption(figure, "Vertical: frozen taps. Horizontal: tuned taps, first seed. Debiased linear CKA, pooled features.")
    save(figure, path, 110)


def lost_figure(cases: DriftCases, catalog: Catalog, path: Path) -> None:
    """Draw what reverting a part costs over how much the part drifted, one panel per measure."""
    unit = unit_of_drift(cases, catalog)
    title = heading_of(cases, catalog, f"{unit.label} lost on reverting, over drift")
    figure = new_figure((4.3 * len(VERDICTS_ON), 4.4), title)
    axes = figure.subplots(1, len(VERDICTS_ON), squeeze=False)[0]
    parts = [name for name in cases.cells[0].drift.reverted if name != "all" and not name.startswith("block")]
    for axis, measure in zip(axes, VERDICTS_ON, strict=True):
        for name, points in _losses(cases, measure, parts).items():
            style = look(parts.index(name)) if name in parts else {"color": GREY, "marker": "."}
            places, values, lows, highs = np.array(points).T * [[1], *[[unit.factor]] * 3]
            axis.vlines(places, lows, highs, color=style["color"], linewidth=0.5, alpha=0.3)
            axis.plot(places, values, linestyle="", markersize=4, alpha=0.8, **style)
        axis.axhline(0, color="#000000", linewidth=0.6)
        axis.set_xlabel(NAMES[measure], fontsize=8)
        plain(axis, grid=False)
        axis.tick_params(labelsize=7)
    axes[0].set_ylabel(f"{unit.label} lost")
    _part_legend(axes[-1], parts)
    text = "One point per tuned backbone and part (mean over blocks; qkv: mean of three) or block that could change. "
    caption(figure, f"{text}Bars: 95 %, over seeds and samples.")
    save(figure, path, 110)


def _losses(cases: DriftCases, measure: str, parts: Sequence[str]) -> dict[str, list[tuple[float, ...]]]:
    """Drift, loss, and the ends of its interval (NaN if unknown), by part; of all blocks together under no name."""
    found: defaultdict[str, list[tuple[float, ...]]] = defaultdict(list)
    for cell in cases.cells:
        drifts = part_drift(cell, measure)
        for name, lost in cell.drift.reverted.items():
            if name in drifts and (name in cell.tuned_parts or name in cell.blocks):
                one = estimate(lost, cell.drift.units)
                ends = (np.nan, np.nan) if one.low is None or one.high is None else (one.low, one.high)
                found[name if name in parts else ""].append((drifts[name], one.value, *ends))
    return found


def heading_of(cases: DriftCases, catalog: Catalog, what: str) -> str:
    """Title of a table or figure of drift."""
    return heading(cases.comparison, catalog, what, TUNED)


def _by_part(cell: DriftCell, measure: str) -> NDArray[np.float64]:
    means = cell.mean(measure, "tuned")
    return np.array([[means[f"{block}.{part}"] for block in cell.blocks] for part in cell.parts])


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


def _part_legend(axis: Any, parts: Sequence[str]) -> None:
    from matplotlib.lines import Line2D

    handles = [*key_of(parts), Line2D([], [], linestyle="", marker=".", color=GREY, label="one block")]
    axis.legend(handles=handles, fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _grid(cases: DriftCases, columns: int, size: tuple[float, float], title: str) -> tuple[Any, Any]:
    rows = len(cases.cells)
    figure = new_figure((size[0] * columns + 1.2, size[1] * rows + 1.0), title)
    return figure, figure.subplots(rows, columns, squeeze=False)


FIGURES: Mapping[str, tuple[str, Callable[[DriftCases, Catalog, Path], None]]] = {
    "depth": ("drift by depth", depth_figure),
    "parts": ("by block and part", parts_figure),
    "layers": ("frozen against tuned layers", layers_figure),
    "lost": ("score lost on reverting", lost_figure),
}
"""What is drawn of each tuning, by the name in the name of the file, with words for a link."""
