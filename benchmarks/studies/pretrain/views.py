"""Random views of scenes for a whole batch at once: crops, turns, other spectra, noise, lost bands.

Colours change as much as they do from place to place in a palette. Otherwise the colours of a place alone would tell it
from all others, and nothing else would be learned.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_SPECTRUM = (0.22, 0.15, 0.1, 0.08)
"""Standard deviations of the log reflectance: brightness, slope and curvature over wavelength, and single bands."""

_NOISE = 0.1
"""Largest standard deviation of the noise, in units of a channel's deviation."""

_LOST, _GREY = 0.1, 0.15
"""Chances that a view lacks some bands, as data sets do (they are then at their mean), and that all bands are alike."""


def random_view(
    pixels: Tensor, normalise: Callable[[Tensor, str], Tensor], size: int, area: tuple[float, float]
) -> Tensor:
    """Crop, turn and mirror every image at random, and change its colours.

    Args:
        pixels: (B, C, H, W) float32 digital numbers of Sentinel-2.
        normalise: brings pixels of a sensor to mean 0 and deviation 1 per channel.
        size: pixels per side of the views.
        area: smallest and largest share of the image that a crop covers.

    Returns:
        (B, C, size, size) float32, normalised.
    """
    return _spoiled(normalise(_recoloured(_crop(pixels, size, area)), "s2"))


def _crop(pixels: Tensor, size: int, area: tuple[float, float]) -> Tensor:
    """A square of random place and area, turned by quarters, mirrored, and resampled bilinearly."""
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
    """Other light, moisture and pigments: the log of the reflectance changes smoothly with wavelength."""
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
