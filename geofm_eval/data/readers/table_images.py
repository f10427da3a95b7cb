"""Pixels of samples whose files are listed in a table: one file, several products, and series of dates."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.readers.grids import check_one_grid
from geofm_eval.data.readers.images import TIFF, load_pixels
from geofm_eval.data.readers.rasters import grid_of
from geofm_eval.data.readers.series import band_positions
from geofm_eval.errors import DataError


def image_loader(task: TaskSpec, bands: Sequence[tuple[str, ...]]) -> Callable[[Item], npt.NDArray[Any]]:
    """Return a function that reads the stored pixels of a sample.

    The files of an item are those of every date in turn, each with one file per product. Bands of several products are
    joined in the order of the task's bands.

    Args:
        task: declares the bands, and the number of dates of a series.
        bands: bands of the files of every product, in file order.
    """
    held = [band for product in bands for band in product]
    positions = band_positions(task, held, "the table")

    def load(item: Item) -> npt.NDArray[Any]:
        paths = (item.path, *item.others)
        _check_one_place(paths)
        read = [_load(task, path, bands[position % len(bands)]) for position, path in enumerate(paths)]
        _check_sizes(paths, read)
        if len(read) == 1 and positions == list(range(len(held))):
            return read[0] if task.dates is None else read[0][None]
        starts = range(0, len(read), len(bands))
        frames = [np.concatenate(read[start : start + len(bands)])[positions] for start in starts]
        return frames[0] if task.dates is None else np.stack(frames)

    return load


def _load(task: TaskSpec, path: Path, bands: Sequence[str]) -> npt.NDArray[Any]:
    pixels = load_pixels(path, task, bands)
    if len(pixels) != len(bands):
        raise DataError(
            f"{path}: found {len(pixels)} bands, expected {len(bands)} ({', '.join(bands)}) for task '{task.slug}'. "
            "Correct the bands in its catalog entry, or replace the file"
        )
    return pixels


def _check_one_place(paths: Sequence[Path]) -> None:
    """Refuse files of one sample whose grids differ."""
    if len(paths) == 1:
        return
    grids = [grid for path in paths if path.suffix.lower() in TIFF and (grid := grid_of(path)) is not None]
    for grid in grids[1:]:
        check_one_grid(grids[0], grid)


def _check_sizes(paths: Sequence[Path], read: Sequence[npt.NDArray[Any]]) -> None:
    for path, pixels in zip(paths, read, strict=True):
        if pixels.shape[1:] != read[0].shape[1:]:
            raise DataError(
                f"{path}: the image has {pixels.shape[1:]} pixels but {paths[0].name} of the same sample has "
                f"{read[0].shape[1:]}; resample one file to the grid of the other"
            )
