"""Simulated sea surfaces in the layout of MADOS."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.data.readers.mados import WAVELENGTHS
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.landscape import MARINE, Scene, simulate_scene
from geofm_eval.simulation.standins.chips import Pixels, chip_size, hidden, numbered, optical, write_geotiff

CHIP = 72
CROPS_PER_SCENE = 4
_WATERS = [MARINE.index(f"{kind} water") for kind in ("marine", "sediment-laden", "turbid", "shallow")]


def write_mados(folder: Path, task: TaskSpec) -> None:
    """Write simulated crops as MADOS: one reflectance file per band at its own resolution, labels, and split lists.

    Four crops form a scene, which belongs to one split. Even scene numbers have the file names of Sentinel-2A, odd ones
    those of Sentinel-2B. All floating objects are labelled, but open water only in one patch per crop, as sparsely as
    in the published labels.
    """
    (folder / "splits").mkdir(parents=True)
    size, first = chip_size(task, CHIP), 0
    for split, numbers in numbered(task).items():
        names = [
            _write_crop(folder, first + position // CROPS_PER_SCENE, position % CROPS_PER_SCENE, number, size)
            for position, number in enumerate(numbers)
        ]
        first += -(-len(numbers) // CROPS_PER_SCENE)
        (folder / "splits" / f"{split}_X.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _write_crop(folder: Path, scene_number: int, crop: int, number: int, size: int) -> str:
    name = f"Scene_{scene_number}"
    for resolution in ("10", "20", "60"):
        (folder / name / resolution).mkdir(parents=True, exist_ok=True)
    scene = simulate_scene("marine", number, size=size, block=name)
    for band, nanometres in WAVELENGTHS.items():
        metres = int(SENTINEL2[band].gsd)
        pixels = np.where(scene.nodata[0], np.float32(np.nan), optical(scene.l2a[0], (band,)) / np.float32(10_000))
        # Some bands have one name for both satellites.
        file = f"{name}_L2R_rhorc_{nanometres[scene_number % 2 % len(nanometres)]}_{crop}.tif"
        path, averaged = folder / name / str(metres) / file, coarser(pixels, metres // 10).round(5)
        write_geotiff(path, averaged, nodata=float("nan"), metres=metres)
    write_geotiff(folder / name / "10" / f"{name}_L2R_cl_{crop}.tif", _drawn(scene).astype(np.uint8)[None])
    return f"{name}_{crop}"


def coarser(pixels: Pixels, factor: int) -> Pixels:
    """Average (bands, height, width) pixels over squares; squares beyond the edge repeat the edge pixels."""
    height, width = pixels.shape[1:]
    padded = np.pad(pixels, ((0, 0), (0, -height % factor), (0, -width % factor)), mode="edge")
    squares = padded.reshape(len(pixels), -(-height // factor), factor, -(-width // factor), factor)
    averaged: Pixels = squares.mean(axis=(2, 4), dtype=np.float32)
    return averaged


def _drawn(scene: Scene) -> npt.NDArray[np.int64]:
    size = len(scene.debris)
    rng = generator("mados annotation", scene.number, size)
    row, column = rng.uniform(0.2 * size, 0.8 * size, 2)
    rows, columns = np.mgrid[:size, :size]
    patch = (rows - row) ** 2 + (columns - column) ** 2 < (0.2 * size) ** 2
    seen = (patch | ~np.isin(scene.debris, _WATERS)) & ~hidden(scene)
    return np.where(seen, scene.debris, 0)
