"""Places of the rows of a table: columns of longitude and latitude, or the points of a GeoParquet file."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from geofm_eval.data.embeddings.tables import Table, listed
from geofm_eval.data.readers.grids import project
from geofm_eval.errors import DataError

EARTH_M = 6_371_008.8
"""Mean radius of the earth in metres."""

_LON, _LAT = ("lon", "longitude"), ("lat", "latitude")
_WGS84 = "EPSG:4326"

Places = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


def to_sphere(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return points on the unit sphere, (n, 3), of longitude and latitude in degrees, (n, 2)."""
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def distances(chords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return distances along the sphere in metres of chords of the unit sphere."""
    found: npt.NDArray[np.float64] = 2 * EARTH_M * np.arcsin(np.clip(chords / 2, 0, 1))
    return found


def places_in(table: Table, columns: tuple[str, str]) -> Iterator[Places]:
    """Yield longitudes and latitudes of the rows of a table, batch by batch; NaN where a row has no place.

    Args:
        table: the table.
        columns: names of the columns; empty takes columns named lon and lat, or else the geometry.

    Raises:
        DataError: the table has neither, or its geometries are no points.
    """
    lon, lat = (given or _named(table, names) for given, names in zip(columns, (_LON, _LAT), strict=True))
    if lon and lat:
        for batch in table.batches({lon: pa.float64(), lat: pa.float64()}, 16):
            x, y = (column.to_numpy(zero_copy_only=False) for column in batch.columns)
            if np.nanmax(np.abs(x), initial=0) > 180 or np.nanmax(np.abs(y), initial=0) > 90:
                raise DataError(
                    f"{table.path}: columns {lon} and {lat} are not degrees: found up to {np.nanmax(np.abs(x)):g} and "
                    f"{np.nanmax(np.abs(y)):g}. Convert them to longitude and latitude (EPSG:4326)"
                )
            yield x, y
        return
    yield from _points(table)


def _named(table: Table, names: tuple[str, ...]) -> str:
    return next((name for name in table.schema.names if name.lower() in names), "")


def _points(table: Table) -> Iterator[Places]:
    import shapely

    declared = _geometry(table)
    name, crs = declared.get("primary_column", "geometry"), None
    column = declared.get("columns", {}).get(name, {})
    if column.get("crs"):
        crs = _crs(table, column["crs"])
    for batch in table.batches({name: None}, 16):
        shapes = shapely.from_wkb(batch.column(0).to_numpy(zero_copy_only=False))
        others = [shape.geom_type for shape in shapes if shape is not None and shape.geom_type != "Point"]
        if others:
            raise DataError(
                f"{table.path}: found a {others[0]} in column '{name}', expected points. Write the centre of every "
                "sample"
            )
        x, y = shapely.get_x(shapes), shapely.get_y(shapes)
        yield (x, y) if crs is None else _projected(table, crs, x, y)


def _geometry(table: Table) -> dict[str, Any]:
    try:
        found = json.loads(table.metadata.get("geo", "{}"))
    except ValueError:
        found = {}
    if not isinstance(found, dict) or not found:
        raise DataError(
            f"{table.path}: the rows have no places; expected columns lon and lat, or a GeoParquet geometry. Columns: "
            f"{listed(table.schema.names)}. Name them with options.lon and options.lat"
        )
    return found


def _crs(table: Table, declared: Any) -> Any:
    """CRS of a GeoParquet column as rasterio's; None for longitude and latitude."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    if isinstance(declared, dict) and declared.get("id", {}).get("code") in (4326, "CRS84"):
        return None
    try:
        return CRS.from_user_input(json.dumps(declared) if isinstance(declared, dict) else declared)
    except CRSError as error:
        raise DataError(f"{table.path}: the CRS of its geometry is not known ({str(error)[:120]})") from error


def _projected(table: Table, crs: Any, x: Any, y: Any) -> Places:
    found = project(crs, _WGS84, x.tolist(), y.tolist())
    if found is None:
        raise DataError(f"{table.path}: its points cannot be converted to {_WGS84}. Write longitude and latitude")
    return found
