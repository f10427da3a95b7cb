"""Random views of scenes: crops, turns, brightness, blur and lost bands, for a whole batch at once."""

import math

import torch
from torch import Tensor
from torch.nn import functional

_GAIN, _BAND_GAIN, _SHIFT, _NOISE = 0.15, 0.05, 0.15, 0.1
"""Standard deviations: log gain of all bands, of each band, shift and noise in units of a channel's deviation."""

_LOST = 0.1
"""Chance that a view lacks some bands, as data sets do; they are then at their mean."""


def random_view(pixels: Tensor, size: int, area: tuple[float, float]) -> Tensor:
    """Crop, turn and mirror every image at random, and change its brightness.

    Args:
        pixels: (B, C, H, W) float32, normalised.
        size: pixels per side of the views.
        area: smallest and largest share of the image that a crop covers.

    Returns:
        (B, C, size, size) float32.
    """
    return _jitter(_crop(pixels, size, area))


def _crop(pixels: Tensor, size: int, area: tuple[float, float]) -> Tensor:
    """A square of random place and area, turned by quarters, mirrored, and resampled bilinearly."""
    n = len(pixels)
    side = torch.empty(n).uniform_(*area).sqrt()
    centre = (torch.rand(n, 2) * 2 - 1) * (1 - side)[:, None]
    quarter = torch.randint(4, (n,)) * (math.pi / 2)
    mirror = torch.randint(2, (n,)) * 2 - 1
    cosine, sine = (quarter.cos() * side).round(decimals=6), (quarter.sin() * side).round(decimals=6)
    rows = torch.stack([cosine * mirror, -sine, centre[:, 0]], 1), torch.stack([sine * mirror, cosine, centre[:, 1]], 1)
    grid = functional.affine_grid(torch.stack(rows, 1), [n, pixels.shape[1], size, size], align_corners=False)
    return functional.grid_sample(pixels, grid, mode="bilinear", padding_mode="reflection", align_corners=False)


def _jitter(pixels: Tensor) -> Tensor:
    n, channels = pixels.shape[:2]
    gain = (torch.randn(n, 1, 1, 1) * _GAIN + torch.randn(n, channels, 1, 1) * _BAND_GAIN).exp()
    shift = torch.randn(n, 1, 1, 1) * _SHIFT
    strength = torch.rand(n, 1, 1, 1) * _NOISE
    changed = pixels * gain + shift + torch.randn_like(pixels) * strength
    lost = (torch.rand(n, 1, 1, 1) < _LOST) & (torch.rand(n, channels, 1, 1) < 0.3)
    return changed.masked_fill(lost, 0.0)
