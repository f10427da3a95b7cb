"""Marks: why a row is shown and yet counts for no verdict."""

from geofm_eval.records.schema import Record

MARK = "(marked)"
"""Follows the name of a model in tables and figures whose row counts for no verdict."""

MOSTLY_FILLED = "more than half of its bands are filled"


def marks(record: Record) -> tuple[str, ...]:
    """Reasons why a record counts for no verdict, as tables print them; empty for most records."""
    inputs = record.provenance.inputs
    if inputs is not None and 2 * len(inputs.filled_bands) > len(inputs.expected_bands):
        return (MOSTLY_FILLED,)
    return ()


def marked(record: Record) -> bool:
    """True for a record that counts for no verdict; see :func:`marks`."""
    return bool(marks(record))


def marked_name(record: Record, name: str) -> str:
    """A model's name with the mark where its record has one."""
    return f"{name} {MARK}" if marked(record) else name
