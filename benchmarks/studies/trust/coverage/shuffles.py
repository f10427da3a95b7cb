"""Out-of-fold R2 of a real learner: ridge regression whose penalty is chosen in every shuffle.

Embeddings are a rotated latent vector with power-law variances, plus noise. The estimand is the mean R2 that the
protocol (forty shuffles, a tenth tested) reports over data sets of 300 samples.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial

import numpy as np

from benchmarks.studies.trust.coverage.simulation import Ends, Simulation, ends
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.scores import paired_shuffle_interval, pooled_r2, shuffle_interval

ITEMS, SHUFFLES, TESTED = 300, 40, 30
PENALTIES = np.logspace(-4, 2, 14)
"""Penalties per training sample, relative to the variance of a standardised feature."""


@dataclass(frozen=True)
class Embedding:
    """Distribution of embeddings and one target.

    Args:
        width: number of features.
        decay: latent feature k has standard deviation k^-decay.
        signal: explained variance of the target divided by that of the noise.
        heavy: the noise of the target follows Student's t with five degrees of freedom.
    """

    width: int
    decay: float
    signal: float = 1.0
    heavy: bool = False


def simulations() -> Iterator[Simulation]:
    """Yield simulations of R2, and of its difference between two equally good embeddings, by number of labels."""
    slow, fast = Embedding(64, 0.5), Embedding(64, 1.0)
    heavy = Embedding(64, 1.0, 4.0, heavy=True)
    for said, world, labels in (("slow", slow, 270), ("fast", fast, 27), ("fast", fast, 5)):
        yield Simulation("out-of-fold R2", _said(labels, said), partial(_single, world=world, labels=labels))
    for said, world, labels in (("slow", slow, 270), ("fast", fast, 27), ("heavy tails, fast", heavy, 270)):
        kind = "difference of out-of-fold R2"
        yield Simulation(kind, _said(labels, said), partial(_paired, world=world, labels=labels), 0.0)


def _said(labels: int, decay: str) -> str:
    return f"{SHUFFLES} shuffles of {ITEMS} items, {labels} labels, {decay} decay"


@cache
def _fixed(world: Embedding) -> tuple[Floats, Floats, Floats]:
    """Standard deviations of the latent vector, weights of the target, and rotation; the same for all data sets."""
    rng = np.random.default_rng(world.width)
    spread = np.arange(1.0, world.width + 1) ** -world.decay
    weights = rng.standard_normal(world.width)
    weights *= math.sqrt(world.signal) / np.linalg.norm(spread * weights)
    return spread, weights, np.linalg.qr(rng.standard_normal((world.width, world.width)))[0]


def _sample(rng: np.random.Generator, world: Embedding, subjects: int) -> tuple[list[Floats], Floats]:
    """Embeddings (n, width) of each subject, and the target (n,)."""
    spread, weights, rotation = _fixed(world)
    latent = spread * rng.standard_normal((ITEMS, world.width))
    noise = math.sqrt(0.6) * rng.standard_t(5, ITEMS) if world.heavy else rng.standard_normal(ITEMS)
    seen = [latent + 0.3 * spread * rng.standard_normal(latent.shape) for _ in range(subjects)]
    return [one @ rotation for one in seen], latent @ weights + noise


def _shuffled(rng: np.random.Generator, subjects: list[Floats], target: Floats, labels: int) -> list[Floats]:
    """(shuffles, n) out-of-fold predictions of every subject; NaN where a sample was not tested."""
    predicted = [np.full((SHUFFLES, ITEMS), np.nan) for _ in subjects]
    for shuffle in range(SHUFFLES):
        order = rng.permutation(ITEMS)
        tested, trained = order[:TESTED], order[TESTED : TESTED + labels]
        for rows, features in zip(predicted, subjects, strict=True):
            rows[shuffle, tested] = ridge(features[trained], target[trained], features[tested])
    return predicted


def ridge(features: Floats, target: Floats, tested: Floats) -> Floats:
    """Predictions with the penalty of the lowest generalised cross-validation error (Golub, Heath and Wahba 1979)."""
    middle, size, count = features.mean(0), features.std(0) + 1e-9, len(target)
    known, new, left = (features - middle) / size, (tested - middle) / size, target - target.mean()
    if count > known.shape[1]:
        values, vectors = np.linalg.eigh(known.T @ known)
        project = known @ vectors
    else:
        values, rows = np.linalg.eigh(known @ known.T)
        values = np.maximum(values, 1e-9)
        vectors, project = known.T @ rows / np.sqrt(values), rows * np.sqrt(values)
    moments, values = project.T @ left, np.maximum(values, 1e-9)
    kept = values / (values + count * PENALTIES[:, None])
    error = left @ left - ((2 * kept - kept**2) * moments**2 / values).sum(1)
    best = int((error / np.maximum(count - 1 - kept.sum(1), 1e-3) ** 2).argmin())
    return np.asarray(new @ (vectors @ (kept[best] * moments / values)) + target.mean())


def _single(rng: np.random.Generator, world: Embedding, labels: int) -> Ends | None:
    subjects, target = _sample(rng, world, 1)
    predicted = _shuffled(rng, subjects, target, labels)[0]
    return ends(pooled_r2(predicted, target), shuffle_interval(predicted, target, labels))


def _paired(rng: np.random.Generator, world: Embedding, labels: int) -> Ends | None:
    subjects, target = _sample(rng, world, 2)
    first, second = _shuffled(rng, subjects, target, labels)
    value = pooled_r2(first, target) - pooled_r2(second, target)
    return ends(value, paired_shuffle_interval(first, second, target, labels))
