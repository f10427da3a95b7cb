"""Reflectance of a landscape on a clear day: materials by land cover and season, texture, light on slopes."""

import math
from dataclasses import dataclass
from datetime import date

import numpy as np

from geofm_eval.simulation.scene.events import Fire, Flood
from geofm_eval.simulation.scene.fields import Array, noise, smooth_field
from geofm_eval.simulation.scene.ground import Ground
from geofm_eval.simulation.scene.legend import CROPS, LAND, IntArray
from geofm_eval.simulation.scene.palette import MATERIAL, Palette
from geofm_eval.simulation.scene.rendering import PIXEL

# Material of each land cover when green, and when not green.
_LOOKS: dict[str, tuple[str, str]] = {
    "water": ("water", "water"),
    "bare": ("grass", "gravel"),
    "grass": ("grass", "dry_grass"),
    **dict.fromkeys(CROPS, ("crop", "soil")),
    "broadleaf": ("broadleaf", "bark"),
    "conifer": ("conifer", "bark"),
    "heath": ("grass", "dry_grass"),
    "road": ("asphalt", "asphalt"),
    "building": ("tile", "tile"),
    "paved": ("concrete", "asphalt"),
}
_MATERIALS = np.array([[MATERIAL[name] for name in _LOOKS[cover]] for cover in LAND], dtype=np.int64)

_ROOFS = (("tile", 0.0), ("asphalt", 0.5), ("concrete", 0.75), ("metal", 0.92))
"""Roof materials with the lowest lot number that has them."""

_AT_SEA = (
    "water", "plastic", "sargassum", "algae", "organic", "metal", "oil", "water", "sediment", "foam", "turbid",
    "shallow", "wave", "concrete", "jelly", "snot",
)  # fmt: skip
"""Material of every class of MARINE."""

_COVERED = np.array([1, 0.5, 0.8, 0.5, 0.6, 1, 1, 1, 1, 0.8, 1, 1, 0.7, 1, 0.6, 0.7], dtype=np.float32)
"""Proportion of a pixel that a class of MARINE covers; the rest is water."""

_WOODS = (LAND.index("broadleaf"), LAND.index("conifer"))

_OPEN, _DARKER = np.float32(0.6), np.float32(0.25)
"""Proportion of open ground in the youngest forest, and of light lost between the crowns of the oldest."""

_DARK_WHEN_WET = np.float32(0.35)
"""Proportion of brightness that soaked ground loses."""


@dataclass(frozen=True)
class Surface:
    """Properties of a landscape's appearance that are the same on all dates.

    Args:
        spectra: (materials, 13) surface reflectance x 10,000 in this scene.
        palette: textures of the materials.
        grain: (S, S) brightness variation between pixels, standard normal.
        patches: (S, S) brightness variation over about ten pixels, standard normal.
    """

    spectra: Array
    palette: Palette
    grain: Array
    patches: Array

    @classmethod
    def draw(cls, rng: np.random.Generator, palette: Palette, size: int) -> "Surface":
        """Draw the appearance of one scene, with spectra slightly different from those of its region."""
        tint = 0.35 * palette.spread[:, None] * (noise(rng, len(palette.spread), 1) + 0.4 * noise(rng, 1, 13))
        return cls(
            np.asarray(palette.spectra * np.exp(tint), dtype=np.float32),
            palette,
            noise(rng, size, size),
            smooth_field(rng, 1, size, 8.0)[0],
        )

    def reflectance(self, ground: Ground, green: Array, flood: Flood, fire: Fire, debris: IntArray) -> Array:
        """Reflectance without shading, (13, S, S) float32, x 10,000.

        Args:
            ground: the land.
            green: (S, S) proportion that is green.
            flood: water on the land.
            fire: burned land.
            debris: (S, S) class at sea.
        """
        first, second = np.moveaxis(_MATERIALS[ground.land], -1, 0)
        roof = np.zeros_like(first)
        for name, start in _ROOFS:
            roof[ground.lot >= start] = MATERIAL[name]
        building = ground.land == LAND.index("building")
        first, second = np.where(building, roof, first), np.where(building, roof, second)
        share = green[..., None]
        pixels = self.spectra[first] * share + self.spectra[second] * (1 - share)
        # Young stands are open, with undergrowth visible between the crowns. Old crowns shade each other.
        wooded = np.isin(ground.land, _WOODS)
        below = self.spectra[MATERIAL["grass"]] * share + self.spectra[MATERIAL["dry_grass"]] * (1 - share)
        pixels = _cover(pixels, wooded * _OPEN * (1 - ground.maturity), below)
        pixels *= np.where(wooded, 1 - _DARKER * ground.maturity, np.float32(1))[..., None]
        pixels *= (ground.shade * self._texture(first, second, green))[..., None]
        pixels *= (1 - _DARK_WHEN_WET * flood.wet * (1 - green))[..., None]
        pixels = _cover(pixels, flood.share * (ground.land != LAND.index("water")), self.spectra[MATERIAL["flood"]])
        pixels = _cover(pixels, fire.char, self.spectra[MATERIAL["char"]])
        at_sea = self.spectra[np.array([MATERIAL[name] for name in _AT_SEA])][debris]
        pixels = _cover(pixels, np.where(debris > 0, _COVERED[debris], 0.0), at_sea)
        return np.moveaxis(pixels, -1, 0).astype(np.float32)

    def _texture(self, first: IntArray, second: IntArray, green: Array) -> Array:
        fine = self.palette.fine[first] * green + self.palette.fine[second] * (1 - green)
        coarse = self.palette.coarse[first] * green + self.palette.coarse[second] * (1 - green)
        return np.clip(1 + fine * self.grain + coarse * self.patches, 0.2, 3).astype(np.float32)


def _cover(pixels: Array, share: Array, spectrum: Array) -> Array:
    return pixels + share[..., None].astype(np.float32) * (spectrum - pixels)


def sun(day: date, latitude: float) -> tuple[float, float]:
    """Return azimuth in radians from north, and cotangent of the elevation, when Sentinel-2 passes (10:30)."""
    declination = -23.44 * math.cos(2 * math.pi * (day.timetuple().tm_yday + 10) / 365.25)
    zenith = math.hypot(latitude - declination, 22.0)
    south = latitude >= declination
    return math.radians(155.0 if south else 35.0), math.tan(math.radians(min(zenith, 72.0)))


def shading(ground: Ground, azimuth: float, cotangent: float) -> Array:
    """Brightness from slopes towards and away from the sun, (S, S) about 1."""
    height = (ground.elevation + ground.height) / np.float32(PIXEL)
    slope = np.zeros_like(height)
    # Rows increase southward, columns eastward; a slope that rises away from the sun faces it.
    slope[1:-1] = (height[:-2] - height[2:]) * np.float32(-math.cos(azimuth) / 2)
    slope[:, 1:-1] += (height[:, 2:] - height[:, :-2]) * np.float32(-math.sin(azimuth) / 2)
    return np.clip(1 + np.float32(0.5 * cotangent) * slope, 0.4, 1.6).astype(np.float32)
