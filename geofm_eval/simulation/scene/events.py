"""Events in a landscape: floods, fires, and floating objects at sea."""

import math
from dataclasses import dataclass

import numpy as np

from geofm_eval.simulation.scene.fields import Array, fractal_field, smooth_field
from geofm_eval.simulation.scene.ground import Ground
from geofm_eval.simulation.scene.legend import CODE, CROPS, MARINE, BoolArray, IntArray, SceneKind

_LINES = ("marine debris", "dense sargassum", "sparse floating algae", "natural organic material", "foam", "sea snot")
"""Classes that currents gather in thin lines on open water."""

_PATCHES = ("oil spill", "waves and wakes", "jellyfish")
"""Classes that form patches on open water."""

_CLOSED = 0.35
"""Maturity above which the crowns of a forest hide the ground."""


@dataclass(frozen=True)
class Flood:
    """Water on the land; all arrays (S, S).

    Args:
        stands: visible standing water, permanent water included.
        share: proportion of a pixel that is water, 0..1: low where it is shallow, 1 in lakes and rivers.
        wet: wetness of open ground next to the flood, 0..1.
    """

    stands: BoolArray
    share: Array
    wet: Array


@dataclass(frozen=True)
class Fire:
    """Burned land; all arrays (S, S).

    Args:
        burned: where vegetation has burned in this year.
        char: proportion of a pixel that is char, 0..1; scars of former years, which do not count as burned, keep some.
    """

    burned: BoolArray
    char: Array


def flood(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> Flood:
    """Draw standing water: permanent water, and in floods the lowest land next to it, up to 45 % of the scene.

    Closed forest counts as land, as it does for annotators of images, because crowns hide the water below. In shallow
    floods plants and clods stick out of the water.
    """
    water = np.asarray(ground.land == CODE["water"])
    share = rng.uniform(0.05, 0.45) if kind == "flood" and rng.random() < 0.9 else 0.0
    if not share:
        return Flood(water, water.astype(np.float32), np.zeros(water.shape, dtype=np.float32))
    spread = ground.low.std()
    level = fractal_field(rng, 1, len(water), (9.0, 4.0), 0.5)[0] * 0.12 * spread + ground.low
    depth = (np.quantile(level, share) - level) / spread
    hidden = (ground.land == CODE["building"]) | (ground.maturity > _CLOSED)
    stands = water | ((depth >= 0) & ~hidden)
    rough = 0.2 * smooth_field(rng, 1, len(water), 3.0)[0]
    open_water = np.clip(0.3 + depth * rng.uniform(0.8, 3.0) + rough, 0.15, 1)
    wet = np.clip(1 + 1.5 * depth, 0, 1) * ~hidden
    return Flood(stands, np.where(water, 1, open_water * stands).astype(np.float32), wet.astype(np.float32))


def fire(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> Fire:
    """Draw burned land: one scar in most fire scenes, with unburned islands, and scars of former years.

    Severity varies within the scene.
    """
    front, former, severity = (fractal_field(rng, 1, len(ground.land), (26.0, 9.0, 4.0), 0.6)[0] for _ in range(3))
    nowhere = np.zeros(front.shape, dtype=bool)
    if kind != "burn":
        return Fire(nowhere, nowhere.astype(np.float32))
    burnable = np.isin(ground.land, [CODE[n] for n in ("grass", "heath", "broadleaf", "conifer", *CROPS)])
    scar = (front > np.quantile(front, 1 - rng.uniform(0.08, 0.5))) & burnable if rng.random() < 0.88 else nowhere
    old = (former > np.quantile(former, 1 - rng.uniform(0.0, 0.3))) & burnable
    strength = np.clip(rng.uniform(0.4, 0.7) + 0.22 * severity, 0.12, 0.92)
    return Fire(scar, np.where(scar, strength, np.where(old, 0.35 * strength, 0)).astype(np.float32))


def drift(rng: np.random.Generator, kind: SceneKind, ground: Ground) -> IntArray:
    """Draw the class of every pixel at sea, (S, S), a position in MARINE; 0 on land and in other kinds of scenes."""
    size = len(ground.land)
    water = ground.land == CODE["water"]
    seen = np.where(water, MARINE.index("marine water"), 0).astype(np.int64)
    if kind != "marine":
        return np.zeros_like(seen)
    shore = ground.low
    plume = fractal_field(rng, 1, size, (24.0, 10.0), 0.5)[0]
    near = np.asarray(shore < rng.uniform(4, 14) + 3 * plume)
    seen[water & near] = MARINE.index(str(rng.choice(["turbid water", "sediment-laden water", "shallow water"])))
    for name in rng.choice([*_LINES, *_PATCHES], size=int(rng.integers(1, 4)), replace=False):
        place = _lines(rng, size) if name in _LINES else _patches(rng, size)
        seen[water & place] = MARINE.index(str(name))
    for name, count, half in (("ship", rng.poisson(0.8), 2), ("oil platform", rng.poisson(0.25), 3)):
        for _ in range(int(count)):
            row, column = (int(value) for value in rng.integers(half + 1, size - half - 1, 2))
            if name == "ship":
                seen[water & _wake(rng, size, row, column)] = MARINE.index("waves and wakes")
            box = (slice(row - half, row + half), slice(column - half // 2 - 1, column + half // 2 + 1))
            seen[box] = np.where(water[box], MARINE.index(name), seen[box])
    return seen


def _lines(rng: np.random.Generator, size: int) -> BoolArray:
    """Zero crossings of a field, (S, S), in the part of the scene where currents meet."""
    field, meeting = (fractal_field(rng, 1, size, spacings, 0.6)[0] for spacings in ((20.0, 8.0), (24.0, 10.0)))
    near = np.abs(field) < np.quantile(np.abs(field), rng.uniform(0.03, 0.09))
    return np.asarray(near & (meeting > np.quantile(meeting, rng.uniform(0.4, 0.8))))


def _patches(rng: np.random.Generator, size: int) -> BoolArray:
    field = fractal_field(rng, 1, size, (12.0, 5.0), 0.8)[0]
    return np.asarray(field > np.quantile(field, 1 - rng.uniform(0.01, 0.08)))


def _wake(rng: np.random.Generator, size: int, row: int, column: int) -> BoolArray:
    """Two arms behind a ship at Kelvin's angle, (S, S); ships at anchor have none."""
    rows, columns = np.mgrid[:size, :size]
    south, east = rows - row, columns - column
    course = rng.uniform(0, 2 * np.pi)
    length = rng.uniform(8, 24) if rng.random() < 0.6 else 0.0
    behind = south * math.sin(course) + east * math.cos(course)
    aside = np.abs(east * math.sin(course) - south * math.cos(course))
    arms = np.abs(aside - math.tan(math.radians(19.5)) * behind) < 0.8
    return np.asarray(arms & (behind > 0) & (behind < length))
