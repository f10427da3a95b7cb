"""Values of a raster at points: the pixel that contains each point; points outside and without data are told apart."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.readers.grids import project
from geofm_eval.data.readers.rasters import opened
from geofm_eval.errors import DataError

OUTSIDE, NODATA = "outside the raster", "on pixels without data"

_Window = tuple[int, int, int, int]
"""Column and row of the first pixel, width and height."""


@dataclass(frozen=True)
class Sampled:
    """Values at some points.

    Args:
        values: (n, bands) float32; NaN where there is none.
        reasons: (n,) why a point has no value; empty where it has one.
    """

    values: npt.NDArray[np.float32]
    reasons: npt.NDArray[np.str_]


@dataclass(frozen=True)
class _Raster:
    """A GeoTIFF of any size, as stored.

    Args:
        path: the file.
        crs: its CRS.
        inverse: (a, b, c, d, e, f) from coordinates to columns and rows.
        shape: (height, width) in pixels.
        block: (height, width) of the blocks that are read at once.
        bands: number of bands.
    """

    path: Path
    crs: Any
    inverse: tuple[float, float, float, float, float, float]
    shape: tuple[int, int]
    block: tuple[int, int]
    bands: int

    def pixels_of(self, lonlat: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        """Return rows and columns (n, 2) of points in degrees, and whether they are inside the raster."""
        found = project("EPSG:4326", self.crs, lonlat[:, 0].tolist(), lonlat[:, 1].tolist())
        x, y = found if found is not None else (np.full(len(lonlat), np.inf),) * 2
        a, b, c, d, e, f = self.inverse
        with np.errstate(invalid="ignore"):
            places = np.floor(np.stack([d * x + e * y + f, a * x + b * y + c], axis=1))
            inside = np.all((places >= 0) & (places < self.shape), axis=1)
        return np.where(inside[:, None], places, -1).astype(np.int64), inside

    def read(self, window: _Window) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Return the pixels (bands, height, width) of a window, and where every band has data (height, width)."""
        from rasterio.windows import Window

        with opened(self.path) as raster:
            pixels = raster.read(window=Window(*window)).astype(np.float32)
            known = (raster.read_masks(window=Window(*window)) > 0).all(axis=0)
        return pixels, known & np.isfinite(pixels).all(axis=0)


def sampled(path: Path, lonlat: npt.NDArray[np.float64]) -> Sampled:
    """Read a raster at points; only the blocks that contain points are read.

    Args:
        path: a GeoTIFF with a CRS.
        lonlat: (n, 2) longitude and latitude in degrees.

    Raises:
        DataError: the file is no GeoTIFF, or has no CRS.
    """
    raster = _described(path)
    places, inside = raster.pixels_of(lonlat)
    values = np.full((len(lonlat), raster.bands), np.nan, np.float32)
    reasons = np.where(inside, "", OUTSIDE).astype("<U24")
    for window, members in _by_block(raster, places, np.flatnonzero(inside)):
        pixels, known = raster.read(window)
        rows, columns = (places[members] - (window[1], window[0])).T
        found = known[rows, columns]
        values[members[found]] = pixels[:, rows[found], columns[found]].T
        reasons[members[~found]] = NODATA
    return Sampled(values, reasons)


def _described(path: Path) -> _Raster:
    with opened(path) as raster:
        if not raster.crs:
            raise DataError(f"{path}: the raster has no CRS, so places cannot be found in it. Write it with its CRS")
        t, block = ~raster.transform, raster.block_shapes[0]
        inverse = (t.a, t.b, t.c, t.d, t.e, t.f)
        return _Raster(path, raster.crs, inverse, (raster.height, raster.width), block, raster.count)


def _by_block(
    raster: _Raster, places: npt.NDArray[np.int64], members: npt.NDArray[np.int64]
) -> Iterator[tuple[_Window, npt.NDArray[np.int64]]]:
    """Window and points of every block that contains some."""
    if not len(members):
        return
    (high, wide), (height, width) = raster.block, raster.shape
    blocks, own = np.unique(places[members] // (high, wide), axis=0, return_inverse=True)
    order = np.argsort(own.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(own.ravel()))[:-1]
    for block, some in zip(blocks, np.split(members[order], ends), strict=True):
        row, column = int(block[0]) * high, int(block[1]) * wide
        yield (column, row, min(wide, width - column), min(high, height - row)), some
