"""Catalog entries of own data for tests, and rasters that lie on Earth."""

from pathlib import Path
from typing import Any

import numpy as np
from rasterio.transform import from_origin

from geofm_eval.catalog import TaskSpec
from tests.chip_files import write_tif

METRIC_OF = {"classification": "accuracy", "regression": "r2", "segmentation": "miou", "dense_regression": "rmse"}
BANDS = ("B02", "B03", "B04", "B08")


def own_task(root: Path, reader: str, options: dict[str, Any], **fields: Any) -> TaskSpec:
    """A task of two classes, a and b, on four bands in digital numbers."""
    kind = fields.setdefault("kind", "segmentation")
    defaults: dict[str, Any] = {
        "metric": {"segmentation": "miou", "classification": "accuracy"}.get(
            kind, "rmse" if kind == "dense_regression" else "r2"
        ),
        "classes": () if kind.endswith("regression") else ("a", "b"),
        "bands": BANDS,
        "product": "any",
    }
    entry = {"slug": "mine", "title": "Mine", "reader": reader, "root": str(root), "options": options}
    return TaskSpec.model_validate({**entry, **defaults, **fields})


def scene(side: int = 16, seed: int = 0, bands: int = 4) -> np.ndarray:
    """Digital numbers (bands, side, side), every pixel another value."""
    rng = np.random.default_rng(seed)
    return (200 + rng.permutation(bands * side * side).reshape(bands, side, side) % 4000).astype(np.uint16)


def write_scene(path: Path, pixels: np.ndarray, west: float, north: float, epsg: int = 32630, **profile: Any) -> None:
    """Write a scene with pixels of 10 m."""
    write_tif(path, pixels, crs=f"EPSG:{epsg}", transform=from_origin(west, north, 10, 10), **profile)
