"""Results of a finished variant: scores with their ranges, chosen penalties and taps, stored as a small JSON file."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geofm_eval.errors import DataError
from geofm_eval.expected.subject import has_scores
from geofm_eval.expected.update import read_intact_records
from geofm_eval.records import Record
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import read_run
from geofm_eval.results.taps import choose_tap
from geofm_eval.store import write_bytes

EDGE = 0.95
"""A score is at the edge if its distance from the middle of the range is at least this fraction of the half width."""


class Scored(NamedTuple):
    """A score with the range that was applied; ends are None if there was none."""

    value: float
    metric: str
    low: float | None
    high: float | None

    @property
    def outside(self) -> bool:
        """Whether the score is outside its range."""
        return self.low is not None and self.high is not None and not self.low <= self.value <= self.high

    @property
    def at_edge(self) -> bool:
        """Whether the score is inside its range and close to an end."""
        if self.low is None or self.high is None or self.outside:
            return False
        return abs(self.value - (self.low + self.high) / 2) >= EDGE * (self.high - self.low) / 2


@dataclass(frozen=True)
class Facts:
    """A finished variant.

    Args:
        variant: name.
        title: name in tables.
        machine: machine and libraries, as ``here.py`` describes them.
        selection: selected part of the suite.
        code: commit, with ``+changes`` if tracked files differ from it; empty if unknown.
        status: exit status of pytest; 0 means passed.
        seconds: wall time; after an interruption, of the last part only.
        resumed: whether the variant was interrupted.
        scores: by kind, case and label fraction.
        penalties: by case, label fraction and draw.
        taps: by task, adaptation, model and label fraction, if there are several to choose from.
    """

    variant: str
    title: str
    machine: Mapping[str, Any]
    selection: Sequence[str]
    code: str
    status: int
    seconds: float
    resumed: bool
    scores: Mapping[str, Scored]
    penalties: Mapping[str, float]
    taps: Mapping[str, str]

    @property
    def unjudged(self) -> int:
        """Number of scores without a valid range."""
        return sum(one.low is None for one in self.scores.values())

    @property
    def green(self) -> bool:
        """Whether every case passed and every score had a valid range; a missing range could hide a wrong score."""
        return self.status == 0 and self.unjudged == 0


def numbers_of(run: Path) -> dict[str, Any]:
    """Read scores, penalties and taps of a run, as fields of :class:`Facts`.

    Raises:
        DataError: no such run, or a record that cannot be read.
    """
    records = [record for record in read_intact_records(run) if has_scores(record)]
    return {
        "scores": {
            f"{record.case.kind} {record.case.id} {fraction}": _scored(record, fraction)
            for record in records
            for fraction in record.scores
        },
        "penalties": {
            f"{record.case.id} {choice.fraction} {choice.draw}": choice.chosen
            for record in records
            if record.selection is not None
            for choice in record.selection.choices
            if choice.chosen is not None
        },
        "taps": {
            f"{comparison.slug} {subject.model} {fraction}": chosen.tap
            for comparison in comparisons(read_run(run))[0]
            for subject in comparison.subjects
            for fraction in comparison.fractions
            if (chosen := choose_tap(subject, fraction)) is not None and chosen.candidates > 1
        },
    }


def _scored(record: Record, fraction: str) -> Scored:
    score, expected = record.scores[fraction], record.expected_ranges.get(fraction)
    ends = (None, None) if expected is None else (expected.low, expected.high)
    return Scored(score.value, score.metric, *ends)


def write_facts(facts: Facts, path: Path) -> None:
    """Write the file atomically.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    write_bytes(path, json.dumps(asdict(facts)).encode())


def read_facts(path: Path) -> Facts:
    """Read a file of :func:`write_facts`.

    Raises:
        DataError: the file has other content.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["scores"] = {name: Scored(*values) for name, values in fields["scores"].items()}
        return Facts(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the result of a variant ({error}); delete it and run the variant again") from None
