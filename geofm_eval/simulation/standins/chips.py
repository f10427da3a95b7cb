"""Common code of writers of stand-ins."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.items import NAMES
from geofm_eval.errors import Unavailable
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.fields import smooth_field
from geofm_eval.simulation.scene.landscape import Scene

Pixels = npt.NDArray[Any]

_OPAQUE = 0.5

OFF = 0.7
"""Standard deviation in pixels of the error of drawn outlines."""


def chip_size(task: TaskSpec, default: int) -> int:
    """Return the pixels per side of a stand-in's chips: the task's option ``chip``, or the generator's default."""
    return int(task.options.get("chip", default))


def numbered(task: TaskSpec) -> dict[str, range]:
    """Return disjoint ranges of scene numbers for the splits."""
    sizes = task.sizes or (0, 0, 0)
    ends = np.cumsum([0, *sizes]).tolist()
    return {name: range(ends[position], ends[position + 1]) for position, name in enumerate(NAMES)}


def optical(pixels: Pixels, bands: Sequence[str]) -> Pixels:
    """Select bands by name from (13, height, width) pixels in the order of Sentinel-2."""
    order = list(SENTINEL2)
    return pixels[[order.index(name) for name in bands]]


def as_drawn(mask: npt.NDArray[np.bool_], scene: Scene) -> npt.NDArray[np.bool_]:
    """Return a mask (height, width) as if drawn by hand: outlines are off by about a pixel in varying directions."""
    size = len(mask)
    fields = [smooth_field(generator("drawn", scene.kind, scene.number, way), 1, size, 7.0)[0] for way in "xy"]
    rows, columns = np.clip(np.rint(np.indices(mask.shape) + OFF * np.stack(fields)), 0, size - 1).astype(np.int64)
    return np.asarray(mask[rows, columns])


def hidden(scene: Scene) -> npt.NDArray[np.bool_]:
    """Return pixels (height, width) of the first date without a label: clouds, shadows, and beyond the swath."""
    return np.asarray((scene.cloud[0] > _OPAQUE) | scene.shadow[0] | scene.nodata[0])


def write_geotiff(path: Path, pixels: np.ndarray[Any, Any], *, nodata: float | None = None, metres: float = 10) -> None:
    """Write (bands, height, width) pixels as a GeoTIFF of their dtype, at a fixed position in UTM zone 32.

    The file is encoded in memory and written as bytes, because GDAL reports a full disk late, unclearly or not at all.

    Raises:
        Unavailable: rasterio is not installed.
    """
    try:
        import rasterio
        from rasterio.io import MemoryFile
    except ImportError as error:
        how = "Install it with: pip install rasterio"
        raise Unavailable("package", "rasterio, which writes stand-ins", how) from error
    count, height, width = pixels.shape
    shape = {"count": count, "height": height, "width": width, "dtype": pixels.dtype, "nodata": nodata}
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(metres, 0, 500_000, 0, -metres, 5_400_000)}
    with MemoryFile() as memory:
        with memory.open(driver="GTiff", **shape, **place) as file:
            file.write(pixels)
        path.write_bytes(memory.read())
