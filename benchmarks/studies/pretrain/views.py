"""Random views of a batch of scenes: crops, rotations, changed spectra, noise, missing bands.

Colours vary as much as between places of a palette. Otherwise colour alone would identify a place, and nothing else
would be learned.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_SPECTRUM = (0.22, 0.15, 0.1, 0.08)
"""Standard deviations of log reflectance: brightness, slope and curvature over wavelength, and single bands."""

_NOISE = 0.1
"""Largest standard deviation of the noise, in units of a channel's standard deviation."""

_LOST, _GREY = 0.1, 0.15
"""Probabilities that some bands are set to their mean, as if missing, and that all bands are equal."""


def random_view(
    pixels: Tensor, normalise: Callable[[Tensor, str], Tensor], size: int, area: tuple[float, float]
) -> Tensor:
    """Randomly crop, rotate and mirror every image, and change its colours.

    Args:
        pixels: (B, C, H, W) float32 digital numbers of Sentinel-2.
        normalise: standardises pixels of a sensor per channel.
        size: pixels per side of the views.
        area: smallest and largest proportion of the image that a crop covers.

    Returns:
        (B, C, size, size) float32, normalised.
    """
    return _spoiled(normalise(_recoloured(_crop(pixels, size, area)), "s2"))


def _crop(pixels: Tensor, size: int, area: tuple[float, float]) -> Tensor:
    """Random square crop, rotated by quarter turns, mirrored, and resampled bilinearly."""
    n = len(pixels)
    side = torch.empty(n).uniform_(*area).sqrt()
    centre = (torch.rand(n, 2) * 2 - 1) * (1 - side)[:, None]
    quarter = torch.randint(4, (n,)) * (math.pi / 2)
    mirror = torch.randint(2, (n,)) * 2 - 1
    cosine, sine = (quarter.cos() * side).round(decimals=6), (quarter.sin() * side).round(decimals=6)
    rows = torch.stack([cosine * mirror, -sine, centre[:, 0]], 1), torch.stack([sine * mirror, cosine, centre[:, 1]], 1)
    place = torch.stack(rows, 1).to(pixels.device)
    grid = functional.affine_grid(place, [n, pixels.shape[1], size, size], align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _recoloured(pixels: Tensor) -> Tensor:
    """Change illumination, moisture and pigments: log reflectance varies smoothly with wavelength."""
    n, channels = pixels.shape[:2]
    position = torch.linspace(0, 1, channels)
    waves = torch.stack([(math.pi * order * position).cos() for order in range(3)])
    change = (torch.randn(n, 3) * torch.tensor(_SPECTRUM[:3])) @ waves + torch.randn(n, channels) * _SPECTRUM[3]
    return pixels * change.exp()[:, :, None, None].to(pixels.device)


def _spoiled(pixels: Tensor) -> Tensor:
    n, channels = pixels.shape[:2]
    grey = (torch.rand(n, 1, 1, 1) < _GREY).to(pixels.device)
    pixels = torch.where(grey, pixels.mean(1, keepdim=True), pixels)
    strength = torch.rand(n, 1, 1, 1) * _NOISE
    noise = torch.randn(n, channels, *pixels.shape[2:]) * strength
    lost = (torch.rand(n, 1, 1, 1) < _LOST) & (torch.rand(n, channels, 1, 1) < 0.3)
    return (pixels + noise.to(pixels.device)).masked_fill(lost.to(pixels.device), 0.0)
