"""Simulated locations in the layout of NeuCo-Bench: cubes of four seasons, with regression targets."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.neuco import MODALITIES, PLACES, SEASONS
from geofm_eval.errors import Unavailable
from geofm_eval.seeds import generator
from geofm_eval.simulation.scene.landscape import LAND, Scene, SceneKind, simulate_scene
from geofm_eval.simulation.standins.chips import chip_size, numbered, optical

CHIP = 64
KINDS: tuple[SceneKind, ...] = ("mixed", "forest", "crops")
"""Kinds of landscape, used in turn."""


@dataclass(frozen=True)
class Target:
    """A number that describes a place.

    Args:
        measure: computes its noise-free value for a scene.
        noise: standard deviation of the added noise: .3 of the standard deviation over the places.
        low: smallest possible value.
        high: greatest possible value.
    """

    measure: Callable[[Scene], float]
    noise: float
    low: float = 0.0
    high: float = float("inf")


def _share(*names: str) -> Callable[[Scene], float]:
    wanted = [LAND.index(name) for name in names]
    return lambda scene: float(np.isin(scene.land, wanted).mean())


TARGETS: Mapping[str, Target] = {
    "biomass_mean": Target(lambda scene: float(scene.biomass.mean(dtype=np.float64)), 16.0),
    "biomass_std": Target(lambda scene: float(scene.biomass.std(dtype=np.float64)), 11.0),
    "clouds_reg": Target(lambda scene: 100 * float(scene.cloud.mean(dtype=np.float64)), 2.35, high=100.0),
    "heatisland_mean": Target(lambda scene: float(scene.heat.mean(dtype=np.float64)), 0.53),
    "heatisland_std": Target(lambda scene: float(scene.heat.std(dtype=np.float64)), 0.22),
    "crops": Target(_share("crop_d", "crop_e"), 0.035, high=1.0),
    "landcover_agriculture": Target(lambda scene: float((scene.parcel > 0).mean()), 0.1, high=1.0),
    "landcover_forest": Target(_share("broadleaf", "conifer"), 0.081, high=1.0),
}
"""Targets by the name of their table; the two crops grow in summer, like maize and soybean."""

CONTROL = "random_reg"
"""Table of random numbers: 70 % are zero, as most of the published control are."""

CONTROL_MEAN = 15.0
"""Mean of the control, its best prediction."""


def write_neuco(folder: Path, task: TaskSpec) -> None:
    """Write simulated locations as NeuCo-Bench: ``data/<modality>/part-000000/<id>.zarr.zip`` and tables of labels.

    Every location has a label for every target, and a position in ``locations.csv``. The first of the task's
    ``sizes`` is the number of locations.
    """
    parts = {modality: folder / "data" / modality / "part-000000" for modality in MODALITIES}
    for part in (*parts.values(), folder / "labels"):
        part.mkdir(parents=True)
    rows: dict[str, list[str]] = {name: ["id,label\n"] for name in (*TARGETS, CONTROL)}
    places = ["id,lon,lat\n"]
    for number in (number for numbers in numbered(task).values() for number in numbers):
        scene, id = _scene(number, chip_size(task, CHIP)), _id(number)
        for modality, part in parts.items():
            _write_cube(part / f"{id}.zarr.zip", _cube(scene, modality), MODALITIES[modality])
        for name, label in labels(scene).items():
            rows[name].append(f"{id},{label:.4f}\n")
        places.append(f"{id},{scene.lonlat[0]:.5f},{scene.lonlat[1]:.5f}\n")
    for name, lines in rows.items():
        (folder / "labels" / f"{name}__regr.csv").write_text("".join(lines), encoding="utf-8")
    (folder / PLACES).write_text("".join(places), encoding="utf-8")


def _scene(number: int, size: int) -> Scene:
    return simulate_scene(KINDS[number % len(KINDS)], number, size=size, dates=SEASONS)


def _id(number: int) -> str:
    return f"{number:07d}"


def noise_free(task: TaskSpec) -> dict[str, float]:
    """Return the noise-free target of the task at every location; for the random control, its mean."""
    numbers = [number for split in numbered(task).values() for number in split]
    target, size = str(task.options["target"]), chip_size(task, CHIP)
    return {_id(number): _measures(number, size)[target] for number in numbers}


@functools.lru_cache(maxsize=4096)
def _measures(number: int, size: int) -> dict[str, float]:
    """Every noise-free target of a place; cached, because simulating the place takes longer than all of them."""
    scene = _scene(number, size)
    return {name: target.measure(scene) for name, target in TARGETS.items()} | {CONTROL: CONTROL_MEAN}


def labels(scene: Scene) -> dict[str, float]:
    """Return every target of a scene with noise, and the control."""
    rng = generator("neuco labels", scene.kind, scene.number)
    found = {
        name: float(np.clip(target.measure(scene) + target.noise * rng.standard_normal(), target.low, target.high))
        for name, target in TARGETS.items()
    }
    return {**found, CONTROL: 100 * rng.random() if rng.random() < 0.3 else 0.0}


def _cube(scene: Scene, modality: str) -> npt.NDArray[Any]:
    """Pixels of four seasons as stored in cubes; beyond the swath 0, and NaN for radar."""
    gap = scene.nodata[:, None]
    if modality == "s1":
        return np.where(gap, np.nan, scene.radar).astype(np.float16)
    images = scene.l1c if modality == "s2l1c" else scene.l2a
    numbers = np.stack([optical(image, MODALITIES[modality]) for image in images])
    return np.where(gap, 0, np.rint(numbers).clip(1, 32_767)).astype(np.int16)


def _write_cube(path: Path, pixels: npt.NDArray[Any], bands: tuple[str, ...]) -> None:
    try:
        import zarr
    except ImportError as error:
        raise Unavailable("package", "zarr, which writes this stand-in", "Install it with: pip install zarr") from error
    with zarr.storage.ZipStore(path, mode="w") as store:
        cube = zarr.create_group(store, zarr_format=2)
        # Speckle does not compress, and trying would double the time.
        cube.create_array("bands", data=pixels[None], chunks=(1, 1, *pixels.shape[1:]), compressors=None)
        cube.create_array("band", data=np.array([name.lower() if name[0] == "V" else name for name in bands]))
