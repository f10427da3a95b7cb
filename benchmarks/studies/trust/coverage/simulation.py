"""A simulated kind of interval, and its measured coverage."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from geofm_eval.stats.jackknife import Interval, t_quantile
from geofm_eval.stats.proportions import share_interval
from geofm_eval.stats.standard_error import Spread

LOW, HIGH = 0.93, 0.97
"""Accepted coverage of a nominal 95 % interval."""

Ends = tuple[float, float, float, float]
"""An estimate, the ends of its interval, and its degrees of freedom."""

_SHOWN = {
    r"\bitems\b": "samples",
    r"%( and [\d.]+)% differ$": r" %\1 % discordant",
    r"choice taken as given": "choice treated as fixed",
}
"""Words of tables, by the pattern that they replace in a name: names seed the draws and keep their first spelling."""


@dataclass(frozen=True)
class Simulation:
    """A data-generating process with a known true value.

    Args:
        kind: kind of interval, for example ``accuracy``.
        units: units of the simulated data, for example ``5 draws x 1000 items``.
        world: draws data and returns an estimate with its interval; None if there is no interval.
        truth: the estimand; None takes the mean estimate over all draws.
    """

    kind: str
    units: str
    world: Callable[[np.random.Generator], Ends | None]
    truth: float | None = None

    @property
    def name(self) -> str:
        """Kind and units; seeds the draws."""
        return f"{self.kind}: {self.units}"

    @property
    def title(self) -> str:
        """Kind and units as two cells of a table."""
        text = f"{self.kind} | {self.units}"
        for pattern, word in _SHOWN.items():
            text = re.sub(pattern, word, text)
        return text


@dataclass(frozen=True)
class Coverage:
    """Measured coverage of a simulation.

    Args:
        draws: number of intervals.
        below: proportion of intervals that end below the true value.
        above: proportion of intervals that begin above the true value.
        relative_width: mean width relative to an interval with the true standard error.
    """

    draws: int
    below: float
    above: float
    relative_width: float

    @property
    def share(self) -> float:
        """Proportion of intervals that contain the true value."""
        return 1 - self.below - self.above

    @property
    def ends(self) -> tuple[float, float]:
        """95 % interval of that proportion (Wilson)."""
        of_share = self.share * (1 - self.share) / self.draws
        if of_share == 0:
            return 0.025 ** (1 / self.draws), 1.0
        hits = np.repeat([1.0, 0.0], [round(self.share * self.draws), self.draws - round(self.share * self.draws)])
        found = share_interval(hits[None], Spread(of_share, math.inf, math.inf), 0.95, "draws")
        return found.low, found.high

    @property
    def verdict(self) -> str:
        """``covers``, ``too narrow`` or ``too wide``, from the measured proportion."""
        return "covers" if LOW <= self.share <= HIGH else "too narrow" if self.share < LOW else "too wide"


def measure(simulation: Simulation, draws: int, seed: int = 0) -> Coverage:
    """Draw data sets and count how often the interval contains the true value.

    Raises:
        ValueError: a data set has no interval.
    """
    rng = np.random.default_rng([seed, *simulation.name.encode()])
    found = [simulation.world(rng) for _ in range(draws)]
    known = np.array([one for one in found if one is not None])
    if len(known) < draws:
        raise ValueError(f"{simulation.name}: {draws - len(known)} of {draws} simulated data sets have no interval")
    estimates, low, high, _ = known.T
    truth = float(estimates.mean()) if simulation.truth is None else simulation.truth
    ideal = 2 * t_quantile(0.975, math.inf) * float(estimates.std(ddof=1))
    width = float((high - low).mean()) / ideal if ideal > 0 else math.nan
    return Coverage(draws, float((high < truth).mean()), float((low > truth).mean()), width)


def ends(estimate: float, interval: Interval | None) -> Ends | None:
    """Combine an estimate and its interval."""
    return None if interval is None else (estimate, interval.low, interval.high, interval.freedom)
