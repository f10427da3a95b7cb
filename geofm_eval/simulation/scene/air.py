"""Effects between a landscape and the sensor: haze, clouds and their shadows, the edge of the swath."""

import math
from dataclasses import dataclass

import numpy as np

from geofm_eval.simulation.scene.fields import Array, fractal_field, noise
from geofm_eval.simulation.scene.legend import BoolArray, SceneKind
from geofm_eval.simulation.scene.rendering import PASSED, PATH, resolve, sensor_noise

_MARGIN = 16
"""Pixels around a scene with clouds that cast shadows into it."""

_CLOUDY = {"flood": 0.55, "mixed": 0.6, "forest": 0.3}
"""Probability that a date has clouds; 0.28 for kinds that are not listed."""

_CLOUD = np.array([6400, 6200, 6000, 5900, 5950, 6000, 6050, 6100, 6150, 3400, 250, 3900, 3000], dtype=np.float32)
"""Reflectance x 10,000 of a thick cloud at the top of the atmosphere, bands in order of wavelength."""

_SHADOWED = np.float32(0.42)
"""Fraction of the light that reaches the ground in the shadow of a thick cloud."""


@dataclass(frozen=True)
class Sky:
    """Clouds of one date.

    Args:
        cloud: (S, S) opacity, 0..1.
        shadow: (S, S) True in the shadow of a cloud.
        nodata: (S, S) True beyond the edge of the swath.
    """

    cloud: Array
    shadow: BoolArray
    nodata: BoolArray


def draw_sky(rng: np.random.Generator, kind: SceneKind, size: int, azimuth: float, cotangent: float) -> Sky:
    """Draw the clouds of one date; their shadows fall away from the sun, and farther if the sun is low."""
    wide = size + 2 * _MARGIN
    field = fractal_field(rng, 1, wide, (34.0, 13.0, 5.0), 0.55)[0]
    thickness = rng.uniform(0.5, 2.5)
    share = rng.beta(0.8, 2.2) if rng.random() < _CLOUDY.get(kind, 0.28) else 0.0
    level = np.quantile(field, 1 - share) if share else np.inf
    opacity = np.clip((field - level) * thickness, 0, 0.97).astype(np.float32)
    reach = float(np.clip(rng.uniform(5, 11) * cotangent, 2, _MARGIN - 1))
    rows, columns = round(reach * math.cos(azimuth)), round(-reach * math.sin(azimuth))
    inner = slice(_MARGIN, _MARGIN + size)
    cloud = opacity[inner, inner]
    # A pixel is in the shadow of the cloud above it in the direction of the sun.
    cast = opacity[_MARGIN - rows : _MARGIN - rows + size, _MARGIN - columns : _MARGIN - columns + size]
    return Sky(cloud, np.asarray((cast > 0.45) & (cloud < 0.45)), _swath(rng, size))


def _swath(rng: np.random.Generator, size: int) -> BoolArray:
    """Pixels beyond a straight edge of the swath, which one date in sixteen has."""
    angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.45) * size
    if rng.random() > 1 / 16:
        return np.zeros((size, size), dtype=bool)
    row, column = np.mgrid[:size, :size] - size / 2
    return np.asarray(row * math.cos(angle) + column * math.sin(angle) > reach)


def observe(rng: np.random.Generator, surface: Array, sky: Sky, haze: float) -> tuple[Array, Array]:
    """Simulate the measurement at the top of the atmosphere, and its correction to the surface.

    Args:
        rng: source of sensor noise and correction errors.
        surface: (13, S, S) reflectance x 10,000 with shading; not modified.
        sky: clouds and shadows.
        haze: strength of atmospheric scattering; 1 is typical.

    Returns:
        L1C and L2A, (13, S, S) float32 each; B10 of L2A is 0, because the product lacks it.
    """
    lit = surface * np.where(sky.shadow, _SHADOWED, np.float32(1))
    top = lit * PASSED[:, None, None]
    resolve(top[None])
    top += np.float32(haze) * PATH[:, None, None]
    top += sky.cloud * (_CLOUD[:, None, None] * np.float32(rng.uniform(0.85, 1.15)) - top)
    top += sensor_noise(rng, top.shape)
    np.clip(top, 1, 28_000, out=top)
    # The correction knows the haze up to an error, and treats clouds as ground.
    known = np.float32(haze * (1 + 0.08 * float(noise(rng, 1)[0])))
    passed = np.maximum(PASSED, np.float32(0.05))[:, None, None]
    corrected = np.clip((top - known * PATH[:, None, None]) / passed, 1, 28_000)
    corrected[10] = 0
    return top, corrected.astype(np.float32)
