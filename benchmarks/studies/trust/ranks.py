"""Coverage of rank intervals and of intervals of means over settings, and calibration of P(best).

    python -m benchmarks.studies.trust.ranks [simulations]

Every simulation draws true qualities of seven models, two of them equal, and outcomes on a test split: samples or chips
that are difficult for all models, draws that all models share, and seeds that they do not share. Models of equal
quality share the mean of their true ranks. Plain and interquartile means are over one setting of each kind, with the
first model as control. Takes a few minutes.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.special import ndtr
from scipy.stats import trim_mean

from geofm_eval.ranking import joint
from geofm_eval.ranking.aggregation import TRIMMED, mean_of_shares
from geofm_eval.ranking.sources import Source, sources_of
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.scores import pooled_r2
from tests.planted.ranking import outcomes_of, probe_record, shuffled_record, trained_record

MODELS = 7
RESAMPLES = 2000
BINS = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)

Simulated = tuple[list[float], list[tuple[Source, ...]]]
Simulate = Callable[[np.random.Generator, Floats], Simulated]
"""Maps true qualities, in standard deviations over models, to scores and the sources of their errors."""


@dataclass(frozen=True)
class Trust:
    """Results of the simulations of one kind.

    Args:
        covered: proportion of (simulation, model) pairs whose interval contains the true rank.
        width: mean number of ranks in an interval.
        best: number of pairs per bin of P(best), their mean P(best), and the proportion that were best.
    """

    covered: float
    width: float
    best: tuple[tuple[int, float, float], ...]


def probes(rng: np.random.Generator, quality: Floats, draws: int = 5, n: int = 1000) -> Simulated:
    """Draw accuracies near .7, with a standard deviation of 2 points between models and mostly common draw effects."""
    difficulty, shared = rng.normal(0, 1, n), rng.normal(0, 0.03, (draws, 1))
    scores, sources = [], []
    for number, level in enumerate(quality):
        own = rng.normal(0, 0.03, (draws, 1)) + rng.normal(0, 0.5, n) + rng.normal(0, 0.5, (draws, n))
        right = (difficulty + own < 0.65 + 0.06 * level + shared).astype(np.uint8)
        record = probe_record(f"m{number}", "t", right)
        scores.append(record.scores["1.0"].value)
        sources.append(sources_of(record, outcomes_of(n, right=right), "1.0"))
    return scores, [one for one in sources if one is not None]


def shuffles(rng: np.random.Generator, quality: Floats, count: int = 40, n: int = 294) -> Simulated:
    """Draw R2 near .6, with a standard deviation of .03 between models and similar errors of a sample over shuffles."""
    target, tested = rng.normal(0, 1, n), np.zeros((count, n), dtype=bool)
    for row in tested:
        row[rng.choice(n, 30, replace=False)] = True
    common = rng.normal(0, 1, n)
    scores, sources = [], []
    for number, level in enumerate(quality):
        error = 0.7 * common + 0.6 * rng.normal(0, 1, n) + 0.4 * rng.normal(0, 1, (count, n))
        predicted = np.where(tested, target + np.sqrt(0.4 - 0.03 * level) * error, np.nan).astype(np.float32)
        value = pooled_r2(predicted, target)
        record = shuffled_record(f"m{number}", "t", predicted, value)
        scores.append(value)
        sources.append(sources_of(record, outcomes_of(n, predicted=predicted, target=target), "1.0"))
    return scores, [one for one in sources if one is not None]


def trainings(rng: np.random.Generator, quality: Floats, groups: int, seeds: int = 3, n: int = 90) -> Simulated:
    """Draw mean IoU near .8, with 1.5 points between models, .7 points between seeds, and varying events and chips."""
    event = np.arange(n) % groups
    hard = rng.normal(0, 0.05, groups)[event] + rng.normal(0, 0.05, n)
    scores, sources = [], []
    for number, level in enumerate(quality):
        own = rng.normal(0, 0.02, groups)[event] + rng.normal(0, 0.03, n) + rng.normal(0, 0.007, (seeds, 1))
        right = np.rint(1000 * np.clip(0.9 + 0.01 * level + hard + own, 0, 1)).astype(np.int64)
        row = np.stack([right, 1000 - right], -1)
        counts = np.stack([row, row[..., ::-1]], -2)
        record = trained_record(f"m{number}", f"t{groups}", counts)
        scores.append(float(count_score(counts, "miou").mean()))
        found = outcomes_of(n, counts=counts, groups=None if groups == n else event.astype(str))
        sources.append(sources_of(record, found, "1.0"))
    return scores, [one for one in sources if one is not None]


def true_accuracy(quality: Floats) -> Floats:
    """Return the limit of :func:`probes` for infinitely many samples and draws."""
    return np.asarray(ndtr((0.65 + 0.06 * quality) / np.sqrt(1 + 0.5 + 2 * 0.03**2)), dtype=np.float64)


def true_r2(quality: Floats) -> Floats:
    """Return the limit of :func:`shuffles` for infinitely many samples."""
    return np.asarray(1 - (0.4 - 0.03 * quality) * (0.7**2 + 0.6**2 + 0.4**2), dtype=np.float64)


def true_iou(quality: Floats) -> Floats:
    """Return the limit of :func:`trainings` for infinitely many events and seeds; proportions are capped at 1."""
    mean, spread = 0.9 + 0.01 * quality, np.sqrt(2 * 0.05**2 + 0.02**2 + 0.03**2 + 0.007**2)
    beyond = (mean - 1) / spread
    right = mean - spread * np.exp(-(beyond**2) / 2) / np.sqrt(2 * np.pi) - (mean - 1) * ndtr(beyond)
    return np.asarray(right / (2 - right), dtype=np.float64)


@dataclass(frozen=True)
class Kind:
    """A kind of setting: its simulation, and its error-free scores."""

    simulate: Simulate
    truth: Callable[[Floats], Floats]


KINDS: dict[str, Kind] = {
    "5 draws x 1000 samples": Kind(probes, true_accuracy),
    "40 shuffles of 294 samples": Kind(shuffles, true_r2),
    "3 seeds x 90 chips": Kind(lambda rng, quality: trainings(rng, quality, 90), true_iou),
    "3 seeds x 90 chips in 12 groups": Kind(lambda rng, quality: trainings(rng, quality, 12), true_iou),
    "3 seeds x 90 chips in 5 groups": Kind(lambda rng, quality: trainings(rng, quality, 5), true_iou),
}


def trust(kind: Kind, simulations: int, seed: int = 0) -> Trust:
    """Simulate one kind of setting repeatedly."""
    held, widths, said, were = [], [], [], []
    for number in range(simulations):
        rng = np.random.default_rng([seed, number])
        quality = rng.normal(0, 1, MODELS)
        quality[1] = quality[0]
        scores, sources = kind.simulate(rng, quality)
        found = joint.ranks(joint.resample_scores(scores, sources, RESAMPLES, seed=number))
        truth = joint.ranks(quality[None])
        held.append((found.low <= truth.median) & (truth.median <= found.high))
        widths.append(found.high - found.low + 1)
        said.append(found.best)
        were.append(truth.best)
    p, best = np.concatenate(said), np.concatenate(were)
    inside = [(low <= p) & (p < high) for low, high in pairwise(BINS)]
    bins = tuple((int(own.sum()), float(p[own].mean()), float(best[own].mean())) for own in inside if own.any())
    return Trust(float(np.mean(held)), float(np.mean(widths)), bins)


def covered_means(simulations: int, seed: int = 0) -> tuple[float, float]:
    """Return the coverage of 95 % intervals of the mean and interquartile mean over one setting of each kind."""
    held = []
    for number in range(simulations):
        rng = np.random.default_rng([seed, number])
        quality = rng.normal(0, 1, (len(KINDS), MODELS))
        measured = [kind.simulate(rng, own) for kind, own in zip(KINDS.values(), quality, strict=True)]
        truth = np.array([kind.truth(own) for kind, own in zip(KINDS.values(), quality, strict=True)])
        controls, units = [errors[0] for _, errors in measured], [1.0] * len(KINDS)
        for model in range(1, MODELS):
            shares = [scores[model] - scores[0] for scores, _ in measured]
            true = truth[:, model] - truth[:, 0]
            errors = [own[model] for _, own in measured]
            found = [mean_of_shares(shares, errors, controls, units, trimmed) for trimmed in (0.0, TRIMMED)]
            held.append(
                [
                    one.low <= value <= one.high
                    for one, value in zip(found, (true.mean(), trim_mean(true, TRIMMED)), strict=True)
                ]
            )
    plain, trimmed = np.mean(held, axis=0)
    return float(plain), float(trimmed)


def main(simulations: int) -> None:
    """Print the results of every kind."""
    for name, kind in KINDS.items():
        found = trust(kind, simulations)
        print(f"{name}: 90 % intervals cover {found.covered:.1%}, {found.width:.1f} of {MODELS} ranks wide")
        for count, said, were in found.best:
            print(f"    P(best) {said:.2f}: best in {were:.2f} of {count}")
    plain, trimmed = covered_means(simulations)
    print(f"means over {len(KINDS)} settings: 95 % intervals cover {plain:.1%}, interquartile means {trimmed:.1%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000)
