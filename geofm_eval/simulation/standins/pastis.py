"""Simulated crop types in the layout of PASTIS."""

import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.readers.pastis import BANDS, FOLDS, VOID
from geofm_eval.simulation.scene.landscape import CROPS, LAND, Scene, simulate_scene
from geofm_eval.simulation.standins.chips import chip_size, numbered, optical

CHIP = 64
DATES = tuple(date(2019, 2, 20) + timedelta(days=24 * step) for step in range(10))
"""A season from bare fields to harvest."""

SLIVER = 24
"""Parcels that the edge cuts to fewer pixels are void, as in the published data."""

_NODATA = -10_000


def write_pastis(folder: Path, task: TaskSpec) -> None:
    """Write simulated patches as PASTIS: surface reflectance of ten dates, class maps, ``metadata.geojson``.

    Classes have the published numbers: grass is meadow (1), the eight kinds of crop are 2 to 9, everything else is
    background (0). Fold 4 is validation, fold 5 test; training patches alternate between folds 1 to 3.
    """
    for name in ("DATA_S2", "ANNOTATIONS"):
        (folder / name).mkdir(parents=True)
    features = []
    for split, numbers in numbered(task).items():
        for number in numbers:
            scene = simulate_scene("crops", number, size=chip_size(task, CHIP), dates=DATES)
            id = 10_000 + number
            np.save(folder / "DATA_S2" / f"S2_{id}.npy", _series(scene))
            np.save(folder / "ANNOTATIONS" / f"TARGET_{id}.npy", _target(scene))
            features.append(_feature(id, FOLDS[split][number % len(FOLDS[split])], scene))
    metadata = {"type": "FeatureCollection", "features": features}
    (folder / "metadata.geojson").write_text(json.dumps(metadata), encoding="utf-8")


def _series(scene: Scene) -> npt.NDArray[np.int16]:
    images = np.stack([optical(image, BANDS) for image in scene.l2a])
    return np.where(scene.nodata[:, None], _NODATA, np.rint(images)).astype(np.int16)


def _target(scene: Scene) -> npt.NDArray[np.uint8]:
    """Class and parcel of every pixel, (3, height, width); the third layer, unused in the published files too, is 0."""
    numbers = np.zeros(len(LAND), dtype=np.int64)
    numbers[[LAND.index(name) for name in ("grass", *CROPS)]] = np.arange(1, len(CROPS) + 2)
    classes = np.where(_slivers(scene.parcel), VOID, numbers[scene.land])
    return np.stack([classes, scene.parcel % 256, np.zeros_like(classes)]).astype(np.uint8)


def _slivers(parcel: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    edge = np.unique(np.concatenate([parcel[0], parcel[-1], parcel[:, 0], parcel[:, -1]]))
    ids, pixels = np.unique(parcel, return_counts=True)
    return np.isin(parcel, np.intersect1d(edge[edge > 0], ids[pixels < SLIVER]))


def _feature(id: int, fold: int, scene: Scene) -> dict[str, Any]:
    days = {str(position): int(day.strftime("%Y%m%d")) for position, day in enumerate(scene.dates)}
    properties = {"ID_PATCH": id, "Fold": fold, "TILE": scene.block, "dates-S2": days}
    lon, lat = scene.lonlat
    ring = [[lon + dx, lat + dy] for dx, dy in ((-0.01, -0.01), (0.01, -0.01), (0.01, 0.01), (-0.01, -0.01))]
    return {"type": "Feature", "properties": properties, "geometry": {"type": "Polygon", "coordinates": [ring]}}
