"""Diagnostics that complement CKA: low-variance directions, distances in a shared basis, single massive channels."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from geofm_eval.errors import ContractError
from geofm_eval.similarity.features import Centred, Features, centred, check_same_items
from geofm_eval.similarity.linear_cka import cka

DECIDING = 0.1
"""A single channel decides if CKA without it differs by more than this."""


@dataclass(frozen=True)
class ChannelSpread:
    """Distribution of the variance of features over channels and directions; NaN if they are constant.

    Args:
        participation: participation ratio: number of directions that the variance is spread over, 1 to p.
        top_channel_share: proportion of the variance in the largest channel.
        top_direction_share: proportion of the variance in the largest principal direction.
    """

    participation: float
    top_channel_share: float
    top_direction_share: float


def spread(x: Features) -> ChannelSpread:
    """Compute how the variance of features (n, p) is distributed over channels and directions.

    Raises:
        ContractError: features that ``cka`` refuses.
    """
    side = centred("x", x)
    if side.constant:
        return ChannelSpread(float("nan"), float("nan"), float("nan"))
    variances, spectrum = _channel_variances(side), _spectrum(side)
    return ChannelSpread(
        float(spectrum.sum() ** 2 / spectrum.square().sum()),
        float(variances.max() / variances.sum()),
        float(spectrum.max() / spectrum.sum()),
    )


def without_top_channel(x: Features, y: Features) -> float:
    """Return debiased CKA of (n, p) and (n, q) without the largest channel of each; NaN if one has a single channel.

    Raises:
        ContractError: see ``cka``.
    """
    sides = [centred("x", x), centred("y", y)]
    if min(side.shape[1] for side in sides) == 1:
        return float("nan")
    less = [_without(side.values, int(_channel_variances(side).argmax())) for side in sides]
    return cka(less[0], less[1]).debiased


def one_channel_decides(whole: float, without: float) -> bool:
    """Return True if a debiased CKA (``whole``) changes decisively ``without`` one channel of each side."""
    return abs(whole - without) > DECIDING or (math.isnan(without) and not math.isnan(whole))


def procrustes_distance(x: Features, y: Features) -> float:
    """Squared distance of centred features of unit norm under the best rotation, in [0, 2].

    ||X||^2 + ||Y||^2 - 2 ||X'Y||_* with the nuclear norm, for X (n, p) and Y (n, q) (Ding et al. 2021, arXiv
    2108.01661). If widths differ, the narrower features are padded with zeros. NaN if x or y is constant.

    Raises:
        ContractError: the numbers of samples differ, or features that ``cka`` refuses.
    """
    first, second = centred("x", x), centred("y", y)
    check_same_items(first, second)
    if first.constant or second.constant:
        return float("nan")
    if min(first.shape[1], second.shape[1]) <= first.shape[0]:
        product = torch.zeros(first.shape[1], second.shape[1], dtype=torch.float64, device=first.device)
        for rows, part in first.chunks():
            product += part.T @ second.part(rows)
    else:
        # With few samples X'Y has the singular values of an n x n matrix: with X = U S V', those of S_x U_x' U_y S_y.
        (left, sizes), (right, others) = (_rows_spectrum(side.whole()) for side in (first, second))
        product = (left * sizes).T @ (right * others)
    return max(float(2 - 2 * torch.linalg.svdvals(product).sum()), 0.0)


def relative_distance(x: Features, y: Features) -> float:
    """||X - Y|| / ||X|| of centred features (n, p) in one basis, for example of a layer before and after tuning.

    Unlike CKA it is sensitive to rotations. NaN if the reference x is constant.

    Raises:
        ContractError: the shapes differ, or features that ``cka`` refuses.
    """
    first, second = centred("x", x), centred("y", y)
    if first.shape != second.shape:
        raise ContractError(
            f"x has shape {first.shape}, y has {second.shape}; a relative distance needs features of the same shape"
        )
    if first.constant:
        return float("nan")
    total = 0.0
    for rows, part in first.chunks():
        total += float((part * first.spread - second.part(rows) * (second.spread or 1.0)).square().sum())
    return float(total**0.5 / first.spread)


def _rows_spectrum(values: Tensor) -> tuple[Tensor, Tensor]:
    squares, vectors = torch.linalg.eigh(values @ values.T)
    return vectors, squares.clamp(min=0).sqrt()


def _channel_variances(side: Centred) -> Tensor:
    total = torch.zeros(side.shape[1], dtype=torch.float64, device=side.device)
    for _, part in side.chunks():
        total += part.square().sum(0)
    return total


def _spectrum(side: Centred) -> Tensor:
    n, p = side.shape
    if n <= p:
        values = side.whole()
        product = values @ values.T
    else:
        product = torch.zeros(p, p, dtype=torch.float64, device=side.device)
        for _, part in side.chunks():
            product += part.T @ part
    found: Tensor = torch.linalg.eigvalsh(product).clamp(min=0)
    return found


def _without(values: Features, channel: int) -> Features:
    kept = [index for index in range(values.shape[1]) if index != channel]
    return values[:, kept]
