"""Pixels of own images: sizes, bands, dtypes, values, gaps and copies, from some images spread over all."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.data.contents import hashes_of
from geofm_eval.data.readers.files import load_image
from geofm_eval.data.readers.grids import Grid
from geofm_eval.data.readers.images import TIFF, load_chip
from geofm_eval.data.readers.rasters import opened, read_raster, read_window
from geofm_eval.errors import DataError

READ = 48
"""Images that are read."""

SIDE = 256
"""Pixels per side of the part of a scene that is read."""

MOST_HASHED = 5000
"""Images that are compared byte by byte."""

DEGREE_M = 111_320.0
"""Metres per degree of latitude."""


@dataclass(frozen=True)
class LookedSamples:
    """What some images of own data have in common.

    Args:
        count: number of all images.
        sizes: images by (height, width).
        bands: number of bands.
        dtypes: images by dtype.
        descriptions: descriptions of the bands in the files; empty if they have none.
        quantiles: (bands, 5) 0.1, 2, 50, 98 and 99.9 % of the stored values.
        gaps: proportion of pixels that are NaN or nodata.
        gsd: metres per pixel; None if unknown.
        copies: images that have the same bytes as another one.
    """

    count: int
    sizes: Mapping[tuple[int, int], int]
    bands: int
    dtypes: Mapping[str, int]
    descriptions: tuple[str, ...]
    quantiles: npt.NDArray[np.float64]
    gaps: float
    gsd: float | None
    copies: tuple[Path, ...]


def read_samples(images: Sequence[Path], root: Path, windows: bool = False) -> LookedSamples:
    """Read some images.

    Args:
        images: files.
        root: folder of the data, for the cache of hashes.
        windows: whether images are scenes, of which a part is read and which have no common size.

    Raises:
        DataError: an image cannot be read, or images differ in their number of bands.
    """
    positions = np.unique(np.linspace(0, len(images) - 1, min(READ, len(images))).astype(int))
    chosen = [images[int(position)] for position in positions]
    read = [_read(path, windows) for path in chosen]
    bands = Counter(len(pixels) for pixels, _, _ in read)
    if len(bands) > 1:
        odd = min(bands, key=lambda count: bands[count])
        first = next(path for path, (pixels, _, _) in zip(chosen, read, strict=True) if len(pixels) == odd)
        raise DataError(
            f"{first}: has {odd} bands, and most images have {bands.most_common(1)[0][0]}; expected the same bands in "
            "all. Remove it, or convert the images"
        )
    values, gaps = _values([pixels for pixels, _, _ in read])
    return LookedSamples(
        count=len(images),
        sizes={} if windows else Counter(pixels.shape[-2:] for pixels, _, _ in read),
        bands=next(iter(bands)),
        dtypes=Counter(dtype for _, dtype, _ in read),
        descriptions=_descriptions(chosen[0]),
        quantiles=values,
        gaps=gaps,
        gsd=next((gsd for _, _, gsd in read if gsd is not None), None),
        copies=() if windows else _copies(images, root),
    )


def _read(path: Path, window: bool) -> tuple[npt.NDArray[Any], str, float | None]:
    """Pixels (bands, height, width) with NaN in gaps, stored dtype, and metres per pixel."""
    if path.suffix.lower() in TIFF:
        raster = read_window(path, _centre(path)) if window else read_raster(path)
        return raster.marked, str(raster.pixels.dtype), None if raster.grid is None else _metres(raster.grid)
    pixels = load_chip(path) if path.suffix.lower() == ".npy" else load_image(path)
    return pixels, str(pixels.dtype), None


def _centre(path: Path) -> tuple[int, int, int, int]:
    with opened(path) as raster:
        width, height = min(SIDE, raster.width), min(SIDE, raster.height)
        return (raster.width - width) // 2, (raster.height - height) // 2, width, height


def _metres(grid: Grid) -> float:
    from pyproj import CRS

    step = float(np.hypot(grid.transform[0], grid.transform[3]))
    crs = CRS.from_user_input(grid.crs)
    metres = step * DEGREE_M if crs.is_geographic else step * crs.axis_info[0].unit_conversion_factor
    return float(f"{metres:.3g}")


def _values(images: Sequence[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.float64], float]:
    valid = [np.isfinite(pixels.astype(np.float32)) for pixels in images]
    gaps = 1 - float(np.mean([found.mean() for found in valid]))
    rows = []
    for band in range(len(images[0])):
        parts = [pixels[band][found[band]].ravel() for pixels, found in zip(images, valid, strict=True)]
        known = np.concatenate(parts)
        rows.append(np.quantile(known, (0.001, 0.02, 0.5, 0.98, 0.999)) if known.size else np.full(5, np.nan))
    return np.array(rows, np.float64), gaps


def _descriptions(path: Path) -> tuple[str, ...]:
    if path.suffix.lower() not in TIFF:
        return ()
    with opened(path) as raster:
        found = list(raster.descriptions)
    return tuple(map(str, found)) if all(found) else ()


def _copies(images: Sequence[Path], root: Path) -> tuple[Path, ...]:
    first: dict[str, Path] = {}
    hashes = hashes_of(images[:MOST_HASHED], root)
    return tuple(path for path, sha256 in hashes.items() if first.setdefault(sha256, path) != path)
