"""Tables of labels, with image files, with embeddings, or with both."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from geofm_eval.data.readers.table_columns import FILES
from geofm_eval.data.tabular import TEXT, column_names, found_column, read_columns, shown
from geofm_eval.errors import DataError
from geofm_eval.looking.columns import LABELS, as_classes, plain
from geofm_eval.looking.sources import OwnSource

ROLES = ("id", "split", "group", "lon", "longitude", "lat", "latitude", "date", "geometry", *FILES)
"""Columns that are not labels."""

IDS = ("id", "system:index", "sample_id", "plot_id", "uid", "fid", "name")
"""Usual names of a column that identifies samples; Earth Engine exports ``system:index``."""

FEWEST_CHANNELS = 4
"""Numbered columns that make an embedding."""


def texts(path: Path, column: str) -> list[str]:
    """Return a column as text without surrounding spaces; a missing value is the empty string."""
    return [(value or "").strip() for value in read_columns(path, {column: TEXT})[column].to_pylist()]


def find(path: Path, label: str | None = None) -> OwnSource:
    """Return a table as a source.

    Raises:
        DataError: the table cannot be read, or it is not clear which column holds the labels.
    """
    names = column_names(path)
    known = {plain(name): name for name in names}
    channels = _channels(names)
    files = next((known[name] for name in FILES if name in known), None)
    column = _label(path, names, channels, label)
    values = texts(path, column)
    labels = as_classes(path, column, values)
    options: dict[str, object] = {} if plain(column) == "label" else {"label": column}
    identity = None if files is not None and not channels else _identity(path, known)
    options |= {} if identity is None or plain(identity) == "id" else {"id": identity}
    products = [name for name in names if name.partition(".")[0].lower() in FILES and "." in name]
    if products:
        raise DataError(
            f"{path}: has images of several products ({shown(products)}); write the entry by hand with the bands of "
            "each product under options, as in docs/bring_data.md"
        )
    if files is None and not channels:
        raise DataError(f"{path}: expected a column {', '.join(FILES)} or an embedding; the columns are {shown(names)}")
    return OwnSource(
        reader="table",
        root=path,
        kind=labels.kind,
        classes=labels.classes,
        images=() if files is None else _images(path, files),
        options=options,
        comments=labels.comments,
        counts=labels.counts,
        warnings=(*labels.warnings, *_missing(path, files)),
        embedding=_embedding(path, identity, channels),
    )


def _label(path: Path, names: Sequence[str], channels: Sequence[str], label: str | None) -> str:
    if label is not None:
        return found_column(path, names, label, "Name a column with --label")
    usual = [name for word in LABELS for name in names if plain(name) == word]
    others = [name for name in names if plain(name) not in ROLES and name not in channels]
    found = usual[:1] or others
    if len(found) == 1:
        return found[0]
    what = f"{len(found)} columns may hold the label ({shown(found)})" if found else "no column may hold the label"
    raise DataError(f"{path}: {what}; name it with --label COLUMN")


def _channels(names: Sequence[str]) -> list[str]:
    """Columns of an embedding: the largest group of names with the same letters and a number."""
    groups: dict[str, list[str]] = {}
    for name in names:
        match = re.fullmatch(r"([A-Za-z_]+)(\d+)", name)
        if match:
            groups.setdefault(match[1], []).append(name)
    largest = max(groups.values(), key=len, default=[])
    return largest if len(largest) >= FEWEST_CHANNELS else []


def _embedding(path: Path, identity: str | None, channels: Sequence[str]) -> dict[str, object]:
    if not channels:
        return {}
    pattern = re.sub(r"\d+$", "*", channels[0])
    return {"file": str(path), "columns": pattern, **({} if identity is None else {"key": identity})}


def _identity(path: Path, known: dict[str, str]) -> str | None:
    """The first column with a usual name whose values are all there and differ."""
    for name in (known[one] for one in IDS if one in known):
        values = texts(path, name)
        if all(values) and len(set(values)) == len(values):
            return name
    return known.get("id")


def _images(path: Path, column: str) -> tuple[Path, ...]:
    found = (path.parent / name for name in texts(path, column) if name)
    return tuple(file for file in dict.fromkeys(found) if file.is_file())


def _missing(path: Path, column: str | None) -> list[str]:
    if column is None:
        return []
    names = texts(path, column)
    absent = [name for name in names if not (path.parent / name).is_file()]
    repeated = [name for name, count in Counter(names).items() if count > 1]
    warnings = [f"{len(absent)} of {len(names)} files are missing, first '{absent[0][:60]}'"] if absent else []
    return warnings + ([f"{len(repeated)} files are listed more than once"] if repeated else [])
