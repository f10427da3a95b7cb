"""Ground of a landscape: terrain, straight-edged fields, forest stands, settlements, roads, rivers, lakes."""

from dataclasses import dataclass

import numpy as np

from geofm_eval.simulation.scene.fields import Array, fractal_field, smooth_field, uniform
from geofm_eval.simulation.scene.legend import CODE, CROPS, BoolArray, IntArray, SceneKind
from geofm_eval.simulation.scene.region import Region
from geofm_eval.simulation.scene.shapes import Cells, cells, distance_to_curve, frame, inside_box


@dataclass(frozen=True)
class Style:
    """Layout of a kind of landscape; each scene draws from the ranges (low, high).

    Args:
        forest: proportion of forest.
        farmland: proportion of the rest that is divided into fields.
        settled: proportion of settlement.
        field: width of fields in pixels; they are about twice as long.
        relief: height of hills in metres.
        river: probability of a river.
        bund: width of the strips between fields in pixels; 0 for none.
        crops: proportion of fields with a crop, as opposed to meadow and fallow.
        lakes: proportion of lakes.
    """

    forest: tuple[float, float] = (0.05, 0.3)
    farmland: tuple[float, float] = (0.5, 0.9)
    settled: tuple[float, float] = (0.0, 0.12)
    field: tuple[float, float] = (9.0, 18.0)
    relief: tuple[float, float] = (5.0, 40.0)
    river: float = 0.4
    bund: float = 0.0
    crops: float = 0.75
    lakes: tuple[float, float] = (-0.08, 0.05)


STYLES: dict[SceneKind, Style] = {
    "flood": Style(relief=(4, 12), river=0.9, lakes=(-0.03, 0.05)),
    "crops": Style(forest=(0, 0.15), farmland=(0.85, 1.0), settled=(0, 0.05), crops=0.88),
    "burn": Style(forest=(0.3, 0.75), farmland=(0.0, 0.35), settled=(0, 0.03), relief=(25, 90), river=0.25),
    "marine": Style(relief=(5, 60), river=0.0, lakes=(-0.1, 0.0)),
    "smallfarms": Style(forest=(0.05, 0.3), farmland=(0.35, 0.95), field=(4.5, 7.5), bund=0.55, river=0.2),
    "forest": Style(forest=(0.45, 0.95), farmland=(0, 0.6), settled=(0, 0.03), relief=(8, 60), river=0.25),
    "mixed": Style(
        forest=(0, 0.8), farmland=(0, 1), settled=(-0.15, 0.45), field=(6, 20), relief=(3, 70), lakes=(-0.15, 0.2)
    ),
}
"""Layout of every kind of landscape."""


@dataclass(frozen=True)
class Ground:
    """Properties of the land that are constant over a year; all arrays (S, S).

    Args:
        land: land cover.
        parcel: field id, 0 outside fields.
        elevation: terrain height in metres.
        height: height of objects on the terrain in metres.
        low: relative height above the nearest water; floods fill the lowest pixels first.
        maturity: age and density of forest, 0..1; 0 outside forest.
        lag: delay of a field relative to its kind, in days.
        vigour: density of the green, about 1.
        shade: brightness of a field or lot relative to its kind, about 1.
        lot: 0..1, one number per lot or field.
    """

    land: IntArray
    parcel: IntArray
    elevation: Array
    height: Array
    low: Array
    maturity: Array
    lag: Array
    vigour: Array
    shade: Array
    lot: Array


def lay_ground(rng: np.random.Generator, kind: SceneKind, size: int, region: Region) -> Ground:
    """Lay out one landscape.

    Args:
        rng: source of randomness.
        kind: kind of landscape.
        size: pixels per side.
        region: determines which crops are grown.
    """
    style = STYLES[kind]
    hills = fractal_field(rng, 1, size, (44.0, 18.0, 7.0), 0.45)[0]
    elevation = np.float32(rng.uniform(*style.relief)) * (hills + 2)
    land, parcel, lot = _open_land(rng, style, size, region)
    wood = _highest(fractal_field(rng, 1, size, (26.0, 9.0, 4.0), 0.6)[0] + 0.3 * hills, rng.uniform(*style.forest))
    conifer = fractal_field(rng, 1, size, (18.0, 6.0), 0.5)[0] > rng.normal(0, 0.9)
    _put(land, parcel, wood, np.where(conifer, CODE["conifer"], CODE["broadleaf"]))
    _settle(rng, land, parcel, lot, rng.uniform(*style.settled))
    _roads(rng, land, parcel)
    low = _water(rng, style, land, parcel, hills)
    if kind == "marine":
        low = _sea(rng, land, parcel)
    return _finish(rng, land, parcel, elevation, low, lot)


def _open_land(rng: np.random.Generator, style: Style, size: int, region: Region) -> tuple[IntArray, IntArray, Array]:
    wild = fractal_field(rng, 1, size, (22.0, 9.0, 4.0), 0.7)[0]
    land = np.full((size, size), CODE["grass"], dtype=np.int64)
    land[wild > 0.35] = CODE["heath"]
    land[wild < -1.5] = CODE["bare"]
    first, second = (_tiling(rng, size, rng.uniform(*style.field)) for _ in range(2))
    side = fractal_field(rng, 1, size, (48.0,), 1.0)[0] > rng.normal(0, 0.7)
    parcel = np.where(side, first.key[0] + 1, second.key[0] + 1025)
    border = np.where(side, first.border[0], second.border[0])
    farmed = _highest(fractal_field(rng, 1, size, (30.0, 10.0), 0.3)[0], rng.uniform(*style.farmland))
    grown = _use_of_fields(rng, style, region)
    # The majority of its pixels decides whether a field is farmed as a whole, so its borders stay straight.
    votes = np.bincount(parcel.ravel(), np.where(farmed, 1.0, -1.0).ravel(), minlength=len(grown))
    inside = votes[parcel] > 0
    land[inside] = grown[parcel[inside]]
    strip = inside & (border < style.bund)
    land[strip] = np.where(wild[strip] > 0.8, CODE["heath"], CODE["grass"])
    hedge = rng.random(len(grown)) < 0.12
    land[inside & hedge[parcel] & (border < 0.7)] = CODE["broadleaf"]
    lots = uniform(rng, 0, 1, len(grown))[parcel]
    return land, np.where(inside & ~strip, parcel, 0), lots


def _tiling(rng: np.random.Generator, size: int, width: float) -> Cells:
    length = np.float32(width * rng.uniform(1.2, 2.6))
    return cells(rng, frame(rng, 1, size, warp=1.0), np.array([length]), np.array([width], dtype=np.float32))


def _use_of_fields(rng: np.random.Generator, style: Style, region: Region) -> IntArray:
    rest = 1 - style.crops
    share = np.concatenate([region.crops / region.crops.sum() * style.crops, [0.7 * rest, 0.3 * rest]]).astype(float)
    codes = np.array([*(CODE[name] for name in CROPS), CODE["grass"], CODE["bare"]])
    return np.asarray(rng.choice(codes, size=2 * 1024 + 1, p=share / share.sum()), dtype=np.int64)


def _highest(field: Array, share: float) -> BoolArray:
    if share <= 0:
        return np.zeros(field.shape, dtype=bool)
    return np.asarray(field >= np.quantile(field, max(0.0, 1 - share)))


def _put(land: IntArray, parcel: IntArray, where: BoolArray, code: int | IntArray) -> None:
    np.copyto(land, code, where=where)
    parcel[where] = 0


def _settle(rng: np.random.Generator, land: IntArray, parcel: IntArray, lot: Array, share: float) -> None:
    size = len(land)
    town = _highest(fractal_field(rng, 1, size, (34.0, 12.0), 0.3)[0], share)
    if not town.any():
        return
    place = frame(rng, 1, size)
    lots = cells(rng, place, uniform(rng, 3.6, 5.0, 1), uniform(rng, 4.0, 5.5, 1))
    halls = cells(rng, place, uniform(rng, 14, 24, 1), uniform(rng, 12, 18, 1))
    streets = cells(rng, place, uniform(rng, 16, 30, 1), uniform(rng, 9.0, 12.0, 1))
    works = smooth_field(rng, 1, size, 30.0)[0] > 0.7
    house = inside_box(lots, lots.draw(rng, 1.0, 1.6), lots.draw(rng, 1.0, 1.6))[0] > 0
    hall = inside_box(halls, 0.36 * halls.length, 0.36 * halls.width)[0] > 0
    built = np.where(works, hall, house & (lots.draw(rng)[0] < 0.85))
    trees = (lots.draw(rng)[0] < 0.3) & (smooth_field(rng, 1, size, 2.0)[0] > 0.4)
    open_ground = np.where(works, CODE["paved"], np.where(trees, CODE["broadleaf"], CODE["grass"]))
    ground = np.where(streets.border[0] < 0.6, CODE["road"], open_ground)
    _put(land, parcel, town, np.where(built, CODE["building"], ground))
    roof = np.where(works, halls.draw(rng)[0] * 0.5, lots.draw(rng)[0])
    np.copyto(lot, roof, where=town)


def _roads(rng: np.random.Generator, land: IntArray, parcel: IntArray) -> None:
    for half in (0.9, 0.45)[: int(rng.integers(0, 3))]:
        place = frame(rng, 1, len(land), shift=len(land) / 3)
        offset = distance_to_curve(rng, place, uniform(rng, 0.5, 4, 1), 26.0)[0]
        _put(land, parcel, np.abs(offset) < half * rng.uniform(0.8, 1.3), CODE["road"])


def _water(rng: np.random.Generator, style: Style, land: IntArray, parcel: IntArray, hills: Array) -> Array:
    """Add a river between wooded banks and lakes in hollows; return the relative height of every pixel above them."""
    size = len(land)
    hollows = 0.7 * hills + 0.3 * fractal_field(rng, 1, size, (16.0, 6.0), 0.5)[0]
    lake = _highest(-hollows, rng.uniform(*style.lakes))
    low = hollows - hollows.min()
    if rng.random() < style.river:
        place = frame(rng, 1, size, shift=size / 4)
        offset = np.abs(distance_to_curve(rng, place, uniform(rng, 3, 10, 1), 17.0)[0])
        half = rng.uniform(1.0, 4.5)
        trees = fractal_field(rng, 1, size, (6.0,), 1.0)[0] > rng.normal(0, 1)
        _put(land, parcel, (offset < half + 1.2) & trees, CODE["broadleaf"])
        lake |= offset < half
        low = 0.5 * low + np.float32(3.0) * offset / np.float32(size / 4)
    _put(land, parcel, lake, CODE["water"])
    return np.asarray(low, dtype=np.float32)


def _sea(rng: np.random.Generator, land: IntArray, parcel: IntArray) -> Array:
    """Add open sea, with a stretch of coast in a third of the scenes; return the distance from the shore in pixels."""
    size = len(land)
    shore = distance_to_curve(rng, frame(rng, 1, size), uniform(rng, 2, 8, 1), 18.0)[0]
    reach = rng.uniform(-0.25, 0.4) if rng.random() < 0.35 else 1.5
    off_shore = shore + np.float32(reach * size)
    _put(land, parcel, off_shore > 0, CODE["water"])
    _put(land, parcel, (off_shore <= 0) & (off_shore > -2.5), CODE["bare"])
    return np.asarray(off_shore, dtype=np.float32)


def _finish(
    rng: np.random.Generator, land: IntArray, parcel: IntArray, elevation: Array, low: Array, lot: Array
) -> Ground:
    size = len(land)
    stands = _tiling(rng, size, rng.uniform(9, 16))
    age = fractal_field(rng, 1, size, (30.0, 12.0), 0.5)[0] + 1.2 * (2 * stands.draw(rng)[0] - 1) + rng.normal(0, 0.8)
    wooded = (land == CODE["broadleaf"]) | (land == CODE["conifer"])
    maturity = np.where(wooded, 1 / (1 + np.exp(-1.3 * age)), 0).astype(np.float32)
    crowns = 1 + 0.45 * smooth_field(rng, 1, size, 1.7)[0]
    built = land == CODE["building"]
    field = parcel > 0
    pick = uniform(rng, 0, 1, 3, 2 * 1024 + 1)
    within = 0.08 * fractal_field(rng, 1, size, (12.0, 5.0), 0.6)[0]
    return Ground(
        land=land,
        parcel=parcel,
        elevation=np.asarray(elevation, dtype=np.float32),
        height=np.asarray(maturity * 14 * crowns + built * 6, dtype=np.float32),
        low=low,
        maturity=maturity,
        lag=np.asarray(np.where(field, 22 * (pick[0][parcel] - 0.5), 0), dtype=np.float32),
        vigour=np.asarray(np.where(field, 0.7 + 0.35 * pick[1][parcel], 1.0) + within, dtype=np.float32),
        shade=np.asarray(np.where(field, 0.85 + 0.3 * pick[2][parcel], 1.0), dtype=np.float32),
        lot=lot,
    )
