"""Values of a raster at points: those of the pixel that contains each point, or why there are none."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.data.readers.grids import Grid, project
from geofm_eval.data.readers.rasters import Raster, Window, grid_of, opened, read_window
from geofm_eval.data.readers.tags import PLAIN
from geofm_eval.errors import DataError

OUTSIDE, NODATA = "outside the raster", "on pixels without data"


@dataclass(frozen=True)
class Sampled:
    """Values at some points.

    Args:
        values: (n, bands) float32; NaN where there is none.
        reasons: (n,) why a point has no value; empty where it has one.
    """

    values: npt.NDArray[np.float32]
    reasons: npt.NDArray[np.str_]


def sampled(path: Path, lonlat: npt.NDArray[np.float64]) -> Sampled:
    """Read a raster at points; only the blocks that contain points are read.

    Nodata values, masks, alpha bands, scale and offset count as for chips. A pixel without data in one band has none.

    Args:
        path: a GeoTIFF with a CRS, of any size.
        lonlat: (n, 2) longitude and latitude in degrees.

    Raises:
        DataError: the file is no GeoTIFF, has no georeference, is rotated, or has blocks too large to read alone.
    """
    grid = grid_of(path)
    if grid is None:
        raise DataError(
            f"{path}: the raster has no CRS and place, so points cannot be found in it. Write it with its georeference"
        )
    bands = len(read_window(path, (0, 0, 1, 1)).pixels)
    places, inside = _pixels_of(grid, lonlat)
    values = np.full((len(lonlat), bands), np.nan, np.float32)
    reasons = np.where(inside, "", OUTSIDE).astype("<U24")
    for window, members in _by_block(path, grid, places, np.flatnonzero(inside)):
        pixels = _values(read_window(path, window))
        rows, columns = (places[members] - (window[1], window[0])).T
        found = pixels[:, rows, columns].T
        known = np.isfinite(found).all(axis=1)
        values[members[known]] = found[known]
        reasons[members[~known]] = NODATA
    return Sampled(values, reasons)


def _pixels_of(grid: Grid, lonlat: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Rows and columns (n, 2) of points in degrees, and whether they are inside the grid."""
    found = project("EPSG:4326", grid.crs, lonlat[:, 0].tolist(), lonlat[:, 1].tolist())
    x, y = found if found is not None else (np.full(len(lonlat), np.inf),) * 2
    with np.errstate(invalid="ignore"):
        places = np.floor(grid.place(x, y)[::-1].T)
        inside = np.all((places >= 0) & (places < grid.shape), axis=1)
    return np.where(inside[:, None], places, -1).astype(np.int64), inside


def _values(part: Raster) -> npt.NDArray[np.float32]:
    """(bands, height, width) values that the file declares, NaN without data."""
    scales, offsets = np.array(part.tags, np.float64).T[..., None, None]
    plain = all(tag == PLAIN for tag in part.tags)
    with np.errstate(over="ignore"):
        return (part.marked if plain else part.marked * scales + offsets).astype(np.float32)


def _by_block(
    path: Path, grid: Grid, places: npt.NDArray[np.int64], members: npt.NDArray[np.int64]
) -> Iterator[tuple[Window, npt.NDArray[np.int64]]]:
    """Window and points of every block that contains some."""
    if not len(members):
        return
    with opened(path) as raster:
        high, wide = raster.block_shapes[0]
    height, width = grid.shape
    blocks, own = np.unique(places[members] // (high, wide), axis=0, return_inverse=True)
    order = np.argsort(own.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(own.ravel()))[:-1]
    for block, some in zip(blocks, np.split(members[order], ends), strict=True):
        row, column = int(block[0]) * high, int(block[1]) * wide
        yield (column, row, min(wide, width - column), min(high, height - row)), some
