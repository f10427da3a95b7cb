"""Choice of a tap on validation, and its choice on resampled validation samples.

Taps are compared on the same resamples: bootstrap weights depend only on the task, its seed and its samples, not on
tap, label draw or model (Efron and Tibshirani 1993, chapter 6).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from geofm_eval.seeds import generator

RESAMPLES = 200

SCORE_TOLERANCE = 1e-9
"""Validation scores closer than this are equal; allows for summation order."""

LOSS_TOLERANCE = 1e-6
"""Least relative difference of validation losses that counts; smaller ones vary between processors."""

SIGNIFICANT_BITS = 16
"""Significant bits of stored resampled scores: a relative error of 1e-5, and files of half the size."""

Floats = NDArray[np.float64]
Stored = NDArray[np.float32]


def choose(scores: ArrayLike, losses: ArrayLike | None = None) -> int:
    """Return the position of the best: highest score, then lowest loss, then first.

    Args:
        scores: (k,) scores, higher is better.
        losses: (k,) losses, lower is better; None or NaN if unknown. If a loss is unknown in a tie, the first wins.
    """
    return int(chosen_each(np.asarray(scores, dtype=np.float64)[:, None], losses)[0])


def chosen_each(scores: ArrayLike, losses: ArrayLike | None = None) -> NDArray[np.int64]:
    """Return the position (b,) that :func:`choose` gives for each column of ``scores`` (k, b); ``losses`` are (k,)."""
    values = np.asarray(scores, dtype=np.float64)
    tied = values >= np.nanmax(values, axis=0) - SCORE_TOLERANCE
    if losses is not None:
        known = np.asarray(losses, dtype=np.float64)[:, None]
        among = np.where(tied, known, np.inf)
        least = among.min(axis=0)  # NaN if a tied one has no loss
        closest = tied & (known <= least + LOSS_TOLERANCE * np.abs(least))
        tied = np.where(np.isnan(least), tied, closest)
    return np.asarray(np.argmax(tied, axis=0), dtype=np.int64)


def near_best(
    scores: ArrayLike, losses: ArrayLike | None, resampled: ArrayLike
) -> tuple[int, Floats, NDArray[np.bool_]]:
    """Return which taps are indistinguishable from the best one on validation.

    Args:
        scores: (k,) scores, higher is better.
        losses: see :func:`choose`.
        resampled: (k, B) scores on resampled samples.

    Returns:
        Position of the best; (k,) paired standard error of the best score minus each; (k,) whether a score is at most
        one such error below the best, including the best itself.
    """
    values, again = np.asarray(scores, dtype=np.float64), np.asarray(resampled, dtype=np.float64)
    best = choose(values, losses)
    errors = np.asarray((again[best] - again).std(axis=1, ddof=1))
    return best, errors, np.asarray(values >= values[best] - errors - SCORE_TOLERANCE)


def resample_weights(n: int, seed: int, split: str, groups: Sequence[str] | NDArray[np.str_] | None = None) -> Stored:
    """Return (RESAMPLES, n) how often each of n items is drawn; items of a group (n,) are drawn together."""
    names, member = (np.arange(n), np.arange(n)) if groups is None else np.unique(groups, return_inverse=True)
    rng = generator("validation resamples", seed, split, len(names))
    drawn = rng.integers(0, max(len(names), 1), (RESAMPLES, len(names)))
    counts = np.stack([np.bincount(row, minlength=len(names)) for row in drawn])
    return np.asarray(counts[:, member], dtype=np.float32)


def weighted_mean(values: Floats, weights: Stored) -> Floats:
    """Return (k, b) means of ``values`` (k, m) with ``weights`` (b, m); unweighted if a resample is empty."""
    own = _with_items(weights)
    return np.asarray(values @ own.T / own.sum(1))


def weighted_r2(errors: Floats, target: Floats, weights: Stored) -> Floats:
    """Return (k, b) R2 from squared ``errors`` (k, m) and ``target`` (m,); NaN if the resampled target is constant."""
    own = _with_items(weights)
    # Centred first, because squares of a target of 1e9 +- 1 would lose its spread to rounding.
    centred = target - target.mean()
    mean = own @ centred / own.sum(1)
    spread = np.einsum("bm,bm->b", own, np.square(centred - mean[:, None]))
    rounding = 8 * np.finfo(np.float64).eps * np.abs(target).max(initial=0.0)
    known = spread > own.sum(1) * rounding**2
    return np.asarray(1 - errors @ own.T / np.where(known, spread, np.nan))


def _with_items(weights: Stored) -> Floats:
    own = weights.astype(np.float64)
    own[own.sum(1) == 0] = 1.0
    return own


def as_stored(scores: ArrayLike) -> Stored:
    """Round scores for storage to float32 with ``SIGNIFICANT_BITS`` significant bits; equal scores stay equal."""
    mantissa, exponent = np.frexp(np.asarray(scores, dtype=np.float64))
    rounded = np.rint(np.ldexp(mantissa, SIGNIFICANT_BITS))
    return np.asarray(np.ldexp(rounded, exponent - SIGNIFICANT_BITS), dtype=np.float32)
