"""Regions and events: properties shared by all scenes of a block, which make another block harder than another chip."""

from dataclasses import dataclass, replace

import numpy as np

from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.legend import CROPS
from geofm_eval.simulation.scene.palette import SAVANNA, Palette, extended

LANDSCAPE_DRAWS = 2
"""Part of every landscape's seed; changing it changes all landscapes."""

BLOCKS = 12
"""Number of blocks over which scenes are distributed by their number, unless the caller names a block."""


@dataclass(frozen=True)
class Region:
    """Properties of a place that all its scenes share.

    Args:
        palette: spectra of this place for all materials of a landscape, with their textures.
        season: delay of the growing season in days.
        radar: (2,) offset of the radar calibration in VV and VH, dB.
        crops: (8,) proportion of every kind of crop.
        lonlat: degrees.
        wind: roughening of water by wind, 0..1.
        haze: mean strength of atmospheric scattering; 1 is typical.
    """

    palette: Palette
    season: float
    radar: Array
    crops: Array
    lonlat: tuple[float, float]
    wind: float
    haze: float


def block_name(kind: str, number: int) -> str:
    """Return the default block of a scene, for example ``event03`` or ``region03``."""
    return f"{'event' if kind in ('flood', 'burn', 'marine') else 'region'}{number % BLOCKS:02d}"


def draw_region(kind: str, block: str, palette: Palette, seed: int) -> Region:
    """Draw the shared properties of a block; equal arguments give equal regions."""
    rng = generator("landscape", LANDSCAPE_DRAWS, "region", palette.name, kind, seed, block)
    materials = extended(palette)
    here = replace(materials, spectra=materials.draw(rng, 1)[0])
    west, east, south, north = (12.0, 40.0, -20.0, 14.0) if palette.name == SAVANNA.name else (-4.0, 26.0, 43.0, 56.0)
    lonlat = (float(rng.uniform(west, east)), float(rng.uniform(south, north)))
    return Region(
        palette=here,
        season=float(rng.normal(0, 7)) + (182.0 if lonlat[1] < 0 else 0.0),
        radar=rng.normal(0, 0.6, 2).astype(np.float32),
        crops=rng.dirichlet(np.full(len(CROPS), 4.0)).astype(np.float32),
        lonlat=lonlat,
        wind=float(rng.beta(1.5, 4)),
        haze=float(rng.uniform(0.8, 1.3)),
    )
