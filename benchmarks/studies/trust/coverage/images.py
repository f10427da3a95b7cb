"""Scores of summed counts: chips of unequal class content, flood events, training seeds, one or several networks.

A pixel of class k in chip i under seed s is classified correctly with probability logistic(quality_k + event + chip_i +
seed_s + noise_si); errors go to the next two classes. Class proportions of a chip are Dirichlet. The estimand is the
mean over seeds of the score on infinitely many chips.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from scipy.special import expit

from benchmarks.studies.trust.coverage.shares import EVENTS
from benchmarks.studies.trust.coverage.simulation import Ends, Simulation, ends
from geofm_eval.stats.counts import Term, contrast_interval, count_interval, count_score
from geofm_eval.stats.jackknife import Floats

PIXELS = 400
"""Pixels per chip; fewer than in real chips, whose neighbouring pixels are dependent."""


@dataclass(frozen=True)
class Chips:
    """Variation of test chips; standard deviations are on the logit scale.

    Args:
        n: number of chips.
        classes: number of classes K; two have the proportions of land and water, more follow a power law.
        concentration: parameter of the Dirichlet distribution of class proportions; small values give chips of one
            class.
        events: sizes of groups of chips; () for none.
        chip: standard deviation of the quality of chips, including that of events.
        seeds: number of trainings.
        seed: standard deviation of the quality of seeds.
        noise: standard deviation of the interaction of seed and chip.
        metric: see :class:`geofm_eval.stats.counts.Term`.
    """

    n: int
    classes: int
    concentration: float
    events: tuple[int, ...] = ()
    chip: float = 1.0
    seeds: int = 1
    seed: float = 0.0
    noise: float = 0.3
    metric: str = "miou"

    @property
    def shares(self) -> Floats:
        """(K,) mean proportion of every class."""
        weights = np.array([0.85, 0.15]) if self.classes == 2 else (1.0 + np.arange(self.classes)) ** -0.8
        return np.asarray(weights / weights.sum())

    @property
    def quality(self) -> Floats:
        """(K,) logit of the probability that a pixel is classified correctly; rarer classes are harder."""
        return 2.5 - 1.5 * np.linspace(0, 1, self.classes)

    @property
    def members(self) -> Floats | None:
        """(n,) event of every chip."""
        return np.repeat(np.arange(len(self.events)), self.events) if self.events else None


FLOODS = Chips(24, 2, 15.0, (2, 2, 2, 2, 3, 3, 3, 3, 2, 2))
REAL_FLOODS = Chips(sum(EVENTS), 2, 3.0, EVENTS)
CROPS = Chips(40, 10, 12.0)
MARINE = Chips(150, 15, 2.0)
MANY_CROPS = Chips(480, 19, 3.0)
POOLED = Chips(1000, 2, 0.0, noise=1.0, metric="accuracy")
"""Samples with one label, simulated as one-pixel chips."""


def simulations() -> Iterator[Simulation]:
    """Yield simulations of single scores, differences of two networks, and means of several differences."""
    kind = "mIoU"
    for chips in (FLOODS, REAL_FLOODS, CROPS, MARINE, MANY_CROPS):
        yield Simulation(kind, _said(chips), partial(_single, chips=chips), truth_of(chips))
    for chips, seeds, seed in ((FLOODS, 3, 0.05), (FLOODS, 3, 0.5), (CROPS, 3, 0.05), (CROPS, 3, 0.2), (CROPS, 5, 0.2)):
        own = replace(chips, seeds=seeds, seed=seed)
        yield Simulation(kind, _said(own), partial(_single, chips=own), truth_of(own))
    one = replace(REAL_FLOODS, metric="iou")
    yield Simulation("IoU", _said(one), partial(_single, chips=one), truth_of(one))
    for seed in (0.02, 0.1, 0.5):
        items = replace(POOLED, seeds=3, seed=seed)
        yield Simulation("accuracy of trainings", _said(items), partial(_single, chips=items), truth_of(items))
    for chips in (FLOODS, REAL_FLOODS, CROPS, POOLED):
        kind = "difference of accuracies of trainings" if chips is POOLED else "difference of mIoU"
        for seed in (0.05, 0.3):
            own = replace(chips, seeds=3, seed=seed)
            yield Simulation(kind, f"2 x {_said(own)}", partial(_contrast, chips=own, pairs=1), 0.0)
    for chips in (FLOODS, CROPS):
        own = replace(chips, seeds=3, seed=0.1)
        yield Simulation("mean of six differences of mIoU", _said(own), partial(_contrast, chips=own, pairs=6), 0.0)
    yield from _regressions()


def _said(chips: Chips) -> str:
    parts = [f"{chips.seeds} seeds (sd {chips.seed}) x"] if chips.seeds > 1 else []
    parts += [f"{len(chips.events)} events,"] if chips.events else []
    noun = "items" if chips.metric == "accuracy" else "chips"
    return " ".join([*parts, f"{chips.n} {noun}, {chips.classes} classes"])


def truth_of(chips: Chips) -> float:
    """Return the mean over seeds of the score on infinitely many chips, by quadrature over chips, then seeds."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    weights = weights / weights.sum()
    within = math.hypot(chips.chip, chips.noise)
    found = expit(chips.quality + within * nodes[:, None, None] + chips.seed * nodes[:, None])  # chip, seed, class
    counts = _confusions(np.einsum("c,csk->sk", weights, found), chips.shares)
    return float(weights @ count_score(counts[:, None], chips.metric))


def _confusions(found: Floats, pixels: Floats) -> Floats:
    """(..., K, K) counts if a proportion ``found`` (..., K) of ``pixels`` (..., K) is correct."""
    classes = found.shape[-1]
    own = np.arange(classes)
    counts = np.zeros((*found.shape, classes))
    counts[..., own, own] = found * pixels
    missed = (1 - found) * pixels
    for step in (1, 2):
        counts[..., own, (own + step) % classes if classes > 2 else 1 - own] += missed / 2
    return counts


def _pixels(rng: np.random.Generator, chips: Chips) -> Floats:
    """(n, K) pixels of every class."""
    if chips.concentration == 0:
        return np.asarray(rng.multinomial(1, chips.shares, chips.n).astype(float))
    return np.asarray(rng.multinomial(PIXELS, rng.dirichlet(chips.concentration * chips.shares, chips.n)).astype(float))


def _difficulty(rng: np.random.Generator, chips: Chips) -> Floats:
    """(n,) difficulties; events, if any, contribute half of the variance."""
    own = rng.standard_normal(chips.n)
    if chips.members is not None:
        own = math.sqrt(0.5) * (own + rng.standard_normal(len(chips.events))[chips.members])
    return np.asarray(chips.chip * own)


def _network(rng: np.random.Generator, chips: Chips, pixels: Floats, difficulty: Floats) -> Floats:
    """(seeds, n, K, K) counts of a network trained with several seeds."""
    shape = (chips.seeds, chips.n, 1)
    seeds = chips.seed * rng.standard_normal((chips.seeds, 1, 1)) + chips.noise * rng.standard_normal(shape)
    found = expit(chips.quality + difficulty[:, None] + seeds)
    whole = np.broadcast_to(pixels.astype(int), found.shape)
    return _confusions(rng.binomial(whole, found) / np.maximum(whole, 1), pixels)


def _single(rng: np.random.Generator, chips: Chips) -> Ends | None:
    counts = _network(rng, chips, _pixels(rng, chips), _difficulty(rng, chips))
    return ends(float(count_score(counts, chips.metric).mean()), count_interval(counts, chips.metric, chips.members))


def _contrast(rng: np.random.Generator, chips: Chips, pairs: int) -> Ends | None:
    """Mean difference of pairs of networks for which mostly the same chips are difficult."""
    pixels, difficulty = _pixels(rng, chips), _difficulty(rng, chips)
    own = replace(chips, chip=0.3 * chips.chip)
    alike = math.sqrt(1 - 0.3**2) * difficulty
    terms = [
        Term(sign / pairs, _network(rng, chips, pixels, alike + _difficulty(rng, own)), chips.metric)
        for _ in range(pairs)
        for sign in (1, -1)
    ]
    value = sum(term.weight * float(count_score(term.counts, term.metric).mean()) for term in terms)
    return ends(value, contrast_interval(terms, chips.members))


def _regressions() -> Iterator[Simulation]:
    """Regression per pixel: root mean squared errors vary lognormally over chips, and slightly over seeds."""
    for n, seeds, sd in ((60, 1, 0.0), (60, 3, 0.05), (300, 1, 0.0)):
        said = f"{seeds} seeds x {n} chips" if seeds > 1 else f"{n} chips"
        truth = {"rmse": 0.5 * math.exp(0.25 + sd**2 / 2), "r2": 1 - 0.25 * math.exp(0.5 + 2 * sd**2) / 1.5}
        for metric, name in (("rmse", "RMSE"), ("r2", "R2")):
            world = partial(_regression, n=n, seeds=seeds, sd=sd, metric=metric)
            yield Simulation(f"{name} of pixels", said, world, truth[metric])


def _regression(rng: np.random.Generator, n: int, seeds: int, sd: float, metric: str) -> Ends | None:
    """Chips of 400 pixels: mean targets have variance 1, targets within a chip variance .5."""
    error = 0.5 * np.exp(0.5 * rng.standard_normal(n) + sd * rng.standard_normal((seeds, 1)))
    level, size = rng.standard_normal(n), float(PIXELS)
    squared = np.square(error) * rng.chisquare(size, (seeds, n))
    sums = (np.full(n, size), np.zeros(n), squared, size * level, size * (np.square(level) + 0.5))
    counts = np.stack([np.broadcast_to(one, (seeds, n)) for one in sums], -1)
    return ends(float(count_score(counts, metric).mean()), count_interval(counts, metric))
