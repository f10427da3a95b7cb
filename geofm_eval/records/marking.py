"""Marks of rows that are not comparable with others, and reasons to exclude records from verdicts."""

from collections.abc import Iterable

from geofm_eval.records.schema import Record

CONTROL, SHORT_CONTROL = "(control)", "(c)"

MARK = "(marked)"
"""Follows the name of a model whose row is excluded from verdicts, in tables and figures."""

UNVERIFIED_MARK = "(u)"
"""The same, for weights of unverified provenance."""

MOSTLY_FILLED = "more than half of its bands are filled"
UNVERIFIED = "weights of unverified provenance"


def marks(record: Record) -> tuple[str, ...]:
    """Return the reasons to exclude a record from verdicts, as printed in tables; empty for most records."""
    return (UNVERIFIED,) * record.case.is_unverified + (MOSTLY_FILLED,) * _mostly_filled(record)


def marked(record: Record) -> bool:
    """Return whether a record is excluded from verdicts; see :func:`marks`."""
    return bool(marks(record))


def display_name(record: Record, *, short: bool = False) -> str:
    """Return a record's model with its marks: ``rcf (control)``, ``dinov2_vits14 (u)``; ``rcf (c)`` if short."""
    control = SHORT_CONTROL if short else CONTROL
    return f"{record.case.model} {control}{_suffix(record)}" if record.case.is_control else figure_name(record)


def figure_name(record: Record) -> str:
    """Return a record's model for a figure, where controls have dashed lines and no mark."""
    return f"{record.case.model}{_suffix(record)}"


def marks_legend(records: Iterable[Record]) -> list[str]:
    """Explain the marks of some records: one sentence per mark that occurs, with the models that have it."""
    reasons: dict[str, str] = {}
    filled: set[str] = set()
    for record in records:
        if record.case.is_unverified:
            reasons.setdefault(record.case.model, record.provenance.weights_unverified or "no reason is recorded")
        if _mostly_filled(record):
            filled.add(record.case.model)
    lines = []
    if reasons:
        told = "; ".join(f"{model}: {reason.rstrip('.')}" for model, reason in sorted(reasons.items()))
        lines.append(f"{UNVERIFIED_MARK} {UNVERIFIED}, excluded from findings and verdicts ({told}).")
    if filled:
        lines.append(f"{MARK} {MOSTLY_FILLED}, excluded from findings and verdicts ({', '.join(sorted(filled))}).")
    return lines


def _mostly_filled(record: Record) -> bool:
    inputs = record.provenance.inputs
    return inputs is not None and 2 * len(inputs.filled_bands) > len(inputs.expected_bands)


def _suffix(record: Record) -> str:
    return f" {UNVERIFIED_MARK}" * record.case.is_unverified + f" {MARK}" * _mostly_filled(record)
