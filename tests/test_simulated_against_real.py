"""Simulated pixels have the values of real ones: medians of bands against the real samples, where these are at hand."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.datasets import open_splits

PER_ITEM = 2000

PAIRS = [
    ("sen1floods11_s1", "sen1floods11_s1_sim"),
    ("terramesh_examples_l1c", "neuco_sim_biomass_mean"),
    ("biomassters_examples", "biomassters_sim"),
    ("fuel_moisture", "fuel_moisture_sim"),
]


def medians(slug: str) -> dict[str, float]:
    """Median of every band over some pixels of up to 24 items of each split."""
    task = load_catalog().task(slug)
    if task.simulated:
        task = task.model_copy(update={"sizes": tuple(min(size, 24) for size in task.sizes or ())})
    samples = []
    for split in open_splits(task).values():
        for index in range(min(len(split), 24)):
            image = split.read(index)
            pixels = np.moveaxis(image.pixels, -3, 0)[:, image.valid]
            samples.append(pixels[:, :: max(1, pixels.shape[1] // PER_ITEM)])
    return dict(zip(task.bands, np.median(np.concatenate(samples, axis=1), axis=1), strict=True))


@pytest.mark.parametrize(("real", "simulated"), PAIRS)
def test_medians_of_bands_are_those_of_real_images(
    real: str, simulated: str, real_home: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    found, expected = medians(simulated), medians(real)
    for band in found:
        if band in ("VV", "VH"):
            assert abs(found[band] - expected[band]) < 3, f"{band}: {found[band]:.1f} dB, real {expected[band]:.1f} dB"
        elif band.startswith("B"):
            ratio = found[band] / expected[band]
            assert 1 / 1.8 < ratio < 1.8, f"{band}: {found[band]:.0f}, real {expected[band]:.0f}"
