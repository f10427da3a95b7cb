"""Columns of a table that few tables have: the mask and the fold of every row, as text."""

from collections.abc import Mapping
from pathlib import Path

from geofm_eval.data.delimited import MISSING
from geofm_eval.data.readers.listed import listed_name
from geofm_eval.data.readers.table_columns import Columns
from geofm_eval.data.tabular import TEXT, read_columns


def texts_of(columns: Columns, role: str) -> dict[int, str]:
    """Return the text of every row that has one in a column, by the number of the row.

    Args:
        columns: of the table.
        role: what the column holds, for example ``fold``; without such a column, no row has a text.
    """
    if role not in columns.named:
        return {}
    values = read_columns(columns.path, {columns.named[role]: TEXT}).column(0).to_pylist()
    texts = {number: (value or "").strip() for number, value in enumerate(values)}
    return {number: text for number, text in texts.items() if text not in MISSING}


def mask_path(folder: Path, name: str, at: str) -> Path:
    """Return the path of a mask that a table names relative to a folder.

    Raises:
        DataError: the name leads out of the folder; ``at`` is the row, for the message.
    """
    # Tables from Windows name folders with backslashes.
    return folder / listed_name(name.replace("\\", "/"), at)


def fold_numbers(names: Mapping[str, str]) -> dict[str, int]:
    """Return the number of the fold of every sample by id.

    Args:
        names: fold as written, by id. Whole numbers are kept; other names are numbered in alphabetical order.
    """
    numbers = {name: position for position, name in enumerate(sorted(set(names.values())))}
    if all(name.isdecimal() for name in numbers):
        numbers = {name: int(name) for name in numbers}
    return {id: numbers[name] for id, name in names.items()}
