"""Uncertainty of a debiased CKA: jackknife, and what independent features would give.

No method draws rows with replacement: a row and its copy have maximal off-diagonal similarity, so unrelated data would
appear similar.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from geofm_eval.errors import ContractError
from geofm_eval.plurals import counted
from geofm_eval.similarity.features import FEWEST, Features, centred, check_same_items
from geofm_eval.similarity.linear_cka import cka, u_centred
from geofm_eval.stats.jackknife import jackknife_error_of

BLOCKS = 50
"""Number of random parts that a jackknife without groups leaves out in turn."""

MOSTLY_GONE = 1e-6
"""Fraction of self-similarity left without a group below which differences of sums are too inexact."""


@dataclass(frozen=True)
class Null:
    """Debiased CKA in the original order, and its mean and standard deviation over all permutations of the samples."""

    observed: float
    mean: float
    sd: float

    @property
    def z(self) -> float:
        """Number of standard deviations between the observed value and the mean; NaN without variance."""
        return (self.observed - self.mean) / self.sd if self.sd > 0 else math.nan


def jackknife_error(x: Features, y: Features, groups: ArrayLike | None = None, seed: int = 0) -> float:
    """Standard error of debiased CKA, leaving each group out once.

    Efron and Tibshirani 1993, chapter 11: sqrt((g - 1) / g * sum((c_i - mean)^2)).

    Args:
        x: (n, p).
        y: (n, q).
        groups: (n,) scene of every sample; None forms ``BLOCKS`` random parts, or one per sample if there are fewer
            samples.
        seed: seed of the parts.

    Returns:
        NaN if x or y is constant, or would be without one of the groups.

    Raises:
        ContractError: see :func:`jackknife_values`.
    """
    return float(jackknife_error_of(jackknife_values(x, y, groups, seed)))


def jackknife_values(x: Features, y: Features, groups: ArrayLike | None = None, seed: int = 0) -> NDArray[np.float64]:
    """Debiased CKA without each group in turn, in O(n^2) for all of them together.

    With K, L U-centred over all samples, HSIC_1 of the samples outside a group g is, up to a factor that cancels, A + k
    l / ((m - 1) (m - 2)) - 2 C / (m - 2) (Song et al. 2012), where A = sum K_ij L_ij, k = sum K_ij, l = sum L_ij and C
    = sum_i (sum_j K_ij) (sum_j L_ij), all over the m remaining samples. Row sums over all samples are zero, so each
    term is that of all samples minus sums over the rows of g.

    Args:
        x: (n, p).
        y: (n, q).
        groups: see :func:`jackknife_error`.
        seed: seed of the parts.

    Returns:
        (g,) in the order of the sorted groups; NaN if the rest of x or y is constant.

    Raises:
        ContractError: groups do not match the samples, leaving out a group leaves too few samples, or features that
            ``cka`` refuses.
    """
    grams, member = _grams(x, y), _members(len(x), groups, seed)
    sizes = np.bincount(member)
    if len(sizes) < 2:
        raise ContractError(f"found {counted(len(sizes), 'group')}; a jackknife needs at least two. Use smaller groups")
    if (left := len(member) - int(sizes.max())) < FEWEST:
        raise ContractError(
            f"leaving out one of the {len(sizes)} groups leaves {counted(left, 'sample')}, expected at least {FEWEST}. "
            "Use smaller groups"
        )
    if grams is None:
        return np.full(len(sizes), math.nan)
    first, second = (u_centred(gram) for gram in grams)
    cross, *selves = (_without(*pair, member) for pair in ((first, second), (first, first), (second, second)))
    known = [own > MOSTLY_GONE * float(gram.square().sum()) for own, gram in zip(selves, (first, second), strict=True)]
    below = np.sqrt(np.clip(selves[0] * selves[1], 0, None))
    values = np.divide(cross, below, out=np.full(len(sizes), math.nan), where=known[0] & known[1])
    for group in np.flatnonzero(np.isnan(values)):
        rest = np.flatnonzero(member != group)
        values[group] = cka(x[rest], y[rest]).debiased
    return np.asarray(values, dtype=np.float64)


def _without(left: Tensor, right: Tensor, member: NDArray[np.int64]) -> NDArray[np.float64]:
    """(g,) HSIC_1 of two U-centred matrices without each group, up to a factor; see :func:`jackknife_values`."""
    groups, sizes = torch.from_numpy(member).to(left.device), torch.from_numpy(np.bincount(member)).to(left.device)
    own = groups[None, :] == torch.arange(len(sizes), device=left.device)[:, None]

    def to_groups(matrix: Tensor) -> Tensor:
        """(g, n) sums over the rows of every group."""
        return matrix.new_zeros(len(sizes), len(member)).index_add_(0, groups, matrix)

    def inside(sums: Tensor) -> Tensor:
        """(g,) sums over the rows and columns of every group."""
        return (sums * own).sum(1)

    product = left * right
    lost, k, m = to_groups(product), to_groups(left), to_groups(right)
    count = len(member) - sizes
    a = product.sum() - 2 * lost.sum(1) + inside(lost)
    c = (k * m * ~own).sum(1)
    found = a + inside(k) * inside(m) / ((count - 1) * (count - 2)) - 2 * c / (count - 2)
    return np.asarray(found.cpu().numpy(), dtype=np.float64)


def permutation_null(x: Features, y: Features) -> Null:
    """Compare debiased CKA with its distribution over permutations of the samples of y.

    Over all n! orders the mean is 0 and the variance 2 / (n (n - 3)), whatever the features (moments of Mantel's
    statistic, Mantel 1967, for matrices with zero diagonals and row sums), so nothing needs to be drawn. The
    distribution is skewed to the right if few directions hold the variance: with a single direction, z exceeds 3 in 2 %
    of all orders.

    Args:
        x: (n, p), one row per image, because whole images are permuted.
        y: (n, q).

    Returns:
        NaN throughout if x or y is constant.

    Raises:
        ContractError: features that ``cka`` refuses.
    """
    found = cka(x, y)
    if found.reason:
        return Null(math.nan, math.nan, math.nan)
    return Null(found.debiased, 0.0, math.sqrt(2 / (found.n * (found.n - 3))))


def _grams(x: Features, y: Features) -> tuple[Tensor, Tensor] | None:
    parts = centred("x", x), centred("y", y)
    check_same_items(*parts)
    if cka(x, y).reason:
        return None
    first, second = ((values := one.whole()) @ values.T for one in parts)
    return first, second


def _members(n: int, groups: ArrayLike | None, seed: int) -> NDArray[np.int64]:
    if groups is not None:
        labels = np.asarray(groups)
        if labels.shape != (n,):
            raise ContractError(f"groups has shape {labels.shape}; expected ({n},), one group per sample")
        return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)
    return np.random.default_rng(seed).permutation(np.arange(n) % min(n, BLOCKS)).astype(np.int64)
