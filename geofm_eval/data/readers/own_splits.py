"""Names that people give to the splits of their data."""

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
