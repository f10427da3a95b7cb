"""Centres of the geometries of a GeoParquet file, in degrees."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pyarrow import parquet

from geofm_eval.data.delimited import explained
from geofm_eval.errors import DataError

_ROWS = 2**16


def geometry_column(path: Path) -> str | None:
    """Return the name of the primary geometry column; None if the file is not GeoParquet.

    Raises:
        DataError: the file cannot be read.
    """
    declared = _declared(path)
    return str(declared["primary_column"]) if "primary_column" in declared else None


def read_centres(path: Path) -> npt.NDArray[np.float64]:
    """Return the centroid of every geometry of a GeoParquet file; geometries are read in batches.

    Returns:
        (n, 2) longitude and latitude in degrees; NaN for a missing or empty geometry.

    Raises:
        DataError: the file is not GeoParquet, its geometries are not WKB or have no CRS, or a centroid cannot be
            transformed to degrees.
    """
    declared = _declared(path)
    name = declared.get("primary_column")
    column = declared.get("columns", {}).get(name, {})
    if column.get("encoding") != "WKB":
        raise DataError(
            f"{path}: the geometry is encoded as {column.get('encoding')}, expected WKB in a GeoParquet file. Write it "
            "again with geopandas"
        )
    if "crs" in column and column["crs"] is None:
        raise DataError(
            f"{path}: the geometries have no CRS, so their place is unknown. Set it with geopandas' set_crs and write "
            "the file again"
        )
    parts = list(_centroids(path, str(name)))
    found = np.concatenate(parts) if parts else np.empty((0, 2))
    return _to_degrees(path, found, column.get("crs"))


def _declared(path: Path) -> dict[str, Any]:
    with explained(path):
        metadata = parquet.read_schema(path).metadata or {}
        found = json.loads(metadata.get(b"geo", b"{}"))
    return found if isinstance(found, dict) else {}


def _centroids(path: Path, name: str) -> Iterator[npt.NDArray[np.float64]]:
    import shapely

    with explained(path), parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_ROWS, columns=[name]):
            geometries = shapely.from_wkb(batch.column(0).to_pylist(), on_invalid="raise")
            centres = shapely.centroid(geometries)
            yield np.stack([shapely.get_x(centres), shapely.get_y(centres)], axis=1)


def _to_degrees(path: Path, centres: npt.NDArray[np.float64], crs: Any) -> npt.NDArray[np.float64]:
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    if crs is None:  # the format's default: longitude and latitude
        return centres
    try:
        transformer = Transformer.from_crs(CRS.from_user_input(crs), "OGC:CRS84", always_xy=True)
        known = np.isfinite(centres).all(axis=1)
        found = np.full(centres.shape, np.nan)
        found[known] = np.stack(transformer.transform(centres[known, 0], centres[known, 1], errcheck=True), axis=1)
    except ProjError as error:
        raise DataError(
            f"{path}: the geometries cannot be transformed to degrees ({str(error)[:120]}). Check the file's CRS"
        ) from error
    return found
