"""Read columns of tables: CSV, TSV, JSON lines and parquet; only the columns asked for are kept in memory.

CSV, TSV and JSON lines may be compressed with gzip. The separator of a CSV (comma, semicolon, tab or ``|``) is
taken from its first line; with semicolons, numbers may have decimal commas.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from geofm_eval.data.delimited import MISSING, explained, header, opened, read_delimited
from geofm_eval.errors import DataError

DELIMITED = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".geoparquet", ".pq")
TABLES = (*DELIMITED, *JSON_LINES, *PARQUET)
"""Endings of tables in lower case; all but parquet may be followed by ``.gz``."""

TEXT, NUMBER = pa.string(), pa.float64()
"""Types for :func:`read_columns`: text as written, and numbers with NaN where a value is missing."""

_ROWS = 2**16
_SEEN = 1000


def is_table(path: Path) -> bool:
    """Return whether a file has the ending of a table."""
    return _kind(path) in TABLES


def where(path: Path, row: int) -> str:
    """Return the place of a row, counted from 0, for messages: its line in the file, or its number counted from 1."""
    kind = _kind(path)
    if kind in PARQUET:
        return f"{path}, row {row + 1}"
    return f"{path}, line {row + (2 if kind in DELIMITED else 1)}"


def column_names(path: Path) -> tuple[str, ...]:
    """Return the names of a table's columns in file order, without reading its values.

    Columns of JSON lines are the keys of its first 1,000 lines.

    Raises:
        DataError: the file cannot be read or has no columns.
    """
    kind = _known_kind(path)
    with explained(path):
        if kind in PARQUET:
            names: tuple[str, ...] = tuple(parquet.read_schema(path).names)
        elif kind in JSON_LINES:
            names = tuple(dict.fromkeys(name for found in islice(_objects(path), _SEEN) for name in found))
        else:
            names = tuple(header(path)[0])
    if not names:
        raise DataError(f"{path}: the table is empty, expected a first line with the names of the columns")
    return names


def found_column(path: Path, names: Sequence[str], wanted: str, remedy: str) -> str:
    """Return the name of a column as the file spells it; capitals and surrounding spaces do not count.

    Args:
        path: the table, for messages.
        names: its columns.
        wanted: name to find.
        remedy: what to do if there is no such column.

    Raises:
        DataError: the column does not exist, or occurs twice; the message has the columns and the most similar name.
    """
    same = [name for name in names if _plain(name) == _plain(wanted)]
    same = [name for name in same if name == wanted] or same
    if len(same) == 1:
        return same[0]
    if same:
        raise DataError(f"{path}: column '{wanted}' occurs {len(same)} times, expected once. Rename or remove one")
    near = difflib.get_close_matches(_plain(wanted), [_plain(name) for name in names], n=1)
    hint = next((f" (did you mean '{name}'?)" for name in names if near and _plain(name) == near[0]), "")
    raise DataError(f"{path}: there is no column '{wanted}'{hint}; the columns are {listed(names)}. {remedy}")


def listed(names: Sequence[str]) -> str:
    """Return the first names of a list for a message."""
    shown = ", ".join(name[:24] for name in names[:8])
    return f"{shown}, ... ({len(names)} columns)" if len(names) > 8 else shown


def read_columns(path: Path, types: Mapping[str, Any]) -> Any:
    """Read some columns of a table.

    Args:
        path: the table.
        types: pyarrow type of every column to read, by name as in the file: :data:`TEXT`, :data:`NUMBER`, or for
            parquet and JSON lines also lists of numbers.

    Returns:
        A ``pyarrow.Table`` with these columns in this order. Missing numbers are null, missing text is empty or null.

    Raises:
        DataError: the file cannot be read, a column is missing or named twice, a row has another number of values than
            the first line, or a value does not have the type; the message names the row.
    """
    names = column_names(path)
    chosen = {found_column(path, names, name, "Name an existing column"): kind for name, kind in types.items()}
    schema = pa.schema(list(chosen.items()))
    with explained(path):
        if _kind(path) in DELIMITED:
            return read_delimited(path, schema)
        return pa.Table.from_batches(_converted(path, schema), schema)


def numbers(column: Any) -> npt.NDArray[np.float64]:
    """Return a column of numbers as (n,) float64; missing values are NaN."""
    found = column.to_numpy() if not column.null_count else pc.fill_null(column, float("nan")).to_numpy()
    return np.asarray(found, np.float64)


def _plain(name: str) -> str:
    return name.strip().lower()


def _kind(path: Path) -> str:
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _known_kind(path: Path) -> str:
    kind = _kind(path)
    if kind not in TABLES or (kind in PARQUET and path.suffix.lower() == ".gz"):
        raise DataError(
            f"{path.name}: not a table that can be read; expected a name that ends in {', '.join(TABLES)} (.gz is "
            "allowed after all but parquet). Convert or rename the file"
        )
    return kind


def _converted(path: Path, schema: Any) -> Iterator[Any]:
    """Batches of a parquet file or of JSON lines, with every column converted to its type."""
    start = 0
    for columns in _batches(path, schema.names):
        arrays = [_cast(path, column, field, start) for column, field in zip(columns, schema, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        start += len(arrays[0])


def _batches(path: Path, names: Sequence[str]) -> Iterator[list[Any]]:
    if _kind(path) in PARQUET:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(_ROWS, columns=list(names)):
                yield [batch.column(batch.schema.get_field_index(name)) for name in names]
        return
    rows: list[list[Any]] = []
    for found in _objects(path):
        rows.append([found.get(name) for name in names])
        if len(rows) == _ROWS:
            yield list(map(list, zip(*rows, strict=True)))
            rows = []
    if rows:
        yield list(map(list, zip(*rows, strict=True)))


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """Content of every line of JSON lines that is not empty."""
    with opened(path) as file:
        for row, line in enumerate(file):
            text = line.decode("utf-8-sig")
            if not text.strip():
                continue
            try:
                found = json.loads(text)
            except ValueError as error:
                raise DataError(f"{where(path, row)}: not JSON ({error}). Write one object per line") from error
            if not isinstance(found, dict):
                raise DataError(f"{where(path, row)}: expected an object, {{...}}, found {text.strip()[:40]}")
            yield found


def _cast(path: Path, values: Any, field: Any, start: int) -> Any:
    """Convert values of one column; a failure names the first row that has no such value."""
    whole = _attempt(values, field.type)
    if whole is not None:
        return whole
    bad = next((row for row, value in enumerate(_single(values)) if _attempt([value], field.type) is None), 0)
    raise DataError(
        f"{where(path, start + bad)}: column '{field.name}' is {str(_single(values)[bad])[:60]!r}, expected "
        f"{'a number' if field.type == NUMBER else field.type}. Correct the value, or leave it empty if it is missing"
    )


def _single(values: Any) -> list[Any]:
    return values if isinstance(values, list) else list(values.to_pylist())


def _attempt(values: Any, kind: Any) -> Any:
    """The values as another type; None if one has no such value."""
    try:
        if isinstance(values, list):
            return pa.array(list(_typed(values, kind)), kind)
        if kind == NUMBER and pa.types.is_string(values.type):
            return pa.array(list(_typed(values.to_pylist(), kind)), kind)
        return values.cast(kind, safe=False)
    except (pa.ArrowException, ValueError, TypeError):
        return None


def _typed(values: Iterable[Any], kind: Any) -> Iterator[Any]:
    """Python values for one column: JSON writes a label as a number or as text."""
    for value in values:
        if value is None:
            yield None
        elif kind == TEXT:
            yield value if isinstance(value, str) else json.dumps(value)
        elif kind == NUMBER:
            missing = isinstance(value, str) and value.strip() in MISSING
            yield None if missing else float(value)
        else:
            yield value
