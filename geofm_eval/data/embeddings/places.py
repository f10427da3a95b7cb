"""Places of the rows of a table: columns of longitude and latitude, or the geometries of a GeoParquet file."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from geofm_eval.data.embeddings.tables import EmbeddingTable
from geofm_eval.data.geoparquet import centres, geometry_column
from geofm_eval.data.tabular import LAT, LON, NUMBER, in_degrees, numbers, shown
from geofm_eval.errors import DataError


def places_in(table: EmbeddingTable, columns: tuple[str, str]) -> Iterator[npt.NDArray[np.float64]]:
    """Yield longitudes and latitudes (n, 2) of the rows of a table, batch by batch; NaN where a row has no place.

    Args:
        table: the table.
        columns: names of the columns; empty takes columns named lon and lat, or else the centres of the geometries.

    Raises:
        DataError: the table has neither, or a place is not in degrees.
    """
    start = 0
    for places in _read(table, columns):
        yield in_degrees(table.path, places, start)
        start += len(places)


def _read(table: EmbeddingTable, columns: tuple[str, str]) -> Iterator[npt.NDArray[np.float64]]:
    lon, lat = (given or _named(table, names) for given, names in zip(columns, (LON, LAT), strict=True))
    if lon and lat:
        for batch in table.batches({lon: NUMBER, lat: NUMBER}, 16):
            yield np.stack([numbers(column) for column in batch.columns], axis=1)
    elif geometry_column(table.path) is not None:
        yield from centres(table.path)
    else:
        raise DataError(
            f"{table.path}: the rows have no places; expected columns lon and lat, or a GeoParquet geometry. Columns: "
            f"{shown(table.schema.names)}. Name them with options.lon and options.lat"
        )


def _named(table: EmbeddingTable, names: tuple[str, ...]) -> str:
    return next((name for name in table.schema.names if name.lower() in names), "")
