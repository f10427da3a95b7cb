"""The tap that validation chooses."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from geofm_eval.memo import once
from geofm_eval.records import Choice, Record, Score
from geofm_eval.results.comparison import Subject
from geofm_eval.stats.reselection import choose


@dataclass(frozen=True)
class ChosenTap:
    """The tap with the best mean validation score over the draws, of ``candidates`` taps, with its test ``score``.

    For cross-validated data, every fold chooses its own tap: ``score`` and ``record`` are of all of these, and ``tap``
    is the one that ``agreed`` folds out of some chose, more than any other.
    """

    tap: str
    candidates: int
    val_score: float
    score: Score
    record: Record
    val_loss: float | None = None
    agreed: tuple[int, int] | None = None

    @property
    def words(self) -> str:
        """Name the tap, and how many folds chose it: ``block05``, ``block05 (3 of 5 folds)``."""
        return self.tap if self.agreed is None else f"{self.tap} ({self.agreed[0]} of {self.agreed[1]} folds)"


def sign(score: Score) -> float:
    """1 where higher is better, -1 where lower is."""
    return 1.0 if score.direction == "higher" else -1.0


def val_score(record: Record, fraction: str) -> float | None:
    """Mean validation score over the draws of a label fraction; None without validation."""
    values = [c.val_score for c in choices_of(record, fraction) if c.val_score is not None]
    return sum(values) / len(values) if values else None


def val_loss(record: Record, fraction: str) -> float | None:
    """Mean validation loss over the draws of a label fraction; None where it is not known of all of them."""
    values = [c.val_loss for c in choices_of(record, fraction) if c.val_score is not None]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def choices_of(record: Record, fraction: str) -> list[Choice]:
    """Return the choices of all draws of a label fraction."""
    choices = record.selection.choices if record.selection else ()
    wanted = float(fraction)
    return [choice for choice in choices if choice.fraction == wanted]


@once
def candidates(subject: Subject, fraction: str) -> tuple[ChosenTap, ...]:
    """Taps that may be chosen, shallow to deep: those with both a validation and a test score at this fraction."""
    found = [
        (tap, value, record.scores[fraction], val_loss(record, fraction))
        for tap, record in subject.taps.items()
        if fraction in record.scores and (value := val_score(record, fraction)) is not None
    ]
    return tuple(ChosenTap(tap, len(found), value, score, subject.taps[tap], loss) for tap, value, score, loss in found)


def best_of(taps: Sequence[ChosenTap]) -> ChosenTap:
    """The tap with the best validation score; ties go to the lower validation loss, then to the first of them."""
    return taps[choose([sign(one.score) * one.val_score for one in taps], losses_of(taps))]


def losses_of(taps: Sequence[ChosenTap]) -> list[float]:
    """Validation losses; NaN where unknown."""
    return [math.nan if one.val_loss is None else one.val_loss for one in taps]


def choose_tap(subject: Subject, fraction: str) -> ChosenTap | None:
    """Choose a tap by validation alone; ties go to the lower validation loss, then to the shallower tap.

    For cross-validated data, the taps are those that each fold chose.

    Returns:
        None where no tap has both a validation and a test score at this fraction.
    """
    own = subject.nested
    if own is not None and fraction in own.choices:
        choice, score = own.choices[fraction], own.record.scores[fraction]
        agreed = choice.count, choice.folds
        return ChosenTap(choice.tap, choice.candidates, choice.val_score, score, own.record, choice.val_loss, agreed)
    found = candidates(subject, fraction)
    return best_of(found) if found else None
