"""Small data of a user's own for the tests of generic readers: entries, images and tables."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet
from rasterio import Affine

from geofm_eval.catalog import TaskSpec
from geofm_eval.data.items import Pool
from geofm_eval.data.readers.table import read_pool
from tests.chip_files import write_tif
from tests.own_tasks import METRIC_OF

BANDS = ("B02", "B03", "B04", "B08")


def own_task(root: Path, reader: str = "folder", **fields: Any) -> TaskSpec:
    """An entry as a user writes it."""
    kind = fields.get("kind", "classification")
    classes = ("crop", "forest", "water") if kind in ("classification", "segmentation") else ()
    entry = {"slug": "fields", "title": "Fields", "reader": reader, "root": str(root), "bands": BANDS, "product": "L2A"}
    return TaskSpec(**{**entry, "metric": METRIC_OF[kind], "classes": classes, "protocol": "holdout", **fields})


def chip(value: float, bands: int = len(BANDS), side: int = 8) -> np.ndarray:
    """Pixels around a value, with dark ones, so that no offset is suspected."""
    noise = np.random.default_rng(int(value)).integers(0, 50, (bands, side, side))
    pixels = (value + noise).astype(np.uint16)
    pixels[:, 0, 0] = 10
    return pixels


def write_image(path: Path, value: float = 500, bands: int = len(BANDS), east: float | None = None) -> Path:
    """Write a chip in the format of the file's ending; ``east`` places a GeoTIFF that many metres further east."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = chip(value, bands)
    if path.suffix == ".npy":
        np.save(path, pixels)
    elif path.suffix.lower() in (".jpg", ".png"):
        Image.fromarray((pixels // 20).astype(np.uint8).transpose(1, 2, 0)).save(path)
    else:
        place = (
            {} if east is None else {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000 + east, 0, -10, 4_500_000)}
        )
        write_tif(path, pixels, **place)
    return path


def table_task(root: Path, **fields: Any) -> TaskSpec:
    """An entry that reads a table."""
    return own_task(root, "table", **fields)


def read_table(root: Path, **fields: Any) -> Pool:
    """List the samples of a table for a task with some fields of its own."""
    return read_pool(table_task(root, **fields), root)


def write_text(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text file, compressed if its name says so."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if path.suffix.lower() == ".gz" else content)
    return path


def write_table(path: Path, columns: dict[str, list[Any]], separator: str = ",") -> Path:
    """Write columns in the format of the file's ending."""
    rows = list(zip(*columns.values(), strict=True))
    if path.suffix == ".parquet":
        parquet.write_table(pa.table(columns), path)
        return path
    if ".jsonl" in path.name:
        return write_text(path, "".join(json.dumps(dict(zip(columns, row, strict=True))) + "\n" for row in rows))
    return write_text(path, "\n".join(separator.join(map(str, row)) for row in [tuple(columns), *rows]))
