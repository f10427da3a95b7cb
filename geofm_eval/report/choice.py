"""The tap that validation chooses, and differences of test scores with their paired intervals."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geofm_eval.crossed import Term, contrast_interval
from geofm_eval.errors import DataError
from geofm_eval.metrics import Interval, paired_interval, paired_r2_interval, paired_shuffle_interval
from geofm_eval.records import Outcomes, Record, Score, read_outcomes
from geofm_eval.report.comparison import Subject

LEVEL = 0.95


@dataclass(frozen=True)
class ChosenTap:
    """The tap with the best mean validation score at one label fraction.

    Args:
        tap: its name.
        candidates: number of taps that it was chosen among.
        val_score: its mean validation score over the draws.
        score: its test score.
    """

    tap: str
    candidates: int
    val_score: float
    score: Score


@dataclass(frozen=True)
class Difference:
    """Difference of two test scores.

    Args:
        value: in the metric's own unit.
        low: lower end of its paired interval; None where none can be given.
        high: upper end.
        freedom: degrees of freedom of the t distribution that its error is taken to follow.
    """

    value: float
    low: float | None = None
    high: float | None = None
    freedom: float = math.inf

    @classmethod
    def within(cls, value: float, interval: Interval | None) -> "Difference":
        """A difference with the interval that was found for it, or without one."""
        return cls(value) if interval is None else cls(value, interval.low, interval.high, interval.freedom)


def sign(score: Score) -> float:
    """1 where higher is better, -1 where lower is."""
    return 1.0 if score.direction == "higher" else -1.0


def val_score(record: Record, fraction: str) -> float | None:
    """Mean validation score over the draws of a label fraction; None without validation."""
    choices = record.selection.choices if record.selection else ()
    values = [c.val_score for c in choices if c.fraction == float(fraction) and c.val_score is not None]
    return sum(values) / len(values) if values else None


def choose_tap(subject: Subject, fraction: str) -> ChosenTap | None:
    """Choose a tap by validation alone; ties go to the shallower one.

    Returns:
        None where no tap has both a validation and a test score at this fraction.
    """
    candidates = [
        ChosenTap(tap, 0, value, record.scores[fraction])
        for tap, record in subject.taps.items()
        if fraction in record.scores and (value := val_score(record, fraction)) is not None
    ]
    if not candidates:
        return None
    # Taps run from shallow to deep and max keeps the first of equals.
    best = max(candidates, key=lambda chosen: sign(chosen.score) * chosen.val_score)
    return ChosenTap(best.tap, len(candidates), best.val_score, best.score)


class Pairs:
    """Paired differences between records of one run, item by item.

    A record whose outcomes are absent is no error: the difference then has no interval, and ``problems`` says why.
    """

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._outcomes: dict[str, Outcomes | None] = {}
        self._problems: dict[str, None] = {}

    @property
    def problems(self) -> list[str]:
        """One sentence per record whose outcomes could not be used."""
        return list(self._problems)

    def difference(self, a: Record, b: Record, fraction: str) -> Difference:
        """Test score of ``a`` minus that of ``b`` with its paired interval, in the metric's own unit.

        A record against itself differs by nothing, in any sample of items.
        """
        if a.case.id == b.case.id:
            return Difference(0.0, 0.0, 0.0)
        value = a.scores[fraction].value - b.scores[fraction].value
        left, right = self._read(a), self._read(b)
        if left is None or right is None:
            return Difference(value)
        if not _same_items(left, right, fraction):
            self._problems[f"{a.case.id} and {b.case.id} list different items or draws: no paired interval"] = None
            return Difference(value)
        interval = _paired(left, right, fraction, a.scores[fraction].metric, task_seed(a))
        return Difference.within(value, interval)

    def counts(self, record: Record, fraction: str) -> NDArray[Any] | None:
        """Counts of a dense record's test images; None where they cannot be read."""
        outcomes = self._read(record)
        return None if outcomes is None else outcomes.counts.get(fraction)

    def groups(self, record: Record) -> NDArray[Any] | None:
        """Group of every test item; None where there are none."""
        outcomes = self._read(record)
        return None if outcomes is None else outcomes.groups

    def _read(self, record: Record) -> Outcomes | None:
        case_id = record.case.id
        if case_id not in self._outcomes:
            try:
                self._outcomes[case_id] = read_outcomes(self._run_dir, record)
            except DataError as error:
                self._outcomes[case_id] = None
                self._problems[f"{error} (until then its differences have no interval)"] = None
            else:
                if self._outcomes[case_id] is None:
                    self._problems[f"{case_id} has no per-item outcomes: its differences have no interval"] = None
        return self._outcomes[case_id]


def task_seed(record: Record) -> int:
    """Seed of a task's resamples, as its records hold it."""
    return int(str(record.provenance.seeds.get("task", 0)))


def _per_item(outcomes: Outcomes, fraction: str) -> NDArray[Any]:
    """(draws, n) what is known of every item at a label fraction; of a dense task (draws, n, ...) its counts."""
    if outcomes.counts:
        return outcomes.counts[fraction]
    return outcomes.correct[fraction] if outcomes.target is None else outcomes.prediction[fraction]


def _same_items(left: Outcomes, right: Outcomes, fraction: str) -> bool:
    first, second = _per_item(left, fraction), _per_item(right, fraction)
    if left.ids.tolist() != right.ids.tolist() or first.shape != second.shape:
        return False
    if left.target is None or right.target is None:
        return left.target is right.target
    return np.array_equal(left.target, right.target) and np.array_equal(np.isnan(first), np.isnan(second))


def _paired(left: Outcomes, right: Outcomes, fraction: str, metric: str, seed: int) -> Interval | None:
    """Interval of the difference: of shares of right items, of R2 on a test split or over shuffle splits, of counts."""
    first, second = _per_item(left, fraction), _per_item(right, fraction)
    if left.counts:
        return contrast_interval([Term(1, first, metric), Term(-1, second, metric)], left.groups, LEVEL, seed=seed)
    if left.target is None:
        return paired_interval(first, second, left.groups, level=LEVEL, seed=seed)
    if np.isnan(first).any():
        return paired_shuffle_interval(first, second, left.target, level=LEVEL)
    return paired_r2_interval(first, second, left.target, left.groups, level=LEVEL, seed=seed)
