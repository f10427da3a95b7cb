"""Intervals of several differences that are looked at together."""

from collections.abc import Sequence

from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.p_values import ALPHA, p_value


def adjusted_intervals(differences: Sequence[Difference]) -> list[Difference]:
    """Widen paired 95 % intervals for the number of differences.

    An interval then excludes 0 exactly if Holm's test rejects that there is no difference
    (:func:`geofm_eval.stats.p_values.holm`): the k-th smallest p-value of m is tested at the level .05 / (m - k + 1),
    and its interval has the coverage 1 - .05 / (m - k + 1). From the first that is not rejected, all have its coverage.
    Intervals are as long on both sides as on their longer one, as for the p-values.

    Args:
        differences: those without an interval count for nothing and stay as they are.
    """
    tested = [(p, number) for number, one in enumerate(differences) if (p := p_value(one)) is not None]
    found, left, rejecting = list(differences), len(tested), True
    for p, number in sorted(tested):
        found[number] = _widened(differences[number], left)
        rejecting = rejecting and p * left <= ALPHA
        left -= rejecting
    return found


def _widened(difference: Difference, count: int) -> Difference:
    """The interval with the coverage 1 - .05 / ``count``."""
    assert difference.low is not None
    assert difference.high is not None
    half = max(difference.value - difference.low, difference.high - difference.value)
    usual, wider = ((t_quantile(1 - ALPHA / (2 * n), difference.freedom)) for n in (1, count))
    half *= wider / usual
    return Difference(difference.value, difference.value - half, difference.value + half, difference.freedom)
