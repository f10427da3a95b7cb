"""Farmland: fields of annual crops, planted rows, meadows between hedges, and scattered objects on any of them."""

import numpy as np

from geofm_eval.simulation.scene.built import lay_roofs
from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.fields import Array, noise, per_chip, smooth_field, soft_step, uniform
from geofm_eval.simulation.scene.shapes import cells, distance_to_curve, frame, inside_box, rows


def annual_crop(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint fields with straight edges, each at its own stage between bare soil and full green."""
    place = frame(rng, canvas.n, canvas.size, warp=1.0)
    fields = cells(rng, place, uniform(rng, 18, 40, canvas.n), uniform(rng, 9, 24, canvas.n))
    stage = 2 * fields.draw(rng) - 1
    within = 0.04 * smooth_field(rng, canvas.n, canvas.size, 12.0)
    canvas.ground(setting, per_chip(setting.green) + per_chip(setting.contrast) * stage + within)
    countryside(rng, canvas, setting)


def permanent_crop(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint vineyards and orchards: parcels of planted rows, each with its own direction and spacing."""
    place = frame(rng, canvas.n, canvas.size, warp=1.0)
    parcels = cells(rng, place, uniform(rng, 16, 34, canvas.n), uniform(rng, 12, 26, canvas.n))
    planted = rows(place, parcels.draw(rng, 0, np.pi), parcels.draw(rng, 3.5, 6.5)) - 0.5
    stage = 2 * parcels.draw(rng) - 1
    rhythm = uniform(rng, 0.7, 1.1, canvas.n, 1, 1) * planted
    canvas.ground(setting, per_chip(setting.green) + per_chip(setting.contrast) * (0.4 * stage + rhythm))
    canvas.lay_trees(setting, np.clip(0.5 * planted, 0, 1) * uniform(rng, 0, 1, canvas.n, 1, 1), 0.15)
    countryside(rng, canvas, setting)


def pasture(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Paint large homogeneous meadows between hedges, with single trees."""
    place = frame(rng, canvas.n, canvas.size, warp=3.0)
    meadows = cells(rng, place, uniform(rng, 20, 36, canvas.n), uniform(rng, 15, 28, canvas.n))
    stage = 0.25 * (2 * meadows.draw(rng) - 1) + 0.12 * smooth_field(rng, canvas.n, canvas.size, 14.0)
    canvas.ground(setting, per_chip(setting.green) + per_chip(setting.contrast) * stage)
    hedge = soft_step(uniform(rng, 0.8, 1.5, canvas.n, 1, 1) - meadows.border)
    single = soft_step(8 * (smooth_field(rng, canvas.n, canvas.size, 2.0) - 2.3))
    canvas.lay_trees(setting, np.maximum(hedge * (meadows.draw(rng) < 0.85), single), 0.5)
    countryside(rng, canvas, setting)


def countryside(rng: np.random.Generator, canvas: Canvas, setting: SceneSetting) -> None:
    """Add a track, a pond, a copse or a farm, which any farmland may have, so that none of them reveals the class."""
    n, size = canvas.n, canvas.size
    track: Array = np.abs(distance_to_curve(rng, frame(rng, n, size), uniform(rng, 0, 5, n), 24.0))
    has_track = per_chip(uniform(rng, 0, 1, n) < 0.5)
    canvas.lay(soft_step(0.2 - track) * has_track * 0.8, 0.0, soil=0.4, asphalt=0.6)
    site = frame(rng, n, size, warp=5.0, shift=28.0)
    radius: Array = np.hypot(site.u, site.v)
    reach = uniform(rng, -4, 8, n, 1, 1)
    kind = per_chip(uniform(rng, 0, 1, n))
    spot = soft_step(reach - radius)
    canvas.lay(spot * (kind < 0.35), 0.0, water=0.9, soil=0.1)
    canvas.lay_trees(setting, spot * ((kind >= 0.35) & (kind < 0.75)), 0.6 + 0.1 * noise(rng, n, size, size))
    yard = spot * (kind >= 0.75)
    lots = cells(rng, site, uniform(rng, 4, 6, n), uniform(rng, 4, 6, n))
    lay_roofs(rng, canvas, setting, lots, yard * soft_step(inside_box(lots, lots.length * 0.3, lots.width * 0.3)), 0.5)
