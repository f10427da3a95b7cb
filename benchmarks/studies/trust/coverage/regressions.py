"""R2 on a test split: normal, heavy-tailed and skewed targets, label draws, sites."""

import math
from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.trust.coverage.simulation import Ends, Simulation, ends
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.scores import paired_r2_interval, r2_interval, r2_per_draw

LEFT = 0.4
"""Proportion of the variance that the predictions leave unexplained."""

SKEWED_SD = math.sqrt((math.exp(0.64) - 1) * math.exp(0.64))
"""Standard deviation of a lognormal variable whose logarithm has a standard deviation of .8."""


def simulations() -> Iterator[Simulation]:
    """Yield simulations of R2 and paired differences of R2; the estimand is over all samples, sites and draws."""
    for kind, world, truth in (("R2", _single, 1 - LEFT), ("difference of R2", _paired, 0.0)):
        for tails in ("normal", "heavy", "skewed"):
            yield Simulation(kind, f"300 items, {tails}", partial(world, n=300, tails=tails), truth)
        yield Simulation(kind, "40 items, normal", partial(world, n=40), truth)
        yield Simulation(kind, "5 draws x 300 items", partial(world, n=300, draws=5), truth)
        yield Simulation(kind, "3 draws x 104 items", partial(world, n=104, draws=3), truth)
        for sites in (8, 12, 40):
            yield Simulation(kind, f"{sites} sites x 12 items", partial(world, n=12 * sites, sites=sites), truth)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], tails: str) -> Floats:
    """Noise of mean 0 and variance 1."""
    if tails == "heavy":
        return np.asarray(math.sqrt(0.6) * rng.standard_t(5, shape))
    if tails == "skewed":
        return np.asarray((rng.lognormal(0, 0.8, shape) - math.exp(0.32)) / SKEWED_SD)
    return rng.standard_normal(shape)


def _target(rng: np.random.Generator, n: int, tails: str, sites: int) -> tuple[Floats, NDArray[np.int64] | None]:
    if not sites:
        return _noise(rng, (n,), tails), None
    members = np.arange(n) % sites
    both = _noise(rng, (sites,), tails)[members] + _noise(rng, (n,), tails)
    return np.asarray(math.sqrt(0.5) * both), members


def _errors(rng: np.random.Generator, n: int, tails: str, members: NDArray[np.int64] | None, draws: int) -> Floats:
    """(draws, n) errors of variance LEFT; sites, if any, contribute a fifth, and single draws a half."""
    own = _noise(rng, (n,), "normal" if tails == "skewed" else tails)
    if members is not None:
        sites = rng.standard_normal(int(members.max()) + 1)[members]
        own = np.asarray(math.sqrt(0.8) * own + math.sqrt(0.2) * sites)
    if draws == 1:
        return math.sqrt(LEFT) * own[None]
    # Draws differ in quality as well as in which samples they get wrong.
    size = np.exp(0.1 * rng.standard_normal((draws, 1)) - 0.01)
    apart = rng.standard_normal((draws, n))
    return np.asarray(math.sqrt(LEFT) * size * (math.sqrt(0.5) * own + math.sqrt(0.5) * apart))


def _single(rng: np.random.Generator, n: int, tails: str = "normal", draws: int = 1, sites: int = 0) -> Ends | None:
    target, members = _target(rng, n, tails, sites)
    predicted = target + _errors(rng, n, tails, members, draws)
    return ends(float(r2_per_draw(predicted, target).mean()), r2_interval(predicted, target, members))


def _paired(rng: np.random.Generator, n: int, tails: str = "normal", draws: int = 1, sites: int = 0) -> Ends | None:
    """Two equally good subjects that share half of their errors."""
    target, members = _target(rng, n, tails, sites)
    common = _errors(rng, n, tails, members, 1)
    first, second = (target + math.sqrt(0.5) * (common + _errors(rng, n, tails, members, draws)) for _ in range(2))
    value = float((r2_per_draw(first, target) - r2_per_draw(second, target)).mean())
    return ends(value, paired_r2_interval(first, second, target, members))
