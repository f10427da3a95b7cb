"""Built-up land: rows of houses, halls and yards, roads."""

import numpy as np

from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.fields import Array, fractal_field, per_chip, smooth_field, soft_step, uniform
from geofm_eval.simulation.scene.shapes import Cells, cells, frame, inside_box


def residential(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint rows of small houses with gardens and trees along a grid of streets."""
    n, size = canvas.n, canvas.size
    patches = fractal_field(rng, n, size, (10.0, 4.0), 0.8)
    canvas.ground(setting, per_chip(setting.green) + 0.5 * per_chip(setting.contrast) * patches)
    place = frame(rng, n, size, warp=2.0)
    canvas.lay_trees(setting, soft_step(3 * (smooth_field(rng, n, size, 2.2) - uniform(rng, 0.3, 1.4, n, 1, 1))), 0.3)
    lots = cells(rng, place, uniform(rng, 3.2, 4.6, n), uniform(rng, 4.0, 5.5, n))
    half = lots.draw(rng, 0.9, 1.6)
    house = soft_step(inside_box(lots, half, half)) * (lots.draw(rng) < uniform(rng, 0.6, 0.95, n, 1, 1))
    lay_roofs(rng, canvas, setting, lots, house, 0.5)
    streets = cells(rng, place, uniform(rng, 18, 40, n), uniform(rng, 8.0, 11.0, n))
    canvas.lay(soft_step(0.4 - streets.border), 0.0, asphalt=0.8, concrete=0.2)


def industrial(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint halls with large roofs on paved yards, wide lanes, and green strips."""
    n, size = canvas.n, canvas.size
    patches = fractal_field(rng, n, size, (12.0, 5.0), 0.7)
    canvas.ground(setting, per_chip(setting.green) + 0.5 * per_chip(setting.contrast) * patches)
    lots = cells(rng, frame(rng, n, size), uniform(rng, 14, 26, n), uniform(rng, 12, 20, n))
    yard = soft_step(lots.border - 1.0) * (lots.draw(rng) < uniform(rng, 0.5, 0.9, n, 1, 1))
    worn = lots.draw(rng)
    canvas.lay(yard * lots.draw(rng, 0.4, 1.0), 0.0, concrete=0.6 * worn, asphalt=1 - 0.6 * worn)
    box = inside_box(lots, lots.length * lots.draw(rng, 0.2, 0.42), lots.width * lots.draw(rng, 0.22, 0.42))
    lay_roofs(rng, canvas, setting, lots, soft_step(box) * (lots.draw(rng) < 0.9), 0.9)
    canvas.lay(soft_step(0.5 - lots.border), 0.0, asphalt=0.8, concrete=0.2)


def lay_roofs(
    rng: np.random.Generator, canvas: Canvas, setting: SceneSetting, lots: Cells, share: Array, height: float
) -> None:
    """Give every building a roof of metal, tile or tar."""
    metal = lots.draw(rng) < per_chip(setting.metal)
    tar = lots.draw(rng) < 0.35
    tile = ~metal & ~tar
    canvas.lay(share, height, metal=metal * 1.0, tile=tile * 1.0, asphalt=(tar & ~metal) * 1.0)


def pave(canvas: Canvas, offset: Array, half: Array, dual: bool) -> None:
    """Lay a road with verges along a curve.

    Args:
        canvas: canvas to paint on.
        offset: (n, size, size) distance to the middle of the road in pixels.
        half: (n, 1, 1) half its width in pixels.
        dual: whether a strip of grass separates two carriageways.
    """
    canvas.lay(soft_step(half + 1.0 - offset) * 0.8, 0.0, grass=0.4, dry_grass=0.6)
    canvas.lay(soft_step(half - offset), 0.0, asphalt=0.75, concrete=0.25)
    if dual:
        canvas.lay(0.6 * soft_step(0.2 - offset), 0.0, grass=0.5, dry_grass=0.5)
