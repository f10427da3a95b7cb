"""Stand-ins are written in digits that all processors agree on."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofm_eval.catalog import load_catalog
from geofm_eval.simulation.standins import ensure_standin

SMALL = {
    "sen1floods11_sim": (3, 1, 1),
    "biomassters_sim": (2, 1, 1),
    "fuel_moisture_sim": (48, 12, 12),
    "neuco_sim_biomass_mean": (4, 0, 0),
    "mados_sim": (1, 1, 1),
    "hls_burn_scars_sim": (1, 1, 1),
}

PRINT_HASHES = """
import hashlib, sys
from geofm_eval.data.split import ALL
from geofm_eval.datasets import open_splits
from geofm_eval.catalog import load_catalog

for slug, sizes in {small}.items():
    task = load_catalog().task(slug).model_copy(update={{"sizes": sizes, "inspect": False}})
    for name, split in open_splits(task).items():
        digest = hashlib.sha256()
        for index in range(len(split)):
            digest.update(split.load(split.items[index]).tobytes())
            digest.update(split.read_target(index).tobytes() if task.dense else repr(split.items[index].label).encode())
        print(slug, name, digest.hexdigest())
"""


def small(slug: str) -> Path:
    return ensure_standin(load_catalog().task(slug).model_copy(update={"sizes": SMALL[slug]}))


def decimals(values: np.ndarray, digits: int) -> bool:
    """True where values have at most so many digits behind the point, as far as their type can say it."""
    values = values[np.isfinite(values)]
    return bool((values == values.astype(np.float64).round(digits).astype(values.dtype)).all())


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as file:
        return file.read()


@pytest.mark.parametrize(
    ("slug", "pattern", "digits"),
    [
        ("sen1floods11_sim", "**/S1Hand/*.tif", 3),
        ("biomassters_sim", "**/*_S1_*.tif", 3),
        ("biomassters_sim", "**/*_agbm.tif", 4),
        ("mados_sim", "**/*rhorc*.tif", 5),
        ("hls_burn_scars_sim", "**/*_merged.tif", 4),
    ],
)
def test_rasters_are_rounded(slug: str, pattern: str, digits: int):
    files = list(small(slug).glob(pattern))
    assert files
    assert all(decimals(pixels(path), digits) for path in files)


def test_tables_and_series_are_rounded():
    for table in (small("neuco_sim_biomass_mean") / "labels").glob("*.csv"):
        labels = [line.split(",")[1] for line in table.read_text().splitlines()[1:]]
        assert all(len(label.partition(".")[2]) == 4 for label in labels), table.name
    folder = small("fuel_moisture_sim") / "npy"
    assert decimals(np.load(folder / "target.npy"), 4)
    assert decimals(np.load(folder / "s1_s2_era5_srtm.npy"), 8)


def hashes(folder: Path, **variables: str) -> str:
    environment = {**os.environ, "GEOFM_CACHE": str(folder), "OMP_NUM_THREADS": "1", **variables}
    code = PRINT_HASHES.format(small=SMALL)
    found = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return found.stdout


@pytest.mark.slow
def test_values_are_equal_without_the_widest_instructions(tmp_path: Path):
    from numpy._core._multiarray_umath import __cpu_features__ as features

    wide = " ".join(name for name, there in features.items() if there and (name == "X86_V4" or "AVX512" in name))
    narrow = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "NPY_DISABLE_CPU_FEATURES": wide}
    plain = hashes(tmp_path / "plain")
    assert plain.count("\n") > 10
    assert hashes(tmp_path / "narrow", **narrow) == plain
