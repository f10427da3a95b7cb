"""Files of small data sets on disk, written for the tests with rasterio alone."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin


def write_tif(path: Path, pixels: np.ndarray, nodata: float | None = None, **profile: Any) -> None:
    """Write (bands, height, width) or (height, width) pixels, with what else rasterio's profile takes."""
    pixels = pixels[None] if pixels.ndim == 2 else pixels
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, "nodata": nodata}
    shape |= profile
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **shape) as file:
            file.write(pixels)


def read_tif(path: Path) -> np.ndarray:
    """Read stored values as they are."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(path) as file:
            return file.read()


def write_lines(path: Path, *lines: str) -> None:
    """Write a text file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def place_tif(path: Path, east: float = 0.0, metres: float = 10.0) -> None:
    """Give a file a place on Earth, some metres further east than that of others."""
    with rasterio.open(path, "r+") as file:
        file.crs, file.transform = "EPSG:32630", from_origin(500_000 + east, 4_500_000, metres, metres)
