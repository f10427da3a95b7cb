"""Kinds of land of a chip: built-up, farmland, natural, and mixtures with roads, rivers, shores and neighbours.

Few real chips of 640 m show a single kind of land, so most chips have a neighbour that covers up to 40 %.
"""

from collections.abc import Callable, Mapping

import numpy as np

from geofm_eval.simulation.scene.canvas import Canvas, SceneSetting
from geofm_eval.simulation.scene.fields import Array, fractal_field, noise, per_chip, smooth_field, soft_step, uniform
from geofm_eval.simulation.scene.shapes import Cells, cells, distance_to_curve, frame, inside_box, rows

Painter = Callable[[np.random.Generator, Canvas, SceneSetting], None]
"""Paints one kind of land over a whole canvas."""


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
        land = Canvas(int(chosen.sum()), canvas.size)
        paint_mixed(rng, land, setting.take(chosen), {**LAND, lake: 1.0})
        place = frame(rng, land.n, land.size, shift=0.0)
        boundary = distance_to_curve(rng, place, uniform(rng, 0, 4, land.n), 20.0)
        canvas.blend(chosen, land, soft_step(boundary - uniform(rng, 7, 34, land.n, 1, 1)))

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


EUROSAT_PAINTERS: dict[str, Painter] = {
    "AnnualCrop": with_neighbour(annual_crop),
    "Forest": with_neighbour(forest),
    "HerbaceousVegetation": with_neighbour(herbaceous),
    "Highway": highway,
    "Industrial": with_neighbour(industrial),
    "Pasture": with_neighbour(pasture),
    "PermanentCrop": with_neighbour(permanent_crop),
    "Residential": with_neighbour(residential),
    "River": river,
    "SeaLake": sea_lake,
}
"""Painter of each EuroSAT class."""
