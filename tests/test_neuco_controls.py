"""NeuCo-Bench: its positive control can be solved, and cubes without any pixel do not stop the others."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import load_catalog
from geofm_eval.data import inspection
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError
from geofm_eval.feature_blocks import extract
from tests.test_reader_neuco import write_cube, write_labels

CATALOG = load_catalog()
COUNT, SIZE = 80, 12


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cubes of unlike places, half of them with a strip of zeros, and the share of the strip as their label."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    root, random = tmp_path / "data/neuco", np.random.default_rng(0)
    rows = []
    for number in range(COUNT):
        pixels = random.uniform(800, 1600, (1, 4, 13, 1, 1)) * random.uniform(0.8, 1.2, (1, 4, 13, SIZE, SIZE))
        strip = int(random.integers(1, SIZE)) if number % 2 else 0
        pixels[..., :strip] = 0
        write_cube(root / "data/s2l1c/part-000000" / f"{number:07d}.zarr.zip", pixels.astype(np.int16))
        rows.append(f"{number:07d},{strip / SIZE}")
    write_labels(root, "nodata__regr", rows)
    write_labels(root, "crops__regr", [f"{row.partition(',')[0]},0.5" for row in rows])
    return root


@pytest.mark.parametrize("slug", ["band_stats", "rcf"])
def test_share_of_empty_pixels_is_solved_from_features(home: Path, slug: str):
    model, task = CATALOG.model(slug), CATALOG.task("neuco_nodata")
    split = open_splits(task)["all"]
    adapter = InputAdapter(model, task, CATALOG.recipe("probing"))
    features = extract(load_backbone(model, adapter), adapter, split).features("final")
    seen = 3 * COUNT // 4
    design = np.c_[np.ones(COUNT), (features - features.mean(0)) / (features.std(0) + 1e-9)]
    gram = design[:seen] @ design[:seen].T + np.eye(seen)
    predicted = design[seen:] @ design[:seen].T @ np.linalg.solve(gram, split.labels[:seen])
    residual = predicted - split.labels[seen:]
    assert 1 - residual.var() / split.labels[seen:].var() > 0.8


def test_zeros_are_values_for_the_target_that_counts_them_and_masked_for_others(home: Path):
    counted, other = (open_splits(CATALOG.task(f"neuco_{name}"))["all"].read(1) for name in ("nodata", "crops"))
    assert counted.valid.all()
    assert not other.valid.all()
    assert (counted.pixels[:, :, other.valid[0]] == other.pixels[:, :, other.valid[0]]).all()


def test_cube_without_any_pixel_is_dropped_and_the_others_are_measured(home: Path):
    write_cube(home / "data/s2l1c/part-000000/0000003.zarr.zip", np.zeros((1, 4, 13, SIZE, SIZE), np.int16))
    split = open_splits(CATALOG.task("neuco_crops"))["all"]
    assert split.dropped == {inspection.NO_PIXEL: ("0000003",)}
    assert len(split) == COUNT - 1
    assert len(open_splits(CATALOG.task("neuco_nodata"))["all"]) == COUNT


def test_one_look_at_the_cubes_serves_all_targets(home: Path, monkeypatch: pytest.MonkeyPatch):
    write_labels(home, "biomass_mean__regr", [f"{number:07d},{number}" for number in range(COUNT)])
    open_splits(CATALOG.task("neuco_crops"))
    monkeypatch.setattr(inspection, "_unusable", lambda *_: pytest.fail("inspected again"))
    assert len(open_splits(CATALOG.task("neuco_biomass_mean"))["all"]) == COUNT


def test_every_published_target_is_inspected():
    real = [task for task in CATALOG.tasks.values() if task.reader == "neuco" and not task.simulated]
    assert len(real) > 10
    assert all(task.inspect for task in real)


def test_unknown_way_to_read_zeros_is_refused(home: Path):
    task = CATALOG.task("neuco_nodata")
    with pytest.raises(ContractError, match="option zeros is 'kept'; expected 'invalid' or 'values'"):
        open_splits(task.model_copy(update={"options": {**task.options, "zeros": "kept"}}))
