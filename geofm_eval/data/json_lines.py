"""Read columns of JSON lines: one object per line, with keys as columns."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa

from geofm_eval.data.delimited import opened
from geofm_eval.errors import DataError

_SEEN = 1000


def guessed_types(path: Path) -> Any:
    """Return the ``pyarrow.Schema`` of the keys of the first 1,000 lines, as their values suggest.

    Numbers are float64, lists of numbers are lists of float64, everything else is text.
    """
    values: dict[str, list[Any]] = {}
    for found in islice(_objects(path), _SEEN):
        for name, value in found.items():
            values.setdefault(name, []).append(value)
    return pa.schema([(name, _type_of(column)) for name, column in values.items()])


def json_batches(path: Path, names: Sequence[str], rows: int) -> Iterator[list[list[Any]]]:
    """Yield the values of some columns, about ``rows`` lines at a time; None where a line has no such key."""
    objects = _objects(path)
    while found := list(islice(objects, rows)):
        yield [[one.get(name) for one in found] for name in names]


def _objects(path: Path) -> Iterator[dict[str, Any]]:
    """Content of every line that is not empty."""
    with opened(path) as file:
        for number, line in enumerate(file, 1):
            text = line.decode("utf-8-sig")
            if not text.strip():
                continue
            try:
                found = json.loads(text)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: not JSON ({error}). Write one object per line") from error
            if not isinstance(found, dict):
                raise DataError(f"{path}, line {number}: expected an object, {{...}}, found {text.strip()[:40]}")
            yield found


def _type_of(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    if all(map(_is_number, known)):
        return pa.float64()
    if all(isinstance(value, list) and all(map(_is_number, value)) for value in known):
        return pa.list_(pa.float64())
    return pa.string()


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
