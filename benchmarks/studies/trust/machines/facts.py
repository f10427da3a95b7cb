"""What a finished variant leaves: scores with their ranges, chosen penalties and taps, kept as a small JSON."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from geofm_eval.errors import DataError
from geofm_eval.expected.subject import has_scores
from geofm_eval.expected.update import read_records
from geofm_eval.records import Record
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import read_content
from geofm_eval.results.taps import choose_tap
from geofm_eval.store import write_bytes

EDGE = 0.95
"""A score farther from the middle of its range than this part of the half width is at the edge."""


class Scored(NamedTuple):
    """A score with the range that it was judged by; without ends where none was applied."""

    value: float
    metric: str
    low: float | None
    high: float | None

    @property
    def outside(self) -> bool:
        """True where it lies outside its range."""
        return self.low is not None and self.high is not None and not self.low <= self.value <= self.high

    @property
    def at_edge(self) -> bool:
        """True where it lies inside and close to an end."""
        if self.low is None or self.high is None or self.outside:
            return False
        return abs(self.value - (self.low + self.high) / 2) >= EDGE * (self.high - self.low) / 2


@dataclass(frozen=True)
class Facts:
    """A finished variant.

    Args:
        variant: its name.
        title: what a table calls it.
        machine: what computed, as ``here.py`` describes it.
        selection: what of the suite was run.
        code: commit that was run, with ``+changes`` where tracked files differ from it; empty where unknown.
        status: exit status of pytest; 0 is green.
        seconds: wall time; of what remained where the variant was interrupted before.
        resumed: it was.
        scores: by kind, case and label fraction.
        penalties: by case, label fraction and draw.
        taps: by task, adaptation, model and label fraction, where there is more than one to choose from.
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
        """How many scores have no range that holds for what was measured."""
        return sum(one.low is None for one in self.scores.values())

    @property
    def green(self) -> bool:
        """True where every case passed and every score was judged: a range that does not apply hides a wrong score."""
        return self.status == 0 and self.unjudged == 0


def numbers_of(run: Path) -> dict[str, Any]:
    """Scores, penalties and taps of a run, as :class:`Facts` has them.

    Raises:
        DataError: no such run, or a record that cannot be read.
    """
    records = [record for record in read_records(run) if has_scores(record)]
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
            for comparison in comparisons(read_content(run))[0]
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
    """Write the whole file or none of it.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    write_bytes(path, json.dumps(asdict(facts)).encode())


def read_facts(path: Path) -> Facts:
    """Read what :func:`write_facts` wrote.

    Raises:
        DataError: it is something else.
    """
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
        fields["scores"] = {name: Scored(*values) for name, values in fields["scores"].items()}
        return Facts(**fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the result of a variant ({error}): delete it, and run that variant again"
        ) from None
