"""Regions and events: what all scenes of one block share, so that another block is harder than another chip."""

from dataclasses import dataclass

import numpy as np

from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.legend import CROPS
from geofm_eval.simulation.scene.materials import extended
from geofm_eval.simulation.scene.palette import SAVANNA, Palette

LANDSCAPE_DRAWS = 2
"""Part of every landscape's seed: another value draws other landscapes."""

BLOCKS = 12
"""Blocks that scenes are dealt to in turn by their number, where the caller names none."""


@dataclass(frozen=True)
class Region:
    """What a place brings to all its scenes.

    Args:
        palette: spectra of this place for all materials of a landscape, with their textures.
        season: days by which the growing season comes later than usual.
        radar: (2,) shift of the radar's calibration in VV and VH, dB.
        crops: (8,) share of every kind of crop.
        lonlat: degrees.
        wind: how far wind roughens water, 0..1.
        haze: mean strength of the air's scattering, 1 is usual.
    """

    palette: Palette
    season: float
    radar: Array
    crops: Array
    lonlat: tuple[float, float]
    wind: float
    haze: float


def block_name(kind: str, number: int) -> str:
    """Name the block that a scene belongs to where the caller names none: ``event03`` or ``region03``."""
    return f"{'event' if kind in ('flood', 'burn', 'marine') else 'region'}{number % BLOCKS:02d}"


def draw_region(kind: str, block: str, palette: Palette, seed: int) -> Region:
    """Draw what the scenes of a block share; the same for the same arguments."""
    rng = generator("landscape", LANDSCAPE_DRAWS, "region", palette.name, kind, seed, block)
    materials = extended(palette)
    spectra = materials.draw(rng, 1)[0]
    here = Palette(palette.name, spectra, materials.spread, materials.fine, materials.coarse)
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
