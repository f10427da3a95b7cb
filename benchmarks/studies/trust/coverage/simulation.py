"""One simulated kind of interval, and what many draws of it say about coverage."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geofm_eval.stats.jackknife import Interval, t_quantile
from geofm_eval.stats.proportions import share_interval
from geofm_eval.stats.standard_error import Spread

LOW, HIGH = 0.93, 0.97
"""Coverage that a nominal 95 % interval shall have."""

Ends = tuple[float, float, float, float]
"""An estimate, the ends of its interval, and its degrees of freedom."""


@dataclass(frozen=True)
class Simulation:
    """A world whose truth is known.

    Args:
        kind: which interval, such as ``share of right items``.
        units: what it rests on, such as ``5 draws x 1000 items``.
        world: draws data, and gives an estimate with its interval; None where no interval can be given.
        truth: what is estimated; None for the mean estimate over all draws.
    """

    kind: str
    units: str
    world: Callable[[np.random.Generator], Ends | None]
    truth: float | None = None

    @property
    def name(self) -> str:
        """Kind and units."""
        return f"{self.kind}: {self.units}"


@dataclass(frozen=True)
class Coverage:
    """What many draws of a simulation say.

    Args:
        draws: number of intervals.
        below: share that ends below the truth.
        above: share that begins above the truth.
        relative_width: mean width over that of an interval with the estimate's true standard error.
    """

    draws: int
    below: float
    above: float
    relative_width: float

    @property
    def share(self) -> float:
        """Share of intervals that hold the truth."""
        return 1 - self.below - self.above

    @property
    def ends(self) -> tuple[float, float]:
        """95 % interval of that share (Wilson)."""
        of_share = self.share * (1 - self.share) / self.draws
        if of_share == 0:
            return 0.025 ** (1 / self.draws), 1.0
        hits = np.repeat([1.0, 0.0], [round(self.share * self.draws), self.draws - round(self.share * self.draws)])
        found = share_interval(hits[None], Spread(of_share, math.inf, math.inf), 0.95, "draws")
        return found.low, found.high

    @property
    def verdict(self) -> str:
        """``covers``, ``too narrow`` or ``wide``: by the measured share."""
        return "covers" if LOW <= self.share <= HIGH else "too narrow" if self.share < LOW else "wide"


def measure(simulation: Simulation, draws: int, seed: int = 0) -> Coverage:
    """Draw worlds and count how often the interval holds the truth.

    Raises:
        ValueError: a world without an interval: it cannot be said to cover.
    """
    rng = np.random.default_rng([seed, *simulation.name.encode()])
    found = [simulation.world(rng) for _ in range(draws)]
    known = np.array([one for one in found if one is not None])
    if len(known) < draws:
        raise ValueError(f"{simulation.name}: {draws - len(known)} of {draws} worlds have no interval")
    estimates, low, high, _ = known.T
    truth = float(estimates.mean()) if simulation.truth is None else simulation.truth
    ideal = 2 * t_quantile(0.975, math.inf) * float(estimates.std(ddof=1))
    width = float((high - low).mean()) / ideal if ideal > 0 else math.nan
    return Coverage(draws, float((high < truth).mean()), float((low > truth).mean()), width)


def ends(estimate: float, interval: Interval | None) -> Ends | None:
    """An estimate with what its interval says."""
    return None if interval is None else (estimate, interval.low, interval.high, interval.freedom)
