"""Names that people give to the splits of their data."""

from geofm_eval.errors import DataError

_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validate": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}


def split_of(name: str) -> str | None:
    """Return the split (``train``, ``val``, ``test``) that a folder or a value of a table names, or None."""
    return _SPLITS.get(name.strip().lower())


def split_in_cell(value: str, at: str) -> str:
    """Return the split that a cell of a column of splits names; empty if the cell is empty.

    Args:
        value: text of the cell.
        at: place of the cell, for messages.

    Raises:
        DataError: the text is no name of a split.
    """
    split = split_of(value)
    if split is None and value.strip():
        raise DataError(
            f"{at}: split is '{value.strip()[:40]}', expected train, val (or valid, validation, dev) or test; leave it "
            "empty if the sample may be in any"
        )
    return split or ""
