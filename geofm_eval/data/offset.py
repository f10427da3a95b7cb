"""Detect a mismatch between a task's declared offset and the +1000 of Sentinel-2 processing baseline 04.00.

The median is no indicator, because reflectances span thousands. Dark surfaces are: water, shade and, in shortwave
infrared, moist ground have values far below 1000. If even the darkest pixels are above 1000, the data carry the offset;
if they are far below 0, the data did not carry the offset that was subtracted. The check cannot detect data sets in
which only some files carry the offset.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.data.inspection import inspection_key
from geofm_eval.data.items import Item, Listing, stored_pixels
from geofm_eval.data.pixels import check_stored, to_unit
from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import remember

log = logging.getLogger(__name__)

OFFSET_VERSION = 1
"""Increase whenever other values would be inspected."""

FEWEST, SAMPLE = 20, 32
"""Minimum number of samples for the check, and the number of samples that are read."""

FLOOR = 950.0
"""Digital number that the darkest pixels exceed only with the offset; 50 below 1000 allow for noise."""

CELLAR = -200.0
"""Digital number that atmospheric correction does not push dark pixels below."""


def check_offset(task: TaskSpec, listing: Listing, progress: StartProgress = LogProgress) -> None:
    """Refuse a data set whose files carry an offset that the task does not declare, or lack one that it declares.

    The darkest digital numbers of 32 samples, spread over the data set, are cached. Data sets with fewer than 20
    samples are not checked, because all of them may show clouds, nor are data without images.

    Args:
        task: declares bands, scale and offset; ``offset_checked = false`` disables the check.
        listing: contents of the data set, from its reader.
        progress: starts a progress display for hashing files.

    Raises:
        DataError: the offset is not as declared, or a file does not match what the task declares.
    """
    items = [item for found in listing.items.values() for item in found]
    bands = [position for position, band in enumerate(task.bands) if unit_of(band) == "DN"]
    if task.simulated or not task.offset_checked or not bands or len(items) < FEWEST or listing.load is None:
        return
    chosen = [items[int(index)] for index in np.linspace(0, len(items) - 1, min(SAMPLE, len(items)))]
    path = (
        geofm_cache()
        / "inspections"
        / f"{inspection_key(task, {'chosen': chosen}, progress)}-offset{OFFSET_VERSION}.json"
    )

    def look() -> dict[str, list[float]]:
        log.info("%s: checking the darkest pixels of %d samples", task.slug, len(chosen))
        return _darkest(task, listing, chosen, bands)

    darkest: dict[str, list[float]] = remember(path, look)
    if darkest:
        _judge(task, darkest, listing)


def _darkest(task: TaskSpec, listing: Listing, items: Sequence[Item], bands: Sequence[int]) -> dict[str, list[float]]:
    """0.1 % and 5 % quantiles of the digital numbers of each band; empty if no pixel is valid."""
    values = np.concatenate([_values(task, listing, item, bands) for item in items], axis=1)
    if not values.shape[1]:
        return {}
    low = np.quantile(values, (0.001, 0.05), axis=1)
    return {task.bands[band]: [float(number) for number in low[:, row]] for row, band in enumerate(bands)}


def _values(task: TaskSpec, listing: Listing, item: Item, bands: Sequence[int]) -> npt.NDArray[np.float32]:
    stored = stored_pixels(listing.load, item)
    check_stored(stored, item.dates, task, item.path)
    image = to_unit(stored, task, item.dates)
    # Files hold zeros in all bands where nothing was measured, even if they do not declare it.
    measured = image.valid & (np.moveaxis(stored, -3, 0)[list(bands)] != 0).any(axis=0)
    return np.moveaxis(image.pixels, -3, 0)[list(bands)][:, measured]


def _judge(task: TaskSpec, darkest: Mapping[str, Sequence[float]], listing: Listing) -> None:
    floor, band = min((low, band) for band, (low, _) in darkest.items())
    cellar, deep = min((low, band) for band, (_, low) in darkest.items())
    if floor >= FLOOR:
        raise DataError(
            f"{listing.root}: 99.9 % of the pixels of every band are above {floor:.0f} DN ({band}), so the files seem "
            "to carry the +1000 offset of processing baseline 04.00 and later. Set offset = -1000 in the catalog entry "
            f"of task '{task.slug}', or offset_checked = false if the images show no dark surfaces"
        )
    if cellar < CELLAR:
        raise DataError(
            f"{listing.root}: 5 % of the pixels of {deep} are below {cellar:.0f} DN after the offset {task.offset} "
            f"that task '{task.slug}' declares, so the files seem to carry no offset. Set offset = 0 in its catalog "
            "entry, or offset_checked = false if the values are right"
        )
