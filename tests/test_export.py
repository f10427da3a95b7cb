"""Samples and features that leave the suite are the same numbers, in files that need nothing of ours."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from geofm_eval.catalog import load_catalog
from geofm_eval.cli import app
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError
from geofm_eval.exporting import export_features, export_samples
from geofm_eval.store import file_sha256
from geofm_eval.workspace import Settings, Workspace

CATALOG = load_catalog()


def small(slug: str, sizes: tuple[int, int, int]):
    """A stand-in with few samples."""
    return CATALOG.task(slug).model_copy(update={"sizes": sizes, "slug": f"{slug}_few"})


@pytest.fixture(scope="module")
def eurosat(tmp_path_factory: pytest.TempPathFactory):
    task = small("eurosat_sim", (20, 10, 10))
    return task, export_samples(task, tmp_path_factory.mktemp("export")).folder


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "samples.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_samples_are_the_pixels_and_labels_that_models_see(eurosat):
    task, folder = eurosat
    rows = {row["id"]: row for row in rows_of(folder)}
    for name, split in open_splits(task).items():
        for index, item in enumerate(split.items):
            row = rows[item.id]
            assert (row["split"], row["label"]) == (name, task.classes[item.label])
            np.testing.assert_array_equal(np.load(folder / row["file"]), split.read(index).pixels)


def test_manifest_describes_bands_units_and_every_file(eurosat):
    task, folder = eurosat
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["bands"] == list(task.bands)
    assert set(manifest["units"]) == {"DN"}
    assert set(manifest["files"]) == {row["file"] for row in rows_of(folder)}
    assert all(file_sha256(folder / name) == digest for name, digest in manifest["files"].items())


def test_second_export_writes_only_what_is_missing(eurosat):
    task, folder = eurosat
    gone, *kept = sorted(folder.rglob("*.npy"))
    before = [path.stat().st_mtime_ns for path in kept]
    gone.unlink()
    export_samples(task, folder)
    assert gone.is_file()
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_masks_are_exported_with_their_classes(tmp_path):
    task = small("sen1floods11_sim", (2, 1, 1))
    export_samples(task, tmp_path)
    for split in open_splits(task).values():
        for index, row in enumerate(row for row in rows_of(tmp_path) if row["split"] == split.name):
            np.testing.assert_array_equal(np.load(tmp_path / row["mask"]), split.read_target(index))
    assert (tmp_path / "test.txt").read_text().split() == list(open_splits(task)["test"].ids)


def test_series_have_one_file_per_date(tmp_path):
    task = small("pastis_sim", (2, 1, 1))
    export_samples(task, tmp_path)
    split = open_splits(task)["train"]
    rows = [row for row in rows_of(tmp_path) if row["id"] == split.ids[0]]
    assert [row["date"] for row in rows] == [f"{day}" for day in split.read(0).dates]
    np.testing.assert_array_equal(np.load(tmp_path / rows[2]["file"]), split.read(0).pixels[2])


@pytest.fixture(scope="module")
def workspace():
    return Workspace(CATALOG, Settings())


@pytest.mark.parametrize("style", ["parquet", "neuco"])
def test_features_are_written_in_full(workspace, tmp_path, style):
    (path,) = export_features(workspace, "band_stats", "eurosat_sim", ["final"], tmp_path, style)
    blocks = workspace.blocks("band_stats", "eurosat_sim")
    expected = np.concatenate([block.features("final") for block in blocks.values()])
    if style == "parquet":
        table = parquet.read_table(path)
        ids, values = table.column("id").to_pylist(), np.stack(table.columns[2:], axis=1)
    else:
        ids, *columns = zip(*list(csv.reader(path.open(newline="")))[1:], strict=True)
        values = np.array(columns, np.float64).T.astype(np.float32)
    assert list(ids) == [one for block in blocks.values() for one in block.ids]
    np.testing.assert_array_equal(values, expected)


def test_unknown_tap_is_named_with_the_taps_that_exist(workspace, tmp_path):
    with pytest.raises(ContractError, match="band_stats has no tap 'block03'; its taps: final"):
        export_features(workspace, "band_stats", "eurosat_sim", ["block03"], tmp_path)


def test_options_for_features_need_a_model(tmp_path):
    with pytest.raises(ContractError, match="--tap and --format need --model"):
        app(["export", "eurosat_sim", "--out", str(tmp_path), "--tap", "embed"], standalone_mode=False)


@pytest.mark.parametrize("style", ["parquet", "neuco"])
def test_probes_on_exported_features_have_the_same_scores_bit_for_bit(workspace, tmp_path, style):
    (path,) = export_features(workspace, "band_stats", "eurosat_sim", ["final"], tmp_path, style)
    entry = f'title = "Copy"\narchitecture = "table"\ntasks = ["eurosat_sim"]\noptions = {{ file = "{path}" }}'
    (tmp_path / "own.toml").write_text(f"[models.copied]\n{entry}\n")
    copied = Workspace(load_catalog([tmp_path / "own.toml"]), Settings()).sweep("copied", "eurosat_sim", "knn")
    original = workspace.sweep("band_stats", "eurosat_sim", "knn")
    for one, other in zip(copied.rows, original.rows, strict=True):
        assert one.test_score == other.test_score
        np.testing.assert_array_equal(one.outcomes, other.outcomes)
