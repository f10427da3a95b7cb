"""Columns of a table that hold its embedding, and their values as a matrix."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import compute, types

from geofm_eval.data.embeddings.tables import Table, listed
from geofm_eval.errors import DataError

_NUMBERED = re.compile(r"([A-Za-z]+_?)(\d+)")


@dataclass(frozen=True)
class Columns:
    """Columns of an embedding.

    Args:
        names: in the order of the channels; a single one if it is a column of lists.
        width: number of channels.
        lists: whether it is a column of lists.
        typed: see :class:`Table`.
    """

    names: tuple[str, ...]
    width: int
    lists: bool
    typed: bool = True

    @property
    def kinds(self) -> dict[str, Any]:
        """Arrow types to read: stored ones where they are known, because only few rows may be needed."""
        return dict.fromkeys(self.names, None if self.typed else pa.float64())

    def matrix(self, path: Path, batch: Any) -> npt.NDArray[np.float32]:
        """Return the values of a record batch, (rows, D) float32; NaN where a value is missing.

        Raises:
            DataError: a list has another length, or is no list of numbers.
        """
        if self.lists:
            return self._from_lists(path, batch.column(0))
        with np.errstate(over="ignore"):
            columns = [column.to_numpy(zero_copy_only=False).astype(np.float32) for column in batch.columns]
        return np.stack(columns, axis=1) if len(batch) else np.empty((0, self.width), np.float32)

    def _from_lists(self, path: Path, column: Any) -> npt.NDArray[np.float32]:
        found = np.full((len(column), self.width), np.nan, np.float32)
        lengths = compute.list_value_length(column).to_numpy(zero_copy_only=False)
        known = np.flatnonzero(compute.is_valid(column).to_numpy(zero_copy_only=False))
        other = [int(length) for length in np.unique(lengths[known]) if length != self.width]
        if other:
            raise DataError(
                f"{path}: rows of '{self.names[0]}' have {' and '.join(map(str, [self.width, *other[:3]]))} values, "
                "expected the same number in every row. Pool tokens to one vector per sample first"
            )
        values = compute.list_flatten(column).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            found[known] = values.reshape(len(known), self.width).astype(np.float32)
        return found


def columns_of(table: Table, wanted: Sequence[str]) -> Columns:
    """Return the columns of the embedding of a table.

    Args:
        table: the table.
        wanted: names, or patterns in which ``*`` stands for a number; empty takes numeric columns named by letters and
            a number, or else the only column of lists.

    Raises:
        DataError: no column fits, several kinds of columns do, or a column holds no numbers.
    """
    schema = table.schema
    lists = [name for name in schema.names if _is_list(schema.field(name).type)]
    if not wanted:
        numbered = _numbered(table)
        wanted = numbered or (lists if len(lists) == 1 else ())
        if not wanted:
            raise DataError(
                f"{table.path}: found no columns named by letters and a number (A00, A01, ..) and {len(lists)} columns "
                f"of lists; columns: {listed(schema.names)}. Name the embedding with options.columns, for example 'A*'"
            )
    names = tuple(dict.fromkeys(name for one in wanted for name in _matching(table, one)))
    if len(names) == 1 and names[0] in lists:
        return Columns(names, _width(table, names[0]), lists=True)
    texts = [name for name in names if not _is_number(schema.field(name).type)]
    if texts:
        raise DataError(
            f"{table.path}: {len(texts)} of {len(names)} columns of the embedding are not numeric: {listed(texts)} "
            f"({schema.field(texts[0]).type}). Remove text from them, or leave them out of options.columns"
        )
    return Columns(names, len(names), False, table.typed)


def _matching(table: Table, wanted: str) -> list[str]:
    """Columns of one pattern, in natural order: ``e2`` before ``e10``."""
    names = table.schema.names
    if wanted in names:
        return [wanted]
    number = re.compile(r"(\d+)".join(re.escape(part) for part in wanted.split("*")))
    found = [(tuple(map(int, match.groups())), name) for name in names if (match := number.fullmatch(name))]
    if not found:
        raise DataError(
            f"{table.path}: no column fits '{wanted[:60]}' (* stands for a number); columns: {listed(names)}. Change "
            "options.columns"
        )
    return [name for _, name in sorted(found)]


def _numbered(table: Table) -> list[str]:
    """The only group of numeric columns that are named by the same letters and a number."""
    groups: dict[str, list[str]] = {}
    for name in table.schema.names:
        match = _NUMBERED.fullmatch(name)
        if match:
            groups.setdefault(match[1], []).append(name)
    numeric = {
        prefix: names for prefix, names in groups.items() if any(_is_number(table.schema.field(n).type) for n in names)
    }
    if len(numeric) > 1:
        kinds = ", ".join(f"{prefix}* ({len(names)})" for prefix, names in list(numeric.items())[:6])
        raise DataError(
            f"{table.path}: several groups of columns may be the embedding: {kinds}. Name one with options.columns, "
            f"for example columns = '{max(numeric, key=lambda prefix: len(numeric[prefix]))}*'"
        )
    return [f"{prefix}*" for prefix in numeric]


def _width(table: Table, name: str) -> int:
    kind = table.schema.field(name).type
    if types.is_fixed_size_list(kind):
        return int(kind.list_size)
    for batch in table.batches({name: None}, 1024):
        lengths = compute.list_value_length(batch.column(0)).drop_null()
        if len(lengths):
            return int(lengths[0].as_py())
    raise DataError(f"{table.path}: column '{name}' has no values. Write the table again")


def _is_list(kind: Any) -> bool:
    lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
    return bool(lists) and _is_number(kind.value_type)


def _is_number(kind: Any) -> bool:
    # A column without any value has the type null; its rows are refused as not finite.
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_null(kind) or types.is_decimal(kind))
