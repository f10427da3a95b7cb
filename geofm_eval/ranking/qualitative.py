"""Does the better of two models depend on the setting? A test of qualitative interaction, and what it finds."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import comb

import numpy as np

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
"""Two scores that both lie within this of the best possible say nothing: neither can lead by more."""

SMALLEST_P = 1e-300
"""A p-value that underflows counts as this one."""


@dataclass(frozen=True)
class HeadToHead:
    """Two models in one setting.

    Args:
        setting: where they met.
        difference: first minus second with its paired interval, in the metric's unit, turned so that more is better.
        statistic: the same in standard errors, as a normal variable of equal p.
        data: settings with equal ``data`` were tested on the same items.
        ceiling: both scores are so near to the best possible that neither can lead by a point.
    """

    setting: Setting
    difference: Difference
    statistic: float
    data: str
    ceiling: bool = False

    @property
    def clear(self) -> bool:
        """Its own 95 % interval leaves zero out."""
        p = p_value(self.difference)
        return p is not None and p <= ALPHA


@dataclass(frozen=True)
class OrderTest:
    """Two models over all settings in which both were measured with per-item outcomes.

    Args:
        first: one of the models; the order is that of the alphabet.
        second: the other.
        meetings: one per setting.
        p: of the better one being the same everywhere (Gail and Simon), after Holm over all pairs of models.
    """

    first: str
    second: str
    meetings: tuple[HeadToHead, ...]
    p: float = field(default=1.0)

    @property
    def ahead(self) -> HeadToHead:
        """Where the first one leads most clearly, or trails least."""
        return max(self.meetings, key=lambda met: met.statistic)

    @property
    def behind(self) -> HeadToHead:
        """Where the second one does."""
        return min(self.meetings, key=lambda met: met.statistic)

    @property
    def crosses(self) -> bool:
        """Whether each is clearly better somewhere: the test says so, and two intervals show where."""
        return self.p <= ALPHA and self.opposite and self.ahead.clear and self.behind.clear

    @property
    def opposite(self) -> bool:
        """Whether each was measured to be better somewhere, clearly or not."""
        return self.ahead.statistic > 0 > self.behind.statistic


def gail_simon(statistics: Sequence[float], data: Sequence[str] | None = None) -> float:
    """Test the null hypothesis that the difference of two subjects has one sign in all settings, or is zero.

    Q+ and Q- are the sums of squares of the positive and of the negative standardised differences; of independent
    settings S, min(Q+, Q-) exceeds q with a probability of at most sum over h of binomial(S - 1, h) / 2^(S - 1) times
    P(chi2 with h degrees of freedom > q) (Gail and Simon 1985, Biometrics 41).

    Settings with the same items err together, and their squares must not be added. Of each data set only the clearest
    setting of either sign counts, its one-sided p multiplied by the number of settings with these items (Bonferroni):
    that holds whatever they have in common. D data sets with more settings than one each then stand for S - 1 above, as
    one of them may lean to both sides.

    Args:
        statistics: (S,) differences over their standard errors.
        data: (S,) name of the data set of every setting; None for independent ones.

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
    """List every two models that met in two settings or more, the clearest change of order first."""
    data = data_sets(found)
    met = [
        (first, second, _meetings(first, second, found, data, pairs))
        for first, second in combinations(sorted(models), 2)
    ]
    known = [one for one in met if len(one[2]) > 1]
    raw = [gail_simon([m.statistic for m in meetings], [m.data for m in meetings]) for _, _, meetings in known]
    made = [OrderTest(*one, p) for one, p in zip(known, holm(raw), strict=True)]
    return tuple(sorted(made, key=lambda one: (not one.crosses, one.p, not one.opposite, -_least(one))))


def _meetings(
    first: str, second: str, found: Sequence[Setting], data: dict[str, str], pairs: Pairs
) -> tuple[HeadToHead, ...]:
    meetings = []
    for setting in found:
        one, other = setting.by_model.get(first), setting.by_model.get(second)
        if one is None or other is None:
            continue
        # A committed reference keeps the outcomes of few taps: that is no reason to complain of each of the others.
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
