"""Interaction of models and blocks: deviation of depth profiles from parallel ones, beyond the noise of draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from geofm_eval.findings.finding import MARGIN
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.jackknife import Floats, joint_freedom, t_quantile
from geofm_eval.stats.p_values import ALPHA, t_tails

PERMUTATIONS = 2000

AT_ONCE = 100
"""Permutations whose scores are in memory at a time."""


@dataclass(frozen=True)
class Interaction:
    """Deviation of the depth profiles of some models from parallel ones.

    ``size`` is the root of the interaction's ``variance`` over models and blocks, without the part of the draws (so the
    variance can be negative), with a 95 % interval over three or more draws. ``ratio`` is F, its mean square divided by
    that of draws, about 1 for parallel profiles; ``p`` that of such a ratio by chance (None if it was not tested, or
    cannot reach .05); ``p_below`` the one-sided p of a size of ``MARGIN`` or more. The squares of ``parts`` (draws,)
    sum to the squared error of the variance.
    """

    size: float
    low: float | None
    high: float | None
    ratio: float
    p: float | None
    p_below: float | None
    variance: float
    parts: tuple[float, ...]


def interaction(scores: Floats, overlap: float = 0.0, *, tested: bool = True, seed: int = 0) -> Interaction:
    """Interaction of models and blocks, against draws that all models share.

    The means over models and over blocks of every draw are subtracted (model, block, draw). What is left is the
    interaction of models and blocks, plus what a draw adds to it; F is the ratio of their mean squares. Blocks
    of one draw are correlated, so that F does not follow an F distribution. Its distribution is taken from permutations
    of the models, drawn for every draw: they keep parallel profiles parallel, and what blocks have in common as it is.
    The interval is a jackknife over draws of the interaction's variance, with Student's t.

    Args:
        scores: (models, blocks, draws) in points.
        overlap: test items over training items of shuffle splits. They share items, so that the mean square of J of
            them is 1 + J ``overlap`` times as large as the draws alone make it (Nadeau and Bengio 2003).
        tested: False leaves out the permutations.
        seed: of the permutations.
    """
    models, _, draws = scores.shape
    left = scores - scores.mean(0) - scores.mean(1, keepdims=True) + scores.mean((0, 1))
    inflated = 1 + draws * overlap
    ratio = float(_ratio(left, np.array([_between(left)]))[0]) / inflated
    p = None
    # Exchanging the models of all draws alike changes nothing.
    if tested and math.factorial(models) ** (draws - 1) * ALPHA >= 1:
        chance = _ratio(left, _permuted(left, seed))
        p = (1 + int((chance >= ratio * (1 - 1e-9)).sum())) / (1 + PERMUTATIONS)
    variance = _variance(left, inflated)
    size = math.sqrt(max(variance, 0.0))
    if draws < 3:
        return Interaction(size, None, None, ratio, p, None, variance, ())
    without = np.array([_variance(np.delete(left, draw, 2), inflated) for draw in range(draws)])
    parts = math.sqrt(inflated * (draws - 1) / draws) * (without - without.mean())
    error = math.sqrt(float(np.square(parts).sum()))
    low, high = _ends(variance, error, draws - 1)
    below = MARGIN**2 - variance
    two_sided = t_tails(below / error, draws - 1) if error > 0 else 0.0
    p_below = two_sided / 2 if below > 0 else 1 - two_sided / 2
    return Interaction(size, low, high, ratio, p, p_below, variance, tuple(parts.tolist()))


def together(found: Sequence[tuple[str, Interaction]]) -> Difference:
    """Root mean square size over tasks, with a 95 % interval.

    The mean of the variances is what draws vary: of tasks on the same items the same shuffle, or draw, is left out of
    all of them together; other tasks have draws of their own, so that variances are added (Satterthwaite).

    Args:
        found: equal names for tasks on the same items, and their interactions.

    Returns:
        Without an interval where one of them has none.
    """
    count = len(found)
    variance = sum(one.variance for _, one in found) / count
    size = math.sqrt(max(variance, 0.0))
    if any(one.low is None for _, one in found):
        return Difference(size)
    sums: dict[tuple[str, int], Floats] = {}
    for data, one in found:
        key = data, len(one.parts)
        sums[key] = sums.get(key, np.zeros(len(one.parts))) + np.asarray(one.parts) / count
    errors = [(float(np.square(parts).sum()), draws - 1.0) for (_, draws), parts in sums.items()]
    freedom = joint_freedom(errors)
    low, high = _ends(variance, math.sqrt(sum(error for error, _ in errors)), freedom)
    return Difference(size, low, high, freedom)


def _ends(variance: float, error: float, freedom: float) -> tuple[float, float]:
    half = t_quantile(1 - ALPHA / 2, freedom) * error
    low, high = (math.sqrt(max(end, 0.0)) for end in (variance - half, variance + half))
    return low, high


def _between(left: Floats) -> float:
    draws: int = left.shape[2]
    return float(np.square(left.mean(2)).sum()) * draws


def _ratio(left: Floats, between: Floats) -> Floats:
    """F of sums of squares between cells, all of the same total."""
    total = float(np.square(left).sum())
    # Scores that are the same in all draws leave rounding errors to divide by.
    within = np.maximum(total - between, 1e-12 * total + 1e-300)
    return np.asarray(between * (left.shape[2] - 1) / within, dtype=np.float64)


def _variance(left: Floats, inflated: float) -> float:
    """Variance of the interaction: its mean square over models and blocks, less what draws add to it."""
    models, blocks, draws = left.shape
    freedom: int = (models - 1) * (blocks - 1)
    of_means = float(np.square(left.mean(2)).sum()) / freedom
    of_draws = float(np.square(left - left.mean(2, keepdims=True)).sum()) / freedom / (draws - 1)
    return float(of_means - inflated * of_draws / draws)


def _permuted(left: Floats, seed: int) -> Floats:
    """Return (PERMUTATIONS,) sums of squares between cells, the models of every draw permuted at random."""
    models, _, draws = left.shape
    rng = np.random.default_rng([seed, models, draws])
    by_draw, each_draw = np.moveaxis(left, 2, 0), np.arange(draws)[:, None]
    sums = np.empty(PERMUTATIONS)
    for start in range(0, PERMUTATIONS, AT_ONCE):
        some = sums[start : start + AT_ONCE]
        order = rng.permuted(np.tile(np.arange(models), (len(some) * draws, 1)), axis=1)
        means = by_draw[each_draw, order.reshape(-1, draws, models)].mean(1)
        some[:] = np.square(means).reshape(len(some), -1).sum(1) * draws
    return sums
