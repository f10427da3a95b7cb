"""Picture of one sample: the raw data, and every channel as a model receives it."""

from pathlib import Path

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.checking.preview import Preview
from geofm_eval.data.pixels import RawImage

RGB = ("B04", "B03", "B02")


def save_picture(result: Preview, task: TaskSpec, path: Path) -> Path:
    """Draw one sample: a composite of the raw data, and every channel as the model receives it.

    Args:
        result: result of :func:`geofm_eval.checking.preview.preview_input`.
        task: the same task.
        path: PNG file to write; its folder is created.
    """
    from matplotlib.figure import Figure

    count = len(result.channels) + 1
    columns = min(5, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(2.2 * columns, 2.4 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    axes[0].imshow(_composite(result.image, task))
    axes[0].set_title(f"data, {' '.join(_composite_bands(task))}", fontsize=8)
    for axis, channel, pixels in zip(axes[1:], result.channels, result.pixels, strict=False):
        shown = axis.imshow(pixels, cmap="viridis")
        figure.colorbar(shown, ax=axis, shrink=0.7).ax.tick_params(labelsize=6)
        axis.set_title(f"{channel.band} ({channel.status})", fontsize=8)
    for axis in axes:
        axis.set_axis_off()
    figure.suptitle(f"{result.model} on {result.task}: one sample as the model receives it", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    return path


def _composite_bands(task: TaskSpec) -> tuple[str, ...]:
    """True colour if the bands exist, else the first bands of the task, repeated if there are fewer than three."""
    return RGB if all(band in task.bands for band in RGB) else (*task.bands[:3], *task.bands[:1] * 3)[:3]


def _composite(image: RawImage, task: TaskSpec) -> np.ndarray:
    """(H, W, 3) in 0..1, each band stretched between its 2nd and 98th percentile."""
    stack = np.stack([image.pixels[task.bands.index(b)] for b in _composite_bands(task)], axis=-1)
    low, high = np.nanpercentile(stack, [2, 98], axis=(0, 1))
    filled = np.where(np.isfinite(stack), stack, low)
    stretched: np.ndarray = np.clip((filled - low) / np.maximum(high - low, 1e-6), 0, 1)
    return stretched
