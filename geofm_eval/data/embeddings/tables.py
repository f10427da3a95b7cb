"""Read the rows of a table of embeddings batch by batch: a text or parquet file, npy with ids, or zarr."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from geofm_eval.data.delimited import explained
from geofm_eval.data.embeddings.zarr_groups import explained_group, open_group
from geofm_eval.data.readers.files import read_text
from geofm_eval.data.tabular import found_column, is_table, read_batches, read_metadata, read_schema, shown
from geofm_eval.errors import DataError

VALUES = "embedding"
"""Name of the list column that stands for the array of an npy file."""

MOST_VALUES = 2**22
"""Numbers in one batch: 32 MB."""

Kinds = Mapping[str, Any]
"""Arrow type of every column to read; None keeps the type of the table's schema."""


@dataclass(frozen=True)
class EmbeddingTable:
    """One open table.

    Args:
        path: the file.
        schema: names and Arrow types of its columns.
        read: yields record batches of some columns, with about the given number of rows each.
        metadata: texts that the file declares of itself, for example ``product_version``.
    """

    path: Path
    schema: Any
    read: Callable[[Kinds, int], Iterator[Any]] = field(repr=False)
    metadata: Mapping[str, str] = field(default_factory=dict, repr=False)

    def batches(self, kinds: Kinds, width: int = 1) -> Iterator[Any]:
        """Yield record batches of some columns in the order of the rows.

        Args:
            kinds: Arrow type by column.
            width: numbers in a row, which limits the rows of a batch.

        Raises:
            DataError: a column is missing, the file is damaged, or a value does not have the type.
        """
        remedy = "Name the column in the options of the model's entry"
        found = {found_column(self.path, self.schema.names, name, remedy): kind for name, kind in kinds.items()}
        with explained(self.path):
            yield from self.read(found, max(MOST_VALUES // max(width, 1), 1024))


def open_table(path: Path, ids: Path | None = None, values: str | None = None) -> EmbeddingTable:
    """Open a table by the ending of its name.

    Args:
        path: parquet, CSV, TSV or JSON lines (also ``.gz``), npy, or zarr (folder or zip).
        ids: file with the ids of the rows of an npy file; None takes the file next to it.
        values: array of a zarr group; None takes the only one of two dimensions.

    Raises:
        DataError: the file has another ending, is damaged, or has no ids.
    """
    kind = Path(path.name.lower().removesuffix(".zip")).suffix
    with explained(path):
        if is_table(path):
            return EmbeddingTable(path, read_schema(path), partial(read_batches, path), read_metadata(path))
        if kind == ".npy":
            return _npy(path, ids)
        if kind == ".zarr":
            return _zarr(path, values)
    raise DataError(
        f"{path}: found the ending '{path.suffix}', expected .parquet, .csv, .tsv, .jsonl (the last three also .gz), "
        ".npy or .zarr. Convert the table"
    )


def _cast(batch: Any, kinds: Kinds) -> Any:
    columns = [batch[name] if kind is None else batch[name].cast(kind) for name, kind in kinds.items()]
    return pa.record_batch(columns, names=list(kinds))


def _npy(path: Path, ids: Path | None) -> EmbeddingTable:
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
            yield _cast(_rows(values[start : start + rows], names[start : start + rows]), kinds)

    return EmbeddingTable(path, _rows(values[:1], names[:1]).schema, read)


def _rows(values: Any, names: Sequence[str]) -> Any:
    flat = pa.array(np.ascontiguousarray(values).reshape(-1))
    return pa.record_batch(
        [pa.array(names, pa.string()), pa.FixedSizeListArray.from_arrays(flat, values.shape[1])], names=["id", VALUES]
    )


def _ids_beside(path: Path, ids: Path | None) -> list[str]:
    """Ids from a text file with one id per line, or a JSON list."""
    candidates = [path.with_suffix(ending) for ending in (".ids.txt", ".ids.json")]
    found = ids or next((file for file in candidates if file.is_file()), None)
    if found is None:
        raise DataError(
            f"{path}: the ids of its rows are missing; expected {candidates[0].name} with one id per line, or "
            f"{candidates[1].name} with a list, in the same folder. Write one, or name another file with options.ids"
        )
    text = read_text(found)
    if found.suffix.lower() != ".json":
        return text.splitlines()
    names = json.loads(text)
    if not isinstance(names, list):
        raise DataError(f"{found}: found a {type(names).__name__}, expected a JSON list of ids")
    return [str(name) for name in names]


def _zarr(path: Path, values: str | None) -> EmbeddingTable:
    arrays = open_group(path)
    name = values or _only_matrix(path, arrays)
    if name not in arrays or arrays[name].ndim != 2:
        raise DataError(f"{path}: there is no array '{name[:60]}' of two dimensions; arrays: {shown(list(arrays))}")
    columns = {name: arrays[name], **{key: one for key, one in arrays.items() if one.ndim == 1}}
    short = [key for key, one in columns.items() if one.shape[0] != arrays[name].shape[0]]
    if short:
        raise DataError(f"{path}: '{short[0]}' and '{name}' have different numbers of rows, expected one id per row")

    def part(start: int, stop: int, names: Sequence[str]) -> Any:
        with explained_group(path):
            return pa.record_batch([_column(columns[one][start:stop]) for one in names], names=list(names))

    def read(kinds: Kinds, rows: int) -> Iterator[Any]:
        for start in range(0, arrays[name].shape[0], rows):
            yield _cast(part(start, start + rows, list(kinds)), kinds)

    return EmbeddingTable(path, part(0, 1, list(columns)).schema, read)


def _only_matrix(path: Path, arrays: Mapping[str, Any]) -> str:
    found = [name for name, array in arrays.items() if array.ndim == 2]
    if len(found) != 1:
        raise DataError(
            f"{path}: found {len(found)} arrays of two dimensions ({shown(list(arrays))}), expected one of (rows, "
            "channels). Name it with options.columns"
        )
    return found[0]


def _column(values: Any) -> Any:
    found = np.asarray(values)
    if found.ndim == 2:
        return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(found).reshape(-1)), found.shape[1])
    return pa.array(found.tolist(), pa.string()) if found.dtype.kind in "OUST" else pa.array(found)
