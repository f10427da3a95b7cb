"""GeoTIFFs as declared by their files: gaps, orientation, georeference, scale and offset.

Only the GeoTIFF driver is used, because a ``.tif`` that is a virtual raster could refer to any file or server. Of the
sidecar files only the mask ``<name>.tif.msk`` is read; ``.aux.xml`` and world files are ignored.
"""

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.grids import Grid, Turn, north_up
from geofm_eval.data.readers.tags import PLAIN, check_tag
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.plurals import counted, some_of

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

Window = tuple[int, int, int, int]
"""Column and row of its north-western pixel, width and height; counted in north-up order."""


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
        return _read(path, raster, None)


def read_window(path: Path, window: Window) -> Raster:
    """Read a window of a GeoTIFF of any size; see :func:`read_windows`."""
    return read_windows(path, [window])[0]


def read_windows(path: Path, windows: Iterable[Window]) -> list[Raster]:
    """Read windows of a GeoTIFF of any size, which is opened once and decoded in the blocks of these windows only.

    Args:
        path: the file.
        windows: windows in north-up order, whatever the order of the stored pixels.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: see :func:`read_raster`; also a window that leaves the raster, or blocks too large to read in parts.
    """
    with _opened(path) as raster:
        found = []
        for window in windows:
            _check_window(path, raster, window)
            found.append(_read(path, raster, window))
        return found


def _read(path: Path, raster: Any, window: Window | None) -> Raster:
    turn, grid = _place(path, raster)
    alphas = _alphas(raster)
    kept = [number for number in raster.indexes if number not in alphas]
    tags = tuple((float(raster.scales[number - 1]), float(raster.offsets[number - 1])) for number in kept)
    part = None if window is None else _stored(window, turn, (raster.height, raster.width))
    masked = _masked(path, raster, alphas, part)
    return Raster(
        path,
        turn(raster.read(kept, window=part)),
        None if masked is None else turn(masked),
        raster.nodata,
        tags,
        grid if grid is None or window is None else grid.part(window),
        len(alphas),
    )


def _stored(window: Window, turn: Turn, shape: tuple[int, int]) -> Any:
    """Rasterio's window, in the order of the stored pixels, of a window in north-up order."""
    from rasterio.windows import Window as Stored

    height, width = shape[::-1] if turn.swap else shape
    column, row, across, down = window
    row = height - row - down if turn.rows else row
    column = width - column - across if turn.columns else column
    return Stored(row, column, down, across) if turn.swap else Stored(column, row, across, down)


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
    return _placed(path, found.st_mtime_ns, found.st_size)[1]


def is_turned(path: Path) -> bool:
    """Return whether the stored pixels of a GeoTIFF are in another order than north-up; raises as :func:`grid_of`."""
    found = path.stat()
    return _placed(path, found.st_mtime_ns, found.st_size)[0] != Turn()


@lru_cache(maxsize=2**16)
def _placed(path: Path, modified: int, size: int) -> tuple[Turn, Grid | None]:
    """Cached, because every training epoch asks for the grids of all chips; time and size identify the content."""
    with _opened(path) as raster:
        return _place(path, raster)


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
    check_bands(raster, task, bands, shift=shift)
    return raster


def check_bands(raster: Raster, task: TaskSpec, bands: Sequence[str], *, shift: float = 0.0) -> None:
    """Compare the number of bands, and their scale and offset, with the task's; see :func:`read_bands`.

    Raises:
        DataError: a wrong number of bands, or tags that contradict the task.
    """
    path = raster.path
    if len(raster.pixels) != len(bands):
        alpha = f" (and {raster.alphas} alpha, used as a mask)" if raster.alphas else ""
        cure = "Correct the bands in its catalog entry, or replace the file" if task.own else "Download it again"
        raise DataError(
            f"{path}: found {counted(len(raster.pixels), 'band')}{alpha}, expected {len(bands)} ({some_of(bands)}); "
            f"the file does not match the layout of task '{task.slug}'. {cure}"
        )
    for band, tag in zip(bands, raster.tags, strict=True):
        check_tag(path, task, band, tag, shift)


def read_target(path: Path) -> Raster:
    """Read a GeoTIFF of one band that holds labels.

    Raises:
        Unavailable: rasterio is not installed.
        DataError: see :func:`read_raster`; also several bands, or a scale or offset, which labels must not have.
    """
    raster = read_raster(path)
    if len(raster.pixels) != 1:
        raise DataError(
            f"{path}: found {len(raster.pixels)} bands, expected one band of labels. Fetch the file again, or keep the "
            "band of labels alone"
        )
    if raster.tags[0] != PLAIN:
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


def _check_real(path: Path, raster: Any) -> None:
    if any(kind.startswith("complex") for kind in raster.dtypes):
        raise DataError(
            f"{path}: the values are complex ({raster.dtypes[0]}), as in single look complex radar; expected real "
            "numbers. Convert them to the unit of the task first, for example 10 * log10(|value|^2) for dB"
        )


def _check_window(path: Path, raster: Any, window: Window) -> None:
    """Refuse windows that leave the raster, and files whose parts cannot be read alone."""
    _check_real(path, raster)
    _, grid = _place(path, raster)
    height, width = (raster.height, raster.width) if grid is None else grid.shape
    column, row, across, down = window
    if min(column, row) < 0 or min(across, down) < 1 or column + across > width or row + down > height:
        raise DataError(
            f"{path}: the window of {across} x {down} pixels at column {column} and row {row} is not inside the "
            f"{width} x {height} pixels of the file. Check the size of the windows"
        )
    blocks = max(int(np.prod(shape)) for shape in raster.block_shapes)
    size = max(blocks, across * down) * raster.count * np.dtype(raster.dtypes[0]).itemsize
    if size > MOST_BYTES:
        raise DataError(
            f"{path}: a window of {across} x {down} pixels takes {size:,} bytes to read, in blocks of "
            f"{raster.block_shapes[0]} pixels; expected at most {MOST_BYTES:,}. Write the file in tiles, for example "
            "with gdal_translate -of COG"
        )


def _check_kind(path: Path, raster: Any) -> None:
    _check_real(path, raster)
    size = raster.width * raster.height * raster.count * np.dtype(raster.dtypes[0]).itemsize
    compressed = size > _DENSE and size > _MOST_COMPRESSED * path.stat().st_size
    if size > MOST_BYTES or compressed:
        raise DataError(
            f"{path}: the file declares {counted(raster.count, 'band')} of {raster.height} x {raster.width} pixels "
            f"({size:,} bytes) in {path.stat().st_size:,} bytes on disk; expected chips of at most {MOST_BYTES:,} "
            "bytes. Fetch it again, or cut it into chips"
        )


def _place(path: Path, raster: Any) -> tuple[Turn, Grid | None]:
    t = raster.transform
    return north_up(path, raster.crs, (t.a, t.b, t.c, t.d, t.e, t.f), (raster.height, raster.width))


def _alphas(raster: Any) -> list[int]:
    from rasterio.enums import ColorInterp

    return [number for number, colour in enumerate(raster.colorinterp, start=1) if colour is ColorInterp.alpha]


def _masked(path: Path, raster: Any, alphas: Sequence[int], part: Any) -> npt.NDArray[np.bool_] | None:
    from rasterio.enums import MaskFlags

    parts = [raster.read(number, window=part) == 0 for number in alphas]
    if any(MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags for flags in raster.mask_flag_enums):
        parts.append(raster.read_masks(1, window=part) == 0)
    mask = path.with_name(path.name + MASK)
    if mask.is_file():
        parts.append(_read_mask(mask, (raster.height, raster.width), part))
    return np.logical_or.reduce(parts) if parts else None


def _read_mask(path: Path, shape: tuple[int, int], part: Any) -> npt.NDArray[np.bool_]:
    with _opened(path) as mask:
        if part is None:
            _check_kind(path, mask)
        if (mask.height, mask.width) != shape:
            raise DataError(
                f"{path}: the mask has {(mask.height, mask.width)} pixels but the image has {shape}. Write the mask "
                "again, or remove it if it does not belong to the image"
            )
        return np.asarray((mask.read(window=part) == 0).any(axis=0))
