"""Spectral bands by name: wavelength and ground sampling distance of Sentinel-2, polarisations of Sentinel-1."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from geofm_eval.errors import ContractError


@dataclass(frozen=True)
class Band:
    """One channel of a sensor.

    Args:
        name: canonical name, for example ``B02``, ``B8A`` or ``VV``.
        sensor: instrument or source.
        unit: physical unit: ``DN`` (reflectance x 10,000), ``dB``, ``K``, ``m`` or ``degree``.
        gsd: ground sampling distance in metres.
        wavelength: central wavelength in nanometres; None for other than optical bands.
    """

    name: str
    sensor: Literal["Sentinel-2", "Sentinel-1", "ERA5", "SRTM"]
    unit: Literal["DN", "dB", "K", "m", "degree"]
    gsd: float
    wavelength: float | None = None


# Central wavelengths of Sentinel-2A, Sentinel-2 User Handbook.
_OPTICAL = (
    ("B01", 442.7, 60.0),
    ("B02", 492.4, 10.0),
    ("B03", 559.8, 10.0),
    ("B04", 664.6, 10.0),
    ("B05", 704.1, 20.0),
    ("B06", 740.5, 20.0),
    ("B07", 782.8, 20.0),
    ("B08", 832.8, 10.0),
    ("B8A", 864.7, 20.0),
    ("B09", 945.1, 60.0),
    ("B10", 1373.5, 60.0),
    ("B11", 1613.7, 20.0),
    ("B12", 2202.4, 20.0),
)

SENTINEL2: dict[str, Band] = {
    name: Band(name, "Sentinel-2", "DN", gsd, wavelength) for name, wavelength, gsd in _OPTICAL
}
"""Sentinel-2 bands in order of wavelength, which is the order of most pretrained models."""

SENTINEL1: dict[str, Band] = {
    name: Band(name, "Sentinel-1", "dB", 10.0) for name in ("VV", "VH", "VV_DESCENDING", "VH_DESCENDING")
}
"""Sentinel-1 polarisations over land; if a data set separates orbits, VV and VH are of the ascending one."""

SURROUNDINGS: dict[str, Band] = {
    "TEMPERATURE_2M": Band("TEMPERATURE_2M", "ERA5", "K", 11_132.0),
    "TOTAL_PRECIPITATION": Band("TOTAL_PRECIPITATION", "ERA5", "m", 11_132.0),
    "ELEVATION": Band("ELEVATION", "SRTM", "m", 30.0),
    "SLOPE": Band("SLOPE", "SRTM", "degree", 30.0),
}
"""Weather and terrain, which come with pixel time series."""

BANDS: dict[str, Band] = {**SENTINEL2, **SENTINEL1, **SURROUNDINGS}
"""Every known band by canonical name."""

COMMON_NAMES: dict[str, str] = {
    "COASTAL": "B01",
    "COASTAL BLUE": "B01",
    "COASTAL AEROSOL": "B01",
    "AEROSOL": "B01",
    "BLUE": "B02",
    "GREEN": "B03",
    "RED": "B04",
    "RED EDGE": "B05",
    "REDEDGE": "B05",
    "RED EDGE 1": "B05",
    "RED EDGE 2": "B06",
    "RED EDGE 3": "B07",
    "NIR": "B08",
    "NEAR INFRARED": "B08",
    "NIR NARROW": "B8A",
    "NARROW NIR": "B8A",
    "WATER VAPOUR": "B09",
    "WATER VAPOR": "B09",
    "CIRRUS": "B10",
    "SWIR1": "B11",
    "SWIR 1": "B11",
    "SWIR2": "B12",
    "SWIR 2": "B12",
}
"""Sentinel-2 band nearest to a colour's name, for suggestions only: sensors differ."""


def canonical(name: str) -> str:
    """Return the canonical spelling of a band name: ``B02`` for ``B2`` and ``b02``; other names in capitals."""
    upper = name.strip().upper()
    match = re.fullmatch(r"B0*(\d+)(A?)", upper)
    if match is None:
        return upper
    number, letter = match.groups()
    return f"B{number}{letter}" if letter else f"B{int(number):02d}"


def common_names(names: Iterable[str]) -> dict[str, str]:
    """Return a suggestion for every name that is a colour: ``{"Blue": "B02"}``; others are left out."""
    spelled = {name: re.sub(r"[\s_-]+", " ", canonical(name)) for name in names}
    return {name: COMMON_NAMES[word] for name, word in spelled.items() if word in COMMON_NAMES}


def band(name: str) -> Band:
    """Look up a band by any spelling of its name.

    Raises:
        ContractError: the band is unknown; the message has the most similar names.
    """
    known = BANDS.get(canonical(name))
    if known is not None:
        return known
    near = list(common_names([name]).values()) or difflib.get_close_matches(canonical(name), BANDS, n=3)
    hint = f"did you mean {', '.join(near)}?" if near else f"known: {', '.join(BANDS)}"
    raise ContractError(f"band '{name}' is unknown; {hint}")


def units_of(names: Iterable[str]) -> str:
    """Return the units of bands, each once in order, for example ``DN, dB``; unknown bands have none."""
    return ", ".join(dict.fromkeys(unit for name in names if (unit := unit_of(name)) is not None))


def unit_of(name: str) -> str | None:
    """Return the unit of a band by any spelling of its name; None if the band is unknown."""
    known = BANDS.get(canonical(name))
    return None if known is None else known.unit
