"""Read columns of tables: CSV, TSV, JSON lines and parquet; only the columns asked for are kept in memory.

CSV, TSV and JSON lines may be compressed with gzip. The separator of a CSV (comma, semicolon, tab or ``|``) is
taken from its first line; with semicolons, numbers may have decimal commas.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from geofm_eval.data.delimited import MISSING, delimited_batches, explained, guessed_schema, header
from geofm_eval.data.json_lines import guessed_types, json_batches
from geofm_eval.errors import DataError

DELIMITED = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
PARQUET = (".parquet", ".geoparquet", ".pq")
TABLES = (*DELIMITED, *JSON_LINES, *PARQUET)
"""Endings of tables in lower case; all but parquet may be followed by ``.gz``."""

TEXT, NUMBER = pa.string(), pa.float64()
"""Types to read: text as written, and numbers with NaN where a value is missing."""

LON, LAT = ("lon", "longitude"), ("lat", "latitude")
"""Usual names of the columns of places, in lower case."""

_ROWS = 2**16


def is_table(path: Path) -> bool:
    """Return whether a file has the ending of a table."""
    return _kind(path) in TABLES


def where(path: Path, row: int) -> str:
    """Return the place of a row, counted from 0, for messages: its line in the file, or its number counted from 1."""
    kind = _kind(path)
    if kind in PARQUET:
        return f"{path}, row {row + 1}"
    return f"{path}, line {row + (2 if kind in DELIMITED else 1)}"


def read_schema(path: Path) -> Any:
    """Return names and types of a table's columns as a ``pyarrow.Schema``, without reading all values.

    Parquet files store the types. Others are guessed from the first megabyte of text or the first 1,000 lines of JSON,
    with float64 for all numbers.

    Raises:
        DataError: the file cannot be read.
    """
    kind = _known_kind(path)
    with explained(path):
        if kind in PARQUET:
            return parquet.read_schema(path)
        return guessed_types(path) if kind in JSON_LINES else guessed_schema(path)


def column_names(path: Path) -> tuple[str, ...]:
    """Return the names of a table's columns in file order, without reading its values.

    Columns of JSON lines are the keys of its first 1,000 lines.

    Raises:
        DataError: the file cannot be read or has no columns.
    """
    with explained(path):
        names = header(path)[0] if _known_kind(path) in DELIMITED else read_schema(path).names
    if not names:
        raise DataError(f"{path}: the table is empty, expected a first line with the names of the columns")
    return tuple(names)


def read_metadata(path: Path) -> dict[str, str]:
    """Return the texts that a parquet file declares of itself by name; empty for other tables."""
    if _kind(path) not in PARQUET:
        return {}
    declared = read_schema(path).metadata or {}
    return {key.decode(): value.decode("utf-8", "replace") for key, value in declared.items()}


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
    raise DataError(f"{path}: there is no column '{wanted}'{hint}; the columns are {shown(names)}. {remedy}")


def shown(names: Sequence[str]) -> str:
    """Return the first names of many, for messages."""
    first = ", ".join(name[:24] for name in names[:8])
    return f"{first} and {len(names) - 8} more" if len(names) > 8 else first


def read_columns(path: Path, types: Mapping[str, Any]) -> Any:
    """Read some columns of a table as a whole; see :func:`read_batches`.

    Returns:
        A ``pyarrow.Table`` with these columns in this order.
    """
    schema = _chosen(path, types)
    return pa.Table.from_batches(_batches(path, schema, _ROWS), schema)


def read_batches(path: Path, types: Mapping[str, Any], rows: int = _ROWS) -> Iterator[Any]:
    """Yield some columns of a table as ``pyarrow.RecordBatch`` in the order of the rows; memory is that of one batch.

    Args:
        path: the table.
        types: pyarrow type of every column to read, by name: :data:`TEXT`, :data:`NUMBER`, for parquet and JSON lines
            also lists of numbers, or None for the type of :func:`read_schema`.
        rows: about the number of rows of a batch; CSV is read by the megabyte.

    Yields:
        The columns in this order. Missing numbers are null, missing text is empty or null.

    Raises:
        DataError: the file cannot be read, a column is missing or named twice, a row has another number of values than
            the first line, or a value does not have the type; the message names the row.
    """
    yield from _batches(path, _chosen(path, types), rows)


def numbers(column: Any) -> npt.NDArray[np.float64]:
    """Return a column of numbers as (n,) float64; missing values are NaN."""
    found = column.to_numpy() if not column.null_count else pc.fill_null(column, float("nan")).to_numpy()
    return np.asarray(found, np.float64)


def trimmed(texts: Any) -> Any:
    """Return a pyarrow column of texts without surrounding white space, as ids are compared everywhere."""
    return pc.utf8_trim_whitespace(texts)


def in_degrees(path: Path, places: npt.NDArray[np.float64], start: int = 0) -> npt.NDArray[np.float64]:
    """Return places of rows, (n, 2) longitude and latitude, NaN where unknown, after checking that they are degrees.

    Args:
        path: the table, for messages.
        places: of consecutive rows.
        start: position of the first of these rows in the table.

    Raises:
        DataError: a place is not on Earth, or has only one coordinate.
    """
    known = np.isfinite(places).all(axis=1)
    outside = (np.abs(places[:, 0]) > 180) | (np.abs(places[:, 1]) >= 90)
    wrong = np.flatnonzero(outside | (np.isfinite(places).any(axis=1) & ~known))
    if len(wrong):
        lon, lat = places[int(wrong[0])]
        raise DataError(
            f"{where(path, start + int(wrong[0]))}: lon and lat are {lon:g} and {lat:g}, expected degrees. Convert "
            "coordinates of a projection, or leave both empty if they are unknown"
        )
    return places


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


def _chosen(path: Path, types: Mapping[str, Any]) -> Any:
    """The schema to read: names as in the file, and types as asked for."""
    names, stored = column_names(path), read_schema(path) if None in types.values() else None
    found = [(found_column(path, names, name, "Name an existing column"), kind) for name, kind in types.items()]
    return pa.schema([(name, stored.field(name).type if stored and kind is None else kind) for name, kind in found])


def _batches(path: Path, schema: Any, rows: int) -> Iterator[Any]:
    """Record batches of the columns of a schema, with every column converted to its type."""
    with explained(path):
        if _kind(path) in DELIMITED:
            yield from delimited_batches(path, schema)
            return
        start = 0
        for columns in _stored(path, schema.names, rows):
            arrays = [_cast(path, column, field, start) for column, field in zip(columns, schema, strict=True)]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            start += len(arrays[0])


def _stored(path: Path, names: Sequence[str], rows: int) -> Iterator[list[Any]]:
    if _kind(path) not in PARQUET:
        yield from json_batches(path, names, rows)
        return
    # Arrow would otherwise keep all that it has read ahead until the end of the file.
    with parquet.ParquetFile(path, pre_buffer=False) as file:
        for batch in file.iter_batches(rows, columns=list(names)):
            yield [batch.column(batch.schema.get_field_index(name)) for name in names]


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
