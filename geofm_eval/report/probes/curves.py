"""What figures draw: test scores over depth, and over the number of labels."""

from dataclasses import dataclass

from geofm_eval.records import Score
from geofm_eval.results.comparison import Subject
from geofm_eval.results.leaderboard import Ranking
from geofm_eval.results.taps import ChosenTap, choose_tap, val_score


@dataclass(frozen=True)
class DepthPoint:
    """One tap of one model: a point of a figure, not a result, except at the tap that validation chose."""

    tap: str
    score: Score
    val_score: float | None
    chosen: bool


@dataclass(frozen=True)
class DepthProfile:
    """Test score per tap of one model, shallow to deep, at the largest label fraction."""

    subject: Subject
    points: tuple[DepthPoint, ...]

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the measured taps, shallow to deep."""
        return tuple(point.tap for point in self.points)


@dataclass(frozen=True)
class LabelCurve:
    """Label efficiency of one model: what validation chooses, by label fractions that have a validation score."""

    subject: Subject
    points: dict[float, ChosenTap]


def depth_profiles(ranking: Ranking) -> list[DepthProfile]:
    """One profile per model that has scores at the largest label fraction, in the order of the ranking."""
    profiles = [profile_of(subject, ranking.comparison.full) for subject in ranking.subjects]
    return [profile for profile in profiles if profile.points]


def label_curves(ranking: Ranking) -> list[LabelCurve]:
    """One curve per model over all label fractions, in the order of the ranking."""
    return [_curve(subject, ranking.comparison.fractions) for subject in ranking.subjects]


def profile_of(subject: Subject, fraction: str) -> DepthProfile:
    """Return the profile of one model at a label fraction."""
    best = choose_tap(subject, fraction)
    points = [
        DepthPoint(tap, record.scores[fraction], val_score(record, fraction), best is not None and best.tap == tap)
        for tap, record in subject.taps.items()
        if fraction in record.scores
    ]
    return DepthProfile(subject, tuple(points))


def _curve(subject: Subject, fractions: list[str]) -> LabelCurve:
    chosen = {float(fraction): choose_tap(subject, fraction) for fraction in fractions}
    return LabelCurve(subject, {fraction: best for fraction, best in chosen.items() if best is not None})
