"""Sentinel-1 over a landscape: backscatter by land cover, water and wind, with speckle."""

import numpy as np
import numpy.typing as npt

from geofm_eval.simulation.scene.events import Fire, Flood
from geofm_eval.simulation.scene.fields import Array, noise, smooth_field
from geofm_eval.simulation.scene.ground import Ground
from geofm_eval.simulation.scene.legend import CODE, CROPS, LAND, MARINE, IntArray
from geofm_eval.simulation.scene.region import Region

LOOKS = 4.4
"""Equivalent number of looks of Sentinel-1 ground range products in interferometric wide swath."""

# VV and VH in dB without green vegetation, then VV and VH in full green.
_BACKSCATTER: dict[str, tuple[float, float, float, float]] = {
    "water": (-21.0, -28.0, -21.0, -28.0),
    "bare": (-11.5, -19.5, -11.5, -19.0),
    "grass": (-12.5, -20.0, -11.5, -18.5),
    **dict.fromkeys(CROPS, (-11.5, -19.5, -10.0, -16.0)),
    "broadleaf": (-9.5, -16.0, -8.5, -14.0),
    "conifer": (-9.5, -15.0, -9.3, -14.8),
    "heath": (-11.5, -18.5, -10.8, -17.2),
    "road": (-15.0, -22.5, -15.0, -22.5),
    "building": (-3.5, -10.5, -3.5, -10.5),
    "paved": (-13.0, -21.0, -13.0, -21.0),
}
_TABLE = np.array([_BACKSCATTER[name] for name in LAND], dtype=np.float32).reshape(len(LAND), 2, 2)

_WIND = np.array([7.0, 6.0], dtype=np.float32)
"""Increase of open-water backscatter by the strongest wind in VV and VH, dB."""

_AT_SEA = {"oil spill": -6.0, "ship": 17.0, "oil platform": 17.0, "foam": 2.0, "waves and wakes": 2.0}
"""Backscatter of objects relative to open water, dB."""


def backscatter(
    rng: np.random.Generator, ground: Ground, green: Array, region: Region, flood: Flood, fire: Fire, debris: IntArray
) -> Array:
    """Simulate the backscatter of one date.

    Args:
        rng: source of this date's moisture, wind and speckle.
        ground: the land.
        green: (S, S) proportion that is green.
        region: calibration and wind.
        flood: water on the land.
        fire: burned land.
        debris: (S, S) class at sea, a position in MARINE.

    Returns:
        (2, S, S) float32, VV and VH in dB, with gamma-distributed speckle of mean 1 per pixel (``LOOKS`` looks);
        rounded to 1e-3 dB, so that values are equal on all processors.
    """
    mean = _flooded(rng, _on_land(rng, ground, green, fire), ground, region, flood)
    for name, brighter in _AT_SEA.items():
        mean += np.where(debris == MARINE.index(name), np.float32(brighter), 0.0)
    eastward = np.zeros_like(green)
    eastward[:, 1:-1] = (ground.elevation[:, 2:] - ground.elevation[:, :-2]) / 20
    mean += np.where(flood.stands, 0.0, np.clip(5 * eastward, -3, 3)) + region.radar[:, None, None]
    speckle = rng.gamma(LOOKS, 1 / LOOKS, mean.shape)
    measured: Array = (mean + 10 * np.log10(speckle) + 0.1 * noise(rng, *mean.shape)).round(3).astype(np.float32)
    return measured


def _on_land(rng: np.random.Generator, ground: Ground, green: Array, fire: Fire) -> Array:
    """Backscatter of cover, age of trees, char and soil moisture, dB."""
    dry, full = _TABLE[ground.land].transpose(2, 3, 0, 1)
    mean: Array = dry + (full - dry) * green
    mean += np.where(ground.maturity > 0, 3.0 * (ground.maturity - 0.5), 0.0)
    mean[1] -= 3 * fire.char
    moisture = rng.normal(0, 0.7) + 0.4 * smooth_field(rng, 1, len(green), 12.0)[0]
    mean += np.where((ground.land == CODE["water"]) | (ground.land == CODE["building"]), 0.0, moisture)
    return mean


def _flooded(rng: np.random.Generator, mean: Array, ground: Ground, region: Region, flood: Flood) -> Array:
    """Backscatter of the same under standing water that the wind roughens, dB."""
    water = _TABLE[CODE["water"], 0][:, None, None] + _WIND[:, None, None] * np.float32(
        np.clip(region.wind + rng.normal(0, 0.08), 0, 1)
    )
    # Trunks in water send the beam back twice; everything else drowns.
    drowned = np.where(ground.maturity > 0, mean + np.array([1.5, 0.3], dtype=np.float32)[:, None, None], water)
    mean += np.where(flood.stands, 0.0, flood.wet)
    # What looks out of shallow water adds its own echo.
    mixed = 10 * np.log10(flood.share * _power(drowned) + (1 - flood.share) * _power(mean))
    return np.where(flood.stands, mixed, mean)


def _power(decibels: Array) -> npt.NDArray[np.float64]:
    """Linear power in float64: processors differ in the last digit, which rounding must be able to hide."""
    return 10 ** (decibels.astype(np.float64) / 10)
