"""Differences between models of a setting that are looked at together, and what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from geofm_eval.ranking import Entry
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.stats.adjusted import adjusted_intervals
from geofm_eval.stats.difference import Difference

Shows = Literal["better", "worse", "equivalent", "open", "unknown"]
"""The adjusted interval is above 0, below it, within the margin, or none of these; ``unknown`` without an interval."""


@dataclass(frozen=True)
class ModelDifference:
    """The score of ``model`` minus that of ``other``, turned so that more is better, with its adjusted interval."""

    model: str
    other: str
    difference: Difference
    shows: Shows

    def turned(self) -> "ModelDifference":
        """The same with the models exchanged."""
        shows: dict[Shows, Shows] = {"better": "worse", "worse": "better"}
        return ModelDifference(self.other, self.model, self.difference.times(-1), shows.get(self.shows, self.shows))


def model_differences(
    couples: Sequence[tuple[Entry, Entry]], pairs: Pairs, margin: float | None
) -> tuple[ModelDifference, ...]:
    """Compare models; intervals are adjusted for the number of couples.

    Args:
        couples: two models each, of one setting.
        pairs: for paired differences.
        margin: smallest relevant difference; None if it is not known.
    """
    found = [pairs.difference(a.record, b.record, a.fraction).times(sign(a.score)) for a, b in couples]
    return tuple(
        ModelDifference(a.model, b.model, difference, shown(difference, margin))
        for (a, b), difference in zip(couples, adjusted_intervals(found), strict=True)
    )


def shown(difference: Difference, margin: float | None) -> Shows:
    """What a difference shows: a sign first, then equivalence."""
    if difference.low is None or difference.high is None:
        return "unknown"
    if difference.low > 0 or difference.high < 0:
        return "better" if difference.low > 0 else "worse"
    inside = margin is not None and -margin <= difference.low and difference.high <= margin
    return "equivalent" if inside else "open"
