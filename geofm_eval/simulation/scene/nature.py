"""Land without straight edges: natural grassland, forest, hills."""

import numpy as np

from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.farmland import countryside
from geofm_eval.simulation.scene.fields import fractal_field, per_chip, smooth_field, soft_step, uniform


def herbaceous(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint heath and natural grassland: patches of all sizes without straight edges, shrubs, hillsides."""
    patches = fractal_field(rng, canvas.n, canvas.size, (22.0, 11.0, 5.5, 2.7), 0.75)
    canvas.ground(setting, per_chip(setting.green) + 0.75 * per_chip(setting.contrast) * patches)
    shrubs = soft_step(3 * (fractal_field(rng, canvas.n, canvas.size, (9.0, 4.0), 0.9) - 1.4))
    canvas.lay_trees(setting, shrubs * uniform(rng, 0.2, 0.9, canvas.n, 1, 1), 0.2)
    raise_terrain(rng, canvas, setting, 2.5)
    countryside(rng, canvas, setting)


def forest(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint a closed canopy of stands of different species: crowns that cast shadows, glades, forest tracks."""
    patches = fractal_field(rng, canvas.n, canvas.size, (18.0, 7.0), 0.6)
    canvas.ground(setting, per_chip(setting.green) + 0.5 * per_chip(setting.contrast) * patches)
    crowns = 0.35 + 0.22 * smooth_field(rng, canvas.n, canvas.size, 1.6)
    closed = soft_step(2.5 * (uniform(rng, 1.2, 2.6, canvas.n, 1, 1) - patches))
    stands = soft_step(smooth_field(rng, canvas.n, canvas.size, 16.0) * 3 + 4 * (per_chip(setting.conifer) - 0.5))
    canvas.lay(closed * uniform(rng, 0.75, 1, canvas.n, 1, 1), crowns, conifer=stands, broadleaf=1 - stands)
    raise_terrain(rng, canvas, setting, 2.5)


def raise_terrain(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting, amplitude: float) -> None:
    """Add hills and valleys, a few pixels high."""
    hills = fractal_field(rng, canvas.n, canvas.size, (26.0, 10.0), 0.35)
    canvas.height += amplitude * per_chip(setting.relief) * hills
