"""Coverage of the intervals of cross-validated scores, whose folds share training samples.

    python -m benchmarks.studies.trust.folds [--draws 400] [--seed 1] [--only R2]

Embeddings are a latent vector with power-law variances, plus noise. Samples of a group share a part of both, and of the
noise of the target. Ridge regressions (penalty by generalised cross-validation) and logistic
regressions are trained in five grouped folds. The estimand is the mean out-of-fold score over data sets of the same
size, which is what the protocol reports on average. Every interval is compared with that of a test split, which ignores
that folds share training samples.
"""

import argparse
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.studies.trust.coverage.shuffles import ridge
from benchmarks.studies.trust.coverage.simulation import Coverage, Ends, Simulation, ends, measure
from geofm_eval.data.units import assign_folds
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.folds import folded_interval, paired_folded_interval
from geofm_eval.stats.jackknife import Floats
from geofm_eval.stats.p_values import ALPHA, p_value
from geofm_eval.stats.scores import mean_interval, paired_interval, paired_r2_interval, r2, r2_interval

FOLDS, WIDTH, SHARED = 5, 24, 0.5
DRAWS = 400
NOISE, MORE_NOISE = 0.5, 0.8
"""Noise of an embedding relative to its latent vector, and that of a worse embedding."""


@dataclass(frozen=True)
class FoldDraws:
    """Data sets of one size.

    Args:
        kind: kind of interval, for example ``R2 in five folds``.
        groups: number of groups.
        size: samples per group; 1 for independent samples.
        classes: whether the sign of the target is predicted, instead of its value.
        noises: noise of each embedding; a score for one, a difference for two.
    """

    kind: str
    groups: int
    size: int
    classes: bool
    noises: tuple[float, ...]

    @property
    def said(self) -> str:
        """The size in words."""
        return f"{self.groups} samples" if self.size == 1 else f"{self.groups} groups of {self.size} samples"

    @property
    def truth(self) -> float | None:
        """0 for two equally good embeddings; None if it is known from the simulation only."""
        return 0.0 if self.noises == (NOISE, NOISE) else None


@dataclass(frozen=True)
class FoldCoverage:
    """Coverage of the intervals of test splits (``without``) and of folds (``with_shared``).

    ``different`` is the proportion of differences with a p-value of at most .05; None for scores.
    """

    without: Coverage
    with_shared: Coverage
    different: float | None


def simulations() -> Iterator[FoldDraws]:
    """Yield simulations of scores, and of differences between equally good embeddings and between unequal ones."""
    sizes = ((30, 1), (60, 1), (200, 1), (800, 1), (15, 20), (40, 5))
    for classes, name in ((True, "accuracy"), (False, "R2")):
        for kind, noises in (
            (f"{name} in five folds", (NOISE,)),
            (f"difference of {name} in five folds", (NOISE, NOISE)),
            (f"difference of {name} in five folds, one better", (NOISE, MORE_NOISE)),
        ):
            for groups, size in sizes:
                yield FoldDraws(kind, groups, size, classes, noises)


def _sample(rng: np.random.Generator, draws: FoldDraws) -> tuple[list[Floats], Floats, NDArray[np.int64]]:
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
    seen = [latent + level * spread * rng.standard_normal(latent.shape) for level in draws.noises]
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


def _drawn(rng: np.random.Generator, draws: FoldDraws) -> tuple[Ends | None, Ends | None]:
    """A score, or the difference of two, with the interval of a test split and with that of folds."""
    seen, target, groups = _sample(rng, draws)
    strata = target.astype(np.int64) if draws.classes else np.zeros(len(target), dtype=np.int64)
    folds = assign_folds(strata, FOLDS, (int(rng.integers(2**31)),), groups.astype(str))
    outcomes = [_out_of_fold(one, target, folds, draws.classes) for one in seen]
    own, truth = groups if draws.size > 1 else None, None if draws.classes else target
    scores = [float(one.mean()) if draws.classes else r2(target, one) for one in outcomes]
    if len(outcomes) == 1:
        plain = mean_interval(outcomes[0], own) if draws.classes else r2_interval(outcomes[0], target, own)
        return ends(scores[0], plain), ends(scores[0], folded_interval(outcomes[0], truth, own))
    first, second = outcomes
    plain = paired_interval(first, second, own) if draws.classes else paired_r2_interval(first, second, target, own)
    value = scores[0] - scores[1]
    return ends(value, plain), ends(value, paired_folded_interval(first, second, truth, own))


def measured(draws: FoldDraws, number: int, seed: int) -> FoldCoverage:
    """Return the coverage of both intervals on ``number`` data sets."""
    rng = np.random.default_rng([seed, *f"{draws.kind}: {draws.said}".encode()])
    plain, found = zip(*(_drawn(rng, draws) for _ in range(number)), strict=True)
    tested = [p_value(Difference(*one)) for one in found if one is not None]
    different = sum(p is not None and p <= ALPHA for p in tested) / number
    return FoldCoverage(_coverage(draws, plain), _coverage(draws, found), different if len(draws.noises) > 1 else None)


def _coverage(draws: FoldDraws, found: Sequence[Ends | None]) -> Coverage:
    again = iter(found)
    return measure(Simulation(draws.kind, draws.said, lambda _: next(again), draws.truth), len(found))


def main() -> None:
    """Print the measured coverage as rows of a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    for draws in (one for one in simulations() if asked.only in f"{one.kind}: {one.said}"):
        found = measured(draws, asked.draws, asked.seed)
        print(f"| {draws.kind} | {draws.said} | {_row(found)} |", flush=True)


def _row(found: FoldCoverage) -> str:
    without, own = found.without, found.with_shared
    low, high = own.ends
    different = "" if found.different is None else f"{100 * found.different:.1f}"
    cells = (
        f"{100 * without.share:.1f}",
        f"{without.relative_width:.2f}",
        f"{100 * own.share:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
        f"{100 * own.below:.1f} / {100 * own.above:.1f}",
        f"{own.relative_width:.2f}",
        different,
        own.verdict,
    )
    return " | ".join(cells)


if __name__ == "__main__":
    main()
