"""One simulated place on one or several dates: optical and radar images that agree, and what is true of it."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from geofm_eval.data.scene.fields import Array, fractal_field
from geofm_eval.data.scene.palette import TEMPERATE, Palette
from geofm_eval.data.seeds import generator
from geofm_eval.errors import ContractError

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

SceneKind = Literal["flood", "crops", "burn", "marine", "smallfarms", "forest", "mixed"]

CROPS = tuple(f"crop_{letter}" for letter in "abcdefgh")
LAND = ("water", "bare", "grass", *CROPS, "broadleaf", "conifer", "heath", "road", "building", "paved")
MARINE = (
    "none",
    "marine debris",
    "dense sargassum",
    "sparse floating algae",
    "natural organic material",
    "ship",
    "oil spill",
    "marine water",
    "sediment-laden water",
    "foam",
    "turbid water",
    "shallow water",
    "waves and wakes",
    "oil platform",
    "jellyfish",
    "sea snot",
)


@dataclass(frozen=True)
class Scene:
    """One simulated place on one or several dates; T dates, S pixels of 10 m per side."""

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
    """Skeleton: plausible arrays."""
    if kind not in get_args(SceneKind):
        raise ContractError(f"no landscape of kind '{kind}' is known")
    rng = generator("skeleton", kind, number, seed, size, palette.name)
    count = len(dates)
    field = fractal_field(rng, 1, size, (24.0, 8.0), 0.6)[0]
    land = np.digitize(field, np.linspace(-1.6, 1.6, len(LAND) - 1)).astype(np.int64)
    water = land == 0
    l2a = np.clip(1500 + 400 * rng.standard_normal((count, 13, size, size), dtype=np.float32), 1, None)
    l2a += (600 * field).astype(np.float32)
    l2a[:, 10] = 0
    radar = -12 + 2 * rng.standard_normal((count, 2, size, size), dtype=np.float32) - 10 * water.astype(np.float32)
    cloud = np.clip(fractal_field(rng, count, size, (30.0, 8.0), 0.6) - 1, 0, 1)
    l2a += cloud[:, None] * 6000
    return Scene(
        kind,
        number,
        dates,
        np.clip(l2a * 0.9 + 200, 1, None),
        np.clip(l2a, 1, None),
        radar,
        cloud,
        np.roll(cloud > 0.5, 8, axis=2),
        np.zeros((count, size, size), dtype=bool),
        land,
        np.where((land > 2) & (land < 11), land + 1, 0),
        water | ((field < -0.8) & (kind == "flood")),
        (field > 0.7) & (kind == "burn"),
        np.where(water, 7, 0) * (kind == "marine"),
        np.clip(field * 80 + 60, 0, None).astype(np.float32),
        (300 + 3 * field).astype(np.float32),
        (5.0 + number * 0.01, 48.0),
        block or f"region{number % 12:02d}",
    )
