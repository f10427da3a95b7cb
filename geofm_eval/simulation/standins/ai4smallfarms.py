"""Simulated smallholder fields in the layout of AI4SmallFarms."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.ai4smallfarms import FOLDER, FOLDERS
from geofm_eval.simulation.scene.landscape import simulate_scene
from geofm_eval.simulation.standins.chips import chip_size, numbered, optical, write_geotiff

CHIP = 64
BANDS = ("B02", "B03", "B04", "B08")
REGIONS = ("cambodia", "vietnam")


def write_ai4smallfarms(folder: Path, task: TaskSpec) -> None:
    """Write simulated tiles as AI4SmallFarms: surface digital numbers, and outlines of fields as 255.

    Outlines are one pixel wide and also known under clouds, like the published ones, which were drawn on other images.
    """
    size = chip_size(task, CHIP)
    for split, numbers in numbered(task).items():
        place = folder / FOLDER / FOLDERS[split][0]
        for name in ("images", "masks"):
            (place / name).mkdir(parents=True)
        for number in numbers:
            _write_tile(place, number, size)


def _write_tile(folder: Path, number: int, size: int) -> None:
    region = REGIONS[number % len(REGIONS)]
    scene = simulate_scene("smallfarms", number, size=size, block=region)
    name = f"{number}_{region}.tif"
    numbers = np.where(scene.nodata[0], 0, np.rint(optical(scene.l2a[0], BANDS)).clip(1, 65_535)).astype(np.uint16)
    write_geotiff(folder / "images" / name, numbers)
    write_geotiff(folder / "masks" / name, np.where(outlines(scene.parcel), 255, 0).astype(np.uint8)[None])


def outlines(parcel: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Mark the last pixels of a field before another field, or before ground without a field, to the right or below.

    Args:
        parcel: (height, width) number of the field, 0 where there is none.
    """
    marked = np.zeros(parcel.shape, bool)
    marked[:, :-1] |= parcel[:, :-1] != parcel[:, 1:]
    marked[:-1] |= parcel[:-1] != parcel[1:]
    return marked
