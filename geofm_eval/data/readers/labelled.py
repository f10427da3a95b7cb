"""Labelled geometries of own data: the columns that a task names, checked and counted."""

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.features import read_features
from geofm_eval.data.readers.own_splits import split_in_cell
from geofm_eval.data.tabular import found_column
from geofm_eval.errors import DataError

log = logging.getLogger(__name__)

POINT, POLYGON, MULTIPOINT, MULTIPOLYGON = 0, 3, 4, 6
"""Numbers of geometry types in shapely."""

Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Labelled:
    """Points and polygons with a label.

    Args:
        path: file of the labels.
        numbers: (n,) position of every feature in the file, from 0.
        geometries: (n,) shapely points, polygons or multipolygons, valid and of two dimensions.
        labels: (n,) int64 classes or float64 values.
        groups: (n,) names, or None.
        splits: (n,) ``train``, ``val``, ``test``, or empty; None without a column of splits.
        crs: pyproj CRS of the coordinates.
        dropped: features that cannot be used, by reason.
    """

    path: Path
    numbers: npt.NDArray[np.int64]
    geometries: Objects
    labels: npt.NDArray[Any]
    groups: tuple[str, ...] | None
    splits: tuple[str, ...] | None
    crs: Any
    dropped: Mapping[str, tuple[str, ...]]


def name_of(number: int) -> str:
    """Return the name of a feature in counts of dropped ones."""
    return f"feature {number}"


def read_labelled(task: TaskSpec, path: Path, *, polygons_only: bool) -> Labelled:
    """Read the features of a file that have a geometry and a label.

    Self-intersecting polygons are repaired, and their number is logged.

    Args:
        task: declares classes and the options ``column``, ``columns``, ``group`` and ``layer``.
        path: the file.
        polygons_only: whether points are dropped.

    Raises:
        DataError: the file cannot be read, a column is missing, or a label is unknown.
    """
    import shapely

    found = read_features(path, task.options.get("layer"))
    names = [str(name) for name in found.columns if name != found.geometry.name]
    column = found_column(path, names, task.options["column"], "Set the option column to the one that holds the labels")
    labels = _labels(task, path, list(found[column]), column)
    geometries = _repaired(path, shapely.force_2d(np.array(list(found.geometry), dtype=object).reshape(-1)))
    reasons = _reasons(geometries, labels, column, polygons_only)
    kept = np.array([reason is None for reason in reasons], bool)
    dropped: dict[str, list[str]] = {}
    for number, reason in enumerate(reasons):
        if reason is not None:
            dropped.setdefault(reason, []).append(name_of(number))
    group, split = (_role(task, path, names, role) for role in ("group", "split"))
    numbers = np.flatnonzero(kept)
    whole = labels[kept].astype(np.int64 if task.classes else np.float64)
    return Labelled(
        path,
        numbers,
        geometries[kept],
        whole,
        None if group is None else _groups(path, list(found[group].iloc[numbers]), group),
        None if split is None else _splits(path, list(found[split].iloc[numbers]), numbers),
        found.crs,
        {why: tuple(names) for why, names in dropped.items()},
    )


def _role(task: TaskSpec, path: Path, names: Sequence[str], role: str) -> str | None:
    """Column of ``group`` or ``split``: the one that the options name, or one of that name that holds no labels."""
    asked = {**task.options.get("columns", {}), **{one: task.options[one] for one in ("group",) if one in task.options}}
    if role in asked:
        return found_column(path, names, asked[role], "Correct the name in the task's options")
    own = next((name for name in names if name.strip().lower() == role), None)
    return None if own == task.options["column"] else own


def _labels(task: TaskSpec, path: Path, values: list[Any], column: str) -> npt.NDArray[np.float64]:
    """(n,) classes or values; NaN without a label."""
    if task.classes:
        return _classes(task, path, values, column)
    numbers = []
    for number, value in enumerate(values):
        try:
            numbers.append(math.nan if _is_missing(value) else float(value))
        except (TypeError, ValueError) as error:
            raise DataError(
                f"{path}: column '{column[:60]}' has '{str(value)[:60]}' in {name_of(number)}; expected numbers for a "
                f"{task.kind} task. Correct the column, or leave the cell empty"
            ) from error
    return np.array(numbers, np.float64)


def _classes(task: TaskSpec, path: Path, values: list[Any], column: str) -> npt.NDArray[np.float64]:
    names = [None if _is_missing(value) else _text(value) for value in values]
    unknown = Counter(name for name in names if name is not None and name not in task.classes)
    if unknown:
        shown = ", ".join(f"'{name[:40]}' ({count})" for name, count in unknown.most_common(3))
        raise DataError(
            f"{path}: column '{column[:60]}' has {len(unknown)} values that are not classes of task '{task.slug}', for "
            f"example {shown}; expected {', '.join(task.classes)[:120]}. Add them to classes, or empty these cells"
        )
    return np.array([math.nan if name is None else task.classes.index(name) for name in names], np.float64)


def _is_missing(value: Any) -> bool:
    import pandas

    return bool(pandas.isna(value)) or (isinstance(value, str) and not value.strip())


def _text(value: Any) -> str:
    """A whole number is written without a point, because empty cells turn a column of integers into floats."""
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        return str(int(value))
    return str(value).strip()


def _groups(path: Path, values: list[Any], column: str) -> tuple[str, ...]:
    if any(_is_missing(value) for value in values):
        raise DataError(
            f"{path}: {sum(map(_is_missing, values))} features have no group in column '{column[:60]}'; every feature "
            "needs one. Fill the cells, or name another column with the option group"
        )
    return tuple(_text(value) for value in values)


def _splits(path: Path, values: Sequence[Any], numbers: npt.NDArray[np.int64]) -> tuple[str, ...]:
    texts = ["" if _is_missing(value) else _text(value) for value in values]
    return tuple(split_in_cell(text, f"{path}, {name_of(n)}") for text, n in zip(texts, numbers, strict=True))


def _reasons(
    geometries: Objects, labels: npt.NDArray[np.float64], column: str, polygons_only: bool
) -> list[str | None]:
    """Reason why each feature cannot be used; None if it can be."""
    import shapely

    kinds, parts = shapely.get_type_id(geometries), shapely.get_num_geometries(geometries)
    polygon = (kinds == POLYGON) | (kinds == MULTIPOLYGON)
    point = (kinds == POINT) | ((kinds == MULTIPOINT) & (parts == 1))
    usable = polygon if polygons_only else polygon | point
    wanted = "not a polygon" if polygons_only else "neither a point nor a polygon"
    checks = (
        (shapely.is_missing(geometries), "geometry is missing"),
        (shapely.is_empty(geometries), "geometry is empty"),
        (~usable, f"geometry is {wanted}"),
        (~finite(geometries), "coordinates are not finite"),
        (~np.isfinite(labels), f"no label in column '{column}'"),
    )
    return [next((reason for found, reason in checks if found[k]), None) for k in range(len(geometries))]


def finite(geometries: Objects) -> npt.NDArray[np.bool_]:
    """Return which geometries have finite coordinates only."""
    import shapely

    points, owners = shapely.get_coordinates(geometries, return_index=True)
    found = np.ones(len(geometries), bool)
    found[owners[~np.isfinite(points).all(axis=1)]] = False
    return found


def _repaired(path: Path, geometries: Objects) -> Objects:
    import shapely

    polygon = np.isin(shapely.get_type_id(geometries), (POLYGON, MULTIPOLYGON)) & finite(geometries)
    broken = np.flatnonzero(polygon & ~shapely.is_valid(geometries))
    if len(broken):
        log.warning("%s: %d invalid polygons (for example self-intersecting) were repaired", path.name, len(broken))
        for position in broken:
            geometries[position] = _polygons(shapely.make_valid(geometries[position]))
    return geometries


def _polygons(geometry: Any) -> Any:
    """The polygons of a repaired polygon, without the lines and points that are left of parts without an area."""
    import shapely

    parts = shapely.get_parts(shapely.get_parts(geometry))
    return shapely.MultiPolygon([part for part in parts if shapely.get_type_id(part) == POLYGON])
