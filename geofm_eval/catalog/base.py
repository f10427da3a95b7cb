"""What all entries of the catalog have in common."""

from pathlib import PurePosixPath
from typing import Literal, get_args

from pydantic import BaseModel, ConfigDict

Product = Literal["L1C", "L2A", "HLS", "ACOLITE", "GRD", "RTC", "any"]
"""Processing level: of the optical pixels where there are any, else of the radar; ``any`` (controls) accepts all."""

Radar = Literal["GRD", "RTC"]
"""Radar product: ground range detected, or radiometrically terrain corrected; both in dB."""

SLUG = r"^[a-z0-9]+(_[a-z0-9]+)*$"


class Spec(BaseModel):
    """Frozen base: unknown fields are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def radar_product(radar: Radar | None, product: Product) -> str | None:
    """Radar product of an entry, whether ``radar`` or ``product`` says it; None where that is not known."""
    return radar or (product if product in get_args(Radar) else None)


def is_full_path(name: str) -> bool:
    """Return whether a path is absolute and of the file system, not of GDAL's virtual ones."""
    return PurePosixPath(name).is_absolute() and not name.startswith("/vsi")
