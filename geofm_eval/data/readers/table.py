"""Own data listed in a table: labels, and if there are any, image files, splits, groups, places and dates."""

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Item, Pool
from geofm_eval.data.readers.images import TIFF, place_of
from geofm_eval.data.readers.listed import visible
from geofm_eval.data.readers.table_columns import columns_of
from geofm_eval.data.readers.table_images import image_loader
from geofm_eval.data.readers.table_rows import Row, rows_of
from geofm_eval.data.tabular import is_table, listed, where
from geofm_eval.errors import ContractError, DataError, Unavailable

NO_LABEL = {"classification": "no label", "regression": "the target is NaN"}
"""Reason for dropping a sample without a label, by kind of task."""


def read_pool(task: TaskSpec, root: Path) -> Pool:
    """List the samples of a table: CSV, TSV, JSON lines, parquet or GeoParquet.

    The label is in column ``label``. Optional columns are ``id``, ``file`` (also ``file_name``, ``path``, ``image``;
    relative to the root, or to the table's folder if the root is the table), ``split``, ``group``, ``lon``, ``lat``
    and ``date``; the centre of a GeoParquet geometry replaces ``lon`` and ``lat``. Without ``id``, the file is the id.
    A column of files per product, ``file.<product>``, gives the bands of several sensors. Rows with the same id are the
    dates of a series, if the task declares ``dates``. Samples without label or with another number of dates are dropped
    and counted.

    The task's options are ``file`` (name of the table below the root), ``label`` and ``id`` (names of these columns),
    ``columns`` (names of any, for example ``{ date = "acquired" }``) and ``bands`` (bands of every product's files).

    Raises:
        ContractError: the task's options are wrong.
        Unavailable: there is no table.
        DataError: the table is damaged, lacks a column or has a wrong value; the message names the row.
    """
    if task.kind not in NO_LABEL:
        raise ContractError(
            f"task '{task.slug}': reader 'table' reads one label per sample; set kind = 'classification' or "
            "'regression', or use reader = 'masks' for one label per pixel"
        )
    path = _table(task, root)
    folder = root if root.is_dir() else root.parent
    columns = columns_of(task, path)
    items: list[Item] = []
    given: dict[str, str] = {}
    dropped: dict[str, list[str]] = {}
    for _, group in groupby(rows_of(task, columns), key=lambda row: row.id):
        rows = _sample(task, path, list(group))
        split, reason = _agreed(path, rows, "split"), _unusable(task, rows)
        if reason:
            dropped.setdefault(reason, []).append(rows[0].id)
            continue
        items.append(_item(task, folder, path, rows))
        given |= {rows[0].id: split} if split else {}
    if not items:
        raise DataError(f"{path}: all samples were dropped ({_counted(dropped)}). Correct the table or the task")
    load = image_loader(task, columns.bands) if columns.files else None
    items.sort(key=lambda item: item.id)
    return Pool(folder, tuple(items), load, given=given, dropped={why: tuple(ids) for why, ids in dropped.items()})


def _counted(dropped: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"{len(ids)}: {reason}" for reason, ids in list(dropped.items())[:4])


def _table(task: TaskSpec, root: Path) -> Path:
    """The table of a task, which is the root or below it."""
    name = task.options.get("file")
    if root.is_file() and name is None:
        return root
    if name is not None and (root / str(name)).is_file():
        return root / str(name)
    tables = [path for path in visible(root) if is_table(path)] if root.is_dir() else []
    if name is not None:
        raise DataError(
            f"{root}: there is no table '{str(name)[:80]}'; tables in this folder: "
            f"{listed([path.name for path in tables]) or 'none'}. Correct options.file of task '{task.slug}'"
        )
    if not tables:
        raise Unavailable("data", f"{root} has no table (CSV, TSV, JSON lines or parquet)", task.how_to_get)
    if len(tables) > 1:
        raise ContractError(
            f"task '{task.slug}': {root} has {len(tables)} tables ({listed([path.name for path in tables])}); name one "
            f"with options = {{ file = '{tables[0].name}' }}"
        )
    return tables[0]


def _sample(task: TaskSpec, path: Path, rows: list[Row]) -> list[Row]:
    """The rows of one sample in the order of their dates."""
    if task.dates is None:
        if len(rows) > 1:
            _agreed(path, rows, "split")
            hint = f". For a series, set dates = {len(rows)} in the task" if all(row.day for row in rows) else ""
            raise DataError(
                f"{where(path, rows[1].number)}: sample '{rows[0].id[:80]}' is also in {_place(path, rows[0])}; ids "
                f"must be unique. Remove one row{hint}"
            )
        return rows
    days = {row.number: _day(path, row) for row in rows}
    ordered = sorted(rows, key=lambda row: (days[row.number], row.number))
    for before, after in pairwise(ordered):
        if days[before.number] == days[after.number]:
            raise DataError(
                f"{where(path, after.number)}: sample '{after.id[:80]}' has the date {days[after.number]} also in "
                f"{_place(path, before)}; expected one row per date. Remove one"
            )
    return ordered


def _place(path: Path, row: Row) -> str:
    return where(path, row.number).rpartition(", ")[2]


def _day(path: Path, row: Row) -> date:
    try:
        return date.fromisoformat(row.day.replace("T", " ").split(" ")[0])
    except (ValueError, IndexError):
        raise DataError(
            f"{where(path, row.number)}: date is '{row.day[:40]}', expected for example 2021-07-31. Write all dates as "
            "year-month-day"
        ) from None


def _agreed(path: Path, rows: Sequence[Row], what: str) -> Any:
    """The value that the rows of one sample share; missing values do not count."""
    values = [(getattr(row, what), row) for row in rows]
    known = [(value, row) for value, row in values if value != "" and value == value]  # NaN differs from itself
    for value, row in known[1:]:
        first, earlier = known[0]
        if value != first:
            raise DataError(
                f"{where(path, row.number)}: sample '{row.id[:80]}' has {what} '{value}', but '{first}' in "
                f"{_place(path, earlier)}; keep one {what} per sample"
            )
    return known[0][0] if known else None


def _unusable(task: TaskSpec, rows: Sequence[Row]) -> str | None:
    if all(np.isnan(row.label) for row in rows):
        return NO_LABEL[task.kind]
    if task.dates is not None and len(rows) != task.dates:
        return f"{len(rows)} dates instead of {task.dates}"
    return None


def _item(task: TaskSpec, folder: Path, path: Path, rows: Sequence[Row]) -> Item:
    label = _agreed(path, rows, "label")
    first, *others = [folder / name for row in rows for name in row.files] or [path]
    placed = bool(rows[0].files) and first.suffix.lower() in TIFF and first.exists()
    lonlat, box = place_of(first) if placed else (None, None)
    return Item(
        rows[0].id,
        first,
        float(label) if task.kind == "regression" else int(label),
        _agreed(path, rows, "group"),
        next((row.lonlat for row in rows if row.lonlat is not None), lonlat),
        tuple(others),
        dates=tuple(_day(path, row) for row in rows) if task.dates is not None else (),
        box=box,
    )
