"""Shares of the variance of scores that factors and their interactions have, on a balanced full factorial.

Shares speak of the levels in the table: one absurd decoder makes every other factor look small. So every share comes
with the range that it takes when any one level is left out.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from geofm_eval.errors import ContractError
from geofm_eval.factors.noise import ErrorOfMeans, ends_of_square, through
from geofm_eval.stats.difference import LEVEL
from geofm_eval.stats.jackknife import Floats, t_quantile

Effect = tuple[int, ...]
"""Positions of the factors that interact; of one factor its main effect."""


@dataclass(frozen=True)
class Anova:
    """The analysis of variance of a balanced full factorial.

    Args:
        squares: sum of squares of every effect.
        freedom: its degrees of freedom.
        error: mean square of what replicates of a cell differ by.
        error_freedom: its degrees of freedom.
        total: sum of squares of all effects and of the error.
    """

    squares: Mapping[Effect, float]
    freedom: Mapping[Effect, int]
    error: float
    error_freedom: int
    total: float

    def share(self, effect: Effect) -> float:
        """Omega squared, (SS - df MS_e) / (SS_total + MS_e) (Hays 1963); eta squared grows with the levels.

        It estimates the effect's part of the variance of single replicates, and is negative where an effect is smaller
        than what replicates alone would make of it.
        """
        scale = self.total + self.error
        return (self.squares[effect] - self.freedom[effect] * self.error) / scale if scale > 0 else 0.0


@dataclass(frozen=True)
class Share:
    """What one effect explains.

    Args:
        effect: names of the factors that interact.
        value: omega squared.
        low: lower end of its interval; None where none can be given.
        high: upper end.
        lowest: the smallest value when any one level is left out; None where the table is too small for it.
        highest: the largest.
    """

    effect: tuple[str, ...]
    value: float
    low: float | None = None
    high: float | None = None
    lowest: "LeaveOneLevelOut | None" = None
    highest: "LeaveOneLevelOut | None" = None


@dataclass(frozen=True)
class LeaveOneLevelOut:
    """A share when one level is left out: its value, the factor, and the position of the level."""

    value: float
    factor: str
    level: int


def anova(values: ArrayLike, crossed: bool = False) -> Anova:
    """Sums of squares of all effects of a balanced full factorial, exact from the means of its cells.

    With a single replicate no noise is known, and none is taken off: it is in all effects, most of it in the
    interaction of all factors, and a share is eta squared.

    Args:
        values: (levels of the first factor, ..., replicates).
        crossed: a replicate is the same draw of the labels in every cell. What it adds to all cells alike is taken off
            first (draws are blocks); without, replicates are seeds that no two cells share.

    Raises:
        ContractError: no factor, a factor of one level, no replicate, or values that are not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim < 2 or min(table.shape[:-1]) < 2 or table.shape[-1] < 1 or not np.isfinite(table).all():
        raise ContractError(
            "an analysis of variance needs two levels or more of every factor, a replicate or more of every cell, and "
            f"finite values, found shape {table.shape}"
        )
    means, replicates = table.mean(-1), table.shape[-1]
    squares = {effect: replicates * float(np.square(part).sum()) for effect, part in effects(means).items()}
    freedom = {effect: int(np.prod([table.shape[axis] - 1 for axis in effect])) for effect in squares}
    residual = table - means[..., None]
    if crossed:
        residual = residual - residual.mean(tuple(range(table.ndim - 1)))
    within = float(np.square(residual).sum())
    error_freedom = (means.size - 1 if crossed else means.size) * (replicates - 1)
    error = within / error_freedom if error_freedom else 0.0
    return Anova(squares, freedom, error, error_freedom, sum(squares.values()) + within)


def effects(means: Floats) -> dict[Effect, Floats]:
    """Every effect at every cell, in the shape of the table: means over the other factors, lower effects taken off.

    They add up to the deviations from the grand mean, and are orthogonal to each other.
    """
    found: dict[Effect, Floats] = {}
    for effect in _all_effects(means.ndim):
        part = means
        for axis in range(means.ndim):
            mean = part.mean(axis, keepdims=True)
            part = part - mean if axis in effect else np.broadcast_to(mean, part.shape)
        found[effect] = part
    return found


def _all_effects(factors: int) -> Iterator[Effect]:
    return itertools.chain.from_iterable(itertools.combinations(range(factors), size) for size in range(1, factors + 1))


def shares(
    names: Sequence[str],
    values: ArrayLike,
    crossed: bool = False,
    error: ErrorOfMeans | None = None,
) -> tuple[Share, ...]:
    """Shares of all effects, main effects first; arguments as those of :func:`anova`.

    There are no intervals without the joint ``error`` of the means of the cells.
    """
    table = np.asarray(values, dtype=np.float64)
    whole = anova(table, crossed)
    less = list(_without_a_level(names, table, crossed))
    found = []
    for effect in whole.squares:
        named = tuple(names[axis] for axis in effect)
        ends = (None, None) if error is None else _interval(effect, whole, table, error)
        others = sorted((one[named] for one in less if named in one), key=lambda one: one.value)
        span = (others[0], others[-1]) if others else (None, None)
        found.append(Share(named, whole.share(effect), *ends, *span))
    return tuple(found)


def _without_a_level(
    names: Sequence[str], table: Floats, crossed: bool
) -> Iterator[dict[tuple[str, ...], LeaveOneLevelOut]]:
    """Yield the shares of what remains of the table, once for every level of every factor."""
    for axis, factor in enumerate(names):
        for level in range(table.shape[axis]):
            rest, kept = np.delete(table, level, axis), list(names)
            if rest.shape[axis] == 1:  # a factor of one level varies nothing any more
                rest, kept = rest.squeeze(axis), [name for name in names if name != factor]
            if kept:
                found = anova(rest, crossed)
                values = {tuple(kept[one] for one in effect): found.share(effect) for effect in found.squares}
                yield {effect: LeaveOneLevelOut(value, factor, level) for effect, value in values.items()}


def _interval(effect: Effect, whole: Anova, table: Floats, error: ErrorOfMeans) -> tuple[float, float]:
    """Interval of a share as of any sum of squares, its first-order variance by the delta method.

    What test items add to the sum of squares is taken off its centre: the mean square of the error is that of seeds
    alone. Measured coverage: docs/factors.md.
    """
    means, replicates = table.mean(-1), table.shape[-1]
    share, scale = whole.share(effect), whole.total + whole.error
    if scale == 0:
        return 0.0, 0.0
    slope = 2 * replicates * (effects(means)[effect] - share * (means - means.mean())) / scale
    along, freedom = error.of(slope)
    others = [axis for axis in range(means.ndim) if axis not in effect]
    items, noise = (through(one, means.shape, effect, others) for one in (error.items, error.covariance))
    value = share - replicates * float(np.trace(items)) / scale
    base = 2 * (replicates / scale) ** 2 * float(np.square(noise).sum())
    reach = t_quantile((1 + LEVEL) / 2, freedom)
    low, high = ends_of_square(value, whole.squares[effect] / scale, along, base, reach)
    return min(share, max(low, 0.0)), max(share, min(high, 1.0))
