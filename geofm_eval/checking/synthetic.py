"""A synthetic task for a model: noise with the model's own bands and plausible values, where no data are at hand."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from geofm_eval.catalog import ModelSpec, TaskSpec
from geofm_eval.catalog.bands import unit_of
from geofm_eval.data.pixels import RawImage
from geofm_eval.seeds import generator

BANDS = ("B02", "B03", "B04", "B08")
"""Bands of the synthetic images for a model that takes any bands."""

TYPICAL = {"DN": (1500.0, 500.0), "dB": (-14.0, 4.0), "K": (290.0, 5.0), "m": (100.0, 50.0), "degree": (5.0, 3.0)}
"""Mean and standard deviation of the synthetic values by unit."""

IMAGES, SIDE = 4, 64


@dataclass(frozen=True)
class SyntheticData:
    """A task without files, and some of its images."""

    task: TaskSpec
    images: tuple[RawImage, ...]


def synthetic_data(model: ModelSpec, dates: int | None = None) -> SyntheticData:
    """Draw images that a model can read: its own bands, product and size.

    Args:
        model: the model.
        dates: number of dates of a series; None for single images.
    """
    bands = BANDS if model.bands == ("*",) else model.bands
    side = max(model.image_size or SIDE, model.smallest)
    task = TaskSpec(
        slug="synthetic",
        title="Synthetic noise",
        reader="none",
        root="synthetic",
        bands=bands,
        product=model.product,
        radar=model.radar,
        dates=dates,
        classes=("a", "b"),
    )
    days = tuple(date(2021, 1 + month, 15) for month in range(dates or 0))
    return SyntheticData(task, tuple(_image(bands, side, days, number) for number in range(IMAGES)))


def _image(bands: tuple[str, ...], side: int, days: tuple[date, ...], number: int) -> RawImage:
    shape = (*((len(days),) if days else ()), len(bands), side, side)
    noise = generator("synthetic", number).standard_normal(shape)
    levels = np.array([TYPICAL.get(unit_of(band) or "", (0.0, 1.0)) for band in bands])
    pixels = (levels[:, 0, None, None] + levels[:, 1, None, None] * noise).astype(np.float32)
    valid = np.ones((*shape[:-3], side, side), bool)
    return RawImage(pixels, valid, days)
