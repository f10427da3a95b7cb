"""Scene generator: simulated Sentinel-2 chips of several kinds of land, used by all stand-in data sets.

Land is painted on a canvas as proportions of materials (by farmland, nature, built and mixed, with the primitives of
shapes and fields). A palette defines the appearance of materials; rendering adds light, atmosphere and sensor.
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
