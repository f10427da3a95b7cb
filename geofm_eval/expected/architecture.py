"""Ranges on an architecture that they were never verified on: there they cannot say that a score is wrong.

Last digits differ more between architectures than between instruction sets of one, and by how much is not measured.
"""

from dataclasses import replace

from geofm_eval.expected.ranges import Range
from geofm_eval.records import ExpectedRange, Record, Score
from geofm_eval.results.units import of_labels, unit_named

UNVERIFIED = "range not verified on this architecture"
"""What a score outside such a range is called, in reasons and in the summary of a session."""

_SAME = {"amd64": "x86_64", "x64": "x86_64", "arm64": "aarch64"}
"""Names that operating systems give an architecture, and the one that ranges use."""


def architecture_of(record: Record) -> str | None:
    """Return the architecture that measured a record, such as ``x86_64``; None where the record does not say."""
    name = (record.provenance.platform or "").rpartition(" ")[2].lower()
    return _SAME.get(name, name) or None


def unverified_on(record: Record, found: Range) -> str | None:
    """Return the architecture of a record where the range was never verified on it, else None.

    A published number has a wide tolerance for any machine. A record that does not say what measured it counts as
    measured where the range was.
    """
    own = architecture_of(record)
    return None if found.rule == "published" or own in found.origin.architectures else own


def unverified_sentence(record: Record, fraction: str, expected: ExpectedRange, own: str, found: Range) -> str:
    """Say how a score differs from a range that does not hold for its machine, and what to do."""
    label = unit_named(record.scores[fraction].metric).label
    value, low, high = ends_text(record.scores[fraction], expected)
    return (
        f"{UNVERIFIED[0].upper()}{UNVERIFIED[1:]}: it was set on {' and '.join(found.origin.architectures)}, this is "
        f"{own}. {label} is {value} at {of_labels(record.scores, fraction)}, outside [{low}, {high}]. "
        "To judge it, compare with an earlier run of this machine: --baseline RUN."
    )


def ends_text(score: Score, expected: ExpectedRange) -> tuple[str, str, str]:
    """A score and the ends of its range, with a digit more than tables have: ranges may be that narrow."""
    unit = unit_named(score.metric)
    shown = replace(unit, decimals=unit.decimals + 1)
    return shown.value(score.value), shown.value(expected.low), shown.value(expected.high)
