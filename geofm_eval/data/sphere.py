"""Distances between places on the earth, as on a sphere."""

import numpy as np
import numpy.typing as npt

EARTH_M = 6_371_008.8
"""Mean radius of the earth in metres."""


def to_sphere(lonlat: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return points on the unit sphere, (n, 3), of longitude and latitude in degrees, (n, 2)."""
    lon, lat = np.radians(lonlat).T
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=1)


def distances(chords: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return distances along the sphere in metres of chords of the unit sphere."""
    found: npt.NDArray[np.float64] = 2 * EARTH_M * np.arcsin(np.clip(chords / 2, 0, 1))
    return found
