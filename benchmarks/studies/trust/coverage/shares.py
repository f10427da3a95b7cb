"""Proportions of correct samples and their differences: sample difficulty, label draws, events.

A sample is correct with probability Phi(ability - difficulty). Difficulties of samples and events, and abilities of
label draws, are normal (probit model). The estimand is the proportion over all samples, events and draws.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
from scipy.stats import norm

from benchmarks.studies.trust.coverage.simulation import Ends, Simulation, ends
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.scores import mean_interval, paired_interval

EVENTS = (9, 14, 6, 4, 6, 13, 5, 6, 8, 14)
"""Sizes of ten events, as uneven as in a flood data set with 85 chips."""


def simulations() -> Iterator[Simulation]:
    """Yield simulations of proportions and of their paired differences."""
    kind = "accuracy"
    for n, share in ((100, 0.8), (100, 0.97), (1000, 0.8), (1000, 0.99), (5400, 0.98)):
        yield Simulation(kind, f"{n} items, {share:.0%} right", partial(_share, share=share, n=n), share)
    for draws, sd in ((5, 0.02), (5, 0.3), (3, 0.02), (3, 0.08), (3, 0.5)):
        units = f"{draws} draws (sd {sd}) x 1000 items"
        yield Simulation(kind, units, partial(_share, share=0.8, n=1000, draws=draws, sd=sd), 0.8)
    for sizes in ((6,) * 4, (20,) * 6, EVENTS, (10,) * 30):
        units = f"{len(sizes)} groups, {sum(sizes)} items"
        yield Simulation(kind, units, partial(_share, share=0.85, sizes=sizes), 0.85)
    kind = "difference of accuracies"
    for n, ours, theirs in ((100, 0.05, 0.05), (1000, 0.01, 0.03), (1000, 0.003, 0.0), (1000, 0.01, 0.002)):
        world = partial(_discordant, n=n, ours=ours, theirs=theirs)
        yield Simulation(kind, f"{n} items, {ours:.1%} and {theirs:.1%} differ", world, ours - theirs)
    for draws, sd in ((5, 0.02), (5, 0.3), (3, 0.08)):
        world = partial(_paired, n=1000, draws=draws, sd=sd)
        yield Simulation(kind, f"{draws} draws (sd {sd}) x 1000 items", world, 0.0)
    for sizes in ((6,) * 4, (20,) * 6, EVENTS, (10,) * 30):
        units = f"{len(sizes)} groups, {sum(sizes)} items"
        yield Simulation(kind, units, partial(_paired, sizes=sizes), 0.0)


def _members(sizes: tuple[int, ...]) -> Floats | None:
    return np.repeat(np.arange(len(sizes)), sizes) if sizes else None


def _difficulty(rng: np.random.Generator, n: int, sizes: tuple[int, ...], sd: float = 1.0) -> Floats:
    """Difficulties of samples; events, if any, contribute half of the variance."""
    if not sizes:
        return sd * rng.standard_normal(n)
    members = np.repeat(np.arange(len(sizes)), sizes)
    both = rng.standard_normal(len(sizes))[members] + rng.standard_normal(len(members))
    return np.asarray(sd * np.sqrt(0.5) * both)


def _share(
    rng: np.random.Generator, share: float, n: int = 0, draws: int = 1, sd: float = 0.0, sizes: tuple[int, ...] = ()
) -> Ends | None:
    difficulty = _difficulty(rng, n, sizes)
    ability = norm.ppf(share) * np.sqrt(2 + sd**2) + sd * rng.standard_normal((draws, 1))
    right = (ability - difficulty + rng.standard_normal((draws, len(difficulty))) > 0).astype(float)
    return ends(float(right.mean()), mean_interval(right, _members(sizes)))


def _discordant(rng: np.random.Generator, n: int, ours: float, theirs: float) -> Ends | None:
    where = rng.random(n)
    first, second = (where < ours).astype(float), (where > 1 - theirs).astype(float)
    return ends(float((first - second).mean()), paired_interval(first, second))


def _paired(
    rng: np.random.Generator, n: int = 0, draws: int = 1, sd: float = 0.0, sizes: tuple[int, ...] = ()
) -> Ends | None:
    """Two subjects of the same mean ability for which mostly the same samples are difficult."""
    common = _difficulty(rng, n, sizes)
    both = []
    for _ in range(2):
        own = common + _difficulty(rng, n, sizes, 0.5)
        ability = 1.2 + sd * rng.standard_normal((draws, 1))
        both.append((ability - own + 0.5 * rng.standard_normal((draws, len(own))) > 0).astype(float))
    first, second = both
    return ends(float((first - second).mean()), paired_interval(first, second, _members(sizes)))
