"""Render land as pixels: colours of materials, light, atmosphere and sensor."""

import math
from functools import lru_cache

import numpy as np

from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.simulation.scene.canvas import Canvas
from geofm_eval.simulation.scene.fields import Array, noise, per_chip, smooth_field, uniform
from geofm_eval.simulation.scene.palette import Palette

PIXEL = 10.0
"""Ground sampling distance of a scene, in metres."""

# B09 is in a water vapour band, B10 in an opaque one.
PATH = np.array([950, 620, 390, 240, 190, 150, 120, 100, 90, 60, 8, 25, 12], dtype=np.float32)
"""Light scattered by the atmosphere alone, reflectance x 10,000 per band in order of wavelength."""

PASSED = np.array([0.80, 0.84, 0.87, 0.90, 0.91, 0.92, 0.93, 0.93, 0.94, 0.33, 0.001, 0.95, 0.93], dtype=np.float32)
"""Two-way transmittance of the atmosphere per band."""

SENSOR_NOISE = np.array([7, 11, 11, 11, 11, 10, 10, 13, 10, 7, 1.5, 9, 8], dtype=np.float32)
"""Standard deviation of the sensor noise per band, reflectance x 10,000."""


def render(canvas: Canvas, palette: Palette, rng: np.random.Generator) -> Array:
    """Render land as Sentinel-2 L1C.

    Args:
        canvas: land of n chips.
        palette: colours and textures of the materials.
        rng: source of randomness.

    Returns:
        (n, 13, size, size) float32 top-of-atmosphere reflectance x 10,000, bands in order of wavelength.
    """
    n, count, size, _ = canvas.cover.shape
    spectra = palette.draw(rng, n) * PASSED
    land = spectra.transpose(0, 2, 1) @ canvas.cover.reshape(n, count, size * size)
    pixels = np.asarray(land, dtype=np.float32).reshape(n, len(PATH), size, size)
    light = _texture(canvas, palette, rng) * _shading(canvas, rng) * uniform(rng, 0.82, 1.15, n, 1, 1)
    pixels *= light[:, None]
    resolve(pixels)
    haze = per_chip(uniform(rng, 0.75, 1.45, n))
    air = haze * PATH[:, None]
    for chip, path in zip(pixels, air, strict=True):
        chip += path[..., None]
        chip += sensor_noise(rng, chip.shape)
        np.clip(chip, 1, 28_000, out=chip)
    return pixels


def sensor_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Draw noise for every band and pixel: the sum of two random bytes, a fast approximation of normal noise."""
    first, second = np.frombuffer(rng.bytes(2 * math.prod(shape)), dtype=np.uint8).reshape(2, *shape)
    triangular: Array = np.add(first, second, dtype=np.float32) - np.float32(255)
    # A byte has a variance of (256**2 - 1) / 12.
    triangular *= (SENSOR_NOISE / np.float32(math.sqrt(65_535 / 6)))[:, None, None]
    return triangular


def _texture(canvas: Canvas, palette: Palette, rng: np.random.Generator) -> Array:
    """Brightness of every pixel relative to its material: grain between pixels, and patches of about ten pixels."""
    n, size = canvas.n, canvas.size
    amplitudes = np.stack([palette.fine, palette.coarse])
    fine, coarse = np.einsum("am,nmp->anp", amplitudes, canvas.cover.reshape(n, len(palette.fine), -1), optimize=True)
    grain = fine.reshape(n, size, size) * noise(rng, n, size, size)
    patches = coarse.reshape(n, size, size) * smooth_field(rng, n, size, 8.0)
    texture: Array = 1 + grain + patches
    return texture


def _shading(canvas: Canvas, rng: np.random.Generator) -> Array:
    """Brightness from the slope towards the sun: 1 + slope * cotangent of the sun's elevation."""
    azimuth = uniform(rng, 0, 2 * np.pi, canvas.n, 1, 1)
    cotangent = uniform(rng, 0.35, 1.0, canvas.n, 1, 1)
    slope = np.zeros_like(canvas.height)
    slope[:, 1:-1] = (canvas.height[:, 2:] - canvas.height[:, :-2]) * (np.sin(azimuth) / 2)
    slope[:, :, 1:-1] += (canvas.height[:, :, 2:] - canvas.height[:, :, :-2]) * (np.cos(azimuth) / 2)
    light: Array = np.clip(1 + cotangent * slope, 0.45, 1.5)
    return light


def resolve(pixels: Array) -> None:
    """Reduce bands of 20 and 60 m to their resolution, in place."""
    bands = list(SENTINEL2.values())
    for gsd in (20.0, 60.0):
        chosen = [position for position, band in enumerate(bands) if band.gsd == gsd]
        sensor = sensor_matrix(pixels.shape[-1], gsd / PIXEL)
        pixels[:, chosen] = sensor @ pixels[:, chosen] @ sensor.T


@lru_cache(maxsize=16)
def sensor_matrix(size: int, factor: float) -> Array:
    """One-axis (size, size) matrix that averages to coarser pixels and interpolates linearly back."""
    coarse = int(np.ceil(size / factor))
    middles = (np.arange(size) + 0.5) / factor
    belongs = np.floor(middles)[None, :] == np.arange(coarse)[:, None]
    averaging = belongs / belongs.sum(1, keepdims=True)
    position = np.clip(middles - 0.5, 0, coarse - 1)[:, None]
    interpolation = np.clip(1 - np.abs(position - np.arange(coarse)[None, :]), 0, None)
    matrix: Array = (interpolation @ averaging).astype(np.float32)
    return matrix
