"""Simulated forests in the layout of BioMassters."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.biomassters import MONTHS, OPTICAL
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.fields import Array
from geofm_eval.simulation.scene.landscape import Scene, simulate_scene
from geofm_eval.simulation.standins.chips import chip_size, numbered, optical, write_geotiff

CHIP = 64
WRITTEN = (1, 3, 5, 7, 9, 11)
"""Months with files, by their number in file names: every other one, from October to August."""

DARK = 3
"""Month without an optical image for every third chip: in December there is hardly any light in the far north."""

NOISE = 22.0
"""Standard deviation in t/ha of the noise added to the biomass of every pixel: .2 of the biomass's own standard
deviation."""

_NODATA = np.float32(-9999)


def write_biomassters(folder: Path, task: TaskSpec) -> None:
    """Write simulated chips as BioMassters: radar of two orbits, surface reflectance with cloud, biomass per pixel.

    The descending orbit is missing in October, and the optical image of December for every third chip. A ``splits.csv``
    assigns chips to splits, because the publishers define no validation split.
    """
    rows = ["chip,split\n"]
    for split, numbers in numbered(task).items():
        kind = "test" if split == "test" else "train"
        features, targets = folder / f"{kind}_features", folder / f"{kind}_agbm"
        for part in (features, targets):
            part.mkdir(parents=True, exist_ok=True)
        for number in numbers:
            scene, name = _scene(number, task), f"{number:08x}"
            _write_months(features, name, scene)
            write_geotiff(targets / f"{name}_agbm.tif", biomass(scene)[None])
            rows.append(f"{name},{split}\n")
    (folder / "splits.csv").write_text("".join(rows), encoding="utf-8")


def _scene(number: int, task: TaskSpec) -> Scene:
    dates = tuple(MONTHS[month] for month in WRITTEN)
    return simulate_scene("forest", number, size=chip_size(task, CHIP), dates=dates)


def noise_free(chip: str, task: TaskSpec) -> Array:
    """Return the noise-free biomass of every pixel of a chip, (height, width) float32 in t/ha."""
    return _scene(int(chip, 16), task).biomass


def biomass(scene: Scene) -> Array:
    """Return the biomass of every pixel with noise, (height, width) float32 in t/ha; zero stays zero."""
    noise = generator("biomassters", scene.number).normal(0, NOISE, scene.biomass.shape).astype(np.float32)
    return np.where(scene.biomass > 0, np.clip(scene.biomass + noise, 0, None).round(4), np.float32(0))


def _write_months(folder: Path, name: str, scene: Scene) -> None:
    for position, month in enumerate(WRITTEN):
        write_geotiff(folder / f"{name}_S1_{month:02d}.tif", _radar(scene, position, month))
        if month != DARK or scene.number % 3:
            write_geotiff(folder / f"{name}_S2_{month:02d}.tif", _optical(scene, position))


def _radar(scene: Scene, position: int, month: int) -> Array:
    ascending = np.where(scene.nodata[position], _NODATA, scene.radar[position])
    speckle = generator("descending", scene.number, month).normal(0, 0.8, ascending.shape).astype(np.float32)
    descending = np.where((ascending == _NODATA) | (month == WRITTEN[0]), _NODATA, (ascending + speckle).round(3))
    return np.concatenate([ascending, descending]).astype(np.float32)


def _optical(scene: Scene, position: int) -> npt.NDArray[Any]:
    """Ten bands and the cloud probability in percent; pixels beyond the swath are 0, their cloud 255."""
    numbers = np.rint(optical(scene.l2a[position], OPTICAL)).clip(1, 65_535)
    percent = np.rint(100 * scene.cloud[position])
    gap = scene.nodata[position]
    return np.concatenate([np.where(gap, 0, numbers), np.where(gap, 255, percent)[None]]).astype(np.uint16)
