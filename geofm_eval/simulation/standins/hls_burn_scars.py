"""Simulated wildfires in the layout of HLS Burn Scars."""

from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.chips import SPLIT_FILE
from geofm_eval.data.readers.hls_burn_scars import FOLDERS, IMAGE, MASK
from geofm_eval.simulation.scene.landscape import Scene, simulate_scene
from geofm_eval.simulation.standins.chips import as_drawn, chip_size, hidden, numbered, optical, write_geotiff

CHIP = 64
BANDS = ("B02", "B03", "B04", "B8A", "B11", "B12")
NODATA = 9999
TILES = 12


def write_hls_burn_scars(folder: Path, task: TaskSpec) -> None:
    """Write simulated chips as HLS Burn Scars: surface reflectances (0..1), masks, and a split file.

    Scenes of one grid tile are similar and occur in all splits, as in the published data. Beyond the edge of the swath
    every band is 9999; there, and under clouds, the mask is -1. A ``splits.csv`` separates training from validation
    chips, which the two published folders do not.
    """
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    size, lines = chip_size(task, CHIP), ["chip,split\n"]
    for split, numbers in numbered(task).items():
        place = folder / ("validation" if split == "test" else "training")
        lines += [f"{_write_chip(place, number, size)},{split}\n" for number in numbers]
    (folder / SPLIT_FILE).write_text("".join(lines), encoding="utf-8")


def _write_chip(folder: Path, number: int, size: int) -> str:
    scene = _scene(number, size)
    name = f"subsetted_{size}x{size}_HLS.S30.{scene.block}.{scene.dates[0]:%Y%j}.v1.4"
    write_geotiff(folder / f"{name}{IMAGE}", _reflectance(scene))
    labels = np.where(hidden(scene), -1, as_drawn(scene.burned, scene)).astype(np.int16)
    write_geotiff(folder / f"{name}{MASK}", labels[None])
    return name


def _scene(number: int, size: int) -> Scene:
    day = date(2018 + number % 4, 6, 15) + timedelta(days=number // TILES)
    return simulate_scene("burn", number, size=size, dates=(day,), block=f"T{number % TILES + 1:02d}SIM")


def noise_free(chip: str, task: TaskSpec) -> npt.NDArray[np.int64]:
    """Return the true scar of a chip, without drawing errors, (height, width)."""
    tile, day = chip.split(".")[2:4]
    since = datetime.strptime(day, "%Y%j").date() - date(int(day[:4]), 6, 15)
    scene = _scene(since.days * TILES + int(tile[1:3]) - 1, chip_size(task, CHIP))
    return scene.burned.astype(np.int64)


def _reflectance(scene: Scene) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    reflectance = np.rint(optical(scene.l2a[0], BANDS)) / np.float32(10_000)
    return np.where(scene.nodata[0], np.float32(NODATA), reflectance)
