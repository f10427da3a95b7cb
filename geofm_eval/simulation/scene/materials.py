"""Materials of landscapes that palettes lack: char, bark, flood water, and floating objects."""

import numpy as np

from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.palette import MATERIALS, TEMPERATE, Palette

# Reflectance x 10,000 in B01..B08, B8A, B09..B12; then spread, fine and coarse texture, as in the palettes.
_EXTRA: dict[str, tuple[tuple[int, ...], float, float, float]] = {
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

ALL_MATERIALS: tuple[str, ...] = (*MATERIALS, *_EXTRA)
"""Names of all materials of a landscape, the palette's own first."""

MATERIAL = {name: position for position, name in enumerate(ALL_MATERIALS)}
"""Position of every material in the tables of an extended palette."""


def extended(palette: Palette) -> Palette:
    """Add the materials of landscapes to a palette.

    For palettes other than the temperate one, the added spectra are tilted towards red, so that no two palettes share a
    spectrum.
    """
    spectra, spread, fine, coarse = (np.array(part, np.float32) for part in zip(*_EXTRA.values(), strict=True))
    if palette.name != TEMPERATE.name:
        spectra = spectra * np.linspace(0.85, 1.2, spectra.shape[1], dtype=np.float32)
    return Palette(
        palette.name,
        _join(palette.spectra, spectra),
        _join(palette.spread, spread),
        _join(palette.fine, fine),
        _join(palette.coarse, coarse),
    )


def _join(first: Array, second: Array) -> Array:
    return np.concatenate([first, second])
