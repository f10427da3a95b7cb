"""Read the rows of a table batch by batch: parquet, CSV, npy with ids, or zarr. Only the asked columns are read."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, csv, parquet

from geofm_eval.data.embeddings.zarr_groups import open_group
from geofm_eval.data.readers.files import read_text
from geofm_eval.errors import DataError

VALUES = "embedding"
"""Name of the list column that stands for the array of an npy file."""

MOST_VALUES = 2**22
"""Numbers in one batch: 32 MB."""

Kinds = Mapping[str, Any]
"""Arrow type of every column to read; None keeps the stored type."""

_DELIMITED = (".csv", ".tsv", ".txt")
_PARQUET = (".parquet", ".geoparquet", ".pq")


@dataclass(frozen=True)
class Table:
    """One open table.

    Args:
        path: the file.
        schema: names and Arrow types of its columns.
        read: yields record batches of some columns, with about the given number of rows each.
        metadata: texts that the file declares of itself, for example ``product_version``.
        typed: whether the file knows the types of its columns; those of a CSV file are guessed from its first rows.
    """

    path: Path
    schema: Any
    read: Callable[[Kinds, int], Iterator[Any]] = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)
    typed: bool = True

    def batches(self, kinds: Kinds, width: int = 1) -> Iterator[Any]:
        """Yield record batches of some columns in the order of the rows.

        Args:
            kinds: Arrow type by column.
            width: numbers in a row, which limits the rows of a batch.

        Raises:
            DataError: a column is missing, the file is damaged, or a value does not have the type.
        """
        for name in kinds:
            if name not in self.schema.names:
                raise DataError(
                    f"{self.path}: there is no column '{name[:60]}'; columns: {listed(self.schema.names)}. Name the "
                    "column in the options of the model's entry"
                )
            if self.schema.names.count(name) > 1:
                raise DataError(f"{self.path}: there are several columns '{name[:60]}'; remove all but one")
        with _explained(self.path):
            for batch in self.read(kinds, max(MOST_VALUES // max(width, 1), 1024)):
                yield _cast(batch, kinds)


def open_table(path: Path, ids: Path | None = None, values: str | None = None) -> Table:
    """Open a table by the ending of its name.

    Args:
        path: parquet, CSV or TSV (also ``.gz``), npy, or zarr (folder or zip).
        ids: file with the ids of the rows of an npy file; None takes the file beside it.
        values: array of a zarr group; None takes the only one of two dimensions.

    Raises:
        DataError: the file has another ending, is damaged, or has no ids.
    """
    endings = [ending.lower() for ending in path.suffixes if ending.lower() not in (".gz", ".zip")]
    kind = endings[-1] if endings else ""
    with _explained(path):
        if kind in _PARQUET:
            return _parquet(path)
        if kind in _DELIMITED:
            return _delimited(path)
        if kind == ".npy":
            return _npy(path, ids)
        if kind == ".zarr":
            return _zarr(path, values)
    raise DataError(
        f"{path}: found the ending '{path.suffix}', expected .parquet, .csv, .tsv (also .gz), .npy or .zarr. Convert "
        "the table"
    )


def listed(names: Sequence[str]) -> str:
    """Return the first names of many, for messages."""
    shown = ", ".join(str(name)[:24] for name in names[:8])
    return f"{shown} and {len(names) - 8} more" if len(names) > 8 else shown


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError) as error:
        reason = str(error).replace(str(path), path.name).splitlines()[0][:160] or type(error).__name__
        raise DataError(f"{path}: not a readable table ({reason}). Write or fetch the file again") from error


def _cast(batch: Any, kinds: Kinds) -> Any:
    columns = [batch.column(batch.schema.get_field_index(name)) for name in kinds]
    cast = [
        column if kind is None or column.type == kind else compute.cast(column, kind)
        for column, kind in zip(columns, kinds.values(), strict=True)
    ]
    return pa.record_batch(cast, names=list(kinds))


def _parquet(path: Path) -> Table:
    schema = parquet.read_schema(path)
    declared = {key.decode(): value.decode("utf-8", "replace") for key, value in (schema.metadata or {}).items()}

    def read(kinds: Kinds, rows: int) -> Iterator[Any]:
        # Arrow would otherwise keep all that it has read ahead until the end of the file.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            yield from file.iter_batches(rows, columns=list(kinds))

    return Table(path, schema, read, declared)


def _delimited(path: Path) -> Table:
    parse = csv.ParseOptions(delimiter=_delimiter(path), newlines_in_values=True)
    with csv.open_csv(path, parse_options=parse) as reader:
        schema = reader.schema

    def read(kinds: Kinds, rows: int) -> Iterator[Any]:
        # Types are given, because Arrow infers them from the first megabyte, and ids such as 007 are no numbers.
        given = {name: kind for name, kind in kinds.items() if kind is not None}
        convert = csv.ConvertOptions(include_columns=list(kinds), column_types=given, strings_can_be_null=False)
        with csv.open_csv(path, parse_options=parse, convert_options=convert) as batches:
            yield from batches

    return Table(path, schema, read, typed=False)


def _delimiter(path: Path) -> str:
    with pa.input_stream(str(path)) as stream:
        header = stream.read(2**16).decode("utf-8-sig", "replace").split("\n")[0]
    return max((",", ";", "\t"), key=header.count)


def _npy(path: Path, ids: Path | None) -> Table:
    values = np.load(path, mmap_mode="r", allow_pickle=False)
    if values.ndim != 2 or values.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: found an array of {values.dtype} with shape {values.shape}, expected numbers of (rows, channels)."
            " Average tokens or pixels of each sample first"
        )
    names = _ids_beside(path, ids)
    if len(names) != len(values):
        raise DataError(f"{path}: found {len(values)} rows and {len(names)} ids, expected one id per row")

    def read(kinds: Kinds, rows: int) -> Iterator[Any]:
        for start in range(0, len(values), rows):
            yield _rows(values[start : start + rows], names[start : start + rows])

    return Table(path, _rows(values[:1], names[:1]).schema, read)


def _rows(values: Any, names: Sequence[str]) -> Any:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.record_batch(
        [pa.array(names, pa.string()), pa.FixedSizeListArray.from_arrays(flat, values.shape[1])], names=["id", VALUES]
    )


def _ids_beside(path: Path, ids: Path | None) -> list[str]:
    """Ids from a text file with one id per line, or a JSON list."""
    beside = [path.with_suffix(ending) for ending in (".ids.txt", ".ids.json")]
    found = ids or next((file for file in beside if file.is_file()), None)
    if found is None:
        raise DataError(
            f"{path}: the ids of its rows are missing; expected {beside[0].name} with one id per line, or "
            f"{beside[1].name} with a list, in the same folder. Write one, or name another file with options.ids"
        )
    text = read_text(found)
    if found.suffix != ".json":
        return text.splitlines()
    names = json.loads(text)
    if not isinstance(names, list):
        raise DataError(f"{found}: found a {type(names).__name__}, expected a JSON list of ids")
    return [str(name) for name in names]


def _zarr(path: Path, values: str | None) -> Table:
    arrays = open_group(path)
    name = values or _only_matrix(path, arrays)
    if name not in arrays or arrays[name].ndim != 2:
        raise DataError(f"{path}: there is no array '{name[:60]}' of two dimensions; arrays: {listed(list(arrays))}")
    columns = {name: arrays[name], **{key: one for key, one in arrays.items() if one.ndim == 1}}
    short = [key for key, one in columns.items() if one.shape[0] != arrays[name].shape[0]]
    if short:
        raise DataError(f"{path}: '{short[0]}' and '{name}' have different numbers of rows, expected one id per row")

    def part(start: int, stop: int, names: Sequence[str]) -> Any:
        return pa.record_batch([_column(columns[one][start:stop]) for one in names], names=list(names))

    def read(kinds: Kinds, rows: int) -> Iterator[Any]:
        for start in range(0, arrays[name].shape[0], rows):
            yield part(start, start + rows, list(kinds))

    return Table(path, part(0, 1, list(columns)).schema, read)


def _only_matrix(path: Path, arrays: Mapping[str, Any]) -> str:
    found = [name for name, array in arrays.items() if array.ndim == 2]
    if len(found) != 1:
        raise DataError(
            f"{path}: found {len(found)} arrays of two dimensions ({listed(list(arrays))}), expected one of (rows, "
            "channels). Name it with options.columns"
        )
    return found[0]


def _column(values: Any) -> Any:
    found = np.asarray(values)
    if found.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(found).reshape(-1)), found.shape[1])
    return pa.array(found.tolist(), pa.string()) if found.dtype.kind in "OUST" else pa.array(found)
