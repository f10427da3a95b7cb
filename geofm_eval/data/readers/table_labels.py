"""Labels in a column of a table: classes by name, number or position, numbers to be predicted, and masks."""

import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.delimited import MISSING
from geofm_eval.data.readers.table_columns import Columns
from geofm_eval.data.tabular import numbers, where
from geofm_eval.errors import ContractError, DataError


def read_labels(task: TaskSpec, columns: Columns, column: Any) -> npt.NDArray[np.float64]:
    """Return (n,) labels: numbers, or positions in the task's classes; NaN where a label is missing.

    If there is one label per pixel, the number is 0 where a row names a mask.

    Args:
        task: declares kind and classes. If the labels are numbers and the classes are not, a label is the position of
            its class, counted from 0.
        columns: of the table, for messages.
        column: pyarrow column, numbers for a regression and text for a classification.

    Raises:
        DataError: a label is infinite or not a class, or no sample has a label.
    """
    if task.dense:
        labels = np.array([math.nan if text in MISSING else 0.0 for text in _stripped(column)])
    else:
        labels = numbers(column) if task.kind == "regression" else _positions(task, columns, column)
    infinite = np.flatnonzero(np.isinf(labels))
    if len(infinite):
        raise DataError(
            f"{where(columns.path, int(infinite[0]))}: the label is infinite, expected a number. Correct it, or leave "
            "it empty if it is missing"
        )
    if not np.isfinite(labels).any():
        raise DataError(
            f"{columns.path}: none of the {len(labels)} rows has a value in column '{columns.named['label']}'; "
            "expected labels. Name the column of the labels with options = { label = 'column' }"
        )
    return labels


def _positions(task: TaskSpec, columns: Columns, column: Any) -> npt.NDArray[np.float64]:
    encoded = column.combine_chunks().dictionary_encode()
    values = _stripped(encoded.dictionary)
    found = [_position(task, value) for value in values]
    unknown = next((number for number, position in enumerate(found) if position is None), None)
    rows = encoded.indices.fill_null(len(values)).to_numpy(zero_copy_only=False)
    if unknown is not None:
        row, classes = int(np.flatnonzero(rows == unknown)[0]), ", ".join(name[:24] for name in task.classes[:6])
        raise DataError(
            f"{where(columns.path, row)}: label is '{values[unknown][:40]}', expected one of {classes}"
            f"{', ...' if len(task.classes) > 6 else ''}, or a position from 0 to {len(task.classes) - 1}. Add it to "
            f"the classes of task '{task.slug}', or correct column '{columns.named['label']}'"
        )
    return np.asarray(np.array([*found, math.nan], np.float64)[rows])


def _stripped(column: Any) -> list[str]:
    return [(value or "").strip() for value in column.to_pylist()]


def _position(task: TaskSpec, value: str) -> float | None:
    """Position of a label in the classes; NaN if it is missing, None if it is not a class."""
    if value in task.classes:
        return task.classes.index(value)
    if value in MISSING:
        return math.nan
    number, known = _number(value), [_number(name) for name in task.classes]
    if number is None:
        return None
    if any(name is not None for name in known):
        return known.index(number) if number in known else None
    return number if number in range(len(task.classes)) else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def check_classes(task: TaskSpec, at: Path, seen: Collection[float]) -> None:
    """Refuse a classification with classes that no row has.

    Args:
        task: declares the classes.
        at: table or folder, for messages.
        seen: labels of all rows.

    Raises:
        ContractError: the task has a single class.
        DataError: a class has no sample.
    """
    if len(task.classes) == 1:
        raise ContractError(
            f"task '{task.slug}': found the class '{task.classes[0]}' alone; expected at least two classes with samples"
        )
    absent = [name for position, name in enumerate(task.classes) if position not in seen]
    if absent:
        raise DataError(
            f"{at}: no row has the label '{absent[0][:40]}' ({len(absent)} of {len(task.classes)} classes of task "
            f"'{task.slug}' have no samples). Remove them from classes, or correct the column of the labels"
        )
