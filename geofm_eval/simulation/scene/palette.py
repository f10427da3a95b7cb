"""Palettes: spectra of materials in 13 Sentinel-2 bands, their variation between places, and their texture.

Colours and textures are defined only in palettes. Scenes of another palette share the arrangements but no spectra, so a
model can be pretrained on one palette and evaluated on another.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from geofm_eval.simulation.scene.fields import Array, noise


@dataclass(frozen=True)
class Palette:
    """Spectra and textures of all materials.

    Args:
        name: part of every seed, so that two palettes never share random numbers.
        spectra: (materials, 13) surface reflectance x 10,000, Sentinel-2 bands in order of wavelength.
        spread: (materials,) standard deviation of the log reflectance between scenes.
        fine: (materials,) relative standard deviation of brightness between pixels.
        coarse: (materials,) relative standard deviation of brightness over about ten pixels.
    """

    name: str
    spectra: Array
    spread: Array
    fine: Array
    coarse: Array

    def draw(self, rng: np.random.Generator, n: int) -> Array:
        """Draw every material's spectrum for n scenes, (n, materials, 13) reflectance x 10,000.

        Log reflectance varies smoothly with wavelength (brightness, slope, curvature), as it does with moisture,
        pigment and illumination, and slightly by band.
        """
        count, bands = self.spectra.shape
        position = np.linspace(0, 1, bands, dtype=np.float32)
        amplitudes = np.array([0.8, 0.55, 0.35], dtype=np.float32)
        shapes = amplitudes[:, None] * np.cos(np.pi * np.arange(3, dtype=np.float32)[:, None] * position)
        change = noise(rng, n, count, 3) @ shapes + np.float32(0.3) * noise(rng, n, count, bands)
        spectra: Array = self.spectra * np.exp(self.spread[:, None] * change)
        return spectra


_Table = dict[str, tuple[tuple[int, ...], float, float, float]]
"""By material: reflectance x 10,000 in B01..B08, B8A, B09..B12; then spread, fine and coarse texture.

The numbers are rounded typical values of each kind of surface.
"""


_TEMPERATE: _Table = {
    "water": ((320, 360, 420, 300, 220, 150, 130, 110, 100, 90, 60, 40, 30), 0.45, 0.02, 0.10),
    "soil": ((600, 800, 1130, 1520, 1700, 1850, 1990, 2120, 2250, 2300, 2400, 2850, 2450), 0.24, 0.04, 0.07),
    "dry_grass": ((500, 640, 960, 1180, 1500, 1950, 2150, 2300, 2450, 2500, 2600, 2700, 1900), 0.22, 0.05, 0.08),
    "grass": ((260, 340, 660, 400, 980, 2450, 2950, 3080, 3250, 3300, 2300, 2050, 1050), 0.20, 0.04, 0.06),
    "crop": ((250, 310, 620, 340, 920, 2700, 3400, 3550, 3700, 3700, 2300, 1900, 880), 0.20, 0.03, 0.06),
    "broadleaf": ((190, 230, 430, 260, 720, 2150, 2700, 2800, 2950, 2950, 1700, 1450, 640), 0.22, 0.10, 0.08),
    "conifer": ((160, 190, 330, 210, 520, 1500, 1850, 1950, 2050, 2050, 1200, 920, 400), 0.22, 0.11, 0.08),
    "asphalt": ((700, 800, 930, 1000, 1060, 1120, 1180, 1240, 1280, 1300, 1350, 1500, 1400), 0.20, 0.04, 0.04),
    "concrete": ((1300, 1550, 1850, 2050, 2150, 2230, 2320, 2400, 2450, 2450, 2500, 2650, 2500), 0.20, 0.04, 0.06),
    "tile": ((680, 800, 1020, 1550, 1750, 1900, 2020, 2150, 2250, 2300, 2350, 2600, 2400), 0.24, 0.04, 0.05),
    "metal": ((2100, 2450, 2650, 2750, 2820, 2880, 2940, 3000, 3020, 3000, 2900, 2900, 2700), 0.32, 0.04, 0.05),
}

_SAVANNA: _Table = {
    "water": ((450, 560, 780, 800, 620, 330, 290, 230, 200, 180, 100, 60, 45), 0.40, 0.02, 0.12),
    "soil": ((480, 620, 1000, 1900, 2250, 2450, 2600, 2750, 2900, 2950, 3100, 3700, 3200), 0.20, 0.05, 0.09),
    "dry_grass": ((620, 800, 1250, 1650, 1950, 2250, 2450, 2650, 2800, 2850, 3000, 3400, 2600), 0.20, 0.07, 0.10),
    "grass": ((360, 470, 860, 760, 1300, 2200, 2500, 2650, 2800, 2850, 2500, 2500, 1500), 0.20, 0.06, 0.08),
    "crop": ((310, 400, 780, 560, 1150, 2450, 2950, 3100, 3250, 3300, 2400, 2200, 1150), 0.20, 0.04, 0.08),
    "broadleaf": ((240, 300, 540, 420, 850, 1700, 2000, 2120, 2250, 2300, 1700, 1650, 850), 0.20, 0.16, 0.10),
    "conifer": ((200, 250, 440, 340, 700, 1350, 1600, 1700, 1800, 1850, 1400, 1300, 640), 0.20, 0.18, 0.10),
    "asphalt": ((880, 1020, 1200, 1380, 1450, 1520, 1600, 1680, 1720, 1750, 1850, 2050, 1900), 0.18, 0.05, 0.05),
    "concrete": ((1150, 1400, 1800, 2250, 2450, 2600, 2720, 2850, 2950, 3000, 3100, 3400, 3100), 0.18, 0.07, 0.06),
    "tile": ((820, 950, 1150, 1350, 1450, 1530, 1600, 1680, 1750, 1800, 1900, 2100, 1950), 0.20, 0.09, 0.06),
    "metal": ((2500, 2800, 2900, 2850, 2800, 2750, 2720, 2700, 2680, 2650, 2500, 2400, 2200), 0.28, 0.09, 0.06),
}

_EXTRA: _Table = {
    "char": ((380, 420, 480, 540, 600, 680, 760, 830, 920, 960, 1050, 1750, 1650), 0.14, 0.07, 0.12),
    "bark": ((330, 420, 600, 680, 880, 1250, 1400, 1500, 1600, 1620, 1700, 1850, 1200), 0.15, 0.10, 0.08),
    "gravel": ((900, 1100, 1400, 1650, 1800, 1900, 1980, 2060, 2120, 2150, 2250, 2650, 2450), 0.18, 0.06, 0.08),
    "flood": ((620, 740, 1000, 980, 900, 600, 540, 480, 420, 360, 260, 150, 100), 0.24, 0.03, 0.14),
    "plastic": ((820, 940, 1080, 1080, 1100, 1160, 1220, 1320, 1300, 1200, 900, 700, 520), 0.20, 0.15, 0.10),
    "sargassum": ((480, 520, 780, 820, 1150, 2000, 2250, 2350, 2450, 2300, 1600, 1250, 640), 0.16, 0.10, 0.10),
    "algae": ((450, 520, 760, 520, 720, 1050, 1120, 1180, 1200, 1100, 700, 420, 220), 0.18, 0.10, 0.12),
    "organic": ((560, 640, 820, 900, 980, 1100, 1180, 1260, 1300, 1250, 1050, 900, 620), 0.18, 0.12, 0.10),
    "oil": ((380, 410, 400, 320, 280, 240, 220, 200, 190, 180, 130, 110, 90), 0.14, 0.02, 0.06),
    "sediment": ((900, 1120, 1560, 1750, 1650, 1150, 1050, 950, 820, 700, 380, 160, 110), 0.20, 0.03, 0.14),
    "turbid": ((640, 760, 1080, 860, 700, 380, 330, 290, 250, 220, 140, 80, 60), 0.20, 0.03, 0.12),
    "shallow": ((900, 1050, 1150, 560, 380, 220, 190, 170, 150, 130, 90, 50, 35), 0.20, 0.03, 0.14),
    "wave": ((780, 860, 860, 740, 660, 600, 580, 560, 540, 500, 380, 300, 240), 0.20, 0.16, 0.10),
    "foam": ((1900, 2100, 2200, 2150, 2050, 1950, 1900, 1850, 1750, 1600, 1100, 800, 550), 0.20, 0.15, 0.12),
    "jelly": ((520, 600, 720, 560, 500, 440, 420, 400, 380, 340, 240, 160, 110), 0.18, 0.08, 0.12),
    "snot": ((680, 780, 1000, 940, 960, 980, 1000, 1020, 1000, 920, 620, 420, 280), 0.18, 0.10, 0.12),
}
"""Materials of landscapes that palettes lack: char, bark, flood water, and floating objects."""

MATERIALS = tuple(_TEMPERATE)
"""Materials of land; a cover map has one proportion per material and pixel."""

ALL_MATERIALS = (*MATERIALS, *_EXTRA)
"""Names of all materials of a landscape, the palette's own first."""

MATERIAL = {name: position for position, name in enumerate(ALL_MATERIALS)}
"""Position of every material in the tables of an extended palette."""


def _palette(name: str, table: _Table, materials: Iterable[str] = MATERIALS) -> Palette:
    columns = zip(*(table[material] for material in materials), strict=True)
    return Palette(name, *(np.array(column, dtype=np.float32) for column in columns))


TEMPERATE = _palette("temperate", _TEMPERATE)
"""Western and central Europe; the palette of eurosat_sim."""

SAVANNA = _palette("savanna", _SAVANNA)
"""Red soils, dry grass and open woodland: disjoint from TEMPERATE, for pretraining."""


def extended(palette: Palette) -> Palette:
    """Add the materials of landscapes to a palette.

    For palettes other than the temperate one, the added spectra are tilted towards red, so that no two palettes share a
    spectrum.
    """
    added = _palette(palette.name, _EXTRA, _EXTRA)
    if palette.name != TEMPERATE.name:
        added = replace(added, spectra=added.spectra * np.linspace(0.85, 1.2, added.spectra.shape[1], dtype=np.float32))
    return Palette(
        palette.name,
        np.concatenate([palette.spectra, added.spectra]),
        np.concatenate([palette.spread, added.spread]),
        np.concatenate([palette.fine, added.fine]),
        np.concatenate([palette.coarse, added.coarse]),
    )
