"""Scores that fell by the margin or more without an interval."""

from dataclasses import dataclass

from geofm_eval.compare.matching import CaseKey
from geofm_eval.compare.verdicts import beyond
from geofm_eval.records import Record
from geofm_eval.results.taps import sign


@dataclass(frozen=True)
class RawDrop:
    """A drop of the score at the largest common label fraction, and the reason ``why`` it has no interval.

    ``value`` is new minus old in the metric's own unit, with its sign set so that more is better; ``delta`` is the
    difference that matters.
    """

    old: Record
    new: Record
    fraction: str
    value: float
    delta: float
    why: str

    @property
    def key(self) -> CaseKey:
        """Kind and id."""
        return self.new.case.kind, self.new.case.id

    @property
    def reason(self) -> str:
        """The reason for failure, in the metric's own unit."""
        before, after = (record.scores[self.fraction] for record in (self.old, self.new))
        return f"{after.metric} went from {before.value:.4g} to {after.value:.4g} without an interval: {self.why}"


def raw_drop(old: Record, new: Record, delta: float, why: str) -> RawDrop | None:
    """Return the drop at the largest common label fraction; None if less was lost, or the metrics differ."""
    shared = old.scores.keys() & new.scores.keys()
    if not shared:
        return None
    fraction = max(shared, key=float)
    before, after = old.scores[fraction], new.scores[fraction]
    value = sign(after) * (after.value - before.value)
    if before.metric != after.metric or not beyond(value, delta):
        return None
    return RawDrop(old, new, fraction, value, delta, why)
