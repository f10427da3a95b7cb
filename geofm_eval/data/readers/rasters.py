"""GeoTIFFs as declared by their files: gaps, orientation, georeference, scale and offset.

Only the GeoTIFF driver is used, because a ``.tif`` that is a virtual raster could refer to any file or server. Of the
sidecar files only the mask ``<name>.tif.msk`` is read; ``.aux.xml`` and world files are ignored.
"""

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import canonical, unit_of
from geofm_eval.data.readers.grids import Grid, Turn, north_up
from geofm_eval.errors import DataError, Unavailable

MASK = ".msk"
"""Suffix that GDAL appends to a file's name for its mask."""

MOST_BYTES = 2**30
"""Maximum decoded size; a larger file is not a chip, or is meant to fill the memory."""

_DENSE, _MOST_COMPRESSED = 2**26, 1100
"""Size in bytes above which the compression ratio is checked, and its limit; deflate reaches 1,032."""

_SETTINGS = {
    "GDAL_PAM_ENABLED": "NO",
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_GEOREF_SOURCES": "INTERNAL",
}

_PLAIN = (1.0, 0.0)
"""Scale and offset of a band without tags."""


@dataclass(frozen=True)
class Raster:
    """One GeoTIFF in north-up order.

    Args:
        path: the file.
        pixels: (bands, height, width) stored values, without alpha bands.
        masked: (height, width) bool, True where a mask or alpha band marks no data; None without one.
        nodata: nodata value of the file.
        tags: scale and offset that the file declares for every band, (1, 0) by default.
        grid: its grid; None without a georeference.
        alphas: number of alpha bands.
    """

    path: Path
    pixels: npt.NDArray[Any]
    masked: npt.NDArray[np.bool_] | None
    nodata: float | None
    tags: tuple[tuple[float, float], ...]
    grid: Grid | None
    alphas: int

    @property
    def is_nodata(self) -> npt.NDArray[np.bool_]:
        """(bands, height, width), True where the nodata value is stored."""
        if self.nodata is None:
            return np.zeros(self.pixels.shape, bool)
        found = np.isnan(self.pixels) if math.isnan(self.nodata) else self.pixels == self.nodata
        return np.asarray(found)

    @property
    def marked(self) -> npt.NDArray[Any]:
        """Pixels with NaN where the file declares no data; in the stored dtype if there are no such pixels."""
        if self.nodata is None and self.masked is None:
            return self.pixels
        absent = self.is_nodata if self.masked is None else self.is_nodata | self.masked
        return np.where(absent, np.float32(np.nan), self.pixels) if absent.any() else self.pixels


def read_raster(path: Path) -> Raster:
    """Read a GeoTIFF and its mask.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: the file is not a GeoTIFF, is damaged, holds complex values, is larger than any chip, or its pixels
            are rotated relative to the axes of their CRS.
    """
    with _opened(path) as raster:
        _check_kind(path, raster)
        turn, grid = _place(path, raster)
        alphas = _alphas(raster)
        kept = [number for number in raster.indexes if number not in alphas]
        tags = tuple((float(raster.scales[number - 1]), float(raster.offsets[number - 1])) for number in kept)
        masked = _masked(path, raster, alphas)
        return Raster(
            path,
            turn(raster.read(kept)),
            None if masked is None else turn(masked),
            raster.nodata,
            tags,
            grid,
            len(alphas),
        )


def grid_of(path: Path) -> Grid | None:
    """Return the grid of a GeoTIFF; None without a georeference.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: the file is not a GeoTIFF, is damaged, or is rotated relative to the axes of its CRS.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    return _grid_of(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=2**16)
def _grid_of(path: Path, modified: int, size: int) -> Grid | None:
    """Cached, because every training epoch asks for the grids of all chips; time and size identify the content."""
    with _opened(path) as raster:
        return _place(path, raster)[1]


def read_bands(path: Path, task: TaskSpec, bands: Sequence[str], *, shift: float = 0.0) -> Raster:
    """Read a GeoTIFF of known bands and check its scale and offset against the task's.

    Args:
        path: the file.
        task: declares scale and offset of its bands.
        bands: names of the file's bands in file order; bands that the task does not use are not compared.
        shift: constant that the reader adds to stored values.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: see :func:`read_raster`; also a wrong number of bands, or tags that contradict the task.
    """
    raster = read_raster(path)
    if len(raster.pixels) != len(bands):
        alpha = f" (and {raster.alphas} alpha, used as a mask)" if raster.alphas else ""
        raise DataError(
            f"{path}: found {len(raster.pixels)} bands{alpha}, expected {len(bands)} ({', '.join(bands)}); the file "
            f"does not match the layout of task '{task.slug}'. Download it again"
        )
    for band, tag in zip(bands, raster.tags, strict=True):
        check_tag(path, task, band, tag, shift)
    return raster


def read_target(path: Path) -> Raster:
    """Read a GeoTIFF of one band that holds labels.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: see :func:`read_raster`; also several bands, or a scale or offset, which labels must not have.
    """
    raster = read_raster(path)
    if len(raster.pixels) != 1:
        raise DataError(f"{path}: found {len(raster.pixels)} bands, expected one band of labels")
    if raster.tags[0] != _PLAIN:
        raise DataError(
            f"{path}: its tags declare scale {raster.tags[0][0]:g} and offset {raster.tags[0][1]:g}, expected labels "
            "without either. Write the labels without scale and offset"
        )
    return raster


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file with the GeoTIFF driver; GDAL's exceptions become a DataError."""
    try:
        import rasterio
        from rasterio._err import CPLE_BaseError
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
    except ImportError as error:
        raise Unavailable("package", "rasterio", "Install it with: pip install rasterio") from error
    try:
        with warnings.catch_warnings(), rasterio.Env(**_SETTINGS):
            # Chips may have no georeference.
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path, driver="GTiff") as raster:
                yield raster
    except (RasterioError, CPLE_BaseError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error


def opened(path: Path) -> AbstractContextManager[Any]:
    """Open a GeoTIFF of any size to read parts of it; errors of the file become a DataError."""
    return _opened(path)


def _unreadable(path: Path, error: Exception) -> DataError:
    reason = str(error).replace(str(path), path.name) or type(error).__name__
    return DataError(f"{path}: not a readable GeoTIFF ({reason[:160]}). Fetch or unpack this file again")


def _check_kind(path: Path, raster: Any) -> None:
    if any(kind.startswith("complex") for kind in raster.dtypes):
        raise DataError(
            f"{path}: the values are complex ({raster.dtypes[0]}), as in single look complex radar; expected real "
            "numbers. Convert them to the unit of the task first, for example 10 * log10(|value|^2) for dB"
        )
    size = raster.width * raster.height * raster.count * np.dtype(raster.dtypes[0]).itemsize
    compressed = size > _DENSE and size > _MOST_COMPRESSED * path.stat().st_size
    if size > MOST_BYTES or compressed:
        raise DataError(
            f"{path}: the file declares {raster.count} bands of {raster.height} x {raster.width} pixels ({size:,} "
            f"bytes) in {path.stat().st_size:,} bytes on disk; expected chips of at most {MOST_BYTES:,} bytes. Fetch "
            "it again, or cut it into chips"
        )


def _place(path: Path, raster: Any) -> tuple[Turn, Grid | None]:
    t = raster.transform
    return north_up(path, raster.crs, (t.a, t.b, t.c, t.d, t.e, t.f), (raster.height, raster.width))


def _alphas(raster: Any) -> list[int]:
    from rasterio.enums import ColorInterp

    return [number for number, colour in enumerate(raster.colorinterp, start=1) if colour is ColorInterp.alpha]


def _masked(path: Path, raster: Any, alphas: Sequence[int]) -> npt.NDArray[np.bool_] | None:
    from rasterio.enums import MaskFlags

    parts = [raster.read(number) == 0 for number in alphas]
    if any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in raster.mask_flag_enums):
        parts.append(raster.read_masks(1) == 0)
    beside = path.with_name(path.name + MASK)
    if beside.is_file():
        parts.append(_read_mask(beside, (raster.height, raster.width)))
    return np.logical_or.reduce(parts) if parts else None


def _read_mask(path: Path, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    with _opened(path) as mask:
        _check_kind(path, mask)
        if (mask.height, mask.width) != shape:
            raise DataError(
                f"{path}: the mask has {(mask.height, mask.width)} pixels but the image has {shape}. Write the mask "
                "again, or remove it if it does not belong to the image"
            )
        return np.asarray((mask.read() == 0).any(axis=0))


def check_tag(path: Path, task: TaskSpec, band: str, tag: tuple[float, float], shift: float = 0.0) -> None:
    """Compare the scale and offset that a file declares for a band with the task's.

    Digital numbers are reflectance times 10,000; the tags of a file may refer to either.

    Args:
        path: the file, for messages.
        task: declares scale and offset; bands that it does not use are not compared.
        band: name of the band.
        tag: scale and offset of the file.
        shift: constant that the reader adds to stored values.

    Raises:
        DataError: the tags contradict the task.
    """
    names = [canonical(name) for name in task.bands]
    if tag == _PLAIN or canonical(band) not in names:
        return
    position = names.index(canonical(band))
    scale = _of_band(task.scale, position)
    offset = _of_band(task.offset, position) + scale * shift
    factors = (1.0, 10_000.0) if unit_of(band) == "DN" else (1.0,)
    meant = [(factor * tag[0], factor * tag[1]) for factor in factors]
    if any(_close(scale, found) and (_close(offset, own) or abs(offset - own) < 1e-9) for found, own in meant):
        return
    wanted = meant[-1] if tag[0] < 0.01 else meant[0]
    raise DataError(
        f"{path}: its tags define {band} as value * {tag[0]:g} + {tag[1]:g}, but task '{task.slug}' declares scale "
        f"{scale:g} and offset {offset:g}. Set scale = {wanted[0]:g} and offset = {wanted[1]:g} in the task's catalog "
        "entry, or remove the tags if they are wrong"
    )


def _of_band(value: float | tuple[float, ...], position: int) -> float:
    return value[position] if isinstance(value, tuple) else value


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-6)
