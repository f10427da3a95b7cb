"""The tap that validation chooses, and differences of test scores with their paired intervals."""

from dataclasses import dataclass
from pathlib import Path

from geofm_eval.errors import DataError
from geofm_eval.metrics import paired_interval
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
    """Difference of two test scores; ``low`` and ``high`` are None where no paired interval can be given."""

    value: float
    low: float | None = None
    high: float | None = None


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
        """Test score of ``a`` minus that of ``b`` with its paired interval, in the metric's own unit."""
        value = a.scores[fraction].value - b.scores[fraction].value
        left, right = self._read(a), self._read(b)
        if left is None or right is None:
            return Difference(value)
        first, second = left.correct[fraction], right.correct[fraction]
        if left.ids.tolist() != right.ids.tolist() or first.shape != second.shape:
            self._problems[f"{a.case.id} and {b.case.id} list different items or draws: no paired interval"] = None
            return Difference(value)
        seed = int(str(a.provenance.seeds.get("task", 0)))
        interval = paired_interval(first, second, left.groups, level=LEVEL, seed=seed)
        return Difference(value) if interval is None else Difference(value, interval.low, interval.high)

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
