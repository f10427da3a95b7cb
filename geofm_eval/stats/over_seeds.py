"""Estimates of drift over seeds with intervals, and a verdict per measure on whether one part changes most.

Few seeds give a wide t interval: with three, its half width is 2.5 standard deviations. The variance over samples,
which all seeds share, is added to that of the mean over seeds. Degrees of freedom are combined as in
:mod:`geofm_eval.stats.standard_error`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from geofm_eval.stats.difference import LEVEL
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.p_values import t_tails
from geofm_eval.stats.standard_error import Spread, joined

LEADER = "fc1"
"""The part that the literature expects to change most."""

Verdict = Literal["supported", "refuted", "undecided"]


class PerSeed(Protocol):
    """A contrast of drifts, measured or read from a record."""

    @property
    def per_seed(self) -> tuple[float, ...]:
        """One value per seed."""

    @property
    def error(self) -> float | None:
        """Standard error over samples of the mean over seeds; None if unknown."""


@dataclass(frozen=True)
class Estimate:
    """Mean over seeds (or backbones) with its interval; no ends with a single seed."""

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def above(self) -> bool:
        """Whether the interval is above 0."""
        return self.low is not None and self.low > 0

    @property
    def below(self) -> bool:
        """Whether the interval is below 0."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Leader:
    """Verdict on whether one part changes more than every other.

    Args:
        verdict: ``supported`` if the part is clearly above each other part and above its floor; ``refuted`` if a part
            that is above its own floor is clearly above it, after Holm over the other parts; else ``undecided``.
        rival: the deciding part: the one with the smallest p among parts above, else the closest one.
        lead: the part's drift minus that of the rival.
        p: p of the verdict's test: the largest of all if the part leads, else that of the rival times their number.
    """

    verdict: Verdict
    rival: str
    lead: Estimate
    p: float


def estimate(contrast: PerSeed, units: int | None = None, level: float = LEVEL) -> Estimate:
    """Return the mean over k seeds with a t interval of standard error sqrt(s^2 / k + e^2), e the sampling error.

    ``units`` is the number of samples or groups behind the sampling error; None for many.
    """
    return estimate_of(contrast.per_seed, contrast.error or 0.0, units, level)


def estimate_of(
    values: Sequence[float], error: float = 0.0, units: int | None = None, level: float = LEVEL
) -> Estimate:
    """:func:`estimate` of bare values, one per seed or backbone."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    half = _spread(values, error, units).half_width(level)
    return Estimate(mean, mean - half, mean + half)


def _spread(values: Sequence[float], error: float, units: int | None) -> Spread:
    count = len(values)
    many = math.inf if units is None else max(units - 1, 1)
    return joined((error**2, many), [(float(np.var(values, ddof=1)) / count, count - 1)])


def leader(
    leads: Mapping[str, PerSeed], excess: Mapping[str, PerSeed] | None = None, units: int | None = None
) -> Leader:
    """Return the verdict on a part from its lead over every other part.

    Being above all others is tested at the full level for each. Being below any of m is tested with the smallest p
    times m, the first step of Holm (1979). Parts below their floor, which change no more than noise does, neither lead
    nor refute.

    Args:
        leads: drift of the part minus that of each other part.
        excess: drift of every part above its floor, the leading part under ``LEADER``; None applies no floor.
        units: see :func:`estimate`.
    """
    found = {part: estimate(one, units) for part, one in leads.items()}
    p = {part: p_of(one, units) for part, one in leads.items()}
    ahead = [part for part in found if found[part].value < 0]
    real = above_floor((*found, LEADER), excess, units)
    if not ahead:
        rival, tested = min(found, key=lambda part: found[part].value), max(p.values())
        clear = LEADER in real and all(one.above for one in found.values())
        return Leader("supported" if clear else "undecided", rival, found[rival], tested)
    # Among the parts ahead, those above their own floor come first, because only they can refute.
    rival = min(ahead, key=lambda part: (part not in real, p[part]))
    tested = min(1.0, len(leads) * p[rival])
    return Leader("refuted" if rival in real and tested <= 1 - LEVEL else "undecided", rival, found[rival], tested)


def above_floor(parts: Iterable[str], excess: Mapping[str, PerSeed] | None, units: int | None = None) -> frozenset[str]:
    """Return the parts that drift clearly more than their floor; all of them if ``excess`` is None."""
    return frozenset(
        part for part in parts if excess is None or (part in excess and estimate(excess[part], units).above)
    )


def p_of(contrast: PerSeed, units: int | None = None, against: float = 0.0) -> float:
    """Return the two-sided p of a contrast being ``against``, with the t of :func:`estimate`; 1 with a single seed."""
    if len(contrast.per_seed) < 2:
        return 1.0
    found = _spread(contrast.per_seed, contrast.error or 0.0, units)
    value, tails = abs(float(np.mean(contrast.per_seed)) - against), found.tails
    # At the level of the intervals, p is that of the interval; beyond it the tails are heavier.
    error = found.half_width(LEVEL) / t_quantile((1 + LEVEL) / 2, tails)
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return t_tails(value / error, tails)


def p_over(contrast: PerSeed, units: int | None = None, against: float = 0.0) -> float:
    """Return the one-sided p of a contrast being ``against`` or less; 1 with a single seed."""
    if len(contrast.per_seed) < 2:
        return 1.0
    p, exceeds = p_of(contrast, units, against), float(np.mean(contrast.per_seed)) > against
    return p / 2 if exceeds else 1 - p / 2


def p_under(contrast: PerSeed, units: int | None = None, against: float = 0.0) -> float:
    """Return the one-sided p of a contrast being ``against`` or more; 1 with a single seed."""
    return 1.0 if len(contrast.per_seed) < 2 else 1 - p_over(contrast, units, against)
