"""Validation scores of every tap of a sweep on resampled validation samples."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from geofm_eval.probes.problem import ProbeProblem, SweepRow, ValidationItems
from geofm_eval.stats.reselection import Stored, as_stored, resample_weights, weighted_mean, weighted_r2


def resampled_scores(problem: ProbeProblem, solved: Mapping[tuple[str, float, int], SweepRow]) -> dict[float, Stored]:
    """Return the mean validation score over the draws, for every tap on the same resamples.

    Args:
        problem: the solved problem.
        solved: rows by tap, fraction and draw.

    Returns:
        (taps, RESAMPLES) by label fraction; a fraction is omitted if a row has no validation samples or no score.
    """
    weights: dict[str, Stored] = {}
    found: dict[float, list[NDArray[np.float64]]] = {}
    for subset in problem.subsets:
        rows = [solved[tap, subset.fraction, subset.draw] for tap in problem.taps]
        items = [row.validation for row in rows if row.validation is not None and row.val_score is not None]
        known = len(items) == len(rows)
        if known and items[0].split not in weights:
            weights[items[0].split] = _weights(problem, items[0].split)
        scores = _scores(problem, items, weights[items[0].split]) if known else None
        found.setdefault(subset.fraction, []).append(np.full((1, 1), np.nan) if scores is None else scores)
    means = {fraction: np.mean(np.broadcast_arrays(*draws), axis=0) for fraction, draws in found.items()}
    return {fraction: as_stored(mean) for fraction, mean in means.items() if np.isfinite(mean).all()}


def _weights(problem: ProbeProblem, split: str) -> Stored:
    return resample_weights(len(problem.labels[split]), problem.seed, split, problem.groups.get(split))


def _scores(problem: ProbeProblem, items: list[ValidationItems], weights: Stored) -> NDArray[np.float64]:
    """(taps, RESAMPLES) of one label subset, whose taps are validated on the same samples."""
    positions = items[0].items
    own = weights[:, positions]
    if not problem.regression:
        return weighted_mean(np.stack([_ordered(one, one.score, positions) for one in items]), own)
    errors = np.stack([_ordered(one, one.loss, positions) for one in items])
    return weighted_r2(errors, problem.labels[items[0].split][positions].astype(np.float64), own)


def _ordered(one: ValidationItems, values: NDArray[np.float64], positions: NDArray[np.int64]) -> NDArray[np.float64]:
    """Values in the order of ``positions``: taps may list the same samples in another order of folds."""
    if np.array_equal(one.items, positions):
        return values
    order = np.argsort(one.items, kind="stable")
    return np.asarray(values[order[np.searchsorted(one.items[order], positions)]])
