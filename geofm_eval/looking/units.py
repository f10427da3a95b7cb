"""Unit of stored values, guessed from their range and dtype; the reason is always given."""

from dataclasses import dataclass, field

import numpy as np

from geofm_eval.catalog.bands import SENTINEL1, unit_of
from geofm_eval.data.offset import FLOOR
from geofm_eval.looking.naming import Names
from geofm_eval.looking.samples import LookedSamples

UNKNOWN_UNIT = "unit unknown; set scale and offset so that values are reflectance x 10,000 or dB"
REFLECTANCE, DN_PER_GREY = 10_000.0, 2750 / 255
"""Factors to digital numbers from reflectances, and from 8-bit pictures as in the RGB edition of EuroSAT."""


CEILING = 1500.0
"""Darkest digital number above which an image does not look like Sentinel-2 with an offset of 1000."""


@dataclass(frozen=True)
class Unit:
    """Scale and offset of own images (only those that differ from 1 and 0), the reason, and a warning if any."""

    reason: str
    fields: dict[str, float] = field(default_factory=dict)
    warning: str = ""


def guess_unit(samples: LookedSamples, names: Names) -> Unit:
    """Return how stored values become the units of the bands: digital numbers (reflectance x 10,000) or dB."""
    low, median, high = (float(np.nanmedian(samples.quantiles[:, column])) for column in (0, 2, 4))
    dtype = max(samples.dtypes, key=lambda name: samples.dtypes[name])
    what = f"{dtype} with a median of {median:.4g}"
    if np.isnan(median):
        return Unit("no valid pixel", warning="no valid pixel in the images that were read")
    if names.known and all(unit_of(band) is None for band in names.bands):
        return Unit(f"{what}; the bands have no known unit, so values are taken as they are")
    if names.known and all(band in SENTINEL1 for band in names.bands) and low >= 0:
        return Unit(what, warning=f"{what}: looks like linear backscatter; convert the files with 10 * log10(value)")
    if dtype.startswith("float"):
        return _of_float(what, low, median, high)
    return _of_integer(what, dtype, samples, median)


def _of_float(what: str, low: float, median: float, high: float) -> Unit:
    if median < 0 and low > -80:
        return Unit(f"{what}: negative floats: dB")
    if low >= -0.5 and high <= 2:
        return Unit(f"{what}: float in 0..1: reflectance, scale = 10000", {"scale": REFLECTANCE})
    if 20 <= median <= 20_000:
        return Unit(f"{what}: digital numbers (reflectance x 10,000)")
    return Unit(what, warning=f"{what}: {UNKNOWN_UNIT}")


def _of_integer(what: str, dtype: str, samples: LookedSamples, median: float) -> Unit:
    if dtype == "uint8":
        return Unit(
            f"{what}: 8-bit picture; 0..255 is read as DN 0..2750, as in the RGB edition of EuroSAT",
            {"scale": round(DN_PER_GREY, 6)},
            "8-bit pictures have no physical unit; models that were trained on reflectances see an approximation",
        )
    if 20 <= median <= 20_000:
        darkest = float(np.nanmin(samples.quantiles[:, 0]))
        if darkest >= CEILING:
            return Unit(what, warning=f"{what}, and the darkest values are {darkest:.0f}: {UNKNOWN_UNIT}")
        if darkest >= FLOOR:
            reason = (
                f"{what}: digital numbers; the darkest are {darkest:.0f}, so they carry the +1000 of baseline 04.00"
            )
            return Unit(reason, {"offset": -1000.0})
        return Unit(f"{what}: digital numbers")
    return Unit(what, warning=f"{what}: {UNKNOWN_UNIT}")
