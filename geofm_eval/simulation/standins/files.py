"""Write the files of stand-ins."""

from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.errors import Unavailable


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
