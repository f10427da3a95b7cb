"""The +1000 that Sentinel-2 files carry since processing baseline 04.00: found where a task and its files disagree.

A median cannot tell, because reflectances range over thousands. Dark surfaces can: water, shade and, in shortwave
infrared, any moist ground lie far below 1000, so that data whose darkest pixels all lie above it carry the offset; and
data that fall far below 0 had none to take off. Where only some files carry it, this stays unseen.
"""

import logging
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.data.inspection import inspection_key
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.pixels import check_stored, to_unit
from geofm_eval.errors import DataError
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress, StartProgress
from geofm_eval.store import remember

log = logging.getLogger(__name__)

OFFSET_VERSION = 1
"""Raised whenever other numbers would be looked at."""

FEWEST, SAMPLE = 20, 32
"""Items from which on a data set can be judged, and how many of them are read."""

FLOOR = 950.0
"""Digital number above which the darkest pixels are never found without the offset; 50 are left to noise."""

CELLAR = -200.0
"""Digital number below which correction of the air does not push dark pixels."""


def check_offset(task: TaskSpec, listing: Listing, progress: StartProgress = LogProgress) -> None:
    """Refuse a data set whose files carry an offset that the task does not declare, or lack one that it declares.

    The darkest digital numbers of 32 items, spread over the data set, are kept in the cache, so that they are read
    once. Fewer than 20 items are not judged: they may all show clouds.

    Args:
        task: declares bands, scale and offset; ``offset_checked`` false leaves its data alone.
        listing: what the reader found.
        progress: starts the progress of hashing the files.

    Raises:
        DataError: the offset is not as declared, or a file is not what the task declares.
    """
    items = [item for found in listing.items.values() for item in found]
    bands = [position for position, band in enumerate(task.bands) if unit_of(band) == "DN"]
    if task.simulated or not task.offset_checked or not bands or len(items) < FEWEST:
        return
    chosen = [items[int(index)] for index in np.linspace(0, len(items) - 1, min(SAMPLE, len(items)))]
    path = (
        geofm_cache()
        / "inspections"
        / f"{inspection_key(task, {'chosen': chosen}, progress)}-offset{OFFSET_VERSION}.json"
    )

    def look() -> dict[str, list[float]]:
        log.info("%s: looking at the darkest pixels of %d items", task.slug, len(chosen))
        return _darkest(task, listing, chosen, bands)

    darkest: dict[str, list[float]] = remember(path, look)
    if darkest:
        _judge(task, darkest, listing)


def _darkest(task: TaskSpec, listing: Listing, items: Sequence[Item], bands: Sequence[int]) -> dict[str, list[float]]:
    """Digital numbers below which 0.1 % and 5 % of the pixels of each band lie; none where no pixel is valid."""
    values = np.concatenate([_values(task, listing, item, bands) for item in items], axis=1)
    if not values.shape[1]:
        return {}
    low = np.quantile(values, (0.001, 0.05), axis=1)
    return {task.bands[band]: [float(number) for number in low[:, row]] for row, band in enumerate(bands)}


def _values(task: TaskSpec, listing: Listing, item: Item, bands: Sequence[int]) -> npt.NDArray[np.float32]:
    stored = listing.load(item)
    check_stored(stored, item.dates, task, item.path)
    image = to_unit(stored, task, item.dates)
    # Zero in all bands is what files hold where nothing was measured, whether or not they say so.
    measured = image.valid & (np.moveaxis(stored, -3, 0)[list(bands)] != 0).any(axis=0)
    return np.moveaxis(image.pixels, -3, 0)[list(bands)][:, measured]


def _judge(task: TaskSpec, darkest: Mapping[str, Sequence[float]], listing: Listing) -> None:
    floor, band = min((low, band) for band, (low, _) in darkest.items())
    cellar, deep = min((low, band) for band, (_, low) in darkest.items())
    if floor >= FLOOR:
        raise DataError(
            f"{listing.root}: 99.9 % of the pixels of every band lie above {floor:.0f} DN ({band}), which is so when "
            "files carry the +1000 of processing baseline 04.00 and later. Set offset = -1000 in the catalog entry of "
            f"task '{task.slug}', or offset_checked = false where nothing dark is to be seen"
        )
    if cellar < CELLAR:
        raise DataError(
            f"{listing.root}: 5 % of the pixels of {deep} lie below {cellar:.0f} DN after the offset {task.offset} "
            f"that task '{task.slug}' declares, as when files carry none. Set offset = 0 in its catalog entry, or "
            "offset_checked = false where the values are right"
        )
