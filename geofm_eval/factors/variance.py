"""Shares of the variance of scores due to factors and their interactions, in a balanced full factorial.

Shares apply to the levels in the table: one very poor decoder makes every other factor look small. Every share
therefore has the range that it takes when any one level is left out.
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
"""Positions of the factors that interact, or of one factor for its main effect."""


@dataclass(frozen=True)
class Anova:
    """Analysis of variance: sums of squares of all effects, mean square of the error between replicates of a cell.

    ``total`` is the sum of squares of all effects and of the error.
    """

    squares: Mapping[Effect, float]
    freedom: Mapping[Effect, int]
    error: float
    error_freedom: int
    total: float

    def share(self, effect: Effect) -> float:
        """Return omega squared, (SS - df MS_e) / (SS_total + MS_e) (Hays 1963); eta squared grows with the levels.

        It estimates the effect's part of the variance of single replicates. It is negative if an effect is smaller than
        expected from noise alone.
        """
        scale = self.total + self.error
        return (self.squares[effect] - self.freedom[effect] * self.error) / scale if scale > 0 else 0.0


@dataclass(frozen=True)
class Share:
    """Share of one effect, given by the names of its factors: omega squared, with its interval if known.

    ``lowest`` and ``highest`` are the extremes when any one level is left out; None if the table is too small.
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
    """Return the sums of squares of all effects of a balanced full factorial, exact from the means of its cells.

    With a single replicate the noise is unknown and not subtracted: it is part of all effects, mostly of the
    interaction of all factors, and a share is eta squared.

    Args:
        values: (levels of the first factor, ..., replicates).
        crossed: True if a replicate is the same label draw in every cell: what it adds to all cells alike is subtracted
            first (draws are blocks). Otherwise, replicates are seeds, which no two cells share.

    Raises:
        ContractError: no factor, a factor of one level, no replicate, or values that are not finite.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim < 2 or min(table.shape[:-1]) < 2 or table.shape[-1] < 1 or not np.isfinite(table).all():
        raise ContractError(
            "an analysis of variance needs at least two levels of every factor, at least one replicate of every cell, "
            f"and finite values, found shape {table.shape}"
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
    """Return every effect at every cell, in the shape of the table: means over the other factors, minus lower effects.

    They are orthogonal, and their sum is the deviation from the grand mean.
    """
    found: dict[Effect, Floats] = {}
    sizes = range(1, means.ndim + 1)
    for effect in itertools.chain(*(itertools.combinations(range(means.ndim), size) for size in sizes)):
        part = means
        for axis in range(means.ndim):
            mean = part.mean(axis, keepdims=True)
            part = part - mean if axis in effect else np.broadcast_to(mean, part.shape)
        found[effect] = part
    return found


def shares(
    names: Sequence[str], values: ArrayLike, crossed: bool = False, error: ErrorOfMeans | None = None
) -> tuple[Share, ...]:
    """Return the shares of all effects, main effects first; see :func:`anova`.

    Intervals require the joint ``error`` of the means of the cells.
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
    """Yield the shares of the table without each level of each factor."""
    for axis, factor in enumerate(names):
        for level in range(table.shape[axis]):
            rest, kept = np.delete(table, level, axis), list(names)
            if rest.shape[axis] == 1:  # a factor with one level no longer varies
                rest, kept = rest.squeeze(axis), [name for name in names if name != factor]
            if kept:
                found = anova(rest, crossed)
                values = {tuple(kept[one] for one in effect): found.share(effect) for effect in found.squares}
                yield {effect: LeaveOneLevelOut(value, factor, level) for effect, value in values.items()}


def _interval(effect: Effect, whole: Anova, table: Floats, error: ErrorOfMeans) -> tuple[float, float]:
    """Interval of a share as a sum of squares, with its first-order variance by the delta method.

    The contribution of test samples is subtracted from its centre, because the mean square of the error contains seeds
    only. Measured coverage: docs/factors.md.
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
