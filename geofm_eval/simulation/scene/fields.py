"""Random fields over a chip: smooth ones for relief and growth, fractal ones for natural cover, and white noise.

All functions process n chips at once and return (n, size, size) float32.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float32]
"""float32 array; shapes are stated by each function."""

Number = TypeVar("Number", bound=np.generic)


@lru_cache(maxsize=64)
def spline_basis(length: int, spacing: float) -> Array:
    """Cubic B-spline basis of shape (length, knots) with knots ``spacing`` pixels apart, scaled for unit variance.

    White noise on the knots times this basis is smooth noise with a standard deviation near 1 at every pixel.
    """
    knots = int(np.ceil((length - 1) / spacing)) + 4
    distance = np.abs(np.arange(length)[:, None] / spacing - (np.arange(knots)[None, :] - 1.5))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.clip(2 - distance, 0, None) ** 3 / 6
    basis = np.where(distance < 1, near, far)
    scaled: Array = (basis / np.sqrt((basis**2).sum(1, keepdims=True))).astype(np.float32)
    return scaled


def noise(rng: np.random.Generator, *shape: int) -> Array:
    """Draw standard normal float32 values of the given shape."""
    return rng.standard_normal(shape, dtype=np.float32)


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Array:
    """Draw uniform float32 values between ``low`` and ``high`` of the given shape."""
    return (rng.random(shape, dtype=np.float32) * (high - low) + low).astype(np.float32)


def per_chip(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Reshape (n,) values to (n, 1, 1), which broadcasts over the pixels of a chip."""
    return values[:, None, None]


def smooth_field(rng: np.random.Generator, n: int, size: int, spacing: float) -> Array:
    """Draw a Gaussian field with mean 0 and standard deviation 1 and features about ``spacing`` pixels wide."""
    basis = spline_basis(size, spacing)
    knots = basis.shape[1]
    return np.asarray(basis @ noise(rng, n, knots, knots) @ basis.T, dtype=np.float32)


def fractal_field(rng: np.random.Generator, n: int, size: int, spacings: Sequence[float], roughness: float) -> Array:
    """Draw a sum of smooth fields over several scales, with mean 0 and standard deviation 1.

    Args:
        rng: source of randomness.
        n: number of chips.
        size: pixels per side.
        spacings: feature widths in pixels, coarse to fine.
        roughness: amplitude of each scale relative to the next coarser one; 1 is rugged, 0.3 is rolling.
    """
    amplitudes = np.float32(roughness) ** np.arange(len(spacings), dtype=np.float32)
    amplitudes /= np.sqrt((amplitudes**2).sum())
    total = np.zeros((n, size, size), dtype=np.float32)
    for amplitude, spacing in zip(amplitudes, spacings, strict=True):
        total += amplitude * smooth_field(rng, n, size, spacing)
    return total


def smooth_curve(rng: np.random.Generator, n: int, length: int, spacing: float) -> Array:
    """Draw a Gaussian process on a line, (n, length), with bends about ``spacing`` points long."""
    basis = spline_basis(length, spacing)
    return noise(rng, n, basis.shape[1]) @ basis.T


def soft_step(distance: Array) -> Array:
    """Proportion of a pixel inside an edge, for a signed distance in pixels (positive is inside)."""
    share: Array = np.clip(distance + np.float32(0.5), 0, 1)
    return share
