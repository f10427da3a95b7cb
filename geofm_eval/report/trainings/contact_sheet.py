"""Contact sheets: input, truth, prediction and error of the best, the median and the worst test chip."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import canonical
from geofm_eval.records.examples import Array, Example
from geofm_eval.report.drawing import new_figure
from geofm_eval.store import write_bytes

CLASS_COLOURS = (
    "#F0E442", "#0072B2", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C564B", "#7F3C8D",
    "#11A579", "#3969AC", "#F2B701", "#E73F74", "#80BA5A", "#E68310", "#008695", "#CF1C90", "#F97B72", "#4B4B8F",
)  # fmt: skip
"""One per class, the same in every sheet; the first eight are distinct without colour vision (Okabe and Ito)."""

NOTHING = "#bdbdbd"
RIGHT, WRONG = "#ffffff", "#c51b7d"
COLUMNS = ("input", "truth", "prediction", "error")
RANKS = ("best", "median", "worst")


def write_sheet(rows: Sequence[Example], task: TaskSpec, title: str, path: Path) -> None:
    """Draw a sheet and write it, whole or not at all.

    Args:
        rows: best first.
        task: for classes, unit and whether its data are simulated.
        title: what was measured, such as the case's id.
        path: PNG file.

    Raises:
        StoreError: the file cannot be written.
    """
    kind = "SIMULATED DATA: " if task.simulated else ""
    figure: Any = new_figure((11, 2.9 * max(len(rows), 1) + 1.2), f"{kind}{title}")
    names = RANKS if len(rows) == len(RANKS) else tuple(f"chip {i + 1}" for i in range(len(rows)))
    if rows:
        for axes, row, name in zip(figure.subplots(len(rows), len(COLUMNS), squeeze=False), rows, names, strict=True):
            _draw_row(figure, axes, row, task, name)
        _legend(figure, rows, task)
    buffer = io.BytesIO()
    figure.canvas.print_png(buffer, metadata={"Software": None})
    write_bytes(path, buffer.getvalue())


def _draw_row(figure: Any, axes: Sequence[Any], row: Example, task: TaskSpec, name: str) -> None:
    picture, shown = composite(row)
    axes[0].imshow(picture, interpolation="nearest")
    if task.kind == "dense_regression":
        _draw_numbers(figure, axes[1:], row, task)
    else:
        _draw_classes(axes[1:], row)
    for axis, column in zip(axes, (f"input ({shown})", *COLUMNS[1:]), strict=True):
        axis.set_title(column, fontsize=8, loc="left")
        axis.set_xticks([])
        axis.set_yticks([])
    score = f"{task.metric} {row.score:.3g}"
    axes[0].set_ylabel(f"{name}: {row.id}\n{score}", fontsize=8)


def _draw_classes(axes: Sequence[Any], row: Example) -> None:
    error = np.where((row.target == row.predicted)[..., None], _rgb(RIGHT), _rgb(WRONG))
    pictures = (class_picture(row.target, row.known), class_picture(row.predicted, np.ones_like(row.known)), error)
    for axis, picture in zip(axes, pictures, strict=True):
        axis.imshow(picture, interpolation="nearest")
    axes[2].images[0].set_data(np.where(row.known[..., None], error, _rgb(NOTHING)))


def _draw_numbers(figure: Any, axes: Sequence[Any], row: Example, task: TaskSpec) -> None:
    target = np.where(row.known, row.target, np.nan)
    low, high = np.nanquantile(target, [0.02, 0.98])
    error = np.where(row.known, row.predicted - row.target, np.nan)
    widest = float(np.nanquantile(np.abs(error), 0.98)) or 1.0
    ranges: list[dict[str, Any]] = [{"vmin": low, "vmax": high, "cmap": "viridis"}] * 2
    ranges.append({"vmin": -widest, "vmax": widest, "cmap": "RdBu_r"})
    for axis, picture, limits in zip(axes, (target, row.predicted, error), ranges, strict=True):
        axis.set_facecolor(NOTHING)
        drawn = axis.imshow(picture, interpolation="nearest", **limits)
        figure.colorbar(drawn, ax=axis, shrink=0.8, label=task.target_unit).ax.tick_params(labelsize=7)


def _legend(figure: Any, rows: Sequence[Example], task: TaskSpec) -> None:
    from matplotlib.patches import Patch

    if task.kind == "dense_regression":
        figure.supxlabel("grey: no label", fontsize=8, x=0.01, ha="left")
        return
    shown = sorted({int(k) for row in rows for part in (row.target[row.known], row.predicted)
                    for k in np.unique(part)})  # fmt: skip
    entries = [(task.classes[k], CLASS_COLOURS[k % len(CLASS_COLOURS)]) for k in shown]
    entries += [("no label", NOTHING), ("right", RIGHT), ("wrong", WRONG)]
    handles = [Patch(facecolor=colour, edgecolor="#666666", label=name) for name, colour in entries]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(len(handles), 8), fontsize=8, frameon=False)


def class_picture(classes: Array, known: Array) -> Array:
    """(H, W, 3) colours of classes, grey where ``known`` is False."""
    table = np.stack([_rgb(colour) for colour in CLASS_COLOURS])
    picture: Array = table[np.where(known, classes, 0).astype(np.int64) % len(table)]
    return np.where(known[..., None], picture, _rgb(NOTHING))


def composite(row: Example) -> tuple[Array, str]:
    """(H, W, 3) picture of a chip and what it shows: red, green and blue; radar as VV, VH and VV/VH; else one band."""
    names = [canonical(band) for band in row.bands]
    valid: Array = np.asarray(np.all(row.valid.reshape(-1, *row.valid.shape[-2:]), axis=0))
    rgb = ("B04", "B03", "B02")
    if set(rgb) <= set(names):
        channels, shown = [row.image[names.index(band)] for band in rgb], "B04 B03 B02"
    elif {"VV", "VH"} <= set(names):
        vv, vh = (row.image[names.index(band)] for band in ("VV", "VH"))
        # In decibels a ratio is a difference.
        channels, shown = [vv, vh, vv - vh], "VV VH VV/VH"
    else:
        channels, shown = [row.image[0]] * 3, row.bands[0]
    picture = np.stack([_stretched(channel, valid) for channel in channels], -1)
    dated = f"{shown}, {row.date}" if row.date else shown
    return np.where(valid[..., None], picture, _rgb(NOTHING)), dated


def _stretched(channel: Array, valid: Array) -> Array:
    """Scale values to 0..1 between the 2nd and the 98th percentile of the valid ones."""
    seen = channel[valid & np.isfinite(channel)]
    if not seen.size:
        return np.zeros(channel.shape)
    low, high = np.quantile(seen, [0.02, 0.98])
    scaled: Array = np.clip((np.nan_to_num(channel, nan=low) - low) / max(high - low, 1e-9), 0, 1)
    return scaled


def _rgb(colour: str) -> Array:
    return np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
