"""Convert stored values to the units that a task declares, mark gaps and refuse wrong units."""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.errors import DataError
from geofm_eval.plurals import counted, some_of


@dataclass(frozen=True)
class RawImage:
    """One image or series of images in the units of its bands, before any model's normalisation.

    Args:
        pixels: (bands, height, width) float32, bands in file order, or (dates, bands, height, width) for a series; NaN
            where invalid.
        valid: (height, width) bool, or (dates, height, width); False where any band has no data.
        dates: dates of a series, ascending; empty for a single image.
    """

    pixels: npt.NDArray[np.float32]
    valid: npt.NDArray[np.bool_]
    dates: tuple[date, ...] = ()

    def single_images(self) -> "list[RawImage]":
        """Return the images of a series in order of date, or a single image as the only element."""
        if self.pixels.ndim == 3:
            return [self]
        return [RawImage(pixels, valid) for pixels, valid in zip(self.pixels, self.valid, strict=True)]


def to_unit(stored: npt.NDArray[Any], task: TaskSpec, dates: tuple[date, ...] = ()) -> RawImage:
    """Apply a task's scale and offset to stored values and mark pixels without data.

    Args:
        stored: (bands, height, width) values as in the file, or (dates, bands, height, width); not modified.
        task: declares scale, offset and nodata.
        dates: dates of a series.
    """
    pixels = stored.astype(np.float32)
    present: npt.NDArray[np.bool_] = np.isfinite(pixels)
    if task.nodata is not None:
        present &= stored != task.nodata
    valid = np.asarray(present.all(axis=-3))
    pixels = pixels * _per_band(task.scale) + _per_band(task.offset)
    pixels = np.where(np.expand_dims(valid, -3), pixels, np.float32(np.nan))
    return RawImage(pixels, valid, dates)


def _per_band(value: float | tuple[float, ...]) -> npt.NDArray[np.float32]:
    return np.asarray(value, np.float32).reshape(-1, 1, 1)


def check_stored(stored: npt.NDArray[Any], dates: tuple[date, ...], task: TaskSpec, where: object) -> None:
    """Refuse stored values whose shape differs from the task's, and dates that do not ascend.

    Args:
        stored: values as in the file.
        dates: dates of the sample.
        task: declares bands and number of dates.
        where: file, for messages.

    Raises:
        DataError: the number of bands or dates differs, dates do not ascend, dates belong to no series, or a series has
            no dates.
    """
    if np.iscomplexobj(stored):
        raise DataError(
            f"{where}: the values are complex, expected real numbers. Convert them to the unit of task '{task.slug}'"
        )
    bands = f"{counted(len(task.bands), 'band')} ({some_of(task.bands)})"
    if task.dates is None:
        if stored.ndim != 3 or len(stored) != len(task.bands):
            raise DataError(f"{where}: shape is {stored.shape}, expected {bands} for task '{task.slug}'")
        return
    if stored.ndim != 4 or stored.shape[:2] != (task.dates, len(task.bands)):
        raise DataError(
            f"{where}: shape is {stored.shape}, expected {counted(task.dates, 'date')} of {bands} for task "
            f"'{task.slug}'. Set dates in the task's catalog entry, or leave the sample out"
        )
    if len(dates) != task.dates:
        raise DataError(
            f"{where}: found {counted(len(dates), 'date')} for a series of {counted(task.dates, 'image')}; every image "
            "needs a date"
        )
    for before, after in pairwise(dates):
        if before >= after:
            what = "occurs twice" if before == after else f"comes before {after}"
            raise DataError(f"{where}: date {before} {what}; sort the images of a series by ascending date")


def check_unit(image: RawImage, task: TaskSpec, where: object) -> None:
    """Refuse values in another unit than the task declares, by the median over all bands of one unit.

    Args:
        image: the sample, with at least one valid pixel.
        task: declares the plausible range of medians.
        where: file, for messages.

    Raises:
        DataError: a median is outside its plausible range.
    """
    units = [unit_of(band) for band in task.bands]
    for unit, (low, high) in task.plausible.items():
        chosen = [position for position, found in enumerate(units) if found == unit]
        if not chosen:
            continue
        values = np.moveaxis(image.pixels, -3, 0)
        # Most images have one unit and no gaps; copying at each selection would double the reading time.
        values = values if len(chosen) == len(units) else values[chosen]
        values = values if image.valid.all() else values[:, image.valid]
        median = float(np.median(values))
        if not low <= median <= high:
            raise DataError(
                f"{where}: the median value is {median:.4g} {unit}, expected {low:g} to {high:g} for task "
                f"'{task.slug}'. {_cure(median, unit, task)}"
            )


def _cure(median: float, unit: str, task: TaskSpec) -> str:
    if 0 < median <= 2 and unit == "DN":
        factor = f"{10_000 * task.scale:g}" if isinstance(task.scale, float) else "10000 times as large for these bands"
        return (
            "The values look like reflectances (0..1), but DN are declared: "
            f"set scale = {factor} in the task's catalog entry"
        )
    if unit == "dB" and median > 0:
        return "The values look like linear backscatter, but dB are declared: convert the files with 10 * log10(value)"
    return (
        f"Set the task's scale and offset so that values are in {unit}, or replace a damaged file; if the values are "
        f"right, widen plausible = {{ {unit} = [low, high] }} in the task's catalog entry"
    )
