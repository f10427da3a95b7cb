"""Items with one label small enough to train on in a second: noise that is brighter for greater labels."""

from datetime import date
from pathlib import Path

import numpy as np

from geofm_eval.catalog import load_catalog
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split

CATALOG = load_catalog()
LAND = CATALOG.task("eurosat_sim").model_copy(update={"classes": ("dark", "even", "bright"), "nodata": None})
WOOD = CATALOG.task("neuco_sim_biomass_mean").model_copy(update={"nodata": None, "dates": 2})


def items(task=LAND, name="train", count=12, first=0, labels=None):
    """Noise of 16 pixels, brighter in B04 and B08 for greater labels."""
    numbers = range(first, first + count)
    labels = [i % 3 if task.classes else 20.0 + 30 * (i % 5) for i in numbers] if labels is None else labels
    label_of = dict(zip(numbers, labels, strict=True))
    dates = tuple(date(2020, 1 + month, 1) for month in range(task.dates or 0))
    red = [task.bands.index(band) for band in ("B04", "B08")]

    def read(item):
        number = int(item.path.stem)
        shape = (*(() if task.dates is None else (task.dates,)), len(task.bands), 16, 16)
        pixels = np.random.default_rng(number).uniform(900, 1100, shape)
        pixels[..., red, :, :] *= 1 + label_of[number] / (1 if task.classes else 50)
        return pixels.astype(np.float32)

    made = [
        Item(f"{name}{i}", Path(f"{i}.tif"), label_of[i], dates=dates, group=f"g{i // 4}", rank=(7 * i) % 101)
        for i in numbers
    ]
    return Split(task, name, tuple(made), "official", read)
