"""Standardise features on a label subset, and rotate them into the subset's principal axes."""

from dataclasses import dataclass

import torch
from torch import Tensor

ROUNDING_STEPS = 64
"""Float32 steps that count as rounding. Networks whose tokens carry no information wrote noise with an sd of up to
16 steps of a channel's largest value."""

STEP = torch.finfo(torch.float32).eps
"""Features are stored as float32, whatever dtype later computations use."""

RANK_TOLERANCE = 1e-12
"""Axes with a variance below this fraction of the largest are indistinguishable from zero in float64."""


@dataclass(frozen=True)
class Standardiser:
    """Mean and sd per kept channel, estimated on one label subset.

    Attributes:
        mean: (D',) float64, mean of each kept channel.
        scale: (D',) float64, population sd of each kept channel.
        kept: (D,) bool, False for channels dropped as constant.
        rounding: (D',) float64, sd that float32 rounding may have in each standardised channel; below 1.
    """

    mean: Tensor
    scale: Tensor
    kept: Tensor
    rounding: Tensor

    @property
    def dropped(self) -> int:
        """Number of channels dropped as constant."""
        return int((~self.kept).sum())

    def __call__(self, features: Tensor) -> Tensor:
        """Standardise ``features`` (n, D) to (n, D') float64."""
        kept = features[:, self.kept] if self.dropped else features
        return (kept.double() - self.mean) / self.scale


def fit_standardiser(features: Tensor) -> Standardiser:
    """Estimate the standardisation of ``features`` (n, D) float32; drop channels that hold only rounding noise.

    A channel is dropped if its sd is at most ``ROUNDING_STEPS`` float32 steps of its own largest value, or of the
    median of all channels' largest values. The outputs of a network are sums of terms of about the latter size, so the
    few values of a dead channel, 1e-6 where others are 1, are rounding noise even though the channel holds nothing
    larger. When such channels were kept, ridge predictions exploded (R2 of random convolutional features fell from .17
    to -.49). The median, unlike the maximum, is not affected by a single large channel: one of sd 1e7 says nothing
    about sixteen others of sd 3.
    """
    values = features.double()
    sd, mean = torch.std_mean(values, dim=0, correction=0)
    largest = values.abs().amax(0)
    rounding = ROUNDING_STEPS * STEP * torch.maximum(largest, _median(largest))
    kept = sd > rounding
    return Standardiser(mean=mean[kept], scale=sd[kept], kept=kept, rounding=(rounding / sd)[kept])


def _median(values: Tensor) -> Tensor:
    return values.median() if values.numel() else values.sum()


@dataclass(frozen=True)
class Rotation:
    """Rows in the principal axes of their subset, without axes that hold only rounding noise.

    With an L2 penalty the optimum is in the row space of the training rows, so n rows of D > n channels need only n
    coordinates.

    Attributes:
        coordinates: (n, r) float64, r = min(n, D'); zero columns for axes that are left out.
        basis: (D', r) float64 with orthonormal columns; zero columns for axes that are left out.
        curvature: (r,) float64, mean square of each coordinate.
    """

    coordinates: Tensor
    basis: Tensor
    curvature: Tensor


def rotate(standardised: Tensor, rounding: Tensor) -> Rotation:
    """Rotate rows into their principal axes, through the smaller of the two Gram matrices.

    Rounding adds noise of variance ``sum_c v_c^2 rounding_c^2`` along an axis v, because channels are rounded
    independently. Axes whose variance does not exceed it are left out; their noise would otherwise be probed as signal.

    Args:
        standardised: (n, D') float64, centred and scaled channels.
        rounding: (D',) float64, sd of rounding in each of them; see `Standardiser`.
    """
    n, width = standardised.shape
    if width < n:
        values, basis = torch.linalg.eigh(standardised.T @ standardised)
    else:
        values, axes = torch.linalg.eigh(standardised @ standardised.T)
        inverse = values.clamp(min=torch.finfo(torch.float64).tiny).rsqrt()
        basis = standardised.T @ (axes * torch.where(_above_zero(values), inverse, 0.0))
    variance = values.clamp(min=0) / n
    inside = _above_zero(values) & (variance > basis.square().T @ rounding.square())
    basis = torch.where(inside, basis, 0.0)
    return Rotation(standardised @ basis, basis, torch.where(inside, variance, 0.0))


def _above_zero(values: Tensor) -> Tensor:
    return values > RANK_TOLERANCE * values.abs().max() if len(values) else values > 0
