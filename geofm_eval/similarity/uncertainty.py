"""How sure a debiased CKA is: jackknife, half-sampling, and what independent features would give.

Nothing here draws rows with replacement: a row and its copy are as similar as can be, off the diagonal, and data that
have nothing to do with each other would seem alike.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from geofm_eval.errors import ContractError
from geofm_eval.similarity.cka import cka, u_centred
from geofm_eval.similarity.features import FEWEST, Features, centred

BLOCKS = 50
"""Parts that a jackknife leaves out, one at a time, where there are no groups."""


@dataclass(frozen=True)
class Null:
    """Debiased CKA of features whose items are exchanged at random.

    Args:
        observed: that of the items as they are.
        mean: over permutations.
        sd: over permutations.
    """

    observed: float
    mean: float
    sd: float

    @property
    def z(self) -> float:
        """Standard deviations that the observed value lies above chance; NaN without any spread."""
        return (self.observed - self.mean) / self.sd if self.sd > 0 else math.nan


def jackknife_error(x: Features, y: Features, groups: ArrayLike | None = None, seed: int = 0) -> float:
    """Standard error of debiased CKA, each group left out once.

    Efron and Tibshirani 1993, chapter 11: sqrt((g - 1) / g * sum((c_i - mean)^2)).

    Args:
        x: (n, p).
        y: (n, q).
        groups: (n,) scene of every item; None cuts the items into ``BLOCKS`` random parts (every item for itself where
            there are fewer).
        seed: of the parts.

    Returns:
        NaN where x or y is constant.

    Raises:
        ContractError: groups of another number of items, a group without which too few items are left, or features that
            ``cka`` refuses.
    """
    grams, member = _grams(x, y), _members(len(x), groups, seed)
    count = int(member.max()) + 1
    if count < 2:
        raise ContractError(f"a jackknife needs two groups or more, found {count}")
    parts = [np.flatnonzero(member != group) for group in range(count)]
    if (left := min(map(len, parts))) < FEWEST:
        raise ContractError(f"without one of the {count} groups {left} items are left, expected at least {FEWEST}")
    if grams is None:
        return math.nan
    values = np.array([_debiased(grams, rows) for rows in parts])
    return float(np.sqrt((count - 1) / count * np.square(values - values.mean()).sum()))


def half_sampling_error(
    x: Features, y: Features, groups: ArrayLike | None = None, draws: int = 100, seed: int = 0
) -> float:
    """Standard error of debiased CKA from halves of the items, drawn without replacement.

    The spread over subsets of m of n items (or groups), times sqrt(m / (n - m)). With a few groups of very different
    sizes the jackknife is the better one.

    Args:
        x: (n, p).
        y: (n, q).
        groups: (n,) scene of every item, drawn whole; None draws items.
        draws: number of halves.
        seed: of the draws.

    Returns:
        NaN where x or y is constant.

    Raises:
        ContractError: groups of another number of items, too few items or groups to halve, or features that ``cka``
            refuses.
    """
    grams, rng = _grams(x, y), np.random.default_rng(seed)
    member = np.arange(len(x)) if groups is None else _members(len(x), groups, seed)
    count = int(member.max()) + 1
    half = count // 2
    if int(np.sort(np.bincount(member))[:half].sum()) < FEWEST:
        raise ContractError(f"{len(x)} items in {count} groups cannot be halved: every half needs {FEWEST} items")
    if grams is None:
        return math.nan
    halves = (np.flatnonzero(np.isin(member, rng.choice(count, half, replace=False))) for _ in range(draws))
    return float(np.std([_debiased(grams, rows) for rows in halves], ddof=1) * math.sqrt(half / (count - half)))


def permutation_null(x: Features, y: Features, draws: int = 200, seed: int = 0) -> Null:
    """Compare debiased CKA with what it is when the items of y are exchanged.

    Args:
        x: (n, p), one row per image: whole images are exchanged.
        y: (n, q).
        draws: permutations.
        seed: of the permutations.

    Returns:
        NaN throughout where x or y is constant.

    Raises:
        ContractError: features that ``cka`` refuses.
    """
    grams = _grams(x, y)
    if grams is None:
        return Null(math.nan, math.nan, math.nan)
    left, right = (u_centred(gram) for gram in grams)
    below = math.sqrt(float(left.square().sum()) * float(right.square().sum()))
    rng, values = np.random.default_rng(seed), []
    for _ in range(draws):
        order = torch.from_numpy(rng.permutation(len(left))).to(right.device)
        values.append(float((left * right[order][:, order]).sum()) / below)
    return Null(float((left * right).sum()) / below, float(np.mean(values)), float(np.std(values, ddof=1)))


def _grams(x: Features, y: Features) -> tuple[Tensor, Tensor] | None:
    """Gram matrices; None where similarity is unknown."""
    parts = [centred("x", x), centred("y", y)]
    if parts[0].shape[0] != parts[1].shape[0]:
        raise ContractError(f"x has {parts[0].shape[0]} items, y has {parts[1].shape[0]}: they must be the same")
    if cka(x, y).reason:
        return None
    first, second = ((values := one.whole()) @ values.T for one in parts)
    return first, second


def _debiased(grams: tuple[Tensor, Tensor], rows: NDArray[np.int64]) -> float:
    """Of some items. U-centring takes out whatever mean the features were centred on."""
    chosen = torch.from_numpy(rows).to(grams[0].device)
    left, right = (u_centred(gram[chosen][:, chosen]) for gram in grams)
    return float((left * right).sum()) / math.sqrt(float(left.square().sum()) * float(right.square().sum()))


def _members(n: int, groups: ArrayLike | None, seed: int) -> NDArray[np.int64]:
    if groups is not None:
        labels = np.asarray(groups)
        if labels.shape != (n,):
            raise ContractError(f"groups must name the group of each of {n} items, found the shape {labels.shape}")
        return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)
    return np.random.default_rng(seed).permutation(np.arange(n) % min(n, BLOCKS)).astype(np.int64)
