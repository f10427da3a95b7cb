"""Labelled points and polygons next to the GeoTIFFs that chips are cut from."""

from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from geofm_eval.data.readers.images import TIFF
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.rasters import grid_of
from geofm_eval.data.tabular import shown
from geofm_eval.errors import DataError
from geofm_eval.looking.columns import as_classes, usual_label, without_coordinates
from geofm_eval.looking.sources import OwnSource

STEP, SMALLEST, SIZE = 8, 16, 64
"""Sides of chips in a new entry, in pixels: multiples of the first, from the second to the third."""

_GEOMETRY = b"geo"


def is_labels(path: Path) -> bool:
    """Return whether a parquet file has geometries and scenes next to it; alone, it is a table of samples."""
    if path.suffix.lower() not in (".parquet", ".geoparquet"):
        return False
    from pyarrow import parquet

    return _GEOMETRY in (parquet.read_schema(path).metadata or {}) and bool(_scenes(path.parent))


def find(path: Path, label: str | None = None) -> OwnSource:
    """Return labelled geometries as a source.

    Raises:
        DataError: there are no GeoTIFFs, the file cannot be read, or it is not clear which column holds the labels.
    """
    from geofm_eval.data.readers.features import read_features

    scenes = _scenes(path.parent)
    if not scenes:
        raise DataError(
            f"{path}: found no GeoTIFF in {path.parent} or below, which chips could be cut from. Put the scenes or "
            "links to them there"
        )
    table = read_features(path, None)
    column = _label(path, [str(name) for name in table.columns if name != table.geometry.name], label)
    missing = table[column].isna()
    values = ["" if gone else str(value) for value, gone in zip(table[column], missing, strict=True)]
    labels = as_classes(path, column, values)
    polygons = sum(kind.endswith("Polygon") for kind in table.geom_type.dropna())
    told = f"pixels per side of a chip; {len(table)} features, {polygons} of them polygons"
    if polygons:
        told += "; for one label per pixel inside polygons: kind = 'segmentation', metric = 'miou'"
    return OwnSource(
        reader="vector",
        root=path.parent,
        kind=labels.kind,
        classes=labels.classes,
        products={"": scenes},
        options={
            "labels": path.name,
            "column": column,
            "scenes": _pattern(path.parent, scenes),
            "size": _size(table, scenes[0]),
        },
        comments={**labels.comments, "options": told},
        counts=labels.counts,
        warnings=labels.warnings,
        windows=True,
    )


def _size(table: Any, scene: Path) -> int:
    """Pixels per side of a chip that holds most polygons, or that few neighbouring points share.

    Chips that overlap stay in one split, so chips much larger than the objects would leave nothing to divide.
    """
    grid = grid_of(scene)
    if grid is None or table.crs is None:
        return SIZE
    shapes = table.geometry.dropna().to_crs(grid.crs)
    west, south, east, north = shapes.bounds.to_numpy().T
    sides = np.maximum(east - west, north - south)
    steps = np.median(sides) / abs(grid.transform[0]) / STEP
    if steps > 0:
        return int(np.clip(np.ceil(steps) * STEP, SMALLEST, SIZE))
    points = np.column_stack([west, south])
    nearest = cKDTree(points).query(points, k=min(2, len(points)))[0].reshape(len(points), -1)[:, -1]
    steps = np.median(nearest) / abs(grid.transform[0]) / STEP
    return int(np.clip(np.floor(steps) * STEP, SMALLEST, SIZE)) if np.isfinite(steps) and len(points) > 1 else SIZE


def _scenes(folder: Path) -> tuple[Path, ...]:
    return tuple(path for path in visible(folder, "**/*") if path.suffix.lower() in TIFF and path.is_file())


def _pattern(folder: Path, scenes: tuple[Path, ...]) -> str:
    """A pattern that finds the scenes, for example ``scenes/*.tif``."""
    parents = {path.parent.relative_to(folder).as_posix() for path in scenes}
    endings = {path.suffix for path in scenes}
    # The reader takes only the GeoTIFFs among the files of a pattern.
    ending = f"*{endings.pop()}" if len(endings) == 1 else "*"
    if len(parents) > 1:
        return f"**/{ending}"
    parent = parents.pop()
    return ending if parent == "." else f"{parent}/{ending}"


def _label(path: Path, names: list[str], label: str | None) -> str:
    if label in names:
        return str(label)
    usual, others = usual_label(names), without_coordinates(names)
    if label is None and (usual is not None or len(others) == 1):
        return usual or others[0]
    raise DataError(
        f"{path}: the columns are {shown(names)}; expected one with labels"
        f"{'' if label is None else f', found no column {label[:40]!r}'}. Name it with --label COLUMN"
    )
