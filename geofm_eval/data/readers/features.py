"""Labelled points and polygons from GeoJSON, GeoPackage, Shapefile, FlatGeobuf and GeoParquet.

Files are opened by their declared format only. GDAL would otherwise guess it from the content, and some of its formats
refer to other files, servers or programs.
"""

import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from geofm_eval.data.readers.files import read_text
from geofm_eval.errors import DataError, Unavailable

log = logging.getLogger(__name__)

SHAPEFILE_PARTS = (".dbf", ".shx", ".prj", ".cpg")
"""Endings of the files that a Shapefile is read with."""

_CRS = re.compile(r"(urn:ogc:def:crs:)?(EPSG|OGC):[\w.]*:?\w+", re.IGNORECASE)
_PACKAGES = (b"GP10", b"GP11", b"GPKG")


def read_features(path: Path, layer: str | None) -> Any:
    """Read a table of features.

    Args:
        path: the file.
        layer: layer of a GeoPackage with several; None for the only one.

    Returns:
        A geopandas GeoDataFrame with a CRS, one row per feature in the order of the file.

    Raises:
        Unavailable: geopandas or pyogrio is not installed.
        DataError: the file is missing, damaged, of another format, or has no CRS.
    """
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise DataError(f"{path}: labels end in {', '.join(_READERS)}; found '{path.suffix}'. Save them as GeoPackage")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file. Set the option labels to a file below the folder of the data")
    try:
        import geopandas
        import pyogrio  # noqa: F401
    except ImportError as error:
        raise Unavailable("package", "geopandas", "Install it with: pip install geopandas pyogrio") from error
    try:
        found = read(path, layer)
    except DataError:
        raise
    except Exception as error:  # parsers of five formats, each with its own exceptions
        raise _unreadable(path, f"{type(error).__name__}: {error}") from error
    if not isinstance(found, geopandas.GeoDataFrame) or not len(found):
        raise _unreadable(path, "it has no features with geometries")
    if found.crs is None:
        raise DataError(
            f"{path}: the labels have no coordinate reference system (CRS), so their place is unknown. Assign one, for "
            "example with geopandas: set_crs('EPSG:4326'), or in QGIS, and save the file again"
        )
    return found


def parts_of(path: Path) -> tuple[Path, ...]:
    """Return the further files that a label file is read with: those of a Shapefile."""
    if path.suffix.lower() != ".shp":
        return ()
    same_stem = (other for other in path.parent.iterdir() if other.stem == path.stem)
    return tuple(sorted(other for other in same_stem if other.suffix.lower() in SHAPEFILE_PARTS))


def _unreadable(path: Path, reason: str) -> DataError:
    reason = reason.replace(str(path), path.name)
    return DataError(f"{path}: cannot read the labels ({reason[:160]}). Save them again, for example as GeoPackage")


def _read_geojson(path: Path, layer: str | None) -> Any:
    import geopandas

    found = json.loads(read_text(path))
    if not isinstance(found, dict) or found.get("type") != "FeatureCollection":
        raise _unreadable(path, "not a FeatureCollection of GeoJSON")
    return geopandas.GeoDataFrame.from_features(found["features"], crs=_geojson_crs(path, found))


def _geojson_crs(path: Path, found: dict[str, Any]) -> str | None:
    """The CRS that older GeoJSON names; longitude and latitude by default, as the standard says."""
    if "crs" not in found:
        return "OGC:CRS84"
    if found["crs"] is None:
        return None
    name = str(found["crs"]["properties"]["name"])
    if not _CRS.fullmatch(name):
        raise _unreadable(path, f"its CRS is '{name[:60]}', expected a name such as EPSG:32630")
    return name


def _read_package(path: Path, layer: str | None) -> Any:
    with path.open("rb") as file:
        head = file.read(72)
    if not head.startswith(b"SQLite format 3\0") or head[68:72] not in _PACKAGES:
        raise _unreadable(path, "not a GeoPackage")
    log_of_writes = path.with_name(path.name + "-wal")
    if log_of_writes.is_file() and log_of_writes.stat().st_size:
        raise DataError(
            f"{path}: changes are not yet written into the file ({log_of_writes.name} exists). Close the program that "
            "has it open, for example QGIS, and try again"
        )
    # Without IMMUTABLE, SQLite may write files next to the data.
    return _read_vector(path, _layer(path, layer), "GPKG", IMMUTABLE="YES")


def _layer(path: Path, layer: str | None) -> str:
    import pyogrio

    names = [str(name) for name, kind in pyogrio.list_layers(path) if kind is not None]
    if layer in names or (layer is None and len(names) == 1):
        return layer or names[0]
    problem = f"there is no layer '{layer}'" if layer is not None else f"there are {len(names)} layers"
    raise DataError(
        f"{path}: {problem}; found {', '.join(names)[:160] or 'none with geometries'}. Set the option layer to one"
    )


def _read_shapefile(path: Path, layer: str | None) -> Any:
    with path.open("rb") as file:
        if file.read(4) != b"\x00\x00\x27\x0a":
            raise _unreadable(path, "not a Shapefile")
    return _read_vector(path, None, "ESRI Shapefile")


def _read_flatgeobuf(path: Path, layer: str | None) -> Any:
    with path.open("rb") as file:
        if file.read(3) != b"fgb":
            raise _unreadable(path, "not a FlatGeobuf file")
    return _read_vector(path, None, "FlatGeobuf")


def _read_vector(path: Path, layer: str | None, driver: str, **options: str) -> Any:
    import pyogrio

    used = pyogrio.read_info(path, layer=layer, **options)["driver"]
    if used != driver:
        raise _unreadable(path, f"it is a file of format {used}")
    return pyogrio.read_dataframe(path, layer=layer, force_2d=True, on_invalid="ignore", **options)


def _read_parquet(path: Path, layer: str | None) -> Any:
    import geopandas

    with path.open("rb") as file:
        return geopandas.read_parquet(file)


_READERS: dict[str, Callable[[Path, str | None], Any]] = {
    ".geojson": _read_geojson,
    ".json": _read_geojson,
    ".gpkg": _read_package,
    ".shp": _read_shapefile,
    ".fgb": _read_flatgeobuf,
    ".parquet": _read_parquet,
    ".geoparquet": _read_parquet,
}
