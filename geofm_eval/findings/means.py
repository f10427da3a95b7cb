"""Means over cells, with an interval that varies test items, draws and seeds for all cells together."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from geofm_eval.findings.finding import joint
from geofm_eval.ranking.joint import weighted_interval
from geofm_eval.ranking.sources import Source, sources_of
from geofm_eval.records import Record
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.results.units import points_per_unit
from geofm_eval.stats.difference import Difference


@dataclass(frozen=True)
class Pairing:
    """A cell that is the difference of two test scores on the same items, in points: ``first`` minus ``second``."""

    first: Record
    second: Record
    fraction: str

    @property
    def factor(self) -> float:
        """What the difference of the scores is multiplied by."""
        return points_per_unit(self.first.scores[self.fraction], self.second.scores[self.fraction])

    @property
    def value(self) -> float:
        """The difference in points."""
        return self.factor * (self.first.scores[self.fraction].value - self.second.scores[self.fraction].value)


class Means:
    """Means over cells of one run.

    Args:
        pairs: for per-item outcomes.
    """

    def __init__(self, pairs: Pairs) -> None:
        self._pairs = pairs
        self._sources: dict[tuple[str, str, str], tuple[Source, ...] | None] = {}

    def over(self, found: Sequence[Pairing]) -> Difference:
        """Mean over cells with its joint interval.

        The error of a mean is a weighted sum of the errors of its scores. Of every source (test items, label draws,
        shuffles, seeds of a training) the parts are summed unit by unit, so that cells on the same items, or with one
        training in common, err together; sources that have nothing in common add their variances, with degrees of
        freedom after Satterthwaite (:func:`geofm_eval.ranking.joint.weighted_spread`).

        Returns:
            Without an interval where the per-item outcomes of a score are absent.
        """
        value = sum(one.value for one in found) / len(found) + 0.0
        weights: list[float] = []
        scores: list[tuple[Source, ...]] = []
        for one in found:
            if self._same_outcomes(one):
                continue
            for record, turn in ((one.first, 1.0), (one.second, -1.0)):
                own = self._of(record, one.fraction)
                if own is None:
                    return Difference(value)
                # Errors of scores are turned so that more is better, as factors turn differences of scores.
                weights.append(turn * one.factor * sign(record.scores[one.fraction]) / len(found))
                scores.append(own)
        mean = weighted_interval(value, weights, scores)
        # Items none of which tells any two scores apart bound the difference of others, and do not rule it out.
        return self._bounded(found) if mean.low == mean.high else mean

    def _bounded(self, found: Sequence[Pairing]) -> Difference:
        each = [self._pairs.difference(one.first, one.second, one.fraction).times(one.factor) for one in found]
        return joint([(1 / len(found), one, "") for one in each])

    def of_groups(self, found: Mapping[str, Sequence[Pairing]]) -> dict[str, Difference]:
        """Mean of every group that has cells."""
        return {name: self.over(own) for name, own in found.items() if own}

    def _same_outcomes(self, one: Pairing) -> bool:
        """Whether both have the same outcomes: they differ by nothing, whatever the items or seeds."""
        if one.first.case.id == one.second.case.id:
            return True
        known = all(record.outcomes_sha256 is not None for record in (one.first, one.second))
        return known and self._pairs.same_outcomes(one.first, one.second, one.fraction)

    def _of(self, record: Record, fraction: str) -> tuple[Source, ...] | None:
        key = record.case.kind, record.case.id, fraction
        if key not in self._sources:
            # A committed reference keeps the outcomes of few taps: that is no reason to complain of the others.
            outcomes = self._pairs.outcomes(record) if record.outcomes_sha256 is not None else None
            self._sources[key] = None if outcomes is None else sources_of(record, outcomes, fraction)
        return self._sources[key]
