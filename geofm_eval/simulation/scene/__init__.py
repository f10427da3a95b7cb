"""Scene generator: simulated Sentinel-2 chips of several kinds of land, used by all stand-in data sets.

Painters cover a canvas with proportions of materials, using the primitives of shapes and fields. A palette defines the
appearance of materials; rendering adds light, atmosphere and sensor.
"""

from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.chips import BLOCK, simulate, simulate_blocks
from geofm_eval.simulation.scene.painters import EUROSAT_PAINTERS
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
