"""Splits and the EuroSAT reader: real files where they exist, and every refusal with its message."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import rasterio
from PIL import Image

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.split import NAMES, Split, to_unit
from geofm_eval.datasets import check_splits, open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable

CLASSES = ("Forest", "River")
PER_CLASS = {"train": 3, "val": 2, "test": 2}


def write_tif(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype) as file:
        file.write(values)


def chip(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(300, 3000, size=(13, 8, 8)).astype(np.uint16)


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Two classes in the official tif layout below a home of the test's own."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    spec = load_catalog().task("eurosat").model_copy(update={"classes": CLASSES})
    root = tmp_path / spec.root
    number = 0
    for name, count in PER_CLASS.items():
        lines = []
        for label in CLASSES:
            for _ in range(count):
                write_tif(root / label / f"{label}_{number}.tif", chip(number))
                lines.append(f"{label}_{number}.jpg")
                number += 1
        (root / f"eurosat-{name}.txt").write_text("\n".join(lines) + "\n")
    return spec


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    return tmp_path / task.root


def test_reads_the_official_layout(task: TaskSpec):
    splits = open_splits(task)
    assert {name: len(splits[name]) for name in NAMES} == {"train": 6, "val": 4, "test": 4}
    assert {splits[name].definition for name in NAMES} == {"official"}
    assert splits["train"].ids[:4] == ("Forest_0", "Forest_1", "Forest_2", "River_3")
    assert splits["train"].labels.tolist() == [0, 0, 0, 1, 1, 1]
    image = splits["train"].read(4)
    np.testing.assert_array_equal(image.pixels, chip(4).astype(np.float32))
    assert image.valid.all()


def test_reads_the_nested_folder_of_the_published_archive(task: TaskSpec, root: Path):
    nested = root / "ds/images/remote_sensing/otherDatasets/sentinel_2/tif"
    nested.mkdir(parents=True)
    for label in CLASSES:
        (root / label).rename(nested / label)
    np.testing.assert_array_equal(open_splits(task)["val"].read(0).pixels, chip(6).astype(np.float32))


def test_a_replaced_file_changes_the_hash_of_the_items_alone(task: TaskSpec, root: Path):
    before = open_splits(task)["train"]
    items, labels = before.items_sha256, before.labels_sha256
    write_tif(root / "Forest" / "Forest_0.tif", chip(0)[:, :4, :4])
    after = open_splits(task)["train"]
    assert after.items_sha256 != items
    assert after.labels_sha256 == labels


def test_own_list_makes_a_custom_split(task: TaskSpec, root: Path):
    rows = ["file,class,split"]
    rows += [f"Forest/Forest_{i}.tif,Forest,{s}" for i, s in ((0, "train"), (6, "val"), (10, "test"))]
    (root / "splits.csv").write_text("\n".join(rows))
    splits = open_splits(task)
    assert {s.definition for s in splits.values()} == {"custom"}
    assert splits["val"].ids == ("Forest/Forest_6.tif",)


def test_scale_offset_and_nodata_are_applied_once():
    spec = load_catalog().task("eurosat").model_copy(update={"scale": 2.0, "offset": -1000.0, "nodata": 0.0})
    values = np.array([[[0, 1000]], [[700, 800]]], dtype=np.uint16)
    image = to_unit(values, spec)
    np.testing.assert_array_equal(image.valid, [[False, True]])
    assert np.isnan(image.pixels[0, 0, 0])
    np.testing.assert_array_equal(image.pixels[:, 0, 1], [1000.0, 600.0])
    assert values[0, 0, 0] == 0


def test_absent_data_are_unavailable_not_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    with pytest.raises(Unavailable, match="GEOFM_HOME is not set"):
        open_splits(load_catalog().task("eurosat"))
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    with pytest.raises(Unavailable, match=r"does not exist.*EuroSATallBands.zip"):
        open_splits(load_catalog().task("eurosat"))


def test_half_the_data_is_an_error_that_counts(task: TaskSpec, root: Path):
    for file in (root / "River").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"7 of 14 listed files missing; the first is .*River_3.tif"):
        open_splits(task)


def test_missing_list_is_an_error(task: TaskSpec, root: Path):
    (root / "eurosat-val.txt").unlink()
    with pytest.raises(DataError, match=r"split lists eurosat-val.txt are missing"):
        open_splits(task)


def test_unknown_label_is_named(task: TaskSpec, root: Path):
    write_tif(root / "Desert" / "Desert_1.tif", chip(1))
    (root / "eurosat-val.txt").write_text("Desert_1.jpg\n")
    with pytest.raises(DataError, match="label is 'Desert', expected one of Forest, River"):
        open_splits(task)


def test_item_in_two_splits_is_refused(task: TaskSpec, root: Path):
    (root / "eurosat-val.txt").write_text("Forest_0.jpg\nRiver_8.jpg\n")
    with pytest.raises(DataError, match="sample 'Forest_0' is in splits 'train' and 'val'"):
        open_splits(task)


def test_item_listed_twice_is_refused(task: TaskSpec, root: Path):
    (root / "eurosat-val.txt").write_text("Forest_6.jpg\nForest_6.jpg\n")
    with pytest.raises(DataError, match="split 'val' lists sample 'Forest_6' more than once"):
        open_splits(task)


def test_group_in_two_splits_is_refused(task: TaskSpec):
    splits = open_splits(task)
    grouped: dict[str, Split] = {
        name: dataclasses.replace(s, items=tuple(dataclasses.replace(i, group="scene_1") for i in s.items))
        for name, s in splits.items()
    }
    with pytest.raises(DataError, match="group 'scene_1' is in splits 'train' and 'val'"):
        check_splits(grouped)


@pytest.mark.parametrize("content", ["file,label\nx,y\n", "file,class,split\nForest/Forest_0.tif,Forest,dev\n"])
def test_own_list_of_another_form_is_refused(task: TaskSpec, root: Path, content: str):
    (root / "splits.csv").write_text(content)
    with pytest.raises(DataError, match=r"columns are .*expected file, class, split|split is 'dev'"):
        open_splits(task)


def test_truncated_tif_is_named(task: TaskSpec, root: Path):
    path = root / "Forest" / "Forest_0.tif"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"Forest_0.tif: not a readable GeoTIFF"):
        open_splits(task)["train"].read(0)


def test_wrong_band_count_is_named(task: TaskSpec, root: Path):
    write_tif(root / "Forest" / "Forest_0.tif", chip(0)[:12])
    with pytest.raises(DataError, match=r"12 bands, expected 13 \(B01, B02"):
        open_splits(task)["train"].read(0)


def test_reflectance_where_dn_is_declared_is_refused(task: TaskSpec, root: Path):
    write_tif(root / "Forest" / "Forest_0.tif", (chip(0) / 10000).astype(np.float32))
    with pytest.raises(DataError, match=r"median value is 0\.\d+ DN, expected 20 to 20000.*scale = 10000"):
        open_splits(task)["train"].read(0)


def test_nan_pixels_are_marked_invalid_and_all_nan_is_refused(task: TaskSpec, root: Path):
    values = chip(0).astype(np.float32)
    values[3, 2, 5] = np.nan
    write_tif(root / "Forest" / "Forest_0.tif", values)
    image = open_splits(task)["train"].read(0)
    assert np.argwhere(~image.valid).tolist() == [[2, 5]]
    write_tif(root / "Forest" / "Forest_0.tif", np.full_like(values, np.nan))
    with pytest.raises(DataError, match="no valid pixel"):
        open_splits(task)["train"].read(0)


def test_grey_jpg_where_rgb_is_declared_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    spec = load_catalog().task("eurosat_rgb")
    root = tmp_path / spec.root
    (root / "Forest").mkdir(parents=True)
    for number in range(3):
        Image.fromarray(np.full((8, 8), 90, dtype=np.uint8)).save(root / "Forest" / f"Forest_{number}.jpg")
    rows = [f"Forest/Forest_{n}.jpg,Forest,{name}" for n, name in enumerate(NAMES)]
    (root / "splits.csv").write_text("file,class,split\n" + "\n".join(rows))
    with pytest.raises(DataError, match=r"shape is \(1, 8, 8\), expected 3 bands"):
        open_splits(spec)["train"].read(0)


def test_unknown_reader_and_options_are_refused(task: TaskSpec):
    with pytest.raises(ContractError, match="expected one of eurosat"):
        open_splits(task.model_copy(update={"reader": "eurosatt"}))
    with pytest.raises(ContractError, match="expected edition = 'tif' or 'rgb'"):
        open_splits(task.model_copy(update={"options": {"edition": "png", "split_lists": "eurosat"}}))
    for option, message in (
        ("chip", "found option chip, .* always have 64 x 64 pixels, so remove it"),
        ("lists", "option lists is unknown to reader 'eurosat'; expected edition, split_lists"),
    ):
        with pytest.raises(ContractError, match=message):
            open_splits(task.model_copy(update={"options": {**task.options, option: 32}}))


def test_real_eurosat_rgb(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    splits = open_splits(load_catalog().task("eurosat_rgb"))
    assert {name: len(splits[name]) for name in NAMES} == {"train": 2000, "val": 500, "test": 500}
    assert {s.definition for s in splits.values()} == {"custom"}
    assert np.bincount(splits["test"].labels).tolist() == [50] * 10
    image = splits["test"].read(0)
    assert image.pixels.shape == (3, 64, 64)
    assert 0 <= image.pixels.min() < image.pixels.max() <= 2750
