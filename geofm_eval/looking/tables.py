"""Tables of labels, with image files, with embeddings, with both, or with ids alone."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import types

from geofm_eval.data.geoparquet import geometry_column
from geofm_eval.data.readers.images import is_image
from geofm_eval.data.readers.table_columns import FILES
from geofm_eval.data.tabular import LAT, LON, TEXT, column_names, found_column, read_columns, read_schema, shown
from geofm_eval.errors import DataError
from geofm_eval.looking.columns import as_classes, plain, usual_label, without_coordinates
from geofm_eval.looking.embeddings import IDS, embedding_columns
from geofm_eval.looking.series import DATES, SeriesColumns, find_series
from geofm_eval.looking.sources import OwnSource

MASK = "mask"
"""Column of masks."""

ROLES = (
    "split",
    "fold",
    "group",
    MASK,
    *LON,
    *LAT,
    "geometry",
    *(name for name in IDS if name != "name"),
    *DATES,
    *FILES,
)
"""Columns that are not labels; a column ``name`` may hold names of classes."""


@dataclass(frozen=True)
class _Layout:
    """Columns of a table by what they hold.

    Args:
        path: the table.
        names: all columns.
        channels: columns of an embedding; empty without one.
        pattern: option ``columns`` of the embedding's entry.
        files: column of image files by product; the name is empty if there is one column.
        nested: columns of lists, structures or geometries.
    """

    path: Path
    names: tuple[str, ...]
    channels: tuple[str, ...]
    pattern: str
    files: Mapping[str, str]
    nested: tuple[str, ...]

    @property
    def may_be_labels(self) -> list[str]:
        """Columns that have no other meaning."""
        taken = (*self.channels, *self.files.values(), *self.nested)
        return [name for name in without_coordinates(self.names) if plain(name) not in ROLES and name not in taken]


def texts(path: Path, column: str) -> list[str]:
    """Return a column as text without surrounding spaces; a missing value is the empty string."""
    return [(value or "").strip() for value in read_columns(path, {column: TEXT})[column].to_pylist()]


def label_candidates(path: Path) -> tuple[str | None, list[str]]:
    """Return the column of labels by its usual name, and all columns that may be labels."""
    layout = _layout_of(path)
    return usual_label(layout.names), layout.may_be_labels


def find(path: Path, label: str | None = None) -> OwnSource:
    """Return a table as a source.

    Raises:
        DataError: the table cannot be read, it is not clear which column holds the labels, or nothing identifies its
            samples.
    """
    layout = _layout_of(path)
    column = _label(layout, label)
    values = texts(path, column)
    series = find_series(layout.names, values, lambda name: texts(path, name)) if layout.files else None
    # Rows with images are identified by their files, unless several rows are a series.
    identity = None if layout.files and not layout.channels else _identity(path, layout.names)
    identity = series.id if series else identity
    if not layout.files and identity is None:
        raise DataError(
            f"{path}: expected a column {', '.join(FILES)}, or a column {', '.join(IDS)} with a different value in "
            f"every row; the columns are {shown(layout.names)}"
        )
    labels = as_classes(path, column, series.per_sample(values) if series else values)
    return OwnSource(
        reader="table",
        root=path,
        kind=labels.kind,
        classes=labels.classes,
        products={name: _images(path, files) for name, files in layout.files.items()},
        options=_options(column, identity, series, layout.files),
        comments={**labels.comments, **({"dates": series.told} if series else {})},
        counts=labels.counts,
        warnings=(*labels.warnings, *(text for files in layout.files.values() for text in _missing(path, files))),
        embedding=_embedding(layout, identity),
        dates=series.dates if series else None,
    )


def _layout_of(path: Path) -> _Layout:
    names, schema = column_names(path), read_schema(path)
    channels, pattern = embedding_columns(path, schema)
    files = _file_columns(names) or ({} if channels else _image_column(path, schema))
    nested = [name for name in schema.names if types.is_nested(schema.field(name).type)]
    geometry = geometry_column(path)
    return _Layout(path, names, tuple(channels), pattern, files, (*nested, *([geometry] if geometry else [])))


def _file_columns(names: Sequence[str]) -> dict[str, str]:
    """Column of image files by product."""
    known = {plain(name): name for name in names}
    usual = next((known[name] for name in FILES if name in known), None)
    if usual is not None:
        return {"": usual}
    parts = {name: name.partition(".") for name in names}
    return {product.strip(): name for name, (word, _, product) in parts.items() if plain(word) in FILES and product}


def _image_column(path: Path, schema: Any) -> dict[str, str]:
    """The only column of texts whose values are names of images, whatever its own name."""
    written = [name for name in schema.names if types.is_string(schema.field(name).type)]
    found = [name for name in written if all(is_image(Path(value)) for value in texts(path, name))]
    return {"": found[0]} if len(found) == 1 else {}


def _label(layout: _Layout, label: str | None) -> str:
    if label is not None:
        return found_column(layout.path, layout.names, label, "Name a column with --label")
    usual, others = usual_label(layout.names), layout.may_be_labels
    if usual is None and MASK in map(plain, layout.names):
        raise DataError(
            f"{layout.path}: found a column {MASK} and no label; masks listed in tables are not described. Write the "
            "entry by hand, with kind = 'segmentation' and classes (docs/bring_data.md, Table)"
        )
    if usual is not None or len(others) == 1:
        return usual or others[0]
    what = f"{len(others)} columns may hold the label ({shown(others)})" if others else "no column may hold the label"
    apart = (
        "; for embeddings whose labels are in another table, name their task with --tasks" if layout.channels else ""
    )
    raise DataError(f"{layout.path}: {what}; name it with --label COLUMN{apart}")


def _options(
    column: str, identity: str | None, series: SeriesColumns | None, files: Mapping[str, str]
) -> dict[str, Any]:
    named = {} if series is None or plain(series.date) == "date" else {"date": series.date}
    single = files.get("")
    named |= {} if single is None or plain(single) in FILES else {"file": single}
    found: dict[str, Any] = {} if plain(column) == "label" else {"label": column}
    found |= {} if identity is None or plain(identity) == "id" else {"id": identity}
    return found | ({"columns": named} if named else {})


def _embedding(layout: _Layout, identity: str | None) -> dict[str, object]:
    if not layout.channels:
        return {}
    key = {} if identity is None or plain(identity) == "id" else {"key": identity}
    return {"file": str(layout.path), "columns": layout.pattern, **key}


def _identity(path: Path, names: Sequence[str]) -> str | None:
    """The first column with a usual name whose values are all there and differ."""
    known = {plain(name): name for name in names}
    for name in (known[one] for one in IDS if one in known):
        values = texts(path, name)
        if all(values) and len(set(values)) == len(values):
            return name
    return known.get("id")


def _images(path: Path, column: str) -> tuple[Path, ...]:
    found = (path.parent / name for name in texts(path, column) if name)
    there = tuple(file for file in dict.fromkeys(found) if file.is_file())
    if not there:
        raise DataError(
            f"{path}: none of the files in column '{column}' exist in {path.parent}; expected paths relative to the "
            "folder of the table. Move the table or the files"
        )
    return there


def _missing(path: Path, column: str) -> list[str]:
    names = texts(path, column)
    absent = [name for name in names if not (path.parent / name).is_file()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    warnings = [f"{len(absent)} of {len(names)} files are missing, first '{absent[0][:60]}'"] if absent else []
    return warnings + ([f"{len(repeated)} files are listed more than once"] if repeated else [])
