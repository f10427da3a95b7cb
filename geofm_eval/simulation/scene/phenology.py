"""Seasons: greenness of every pixel on a day, by land cover, kind of crop and field."""

from datetime import date

import numpy as np

from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.legend import LAND, IntArray

YEAR = 365.25

# First and last day of the year on which a crop is half green; the same for a second growth in that year.
_CALENDAR: dict[str, tuple[float, float, float, float]] = {
    "crop_a": (62, 160, 0, 0),
    "crop_b": (62, 205, 0, 0),
    "crop_c": (105, 205, 0, 0),
    "crop_d": (105, 262, 0, 0),
    "crop_e": (152, 262, 0, 0),
    "crop_f": (152, 310, 0, 0),
    "crop_g": (62, 130, 205, 310),
    "crop_h": (85, 150, 175, 262),
}

# Greenness in winter and in full summer; first and last day of the growing season.
_WILD: dict[str, tuple[float, float, float, float]] = {
    "grass": (0.45, 0.85, 85, 300),
    "broadleaf": (0.05, 1.0, 112, 298),
    "conifer": (0.95, 1.0, 100, 300),
    "heath": (0.25, 0.6, 110, 280),
    "bare": (0.03, 0.12, 100, 260),
    "water": (0.0, 0.0, 100, 260),
    "road": (0.0, 0.0, 100, 260),
    "building": (0.0, 0.0, 100, 260),
    "paved": (0.0, 0.0, 100, 260),
}

_ONSET = np.float32(1 / 7)
"""Steepness of greening and ripening, which take a crop about a month each."""


def _tables() -> tuple[Array, Array, Array]:
    seasons = np.array([_CALENDAR.get(name, (*_WILD.get(name, (0, 0, 0, 0))[2:], 0, 0)) for name in LAND], np.float32)
    low = np.array([_WILD.get(name, (0.05, 0.95))[0] for name in LAND], np.float32)
    high = np.array([_WILD.get(name, (0.05, 0.95))[1] for name in LAND], np.float32)
    return seasons, low, high


_SEASONS, _LOW, _HIGH = _tables()


def greenness(land: IntArray, lag: Array, vigour: Array, day: date, season: float) -> Array:
    """Proportion of every pixel that is green on a day.

    Args:
        land: (S, S) land cover.
        lag: (S, S) delay of a field relative to its kind, in days.
        vigour: (S, S) density of the green, about 1.
        day: the date.
        season: delay of the region's season in days.

    Returns:
        (S, S) float32, 0..1.
    """
    today = np.float32((day.timetuple().tm_yday - season) % YEAR) - lag
    start, end, again, over = np.moveaxis(_SEASONS[land], -1, 0)
    growth = _window(today, start, end)
    second = over > 0
    if second.any():
        growth = np.where(second, np.maximum(growth, _window(today, again, over)), growth)
    return np.asarray(np.clip(_LOW[land] + (_HIGH[land] - _LOW[land]) * growth * vigour, 0, 1), dtype=np.float32)


def _window(today: Array, start: Array, end: Array) -> Array:
    rise = np.clip((today - start) * _ONSET * 0.5 + 0.5, 0, 1)
    fall = np.clip((end - today) * _ONSET * 0.5 + 0.5, 0, 1)
    window: Array = np.minimum(rise, fall).astype(np.float32)
    return window * window * (np.float32(3) - 2 * window)
