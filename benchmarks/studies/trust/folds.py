"""Coverage of the intervals of cross-validated scores, whose folds share training samples.

    python -m benchmarks.studies.trust.folds [--draws 400]

Embeddings are a latent vector with power-law variances, plus noise. Samples of a group share a part of both, and of the
noise of the target. Ridge regressions (penalty by generalised cross-validation) and logistic
regressions are trained in five grouped folds. The estimand is the mean out-of-fold score over data sets of the same
size, which is what the protocol reports on average.
"""

import argparse
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.trust.coverage.shuffles import ridge
from benchmarks.studies.trust.coverage.simulation import Ends, Simulation, ends, measure
from geofm_eval.data.units import assign_folds
from geofm_eval.stats.folds import folded_interval, paired_folded_interval
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.scores import r2

FOLDS, WIDTH, SHARED = 5, 24, 0.5
DRAWS = 400


@dataclass(frozen=True)
class FoldDraws:
    """Data sets of one size.

    Args:
        groups: number of groups.
        size: samples per group; 1 for independent samples.
        classes: whether the sign of the target is predicted, instead of its value.
    """

    groups: int
    size: int
    classes: bool

    @property
    def said(self) -> str:
        """The size in words."""
        return f"{self.groups} samples" if self.size == 1 else f"{self.groups} groups of {self.size} samples"


def simulations() -> Iterator[Simulation]:
    """Yield simulations of scores, and of differences between two equally good embeddings."""
    sizes = ((60, 1), (200, 1), (800, 1), (15, 20), (40, 5))
    for classes, name in ((True, "accuracy"), (False, "R2")):
        for draws in (FoldDraws(*size, classes) for size in sizes):
            yield Simulation(f"{name} in five folds", draws.said, partial(_single, draws=draws))
        for draws in (FoldDraws(*size, classes) for size in sizes):
            yield Simulation(f"difference of {name} in five folds", draws.said, partial(_paired, draws=draws), 0.0)


def _sample(
    rng: np.random.Generator, draws: FoldDraws, subjects: int
) -> tuple[list[Floats], Floats, NDArray[np.int64]]:
    """Embeddings (n, WIDTH) of each subject, the target (n,), and groups (n,)."""
    spread = np.arange(1.0, WIDTH + 1) ** -0.5
    groups = np.repeat(np.arange(draws.groups), draws.size)
    common = np.sqrt(SHARED if draws.size > 1 else 0.0)
    own = np.sqrt(1 - common**2)
    latent = common * rng.standard_normal((draws.groups, WIDTH))[groups] + own * rng.standard_normal(
        (len(groups), WIDTH)
    )
    latent *= spread
    noise = common * rng.standard_normal(draws.groups)[groups] + own * rng.standard_normal(len(groups))
    weights = np.random.default_rng(WIDTH).standard_normal(WIDTH)
    target = latent @ weights / np.linalg.norm(spread * weights) + 0.7 * noise
    seen = [latent + 0.5 * spread * rng.standard_normal(latent.shape) for _ in range(subjects)]
    return seen, np.where(target > 0, 1.0, 0.0) if draws.classes else target, groups


def _out_of_fold(features: Floats, target: Floats, folds: NDArray[np.int64], classes: bool) -> Floats:
    """Predictions, or ones and zeros for right and wrong classes."""
    found = np.empty(len(target))
    for fold in range(FOLDS):
        train, test = folds != fold, folds == fold
        found[test] = (_right if classes else ridge)(features[train], target[train], features[test])
    return np.asarray(found == target, dtype=np.float64) if classes else found


def _right(features: Floats, target: Floats, tested: Floats) -> Floats:
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(LogisticRegression(C=0.3).fit(features, target).predict(tested))


def _measured(
    rng: np.random.Generator, draws: FoldDraws, subjects: int
) -> tuple[list[Floats], Floats, NDArray[np.int64]]:
    seen, target, groups = _sample(rng, draws, subjects)
    strata = target.astype(np.int64) if draws.classes else np.zeros(len(target), dtype=np.int64)
    folds = assign_folds(strata, FOLDS, (int(rng.integers(2**31)),), groups.astype(str))
    return [_out_of_fold(one, target, folds, draws.classes) for one in seen], target, groups


def _single(rng: np.random.Generator, draws: FoldDraws) -> Ends | None:
    (outcomes,), target, groups = _measured(rng, draws, 1)
    own = groups if draws.size > 1 else None
    if draws.classes:
        return ends(float(outcomes.mean()), folded_interval(outcomes, None, own))
    return ends(r2(target, outcomes), folded_interval(outcomes, target, own))


def _paired(rng: np.random.Generator, draws: FoldDraws) -> Ends | None:
    (first, second), target, groups = _measured(rng, draws, 2)
    own = groups if draws.size > 1 else None
    if draws.classes:
        return ends(float(first.mean() - second.mean()), paired_folded_interval(first, second, None, own))
    value = r2(target, first) - r2(target, second)
    return ends(value, paired_folded_interval(first, second, target, own))


def main() -> None:
    """Print the measured coverage as rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    for one in (one for one in simulations() if asked.only in one.name):
        found = measure(one, asked.draws)
        low, high = found.ends
        share = f"{100 * found.share:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
        sides = f"{100 * found.below:.1f} / {100 * found.above:.1f}"
        print(f"| {one.title} | {share} | {sides} | {found.relative_width:.2f} | {found.verdict} |", flush=True)


if __name__ == "__main__":
    main()
