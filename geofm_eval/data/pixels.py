"""From stored values to pixels in the unit that a task declares: gaps are marked, wrong units refused."""

from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.errors import DataError


@dataclass(frozen=True)
class RawImage:
    """One image, or one series of images, in the units of its bands, before any model's normalisation.

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
        """The images of a series, date by date; an image that is no series by itself."""
        if self.pixels.ndim == 3:
            return [self]
        return [RawImage(pixels, valid) for pixels, valid in zip(self.pixels, self.valid, strict=True)]


def to_unit(stored: npt.NDArray[Any], task: TaskSpec, dates: tuple[date, ...] = ()) -> RawImage:
    """Apply a task's scale and offset to stored values and mark what is no data.

    Args:
        stored: (bands, height, width) values as in the file, or (dates, bands, height, width); left as they are.
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
    """Refuse stored values of another shape than the task declares, and dates that are not in order.

    Args:
        stored: values as in the file.
        dates: dates of the item.
        task: declares bands and number of dates.
        where: file that messages name.

    Raises:
        DataError: another number of bands or dates, dates that do not ascend, dates without a series or the reverse.
    """
    if np.iscomplexobj(stored):
        raise DataError(f"{where}: complex values, expected real ones. Convert them to the unit of task '{task.slug}'")
    bands = f"{len(task.bands)} bands ({', '.join(task.bands)})"
    if task.dates is None:
        if stored.ndim != 3 or len(stored) != len(task.bands):
            raise DataError(f"{where}: shape {stored.shape}, expected {bands} of task '{task.slug}'")
        return
    if stored.ndim != 4 or stored.shape[:2] != (task.dates, len(task.bands)):
        raise DataError(
            f"{where}: shape {stored.shape}, expected {task.dates} dates of {bands} of task '{task.slug}': "
            "set dates in the task's catalog entry, or leave the item out"
        )
    if len(dates) != task.dates:
        raise DataError(
            f"{where}: {len(dates)} dates for {task.dates} images of a series: every image of a series needs its date"
        )
    for before, after in pairwise(dates):
        if before >= after:
            what = "twice" if before == after else f"before {after}"
            raise DataError(f"{where}: date {before} stands {what}; the dates of a series must ascend, sort its images")


def check_unit(image: RawImage, task: TaskSpec, where: object) -> None:
    """Refuse values in another unit than the task declares, by the median of all bands of one unit.

    Args:
        image: the item, with at least one valid pixel.
        task: declares what is plausible.
        where: file that messages name.

    Raises:
        DataError: a median outside what is plausible.
    """
    units = [unit_of(band) for band in task.bands]
    for unit, (low, high) in task.plausible.items():
        chosen = [position for position, found in enumerate(units) if found == unit]
        if not chosen:
            continue
        values = np.moveaxis(image.pixels, -3, 0)
        # Most images hold one unit and no gap; a copy for each choice would double the time to read them.
        values = values if len(chosen) == len(units) else values[chosen]
        values = values if image.valid.all() else values[:, image.valid]
        median = float(np.median(values))
        if not low <= median <= high:
            raise DataError(
                f"{where}: the median value is {median:.4g} {unit}, expected {low:g} to {high:g} as task "
                f"'{task.slug}' declares. {_cure(median, unit, task)}"
            )


def _cure(median: float, unit: str, task: TaskSpec) -> str:
    if 0 < median <= 2 and unit == "DN":
        factor = f"{10_000 * task.scale:g}" if isinstance(task.scale, float) else "10000 times as large for these bands"
        return (
            "These look like reflectances (0..1) where DN are declared: "
            f"set scale = {factor} in the task's catalog entry"
        )
    if unit == "dB" and median > 0:
        return "These look like linear backscatter where dB are declared: convert the files with 10 * log10(value)"
    return (
        "Set the task's scale and offset so that values are in its unit, or replace the file if it is damaged; where "
        f"the values are right, widen plausible = {{ {unit} = [low, high] }} in the task's catalog entry"
    )
