"""Scene generator: simulated Sentinel-2 chips from land arranged by kind, for every stand-in data set.

Land is painted on a canvas as shares of materials (farmland, nature, built and mixed, from the primitives of shapes and
fields); a palette says what the materials look like; render lets light, air and the sensor act.
"""

from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.chips import BLOCK, EUROSAT_PAINTERS, simulate, simulate_blocks
from geofm_eval.simulation.scene.palette import MATERIALS, SAVANNA, TEMPERATE, Palette
from geofm_eval.simulation.scene.rendering import render

__all__ = [
    "BLOCK",
    "EUROSAT_PAINTERS",
    "MATERIALS",
    "SAVANNA",
    "TEMPERATE",
    "Canvas",
    "Palette",
    "SceneSetting",
    "render",
    "simulate",
    "simulate_blocks",
]
