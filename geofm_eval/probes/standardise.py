"""Standardise features on a label subset, and rotate them into the subset's principal axes."""

from dataclasses import dataclass

import torch
from torch import Tensor

CONSTANT_BELOW = 1e-6
"""Channels whose sd is below this share of the largest sd carry rounding noise, not signal: they are dropped."""

RANK_TOLERANCE = 1e-12
"""Axes with a variance below this share of the largest are outside the row space of the subset."""


@dataclass(frozen=True)
class Standardiser:
    """Mean and sd per kept channel, learnt on one label subset.

    Attributes:
        mean: (D',) float64, mean of each kept channel.
        scale: (D',) float64, population sd of each kept channel.
        kept: (D,) bool, False for channels dropped as constant.
    """

    mean: Tensor
    scale: Tensor
    kept: Tensor

    @property
    def dropped(self) -> int:
        """How many channels were dropped as constant."""
        return int((~self.kept).sum())

    def __call__(self, features: Tensor) -> Tensor:
        """Standardise ``features`` (n, D) to (n, D') float64."""
        kept = features[:, self.kept] if self.dropped else features
        return (kept.double() - self.mean) / self.scale


def fit_standardiser(features: Tensor) -> Standardiser:
    """Learn the standardisation of ``features`` (n, D); channels with sd < 1e-6 of the largest sd are dropped.

    A largest sd that is itself only the rounding of a constant block counts as zero, so that a block of constants
    keeps no channel instead of standardising its own rounding errors.
    """
    values = features.double()
    sd, mean = torch.std_mean(values, dim=0, correction=0)
    largest = sd.max() if sd.numel() else sd.new_zeros(())
    rounding = torch.finfo(torch.float64).eps * values.abs().amax(0) * len(values)
    kept = (sd > rounding) & (sd >= CONSTANT_BELOW * largest)
    return Standardiser(mean=mean[kept], scale=sd[kept], kept=kept)


@dataclass(frozen=True)
class Rotation:
    """The same rows in the principal axes of their subset: an exact change of basis, no approximation.

    With an L2 penalty the optimum lies in the row space of the training rows, so that n rows of D > n channels need
    only n coordinates.

    Attributes:
        coordinates: (n, r) float64, r = min(n, D').
        basis: (D', r) float64 with orthonormal columns (zero columns for axes outside the row space).
        curvature: (r,) float64, mean square of each coordinate.
    """

    coordinates: Tensor
    basis: Tensor
    curvature: Tensor


def rotate(standardised: Tensor) -> Rotation:
    """Rotate ``standardised`` (n, D') into its principal axes, through the smaller of the two Gram matrices."""
    n, width = standardised.shape
    if width < n:
        values, basis = torch.linalg.eigh(standardised.T @ standardised)
        return Rotation(standardised @ basis, basis, values.clamp(min=0) / n)
    values, axes = torch.linalg.eigh(standardised @ standardised.T)
    inside = values > RANK_TOLERANCE * values.max()
    length = torch.where(inside, values, 0.0).sqrt()
    inverse = torch.where(inside, 1 / values.clamp(min=torch.finfo(torch.float64).tiny).sqrt(), 0.0)
    return Rotation(axes * length, standardised.T @ (axes * inverse), length.square() / n)
