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
    """The tap with the best mean validation score over the draws, of ``candidates`` taps, with its test ``score``."""

    tap: str
    candidates: int
    val_score: float
    score: Score
    val_loss: float | None = None


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
    return tuple(ChosenTap(tap, len(found), value, score, loss) for tap, value, score, loss in found)


def best_of(taps: Sequence[ChosenTap]) -> ChosenTap:
    """The tap with the best validation score; ties go to the lower validation loss, then to the first of them."""
    return taps[choose([sign(one.score) * one.val_score for one in taps], losses_of(taps))]


def losses_of(taps: Sequence[ChosenTap]) -> list[float]:
    """Validation losses; NaN where unknown."""
    return [math.nan if one.val_loss is None else one.val_loss for one in taps]


def choose_tap(subject: Subject, fraction: str) -> ChosenTap | None:
    """Choose a tap by validation alone; ties go to the lower validation loss, then to the shallower tap.

    Returns:
        None where no tap has both a validation and a test score at this fraction.
    """
    found = candidates(subject, fraction)
    return best_of(found) if found else None
