"""Changes of the order of models between settings: a test of qualitative interaction, and agreement of rankings."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.errors import ContractError
from geofm_eval.metric import METRICS
from geofm_eval.ranking.grouping import Setting, data_sets
from geofm_eval.records import Score
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.taps import sign
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.p_values import ALPHA, holm, p_value

CEILING = 0.01
"""If both scores are within this of the best possible, neither can lead by more."""

FEWEST_MODELS = 3
"""Common models of two rankings; with two the correlation is always 1 or -1."""

SMALLEST_P = 1e-300
"""Least p-value, for those that underflow."""


@dataclass(frozen=True)
class HeadToHead:
    """Two models in one setting.

    ``difference`` is first minus second with its paired interval, in the metric's unit, positive if the first is
    better; ``statistic`` is the normal variable with the same sign and p. Settings with equal ``data`` were tested on
    the same samples. At the ``ceiling`` neither model can lead by a point.
    """

    setting: Setting
    difference: Difference
    statistic: float
    data: str
    ceiling: bool = False

    @property
    def clear(self) -> bool:
        """Whether its own 95 % interval excludes zero."""
        p = p_value(self.difference)
        return p is not None and p <= ALPHA


@dataclass(frozen=True)
class OrderTest:
    """Two models, in alphabetical order, over all settings in which both have per-sample outcomes.

    ``p`` is that of the same model being better everywhere (Gail and Simon), after Holm over all pairs of models.
    """

    first: str
    second: str
    meetings: tuple[HeadToHead, ...]
    p: float = 1.0

    @property
    def ahead(self) -> HeadToHead:
        """The setting in which the first one leads most clearly, or trails least."""
        return max(self.meetings, key=lambda met: met.statistic)

    @property
    def behind(self) -> HeadToHead:
        """The same for the second one."""
        return min(self.meetings, key=lambda met: met.statistic)

    @property
    def crosses(self) -> bool:
        """Whether each is clearly better in some setting, by the test and by an interval on each side."""
        return self.p <= ALPHA and self.opposite and self.ahead.clear and self.behind.clear

    @property
    def opposite(self) -> bool:
        """Whether each is better in some setting, clearly or not."""
        return self.ahead.statistic > 0 > self.behind.statistic


def gail_simon(statistics: Sequence[float], data: Sequence[str] | None = None) -> float:
    """Test the null hypothesis that the difference of two subjects has one sign in all settings, or is zero.

    Q+ and Q- are the sums of squares of the positive and of the negative standardised differences. For S independent
    settings, min(Q+, Q-) exceeds q with a probability of at most sum over h of binomial(S - 1, h) / 2^(S - 1) times
    P(chi2 with h degrees of freedom > q) (Gail and Simon 1985, Biometrics 41).

    Errors of settings with the same samples are correlated, so their squares must not be added. Of each data set only
    the clearest setting of either sign counts, and its one-sided p is multiplied by the number of settings with these
    samples (Bonferroni), which is valid for any correlation. The number of data sets then replaces S - 1 above (if it
    is smaller), because a data set may count on both sides.

    Args:
        statistics: (S,) differences over their standard errors.
        data: (S,) data set of every setting; None for independent settings.

    Returns:
        The p-value; 1 where all differences have the same sign.

    Raises:
        ContractError: a statistic that is not finite, or not one data set per setting.
    """
    from scipy.special import chdtrc  # loaded here, as in resampling

    z = np.asarray(statistics, dtype=np.float64)
    names = [str(number) for number in range(len(z))] if data is None else list(data)
    if z.ndim != 1 or not np.isfinite(z).all() or len(names) != len(z):
        raise ContractError(f"expected finite statistics, one per data set named, found {list(statistics)} and {names}")
    if len(z) < 2:
        return 1.0
    by_data: defaultdict[str, list[float]] = defaultdict(list)
    for name, value in zip(names, z, strict=True):
        by_data[name].append(float(value))
    least = min(sum(_clearest(turn * np.array(own)) ** 2 for own in by_data.values()) for turn in (1, -1))
    if least == 0:
        return 1.0
    count = min(len(z) - 1, len(by_data))
    return float(sum(comb(count, h) / 2**count * chdtrc(h, least) for h in range(1, count + 1)))


def at_ceiling(score: Score) -> bool:
    """Whether a score is as good as can be, or less than a point worse."""
    return METRICS[score.metric].has_best and score.value > 1 - CEILING


def rivalries(found: Sequence[Setting], models: Sequence[str], pairs: Pairs) -> tuple[OrderTest, ...]:
    """Compare all pairs of models with two or more common settings, the clearest change of order first."""
    data = data_sets(found)
    met = [
        (first, second, _meetings(first, second, found, data, pairs))
        for first, second in combinations(sorted(models), 2)
    ]
    known = [one for one in met if len(one[2]) > 1]
    raw = [gail_simon([m.statistic for m in meetings], [m.data for m in meetings]) for _, _, meetings in known]
    made = [OrderTest(*one, p) for one, p in zip(known, holm(raw), strict=True)]
    return tuple(sorted(made, key=lambda one: (not one.crosses, one.p, not one.opposite, -_least(one))))


def kendall_tau(first: ArrayLike, second: ArrayLike) -> float | None:
    """Return Kendall's tau-b of two series of scores (Kendall 1945, Biometrika 33).

    It is the number of pairs in the same order minus those in opposite orders, divided by the geometric mean of the
    numbers of pairs that each series orders at all.

    Args:
        first: (k,) scores.
        second: (k,) scores of the same subjects.

    Returns:
        From -1 to 1; None if one of the series has only ties, or with fewer than two subjects.

    Raises:
        ContractError: series of different lengths, or scores that are not finite.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ContractError(f"expected two series of k finite scores, found shapes {a.shape} and {b.shape}")
    one, other = (np.sign(series[:, None] - series[None]) for series in (a, b))
    scale = float(np.abs(one).sum() * np.abs(other).sum())
    return float((one * other).sum()) / scale**0.5 if scale > 0 else None


def agreement(found: Sequence[Setting], models: Sequence[str]) -> Mapping[tuple[str, str], float]:
    """Return Kendall's tau-b of all pairs of settings over their common models, by the names of the settings.

    Pairs with fewer than three common models, or with only ties, are absent.
    """
    taus: dict[tuple[str, str], float] = {}
    for number, one in enumerate(found):
        for other in found[number + 1 :]:
            common = [model for model in models if model in one.by_model and model in other.by_model]
            if len(common) < FEWEST_MODELS:
                continue
            tau = kendall_tau(*([setting.by_model[m].quality for m in common] for setting in (one, other)))
            if tau is not None:
                taus[one.name, other.name] = taus[other.name, one.name] = tau
    return taus


def _meetings(
    first: str, second: str, found: Sequence[Setting], data: dict[str, str], pairs: Pairs
) -> tuple[HeadToHead, ...]:
    meetings = []
    for setting in found:
        one, other = setting.by_model.get(first), setting.by_model.get(second)
        if one is None or other is None:
            continue
        # A committed reference keeps the outcomes of few taps; the others are not a problem to report.
        if one.record.outcomes_sha256 is None or other.record.outcomes_sha256 is None:
            continue
        difference = pairs.difference(one.record, other.record, one.fraction).times(sign(one.score))
        if (p := p_value(difference)) is not None:
            ceiling = at_ceiling(one.score) and at_ceiling(other.score)
            meetings.append(HeadToHead(setting, difference, _normal(difference.value, p), data[setting.name], ceiling))
    return tuple(meetings)


def _normal(value: float, p: float) -> float:
    """Return the standard normal variable with this sign and two-sided p."""
    from scipy.special import ndtri  # loaded here, as in resampling

    return float(np.sign(value) * -ndtri(max(p, SMALLEST_P) / 2))


def _clearest(statistics: Floats) -> float:
    """Return the largest of some normal variables, at least 0, as one variable of Bonferroni's p."""
    from scipy.special import ndtr, ndtri  # loaded here, as in resampling

    p = len(statistics) * float(ndtr(-statistics.max()))
    return float(-ndtri(max(p, SMALLEST_P))) if p < 0.5 else 0.0


def _least(rivalry: OrderTest) -> float:
    return min(rivalry.ahead.statistic, -rivalry.behind.statistic)
