"""Embeddings in files: tables, npy with ids, zarr and rasters, and how their rows may be found."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import types

from geofm_eval.catalog.embeddings import PIXELS, TABLE
from geofm_eval.data.delimited import is_numeric
from geofm_eval.data.embeddings.matching import GEOMETRY
from geofm_eval.data.embeddings.tables import VALUES, open_table
from geofm_eval.data.geoparquet import geometry_column
from geofm_eval.data.readers.images import TIFF
from geofm_eval.data.tabular import LAT, LON, is_table, read_schema, shown
from geofm_eval.errors import DataError
from geofm_eval.looking.columns import plain

IDS = ("id", "system:index", "sample_id", "sample", "plot_id", "plot", "point_id", "uid", "fid", "name")
"""Usual names of a column that identifies samples; Earth Engine exports ``system:index``."""

FEWEST_CHANNELS = 4
"""Numbered columns that make an embedding."""

MOST_KEYS = 8
"""Columns that are tried as ids of the samples."""

_LISTS = ("embedding", "embeddings", "vector", "features")
"""Usual names of a column of lists, the first that exists, if there are several."""


@dataclass(frozen=True)
class FoundEmbeddings:
    """Embeddings in a file.

    Args:
        path: the file, or the folder of a zarr group.
        architecture: ``table`` or ``pixels``.
        ways: options of an entry for every way to find the row of a sample: by a column of ids, or by place.
        fact: what was found, in a few words.
    """

    path: Path
    architecture: str
    ways: tuple[Mapping[str, Any], ...]
    fact: str


def find_embeddings(path: Path) -> FoundEmbeddings | None:
    """Return the embeddings of a file; None if it is of another kind, or a table without embeddings.

    Raises:
        DataError: the file is damaged, an npy file has no ids, or several columns of lists may be the embedding.
    """
    if path.is_file() and path.suffix.lower() in TIFF:
        return FoundEmbeddings(path, PIXELS, ({"raster": str(path)},), "raster, read at the places of the samples")
    if path.is_file() and is_table(path):
        return _of_columns(path)
    kind = Path(path.name.lower().removesuffix(".zip")).suffix
    if kind not in (".npy", ".zarr"):
        return None
    schema = open_table(path).schema
    values = lists_in(schema)
    fact = "".join(f"{schema.field(name).type.list_size} numbers per sample" for name in values[:1]) or "an array"
    return FoundEmbeddings(path, TABLE, _ways(path, {"file": str(path)}, schema, values), fact)


def _of_columns(path: Path) -> FoundEmbeddings | None:
    schema = read_schema(path)
    names, pattern = embedding_columns(path, schema)
    if not names:
        return None
    ways = _ways(path, {"file": str(path), "columns": pattern}, schema, names)
    return FoundEmbeddings(path, TABLE, ways, f"columns {pattern}")


def embedding_columns(path: Path, schema: Any) -> tuple[list[str], str]:
    """Return the columns of a table's embedding, and the option ``columns`` of its entry; empty without one.

    These are the largest group of columns with the same letters and a number, or a column of lists of numbers.

    Raises:
        DataError: several columns of lists may be the embedding.
    """
    groups: dict[str, list[str]] = {}
    for name in schema.names:
        match = re.fullmatch(r"([A-Za-z_]+)(\d+)", name)
        if match:
            groups.setdefault(match[1], []).append(name)
    largest = max(groups.values(), key=len, default=[])
    if len(largest) >= FEWEST_CHANNELS:
        return largest, re.sub(r"\d+$", "*", largest[0])
    lists = lists_in(schema)
    usual = [name for word in _LISTS for name in lists if plain(name) == word]
    chosen = usual[:1] or lists
    if len(chosen) > 1:
        raise DataError(
            f"{path}: {len(chosen)} columns of lists may be the embedding ({shown(chosen)}); name one '{VALUES}', or "
            "write the entry by hand with options.columns"
        )
    return chosen, "".join(chosen)


def lists_in(schema: Any) -> list[str]:
    """Return the columns of a schema that hold lists of numbers."""
    kinds = {name: schema.field(name).type for name in schema.names}
    return [
        name
        for name, kind in kinds.items()
        if types.is_nested(kind) and hasattr(kind, "value_type") and is_numeric(kind.value_type)
    ]


def _ways(
    path: Path, options: Mapping[str, Any], schema: Any, embedding: Sequence[str]
) -> tuple[Mapping[str, Any], ...]:
    """Options by the column of ids, usual names first, and by place if the rows have places."""
    placed = {plain(name) for name in schema.names}
    names = [name for name in schema.names if name not in embedding and plain(name) not in (*LON, *LAT)]
    kinds = {name: schema.field(name).type for name in names}
    usual = [name for word in IDS for name in names if plain(name) == word]
    others = [
        name
        for name, kind in kinds.items()
        if name not in usual and (types.is_string(kind) or types.is_large_string(kind) or types.is_integer(kind))
    ]
    keys = [name for name in (*usual, *others)][:MOST_KEYS]
    found = [{**options, **({} if name == "id" else {"key": name})} for name in keys]
    with_places = (placed & {*LON} and placed & {*LAT}) or geometry_column(path) is not None
    return (*found, *([{**options, "key": GEOMETRY}] if with_places else []))
