"""Rows of a user's table as plain values, in the order of their ids."""

import posixpath
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.geoparquet import centres, geometry_column
from geofm_eval.data.readers.images import IMAGES, is_image
from geofm_eval.data.readers.listed import listed_name
from geofm_eval.data.readers.own_splits import split_in_cell
from geofm_eval.data.readers.table_columns import Columns
from geofm_eval.data.readers.table_labels import read_labels
from geofm_eval.data.tabular import in_degrees, numbers, read_columns, trimmed, where
from geofm_eval.errors import DataError

_ROWS = 2**14
"""Rows whose texts are Python objects at once."""

_TEXTS = ("id", "split", "group", "date")
"""Columns that are read row by row; those of labels and places are read as a whole."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table.

    Args:
        number: position in the table, counted from 0.
        id: of its sample.
        label: number or position of the class; NaN if missing.
        split: ``train``, ``val``, ``test``, or empty.
        group: scene, event or site; empty if unknown.
        lonlat: longitude and latitude in degrees, if known.
        day: text of the date; empty if unknown.
        files: path of the image of every product, relative to the folder of the data; empty without images.
    """

    number: int
    id: str
    label: float
    split: str
    group: str
    lonlat: tuple[float, float] | None
    day: str
    files: tuple[str, ...]


def rows_of(task: TaskSpec, columns: Columns, prefix: str = "") -> Iterator[Row]:
    """Read the rows of a table in the order of their ids, which begin with ``prefix``.

    Only the named columns are read. Labels and places become arrays, texts stay in arrow, and the texts of one batch at
    a time become Python objects, so that a row takes a few tens of bytes while the table is read.

    Raises:
        DataError: the table has no rows, or one has a wrong value; the message names the row.
    """
    table = read_columns(columns.path, columns.types(numeric=task.kind == "regression"))
    if not len(table):
        raise DataError(f"{columns.path}: the table has no rows; expected one per sample below the first line")
    labels = read_labels(task, columns, table[columns.named["label"]])
    places = _places(columns, table)
    names = [*(columns.named[role] for role in _TEXTS if role in columns.named), *columns.files]
    # Columns that are arrays by now are released.
    table = pa.table({name: trimmed(table[name]) for name in names}).combine_chunks()
    order = pc.sort_indices(table[columns.named.get("id") or columns.files[0]]).to_numpy()
    for start in range(0, len(order), _ROWS):
        batch = order[start : start + _ROWS]
        cells = table.take(batch).to_pydict()
        for at, number in enumerate(batch.tolist()):
            place = None if places is None else places[number]
            yield _row(columns, prefix, number, {name: cells[name][at] for name in cells}, float(labels[number]), place)


def _places(columns: Columns, table: Any) -> npt.NDArray[np.float64] | None:
    """(n, 2) longitude and latitude in degrees, NaN where unknown; None if the table has no places."""
    if "lon" in columns.named:
        found = np.stack([numbers(table[columns.named[name]]) for name in ("lon", "lat")], axis=1)
    elif geometry_column(columns.path) is not None:
        found = np.concatenate(list(centres(columns.path)))
    else:
        return None
    return in_degrees(columns.path, found)


def _row(
    columns: Columns,
    prefix: str,
    number: int,
    values: Mapping[str, Any],
    label: float,
    place: npt.NDArray[np.float64] | None,
) -> Row:
    def text(role: str) -> str:
        return values[columns.named[role]] or "" if role in columns.named else ""

    files = tuple(_file(values[column], column, where(columns.path, number)) for column in columns.files)
    split = split_in_cell(text("split"), where(columns.path, number))
    known = None if place is None or np.isnan(place[0]) else (float(place[0]), float(place[1]))
    id = text("id") if "id" in columns.named else files[0]
    if not id:
        raise DataError(f"{where(columns.path, number)}: the id is empty, expected a name. Fill in the column")
    # Rows of a group share its name in memory.
    group = sys.intern(text("group"))
    return Row(number, f"{prefix}{id}", label, split, group, known, text("date"), files)


def _file(value: str | None, column: str, at: str) -> str:
    # Tables from Windows name folders with backslashes.
    name = (value or "").strip().replace("\\", "/")
    if not name:
        raise DataError(f"{at}: column '{column}' names no file; expected an image for every row. Remove the row")
    path = posixpath.normpath(listed_name(name, at))
    if not is_image(Path(path)):
        raise DataError(f"{at}: '{name[:80]}' is not an image; expected a name that ends in {', '.join(IMAGES)}")
    return path
