"""Scenes of several kinds of land: roads and rivers that cross them, shores, and neighbours.

Few real chips of 640 m show a single kind of land, so most chips have a neighbour that covers up to 40 %.
"""

from collections.abc import Callable, Mapping

import numpy as np

from geofm_eval.simulation.scene.built import industrial, pave, residential
from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.farmland import annual_crop, pasture, permanent_crop
from geofm_eval.simulation.scene.fields import per_chip, smooth_field, soft_step, uniform
from geofm_eval.simulation.scene.nature import forest, herbaceous
from geofm_eval.simulation.scene.shapes import distance_to_curve, frame

Painter = Callable[[np.random.Generator, Canvas, SceneSetting], None]
"""Paints one kind of land over a whole canvas."""


def lake(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint water only, with drifting sediment."""
    drift = np.clip(0.05 + 0.05 * smooth_field(rng, canvas.n, canvas.size, 20.0), 0, 1)
    sediment = drift * uniform(rng, 0, 3, canvas.n, 1, 1)
    canvas.lay(np.ones_like(canvas.height), 0.0, water=1 - sediment, soil=sediment)


LAND: Mapping[Painter, float] = {
    annual_crop: 1.0,
    pasture: 1.0,
    permanent_crop: 1.0,
    herbaceous: 1.0,
    forest: 0.7,
    residential: 1.0,
    industrial: 0.8,
}
"""Kinds of land around roads, rivers and lakes, with weights."""


def with_neighbour(painter: Painter) -> Painter:
    """Return a painter that adds a second kind of land, or water, to most chips, beyond a boundary off the centre."""

    def paint(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
        painter(rng, canvas, setting)
        chosen = uniform(rng, 0, 1, canvas.n) < 0.75
        beside = Canvas(int(chosen.sum()), canvas.size)
        paint_mixed(rng, beside, setting.take(chosen), {**LAND, lake: 1.0})
        place = frame(rng, beside.n, beside.size, shift=0.0)
        boundary = distance_to_curve(rng, place, uniform(rng, 0, 4, beside.n), 20.0)
        canvas.blend(chosen, beside, soft_step(boundary - uniform(rng, 7, 34, beside.n, 1, 1)))

    return paint


surroundings = with_neighbour(lambda rng, canvas, setting: paint_mixed(rng, canvas, setting, LAND))
"""Paints any kind of land with another one next to it."""


def sea_lake(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint open water; most chips have a shore with some land."""
    surroundings(rng, canvas, setting)
    place = frame(rng, canvas.n, canvas.size)
    shore = distance_to_curve(rng, place, uniform(rng, 2, 9, canvas.n), 14.0)
    open_water = Canvas(canvas.n, canvas.size)
    lake(rng, open_water, setting)
    everywhere = np.ones(canvas.n, dtype=bool)
    canvas.blend(everywhere, open_water, soft_step(shore + uniform(rng, 6, 44, canvas.n, 1, 1)))


def river(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint a winding river between wooded or gravel banks, through any other kind of land."""
    surroundings(rng, canvas, setting)
    place = frame(rng, canvas.n, canvas.size)
    offset = np.abs(distance_to_curve(rng, place, uniform(rng, 3, 9, canvas.n), 16.0))
    half = uniform(rng, 2.2, 7.0, canvas.n, 1, 1) * (1 + 0.15 * smooth_field(rng, canvas.n, canvas.size, 12.0))
    bank = soft_step(half + uniform(rng, 0.3, 2.0, canvas.n, 1, 1) - offset)
    wooded = np.broadcast_to(per_chip(uniform(rng, 0, 1, canvas.n) < 0.6), bank.shape)
    canvas.lay_trees(setting, bank * wooded, 0.4)
    canvas.lay(bank * ~wooded, 0.0, soil=0.6, dry_grass=0.4)
    sediment = uniform(rng, 0, 0.2, canvas.n, 1, 1)
    canvas.lay(soft_step(half - offset), 0.0, water=1 - sediment, soil=sediment)


def highway(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint a wide, nearly straight road with verges through any other kind of land.

    Half of the chips have a junction.
    """
    surroundings(rng, canvas, setting)
    main = frame(rng, canvas.n, canvas.size)
    half = uniform(rng, 1.4, 2.4, canvas.n, 1, 1)
    pave(canvas, np.abs(distance_to_curve(rng, main, uniform(rng, 0, 3.5, canvas.n), 30.0)), half, dual=True)
    side = frame(rng, canvas.n, canvas.size)
    joins = per_chip(uniform(rng, 0, 1, canvas.n) < 0.5)
    offset = np.abs(distance_to_curve(rng, side, uniform(rng, 1, 6, canvas.n), 24.0))
    pave(canvas, np.where(joins, offset, np.float32(99)), 0.7 * half, dual=False)


def paint_mixed(
    rng: np.random.Generator, canvas: Canvas, setting: SceneSetting, painters: Mapping[Painter, float]
) -> None:
    """Paint every chip with one of several kinds of land, drawn by their weights."""
    weights = np.array(list(painters.values()))
    kinds = rng.choice(len(painters), size=canvas.n, p=weights / weights.sum())
    for number, painter in enumerate(painters):
        chosen = kinds == number
        if chosen.any():
            part = Canvas(int(chosen.sum()), canvas.size)
            painter(rng, part, setting.take(chosen))
            canvas.put(chosen, part)
