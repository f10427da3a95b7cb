"""Georeference of rasters: north-up order, and checks that rasters share a grid."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.errors import DataError

TOLERANCE = 0.1
"""Tolerance in pixels within which two grids are equal."""

Transform = tuple[float, float, float, float, float, float]
"""(a, b, c, d, e, f): x = a * column + b * row + c, y = d * column + e * row + f, in units of the CRS."""


@dataclass(frozen=True)
class Grid:
    """Grid of a north-up raster: its first row is the northernmost, its first column the westernmost.

    Args:
        path: the file, for messages.
        crs: coordinate reference system as a rasterio object.
        transform: from columns and rows to coordinates.
        shape: (height, width) in pixels.
    """

    path: Path
    crs: Any
    transform: Transform
    shape: tuple[int, int]

    def __str__(self) -> str:
        a, _, c, _, e, f = self.transform
        crs = self.crs.to_string() or "unknown CRS"
        height, width = self.shape
        crs = crs if len(crs) <= 16 else f"{crs[:15]}…"
        return f"{crs}, {width} x {height} pixels of {a:.5g} x {-e:.5g} from ({c:.9g}, {f:.9g})"

    def point(self, column: float, row: float) -> tuple[float, float]:
        """Coordinates of a pixel position; whole numbers are pixel corners."""
        a, b, c, d, e, f = self.transform
        return a * column + b * row + c, d * column + e * row + f

    def part(self, window: tuple[int, int, int, int]) -> "Grid":
        """Grid of a window: column and row of its first pixel, width and height."""
        column, row, width, height = window
        a, b, _, d, e, _ = self.transform
        c, f = self.point(column, row)
        return Grid(self.path, self.crs, (a, b, c, d, e, f), (height, width))

    def place(self, x: npt.NDArray[Any], y: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """(2, n) columns and rows of coordinates."""
        a, b, c, d, e, f = self.transform
        return np.linalg.solve(np.array([[a, b], [d, e]]), np.stack([x - c, y - f]))


@dataclass(frozen=True)
class Turn:
    """Operations that bring stored pixels into north-up order: swap axes first, then reverse rows and columns."""

    swap: bool = False
    rows: bool = False
    columns: bool = False

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Turn (..., height, width) pixels; return them unchanged if no turn is needed."""
        if not (self.swap or self.rows or self.columns):
            return pixels
        turned = pixels.swapaxes(-1, -2) if self.swap else pixels
        turned = turned[..., ::-1, :] if self.rows else turned
        return np.ascontiguousarray(turned[..., ::-1] if self.columns else turned)


def north_up(path: Path, crs: Any, transform: Transform, shape: tuple[int, int]) -> tuple[Turn, Grid | None]:
    """Return the turn that makes a file's pixels north-up, and their grid afterwards.

    A file without a CRS, or whose coordinates are its own columns and rows, has no georeference: the result is no turn
    and no grid.

    Args:
        path: the file.
        crs: its CRS, or None.
        transform: as stored.
        shape: (height, width) as stored.

    Raises:
        DataError: the grid is sheared, rotated by an angle other than a multiple of 90 degrees, or its pixels have no
            extent.
    """
    if not crs or _counts_pixels(transform, shape):
        return Turn(), None
    height, width = shape
    a, b, c, d, e, f = transform
    swap = abs(a) * width <= TOLERANCE * abs(b) and abs(e) * height <= TOLERANCE * abs(d) and b != 0 != d
    if swap:
        a, b, d, e, height, width = b, a, e, d, width, height
    if not (abs(b) * height <= TOLERANCE * abs(a) and abs(d) * width <= TOLERANCE * abs(e) and a != 0 != e):
        raise DataError(
            f"{path}: the pixels are rotated or sheared relative to the axes of their CRS (transform "
            f"{', '.join(f'{value:.6g}' for value in transform)}), expected north-up or turned by multiples of 90 "
            "degrees. Resample the file to a north-up grid, for example with gdalwarp"
        )
    turn = Turn(swap, rows=e > 0, columns=a < 0)
    if turn.rows:
        c, f, b, e = c + b * height, f + e * height, -b, -e
    if turn.columns:
        c, f, a, d = c + a * width, f + d * width, -a, -d
    return turn, Grid(path, crs, (a, b, c, d, e, f), (height, width))


def _counts_pixels(transform: Transform, shape: tuple[int, int]) -> bool:
    """True if coordinates are columns and rows, counted from the top or the bottom."""
    a, b, c, d, e, f = transform
    return (a, b, c, d) == (1, 0, 0, 0) and (e, f) in ((1, 0), (-1, 0), (-1, shape[0]))


def check_one_grid(first: Grid | None, second: Grid | None, *, corner_only: bool = False) -> None:
    """Refuse two rasters whose grids differ by more than a tenth of a pixel.

    Args:
        first: grid of one raster, whose pixel size is the unit of the difference; None without a georeference.
        second: grid of the other. If either has no georeference, the pair is accepted.
        corner_only: compare only the north-western corners, for pixels of different sizes.

    Raises:
        DataError: the grids differ.
    """
    if first is None or second is None or _same(first, second, corner_only):
        return
    raise DataError(
        f"{_short(second.path)}: the grid ({second}) differs from that of {_short(first.path)} ({first}). Resample one "
        "file to the grid of the other, or fetch both again"
    )


def _short(path: Path) -> str:
    """Folder and name: distinguishes image and label of the same name, and keeps messages short."""
    return f"{path.parent.name}/{path.name}"


def _same(first: Grid, second: Grid, corner_only: bool) -> bool:
    if first.crs == second.crs and first.transform == second.transform and (corner_only or first.shape == second.shape):
        return True
    corners = [(0, 0)] if corner_only else [(0, 0), (0, 1), (1, 0), (1, 1)]
    height, width = second.shape
    points = [second.point(column * width, row * height) for column, row in corners]
    found = _coordinates(second.crs, first.crs, points)
    if found is None:
        return False
    expected = np.array(corners, float).T * np.array(first.shape[::-1], float)[:, None]
    return bool(np.abs(first.place(*found) - expected).max() <= TOLERANCE)


def _coordinates(
    source: Any, target: Any, points: Sequence[tuple[float, float]]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    x, y = np.array(points).T
    if source == target:
        return x, y
    projected = project(source, target, x.tolist(), y.tolist())
    return projected if projected is not None and np.isfinite(projected).all() else None


def project(
    source: Any, target: Any, x: Sequence[float], y: Sequence[float]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Transform coordinates to another CRS: infinite where undefined, None if PROJ fails.

    PROJ fails on an engineering CRS, far outside a projection, and with the database of another installation.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import RasterioError
    from rasterio.warp import transform

    try:
        found_x, found_y = transform(source, target, x, y)
    except (RasterioError, CPLE_BaseError, ValueError, OSError):
        return None
    return np.asarray(found_x), np.asarray(found_y)


def degrees(lon: float, lat: float) -> tuple[float, float] | None:
    """Return longitude and latitude unchanged, or None if they are out of range."""
    return (lon, lat) if abs(lon) <= 180 and abs(lat) < 90 else None


def centre(grid: Grid | None) -> tuple[float, float] | None:
    """Return longitude and latitude of the centre of a grid; None if they cannot be computed."""
    if grid is None:
        return None
    x, y = grid.point(grid.shape[1] / 2, grid.shape[0] / 2)
    found = project(grid.crs, "EPSG:4326", [x], [y])
    return None if found is None else degrees(float(found[0][0]), float(found[1][0]))
