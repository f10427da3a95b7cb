"""Simulate one place on one or several dates: consistent optical and radar images, with ground truth."""

from dataclasses import dataclass
from datetime import date
from typing import get_args

import numpy as np

from geofm_eval.errors import ContractError
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.air import Sky, draw_sky, observe
from geofm_eval.simulation.scene.events import Fire, Flood, drift, fire, flood
from geofm_eval.simulation.scene.fields import Array, smooth_field
from geofm_eval.simulation.scene.ground import Ground, lay_ground
from geofm_eval.simulation.scene.legend import CODE, CROPS, LAND, MARINE, BoolArray, IntArray, SceneKind
from geofm_eval.simulation.scene.palette import TEMPERATE, Palette
from geofm_eval.simulation.scene.phenology import greenness
from geofm_eval.simulation.scene.radar import backscatter
from geofm_eval.simulation.scene.region import LANDSCAPE_DRAWS, Region, block_name, draw_region
from geofm_eval.simulation.scene.rendering import sensor_matrix
from geofm_eval.simulation.scene.surface import Surface, shading, sun

__all__ = ["CROPS", "LAND", "MARINE", "Scene", "SceneKind", "simulate_scene"]

_FOREST = 340.0
"""Above-ground biomass of the oldest and densest forest, t/ha."""

_HEIGHT_OF_DAY = date(2021, 7, 15)
"""Day of the simulated surface temperature."""


@dataclass(frozen=True)
class Scene:
    """One simulated place on one or several dates; T dates, S pixels of 10 m per side.

    Args:
        kind: kind of landscape.
        number: number of the scene within its kind.
        dates: observed dates.
        l1c: (T, 13, S, S) float32 reflectance x 10,000 at the top of the atmosphere, bands in order of wavelength.
        l2a: (T, 13, S, S) float32 the same corrected to the surface; B10 is 0, because the product lacks it.
        radar: (T, 2, S, S) float32 VV and VH in dB, with speckle.
        cloud: (T, S, S) opacity of clouds, 0..1.
        shadow: (T, S, S) True in the shadow of a cloud.
        nodata: (T, S, S) True beyond the edge of the swath; the arrays hold values there too.
        land: (S, S) land cover, a position in LAND.
        parcel: (S, S) field id, 0 outside fields.
        flooded: (S, S) True for standing water.
        burned: (S, S) True for burned vegetation.
        debris: (S, S) class at sea, a position in MARINE.
        biomass: (S, S) float32 above ground, t/ha.
        heat: (S, S) float32 surface temperature of a summer noon at 100 m resolution, K.
        lonlat: longitude and latitude in degrees.
        block: event or region of the scene; scenes of one block share spectra, season and calibration.
    """

    kind: str
    number: int
    dates: tuple[date, ...]
    l1c: Array
    l2a: Array
    radar: Array
    cloud: Array
    shadow: BoolArray
    nodata: BoolArray
    land: IntArray
    parcel: IntArray
    flooded: BoolArray
    burned: BoolArray
    debris: IntArray
    biomass: Array
    heat: Array
    lonlat: tuple[float, float]
    block: str


@dataclass(frozen=True)
class _Place:
    identity: tuple[str | int, ...]
    kind: SceneKind
    region: Region
    ground: Ground
    surface: Surface
    flood: Flood
    fire: Fire
    debris: IntArray


@dataclass(frozen=True)
class _Day:
    l1c: Array
    l2a: Array
    radar: Array
    sky: Sky


def simulate_scene(
    kind: SceneKind,
    number: int,
    *,
    seed: int = 0,
    size: int = 64,
    dates: tuple[date, ...] = (date(2021, 7, 1),),
    palette: Palette = TEMPERATE,
    block: str | None = None,
) -> Scene:
    """Simulate one place.

    Equal arguments give equal scenes, whatever else is simulated, and the image of a date does not depend on the other
    dates.

    Args:
        kind: kind of landscape.
        number: number of the scene within its kind.
        seed: another seed gives other scenes.
        size: pixels of 10 m per side.
        dates: dates to observe, ascending.
        palette: colours and textures.
        block: event or region of the scene; by default scenes are distributed over twelve.

    Raises:
        ContractError: the kind is unknown, there is no date, or dates do not ascend.
    """
    if kind not in get_args(SceneKind):
        raise ContractError(f"kind of landscape '{kind}' is unknown; expected one of {', '.join(get_args(SceneKind))}")
    if not dates:
        raise ContractError("dates is empty; a scene needs at least one date")
    if list(dates) != sorted(set(dates)):
        raise ContractError(f"dates {', '.join(map(str, dates))} do not ascend; sort them and remove duplicates")
    name = block_name(kind, number) if block is None else block
    return _scene(_lay(kind, number, seed, size, palette, name), number, dates, name)


def _scene(place: _Place, number: int, dates: tuple[date, ...], block: str) -> Scene:
    days = [_observe(place, day) for day in dates]
    ground = place.ground
    east, north = generator(*place.identity, "place").normal(0, 0.2, 2)
    return Scene(
        kind=place.kind,
        number=number,
        dates=dates,
        l1c=np.stack([day.l1c for day in days]),
        l2a=np.stack([day.l2a for day in days]),
        radar=np.stack([day.radar for day in days]),
        cloud=np.stack([day.sky.cloud for day in days]),
        shadow=np.stack([day.sky.shadow for day in days]),
        nodata=np.stack([day.sky.nodata for day in days]),
        land=ground.land,
        parcel=ground.parcel,
        flooded=place.flood.stands,
        burned=place.fire.burned,
        debris=place.debris,
        biomass=_biomass(place),
        heat=_heat(place),
        lonlat=(float(place.region.lonlat[0] + east), float(place.region.lonlat[1] + north)),
        block=block,
    )


def _lay(kind: SceneKind, number: int, seed: int, size: int, palette: Palette, block: str) -> _Place:
    identity = ("landscape", LANDSCAPE_DRAWS, kind, number, seed, size, palette.name, block)
    rng = generator(*identity)
    region = draw_region(kind, block, palette, seed)
    ground = lay_ground(rng, kind, size, region)
    surface = Surface.draw(rng, region.palette, size)
    water, fires, debris = flood(rng, kind, ground), fire(rng, kind, ground), drift(rng, kind, ground)
    return _Place(identity, kind, region, ground, surface, water, fires, debris)


def _observe(place: _Place, day: date) -> _Day:
    """Light, atmosphere and both sensors on one date, whose random numbers depend only on that date."""
    rng = generator(*place.identity, day.isoformat())
    ground, region = place.ground, place.region
    green = greenness(ground.land, ground.lag, ground.vigour, day, region.season)
    azimuth, cotangent = sun(day, region.lonlat[1])
    reflected = place.surface.reflectance(ground, green, place.flood, place.fire, place.debris)
    reflected *= np.where(place.flood.stands, np.float32(1), shading(ground, azimuth, cotangent))
    sky = draw_sky(rng, place.kind, len(green), azimuth, cotangent)
    l1c, l2a = observe(rng, reflected, sky, region.haze * float(rng.uniform(0.85, 1.2)))
    live = green * (1 - np.float32(0.9) * place.fire.char)
    radar = backscatter(rng, ground, live, region, place.flood, place.fire, place.debris)
    return _Day(l1c, l2a, radar, sky)


def _biomass(place: _Place) -> Array:
    """t/ha: forest by age and density, little elsewhere; a third remains after a fire."""
    ground = place.ground
    open_land = np.zeros(len(LAND), dtype=np.float32)
    for name, value in (("grass", 2.0), ("heath", 12.0), *((crop, 6.0) for crop in CROPS)):
        open_land[CODE[name]] = value
    density = np.where(ground.land == CODE["conifer"], np.float32(1.1), np.float32(0.95))
    # Processors differ in the last digit of a power, which in float32 exceeds what rounding can hide.
    standing = open_land[ground.land] + np.float32(_FOREST) * density * ground.maturity.astype(np.float64) ** 1.3
    return np.where(place.fire.burned, standing / 3, standing).round(4).astype(np.float32)


def _heat(place: _Place) -> Array:
    """Kelvin: warm roofs and streets, cool forest and water, colder with elevation; blurred to the 100 m of sensors."""
    ground, region = place.ground, place.region
    green = greenness(ground.land, ground.lag, ground.vigour, _HEIGHT_OF_DAY, region.season)
    sealed = np.isin(ground.land, [CODE[name] for name in ("road", "building", "paved")])
    fine = 301.0 + 9.0 * sealed - 5.0 * green - 7.0 * (ground.land == CODE["water"]) - 0.0065 * ground.elevation
    fine -= 2.5 * (ground.maturity > 0)
    rng = generator(*place.identity, "heat")
    fine += rng.normal(0, 0.8) + 0.6 * smooth_field(rng, 1, len(fine), 20.0)[0]
    blur = sensor_matrix(len(fine), 10.0).astype(np.float64)
    heat: Array = (blur @ fine.astype(np.float64) @ blur.T).round(4).astype(np.float32)
    return heat
