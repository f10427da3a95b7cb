"""From drift per seed to estimates with intervals, and to one verdict per measure: does one part change most?

Few seeds make a t interval wide, as they should: with three of them its half width is 2.5 standard deviations. The
variance over the items, which all seeds share, is added to that of the mean over seeds; degrees of freedom are joined
after Satterthwaite (1946), the items being many.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from geofm_eval.resampling import joint_freedom, t_quantile

LEVEL = 0.95

Verdict = Literal["supported", "refuted", "undecided"]


class PerSeed(Protocol):
    """A contrast of drifts, as it was measured or as a record holds it."""

    @property
    def per_seed(self) -> tuple[float, ...]:
        """One value per seed."""

    @property
    def error(self) -> float | None:
        """Standard error over the items of the mean over seeds; None where it is unknown."""


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval.

    Args:
        value: mean over seeds (or backbones).
        low: lower end; None with a single seed.
        high: upper end.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def above(self) -> bool:
        """Clearly above 0."""
        return self.low is not None and self.low > 0

    @property
    def below(self) -> bool:
        """Clearly below 0."""
        return self.high is not None and self.high < 0


@dataclass(frozen=True)
class Leader:
    """Whether one part changes more than every other.

    Args:
        verdict: ``supported`` where it is clearly above each other part; ``refuted`` where some part is clearly above
            it, after Holm over the other parts; else ``undecided``.
        rival: the part that comes closest, or lies furthest above.
        lead: the part's drift minus that of the rival.
    """

    verdict: Verdict
    rival: str
    lead: Estimate


def estimate(contrast: PerSeed, level: float = LEVEL) -> Estimate:
    """Mean over k seeds with a t interval of standard error sqrt(s^2 / k + e^2), e the error over the items."""
    return estimate_of(contrast.per_seed, contrast.error or 0.0, level)


def estimate_of(values: Sequence[float], error: float = 0.0, level: float = LEVEL) -> Estimate:
    """The same from bare values, such as one per backbone."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean)
    error_of_mean, freedom = _spread(values, error)
    half = t_quantile((1 + level) / 2, freedom) * error_of_mean
    return Estimate(mean, mean - half, mean + half)


def _spread(values: Sequence[float], error: float) -> tuple[float, float]:
    """Standard error of a mean over seeds, that over the items included, and its degrees of freedom."""
    count = len(values)
    seeds, items = float(np.var(values, ddof=1)) / count, error**2
    return math.sqrt(seeds + items), joint_freedom([(items, math.inf), (seeds, count - 1)])


def leader(leads: Mapping[str, PerSeed]) -> Leader:
    """Verdict on a part from its lead over every other part.

    To be above all is one hypothesis (each at the full level); to be below any of m is tested at level / m for the one
    that lies furthest above, the first step of Holm (1979).

    Args:
        leads: drift of the part minus that of each other part.
    """
    estimates = {part: estimate(one) for part, one in leads.items()}
    rival = min(estimates, key=lambda part: estimates[part].value)
    strict = [estimate(one, 1 - (1 - LEVEL) / len(leads)) for one in leads.values()]
    if all(one.above for one in estimates.values()):
        verdict: Verdict = "supported"
    elif any(one.below for one in strict):
        verdict = "refuted"
    else:
        verdict = "undecided"
    return Leader(verdict, rival, estimates[rival])


def sign_verdict(found: Estimate) -> Verdict:
    """``supported`` where clearly above 0, ``refuted`` where clearly below, else ``undecided``."""
    return "supported" if found.above else "refuted" if found.below else "undecided"


def p_of(contrast: PerSeed) -> float:
    """Two-sided p of a contrast being 0, from the same t as :func:`estimate`."""
    from scipy.special import ndtr, stdtr  # loaded here, as in resampling

    error, freedom = _spread(contrast.per_seed, contrast.error or 0.0)
    value = abs(float(np.mean(contrast.per_seed)))
    if error == 0:
        return 1.0 if value == 0 else 0.0
    return float(2 * (ndtr(-value / error) if math.isinf(freedom) else stdtr(freedom, -value / error)))
