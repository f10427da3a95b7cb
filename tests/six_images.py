"""EuroSAT RGB of six images with the official lists, in a home."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofm_eval.catalog import TaskSpec, load_catalog

PER_SPLIT = {"train": 3, "val": 2, "test": 1}


def six_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Write the data into a home, and return their task."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    root = tmp_path / "data" / "eurosat_rgb"
    (root / "River").mkdir(parents=True)
    number = 0
    for split, count in PER_SPLIT.items():
        names = [f"River_{number + index}" for index in range(count)]
        number += count
        for name in names:
            pixels = np.random.default_rng(number).integers(20, 120, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "River" / f"{name}.jpg")
        (root / f"eurosat-{split}.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    facts = {"official_sizes": (3, 2, 1), "size": "90 MB", "layout": ("<Class>/<Class>_<n>.jpg", "eurosat-train.txt")}
    return load_catalog().task("eurosat_rgb").model_copy(update=facts)
