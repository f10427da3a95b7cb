"""Images of own data in any of the formats that people keep chips in: GeoTIFF, JPEG, PNG and npy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.files import load_image
from geofm_eval.data.readers.grids import Grid, centre, degrees, project
from geofm_eval.data.readers.rasters import grid_of, read_bands
from geofm_eval.data.readers.series import load_array
from geofm_eval.errors import DataError

TIFF = (".tif", ".tiff")
PICTURE = (".jpg", ".jpeg", ".png")
IMAGES = (*TIFF, *PICTURE, ".npy")
"""Endings of image files, in lower case."""

Place = tuple[tuple[float, float] | None, tuple[float, float, float, float] | None]
"""Longitude and latitude of the centre, and (west, south, east, north), in degrees; None where unknown."""


def is_image(path: Path) -> bool:
    """Return whether a file has the ending of an image."""
    return path.suffix.lower() in IMAGES


def load_pixels(path: Path, task: TaskSpec, bands: Sequence[str] | None = None) -> npt.NDArray[Any]:
    """Read the stored values of an image; NaN where the file declares no data.

    Args:
        path: a GeoTIFF, JPEG, PNG, or npy of (bands, height, width).
        task: declares the bands.
        bands: names of the file's bands in file order; by default those of the task.

    Returns:
        (bands, height, width) as stored.

    Raises:
        DataError: the file cannot be read, has another ending, or is a GeoTIFF with another number of bands.
    """
    kind = path.suffix.lower()
    if kind in TIFF:
        return read_bands(path, task, task.bands if bands is None else bands).marked
    if kind in PICTURE:
        return load_image(path)
    if kind != ".npy":
        raise DataError(f"{path}: images end in {', '.join(IMAGES)}; found '{path.suffix}'. Convert the file")
    return load_chip(path)


def load_chip(path: Path) -> npt.NDArray[Any]:
    """Read an npy of (bands, height, width), or of (height, width) as one band.

    Raises:
        DataError: the file is no npy of numbers, or has another shape.
    """
    found = np.asarray(load_array(path))
    if found.dtype.kind not in "iufb" or found.ndim not in (2, 3):
        raise DataError(
            f"{path}: found an array of {found.dtype} with shape {found.shape}, expected numbers of (bands, height, "
            "width). Save it again with that order of axes"
        )
    return found[None] if found.ndim == 2 else found


def place_of(path: Path) -> Place:
    """Return where a GeoTIFF is; nothing is known of other formats.

    The edges of the box are the means over their two corners, because the bounding boxes of neighbouring chips of a
    projected grid overlap. West is greater than east for an image that crosses the antimeridian.

    Raises:
        DataError: the file is not a readable GeoTIFF.
    """
    return place_of_grid(grid_of(path) if path.suffix.lower() in TIFF else None)


def place_of_grid(grid: Grid | None) -> Place:
    """Return where the pixels of a grid lie; see :func:`place_of`."""
    if grid is None:
        return None, None
    height, width = grid.shape
    corners = [grid.point(column, row) for column in (0, width) for row in (0, height)]
    found = project(grid.crs, "EPSG:4326", [x for x, _ in corners], [y for _, y in corners])
    if found is None or not all(degrees(x, y) for x, y in zip(*found, strict=True)):
        return centre(grid), None
    (west, east), (south, north) = _edges(found[0] % 360 if np.ptp(found[0]) > 180 else found[0]), _edges(found[1])
    return centre(grid), (west, south, east - 360 if east > 180 else east, north)


def _edges(corners: npt.NDArray[np.float64]) -> tuple[float, float]:
    ordered = np.sort(corners)
    return float(ordered[:2].mean()), float(ordered[2:].mean())
