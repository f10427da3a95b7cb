"""Units, symbols and number formats of metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from geofm_eval.metric import METRICS
from geofm_eval.records import IntervalInfo, Score
from geofm_eval.results.comparison import Comparison
from geofm_eval.stats.difference import Difference

UNKNOWN = "-"
SIMULATED = "SIMULATED DATA"

ABOUT = 0.05
"""Relative difference above which the realised label fraction is shown instead of the one that was asked for."""


@dataclass(frozen=True)
class MetricFormat:
    """How a metric is shown: ``value * factor`` with ``decimals``, in ``symbol``.

    ``floor`` is where figures cut their vertical axis, for a metric without a lowest value; None cuts nothing.
    """

    name: str
    symbol: str
    factor: float
    decimals: int
    floor: float | None = None

    def value(self, value: float | None) -> str:
        """Format a score: ``84.2``."""
        return UNKNOWN if value is None else f"{value * self.factor:.{self.decimals}f}"

    def score(self, score: Score) -> str:
        """Format a score with its interval: ``84.2 [81.0, 87.2]``."""
        return self.value(score.value) + self._interval(score.interval)

    def difference(self, difference: Difference | None) -> str:
        """Format a difference with its interval: ``+2.2 [+0.4, +4.0]``."""
        if difference is None:
            return UNKNOWN
        text = self._signed(difference.value)
        if difference.low is None or difference.high is None:
            return text
        return f"{text} [{self._signed(difference.low)}, {self._signed(difference.high)}]"

    @property
    def label(self) -> str:
        """Title of an axis: ``accuracy (%)``."""
        return f"{self.name} ({self.symbol})" if self.symbol else self.name

    def _interval(self, interval: IntervalInfo | None) -> str:
        return "" if interval is None else f" [{self.value(interval.low)}, {self.value(interval.high)}]"

    def _signed(self, value: float) -> str:
        # Adding zero turns -0.0 into 0.0 after rounding.
        rounded = round(value * self.factor, self.decimals) + 0.0
        return f"{rounded:+.{self.decimals}f}"


def unit_of(comparison: Comparison) -> MetricFormat:
    """Percent for accuracy and overlaps, the bare value for any other metric."""
    return unit_named(comparison.any_score.metric)


def unit_named(metric: str, target: str | None = None) -> MetricFormat:
    """How a metric is shown; ``target`` is the unit of a regression target."""
    known = METRICS.get(metric)
    if known is None:  # of a record that was written elsewhere
        return MetricFormat(metric, "", 1.0, 3)
    symbol = target or "target's unit" if known.in_target_unit else known.symbol
    return MetricFormat(known.title, symbol, known.factor, known.decimals, known.floor)


def target_unit(comparison: Comparison) -> str:
    """Unit of a regression target, such as ``t/ha``."""
    return comparison.record.provenance.target_unit or "target's unit"


def percent(fraction: float) -> str:
    """Label fraction in words: ``1 %``, ``0.5 %``."""
    return f"{fraction * 100:g} %"


def share_of_labels(scores: Mapping[str, Score], fraction: str) -> str:
    """The proportion of the labels that a score rests on: ``1 %``, or what was realised, ``3.7 %``.

    A draw takes at least one label of every class or stratum, so a small fraction of a small data set is more than was
    asked for. The record's score with all labels says how many there are; without it the fraction is as asked.
    """
    count = _realised(scores, fraction)
    return percent(float(fraction)) if count is None else f"{100 * count[0] / count[1]:.1f} %"


def of_labels(scores: Mapping[str, Score], fraction: str) -> str:
    """:func:`share_of_labels` in words: ``1 % of the labels``, ``3.7 % of the labels (10 of 270; 1 % asked)``."""
    text, count = f"{share_of_labels(scores, fraction)} of the labels", _realised(scores, fraction)
    return text if count is None else f"{text} ({count[0]} of {count[1]}; {percent(float(fraction))} asked)"


def _realised(scores: Mapping[str, Score], fraction: str) -> tuple[int, int] | None:
    """Number of labels drawn and of all labels, where their ratio is not near the fraction."""
    if "1.0" not in scores or fraction not in scores:
        return None
    drawn, whole, asked = scores[fraction].n_train, scores["1.0"].n_train, float(fraction)
    return (drawn, whole) if abs(drawn / whole - asked) > ABOUT * asked else None


def points_per_unit(score: Score, base: Score) -> float:
    """What a difference of two scores is multiplied by to be in points, negative where less is better."""
    factor = 100.0 if score.direction == "higher" else -100.0
    return factor if METRICS[score.metric].has_best or base.value == 0 else factor / abs(base.value)


def in_points(difference: Difference, score: Score, base: Score) -> Difference:
    """Difference of two scores in points, turned so that more is better; errors in percent of ``base``."""
    return difference.times(points_per_unit(score, base))
