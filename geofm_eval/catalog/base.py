"""Base of all entries of the catalog."""

from pathlib import PurePosixPath
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

Product = Literal["L1C", "L2A", "HLS", "ACOLITE", "GRD", "RTC", "any"]
"""Processing level of the optical pixels if there are any, else of the radar; ``any`` (controls) accepts all."""

Radar = Literal["GRD", "RTC"]
"""Radar product: ground range detected, or radiometrically terrain corrected; both in dB."""

Finite = Annotated[float, Field(allow_inf_nan=False)]
"""A number that is neither NaN nor infinite."""

Slug = Annotated[str, Field(pattern=r"^[a-z0-9]+(_[a-z0-9]+)*$", max_length=80)]
"""Name of an entry; the names of three entries and a layer together are the name of a file."""

Name = Annotated[str, Field(max_length=200)]
"""Name of a band or class."""


class Spec(BaseModel):
    """Frozen base class; unknown fields are rejected."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def radar_product(radar: Radar | None, product: Product) -> str | None:
    """Return the radar product of an entry from ``radar`` or ``product``; None if it is unknown."""
    return radar or (product if product in get_args(Radar) else None)


def is_full_path(name: str) -> bool:
    """Return whether a path is absolute and not in a virtual file system of GDAL."""
    return PurePosixPath(name).is_absolute() and not name.startswith("/vsi")
