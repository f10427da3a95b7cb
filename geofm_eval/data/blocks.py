"""Spatial blocks of samples: square cells whose side follows from the labels and the size of the chips."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item
from geofm_eval.data.sphere import EARTH_M, distances, to_sphere
from geofm_eval.data.units import Names
from geofm_eval.errors import DataError
from geofm_eval.seeds import generator

CHIPS = 10
"""Side of a block in chips, unless the labels ask for more."""

ENOUGH, FEWEST = 25, 10
"""Blocks are made smaller until there are at least this many: ten chips wide for 25, of any size for 10."""

SHRINK = 0.8
MOST_POINTS = 1500
"""Samples that the variogram is computed from, which has their number of pairs squared."""

MIN_PAIRS = 50
"""Pairs in the shortest lag of the variogram."""

SILL = 0.95
"""Proportion of the overall variance at which labels count as unrelated."""

Points = npt.NDArray[np.float64]
"""(n, 2) longitude and latitude in degrees."""


@dataclass(frozen=True)
class SpatialBlocks:
    """Block of every sample, and how the size of the blocks was found: ``entry``, ``variogram`` or ``ten chips``."""

    names: Names
    side_m: float
    source: str
    wanted_m: float


def place(item: Item) -> tuple[float, float] | None:
    """Return longitude and latitude of the centre of a sample; None if unknown.

    Raises:
        DataError: a value is out of range.
    """
    found = item.lonlat
    if found is None and item.box is not None:
        west, south, east, north = item.box
        found = (west + (east - west) % 360 / 2, (south + north) / 2)
    if found is not None and not (abs(found[0]) <= 360 and abs(found[1]) <= 90):
        raise DataError(
            f"{item.path}: sample '{item.id}' is at longitude {found[0]:g}, latitude {found[1]:g}; expected degrees "
            "(WGS 84). Convert the coordinates, or check whether longitude and latitude are exchanged"
        )
    return found


def blocks_of(task: TaskSpec, items: Sequence[Item], points: Points, strata: npt.NDArray[np.int64]) -> SpatialBlocks:
    """Return the block of every sample.

    The side is the task's ``block_m``. By default it is the range of the labels' variogram or ten chips, whichever is
    larger, but smaller if there would be too few blocks.

    Args:
        task: provides block size, seed and chip size.
        items: samples.
        points: their places.
        strata: (n,) classes or quantile bins of the target.
    """
    if task.block_m is not None:
        return SpatialBlocks(cells(points, task.block_m), task.block_m, "entry", task.block_m)
    chips, related = CHIPS * chip_m(task, items), label_range(points, strata, task.seed)
    source = "variogram" if related > chips else "ten chips"
    wanted = max(chips, related)
    side = _bounded(points, wanted, chips)
    return SpatialBlocks(cells(points, side), side, source, _rounded(wanted))


def _bounded(points: Points, side: float, chips: float) -> float:
    """Return the side in metres, reduced until there are enough blocks."""
    most = len(np.unique(points, axis=0))
    for enough, least in ((min(ENOUGH, most), chips), (min(FEWEST, most), 1.0)):
        while side * SHRINK >= least and _count(points, side) < enough:
            side *= SHRINK
    return _rounded(side)


def _count(points: Points, side: float) -> int:
    return len(np.unique(cells(points, _rounded(side))))


def _rounded(metres: float) -> float:
    return float(f"{metres:.3g}")


def chip_m(task: TaskSpec, items: Sequence[Item]) -> float:
    """Return the median side of the samples' footprints in metres; if unknown, that of the task's images or pixels."""
    boxes = np.array([item.box for item in items if item.box is not None], dtype=np.float64).reshape(-1, 4)
    if not len(boxes):
        return task.gsd * (task.pixels or 1)
    west, south, east, north = np.radians(boxes).T
    wide = (east - west) % (2 * math.pi) * np.cos((south + north) / 2)
    return float(np.median(EARTH_M * np.sqrt(wide * (north - south))))


def cells(points: Points, side_m: float) -> Names:
    """Return the cell of every point, on a grid of squares.

    Rows have a constant latitude. The cells of a row have the side at the latitude of its middle, counted from the
    longitude after the widest gap between points, so that data on both sides of the antimeridian stay together.

    Args:
        points: longitude and latitude in degrees.
        side_m: side of a cell in metres.
    """
    row = np.floor(np.radians(points[:, 1]) * EARTH_M / side_m)
    middle = np.clip((row + 0.5) * side_m / EARTH_M, -math.pi / 2, math.pi / 2)
    east = np.radians((points[:, 0] - _start(points[:, 0])) % 360)
    column = np.floor(east * np.cos(middle) * EARTH_M / side_m)
    kinds, member = np.unique(np.stack([row, column], axis=1), axis=0, return_inverse=True)
    return np.array([f"block {int(y)} {int(x)}" for y, x in kinds])[member.ravel()]


def _start(longitudes: npt.NDArray[np.float64]) -> float:
    ordered = np.unique(longitudes % 360)
    gaps = np.diff(ordered, append=ordered[0] + 360)
    return float(ordered[(int(np.argmax(gaps)) + 1) % len(ordered)])


def label_range(points: Points, strata: npt.NDArray[np.int64], seed: int) -> float:
    """Return the distance in metres up to which labels are alike; 0 if they are not alike at any distance.

    The variogram is that of the indicators of the strata: the proportion of pairs at a distance that are of different
    strata. Its lags hold 1/256 to 1/2 of all pairs. The range is the first lag at which the proportion is 95 % of that
    of all pairs. Indicators make it robust against outliers of a target.
    """
    chosen = np.arange(len(points))
    if len(chosen) > MOST_POINTS:
        chosen = np.sort(generator("variogram", seed).permutation(chosen)[:MOST_POINTS])
    first, second = np.triu_indices(len(chosen), k=1)
    # Rounded, so that equal distances of a regular grid are equal on every processor.
    chords = np.linalg.norm(to_sphere(points[chosen][first]) - to_sphere(points[chosen][second]), axis=1)
    apart = np.round(distances(chords), 1)
    differ = (strata[chosen][first] != strata[chosen][second]).astype(np.float64)
    if not len(differ) or not differ.any():
        return 0.0
    order = np.argsort(apart, kind="stable")
    counts = [len(order) // 2**power for power in range(8, 0, -1)]
    edges = [0, *(count for count in dict.fromkeys(counts) if count >= MIN_PAIRS)]
    lags = [order[low:high] for low, high in itertools.pairwise(edges)]
    for number, lag in enumerate(lags):
        if differ[lag].mean() >= SILL * differ.mean():
            return float(np.median(apart[lag])) if number else 0.0
    return float(apart[lags[-1]].max()) if lags else 0.0
