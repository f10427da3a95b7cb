"""What happens to a landscape: floods, fires, and what floats on the sea."""

import numpy as np

from geofm_eval.data.scene.fields import fractal_field
from geofm_eval.data.scene.ground import Ground
from geofm_eval.data.scene.legend import CODE, CROPS, MARINE, BoolArray, IntArray, SceneKind

_PATCHES = (
    "marine debris",
    "dense sargassum",
    "sparse floating algae",
    "natural organic material",
    "oil spill",
    "foam",
    "waves and wakes",
    "jellyfish",
    "sea snot",
)
"""Classes that lie on open water in streaks."""


def flood(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> BoolArray:
    """Where water stands, (S, S): permanent water, and in floods the lowest land beside it, up to 45 % of the scene."""
    water = np.asarray(ground.land == CODE["water"])
    share = rng.uniform(0.05, 0.45) if kind == "flood" and rng.random() < 0.9 else 0.0
    if not share:
        return water
    level = fractal_field(rng, 1, len(water), (9.0, 4.0), 0.5)[0] * 0.12 * ground.low.std() + ground.low
    drowned = (level <= np.quantile(level, share)) & (ground.land != CODE["building"])
    stands: BoolArray = water | drowned
    return stands


def fire(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> BoolArray:
    """Where vegetation has burned, (S, S): one scar in most scenes of fires, with unburned islands."""
    front = fractal_field(rng, 1, len(ground.land), (26.0, 9.0, 4.0), 0.6)[0]
    if kind != "burn" or rng.random() < 0.12:
        return np.zeros(front.shape, dtype=bool)
    burnable = np.isin(ground.land, [CODE[n] for n in ("grass", "heath", "broadleaf", "conifer", *CROPS)])
    return np.asarray((front > np.quantile(front, 1 - rng.uniform(0.08, 0.5))) & burnable)


def drift(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> IntArray:
    """Class of every pixel at sea, (S, S), a position in MARINE; 0 on land and in other kinds of scenes."""
    size = len(ground.land)
    water = ground.land == CODE["water"]
    seen = np.where(water, MARINE.index("marine water"), 0).astype(np.int64)
    if kind != "marine":
        return np.zeros_like(seen)
    shore = ground.low
    plume = fractal_field(rng, 1, size, (24.0, 10.0), 0.5)[0]
    near = np.asarray(shore < rng.uniform(4, 14) + 3 * plume)
    seen[water & near] = MARINE.index(str(rng.choice(["turbid water", "sediment-laden water", "shallow water"])))
    for name in rng.choice(_PATCHES, size=int(rng.integers(1, 4)), replace=False):
        streaks = fractal_field(rng, 1, size, (12.0, 5.0), 0.8)[0]
        seen[water & (streaks > np.quantile(streaks, 1 - rng.uniform(0.01, 0.08)))] = MARINE.index(str(name))
    for name, count, half in (("ship", rng.poisson(0.8), 2), ("oil platform", rng.poisson(0.25), 3)):
        for _ in range(int(count)):
            row, column = (int(value) for value in rng.integers(half + 1, size - half - 1, 2))
            box = (slice(row - half, row + half), slice(column - half // 2 - 1, column + half // 2 + 1))
            seen[box] = np.where(water[box], MARINE.index(name), seen[box])
    return seen
