"""NeuCo-Bench on disk: cubes of four seasons, labels by location, and what damaged copies of them hold."""

import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable

IDS = ("0000007", "0000012", "0100000")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """The target biomass_mean below a home of the test's own."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return load_catalog().task("neuco_biomass_mean")


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    folder = tmp_path / task.root
    for number, id in enumerate(IDS):
        write_cube(folder / "data/s2l1c" / f"part-00000{number % 2}" / f"{id}.zarr.zip", cube())
    write_labels(folder, "biomass_mean__regr", [f"{id},{value}" for id, value in zip(IDS, (10, 20.5, 30), strict=True)])
    return folder


def cube(bands: int = 13, size: int = 8) -> np.ndarray:
    """Band b of season t holds 1000 * (t + 1) + b everywhere."""
    values = 1000 * np.arange(1, 5)[:, None] + np.arange(bands)
    return np.broadcast_to(values[None, :, :, None, None], (1, 4, bands, size, size)).astype(np.int16)


def write_cube(path: Path, pixels: np.ndarray, bands: list[str] | None = None, name: str = "bands") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with zarr.storage.ZipStore(path, mode="w") as store:
        group = zarr.create_group(store, zarr_format=2)
        group.create_array(name, data=pixels)
        if bands:
            group.create_array("band", data=np.array(bands))


def write_labels(folder: Path, name: str, rows: list[str], header: str = "id,label") -> None:
    (folder / "labels").mkdir(exist_ok=True)
    (folder / "labels" / f"{name}.csv").write_text("\n".join([header, *rows]))


def test_locations_are_items_with_four_seasons(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert list(splits) == ["all"]
    split = splits["all"]
    assert split.ids == IDS
    assert split.labels.tolist() == [10, 20.5, 30]
    assert split.definition == "official"
    image = split.read(1)
    assert image.pixels.shape == (4, 13, 8, 8)
    np.testing.assert_array_equal(image.pixels[:, 12, 0, 0], [1012, 2012, 3012, 4012])
    assert [day.month for day in image.dates] == [4, 7, 10, 1]


def test_all_targets_share_items(task: TaskSpec, root: Path):
    write_labels(root, "crops__regr", [f"{id},0.5" for id in IDS])
    other = task.model_copy(update={"options": {"modality": "s2l1c", "target": "crops"}})
    assert open_splits(task)["all"].items_sha256 == open_splits(other)["all"].items_sha256
    assert open_splits(task)["all"].labels_sha256 != open_splits(other)["all"].labels_sha256


@pytest.mark.parametrize("label", ["", "nan", "NaN"])
def test_location_without_label_is_dropped_and_counted(task: TaskSpec, root: Path, label: str):
    write_labels(root, "biomass_mean__regr", [f"{IDS[0]},1.5", f"{IDS[2]},{label}", "9999999,3"])
    split = open_splits(task)["all"]
    assert split.ids == IDS[:1]
    assert split.dropped == {"the target is NaN": IDS[1:]}


def test_bands_follow_the_names_in_the_cube(task: TaskSpec, root: Path):
    names = ["B8A", "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B09", "B10", "B11", "B12"]
    write_cube(root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip", cube(), names)
    pixels = open_splits(task)["all"].read(0).pixels[0, :, 0, 0]
    assert task.bands[8] == "B8A"
    np.testing.assert_array_equal(
        pixels, [1001, 1002, 1003, 1004, 1005, 1006, 1007, 1008, 1000, 1009, 1010, 1011, 1012]
    )


def test_pixels_of_zeros_are_no_data_and_dark_ones_are(task: TaskSpec, root: Path):
    pixels = cube().copy()
    pixels[0, 2, :, :3] = 0
    pixels[0, 1, 10] = 0
    write_cube(root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip", pixels)
    image = open_splits(task)["all"].read(0)
    assert image.valid.sum(axis=(1, 2)).tolist() == [64, 64, 40, 64]
    assert image.pixels[1, 10].max() == 0


def test_radar_has_two_bands_and_gaps(tmp_path: Path, task: TaskSpec, root: Path):
    radar = np.full((1, 4, 2, 8, 8), -12.5, dtype=np.float16)
    radar[0, 0, 0, 0] = np.nan
    for id in IDS:
        write_cube(root / f"data/s1/part-000000/{id}.zarr.zip", radar, ["vv", "vh"])
    split = open_splits(load_catalog().task("neuco_biomass_mean_s1"))["all"]
    assert split.task.product == "GRD"
    assert split.read(2).valid.sum(axis=(1, 2)).tolist() == [56, 64, 64, 64]


def test_surface_reflectance_has_no_cirrus_band(task: TaskSpec, root: Path):
    for id in IDS:
        write_cube(root / f"data/s2l2a/part-000000/{id}.zarr.zip", cube(12))
    split = open_splits(load_catalog().task("neuco_biomass_mean_s2l2a"))["all"]
    assert split.read(0).pixels.shape == (4, 12, 8, 8)
    assert "B10" not in split.task.bands


def test_places_are_read_where_somebody_wrote_them(task: TaskSpec, root: Path):
    assert {item.lonlat for item in open_splits(task)["all"].items} == {None}
    (root / "locations.csv").write_text(f"id,lon,lat\n{IDS[1]},11.5,48.1\n")
    assert [item.lonlat for item in open_splits(task)["all"].items] == [None, (11.5, 48.1), None]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([f"{IDS[0]},1", f"{IDS[0]},2"], r"line 3: location '0000007' already has a label"),
        ([f"{IDS[0]},much"], r"line 2: label is 'much', expected a number"),
        ([f"{IDS[0]},-40"], r"has the target -40, expected 0 to 2000 t/ha"),
        (["9999999,3"], r"split 'all' is empty \(0 \(3 dropped: the target is NaN\)\)"),
    ],
)
def test_labels_that_are_none_are_refused(task: TaskSpec, root: Path, rows: list[str], says: str):
    write_labels(root, "biomass_mean__regr", rows)
    with pytest.raises(DataError, match=says):
        open_splits(task)


def test_constant_targets_pass_to_the_probe_which_refuses_them(task: TaskSpec, root: Path):
    write_labels(root, "biomass_mean__regr", [f"{id},7" for id in IDS])
    assert open_splits(task)["all"].labels.tolist() == [7, 7, 7]


def test_absent_target_names_those_that_are_there(task: TaskSpec, root: Path):
    other = task.model_copy(update={"options": {"modality": "s2l1c", "target": "crops"}})
    with pytest.raises(DataError, match=r"0 tables crops__<type>.csv, expected one; existing targets: biomass_mean"):
        open_splits(other)


def test_two_tables_of_a_target_are_refused(task: TaskSpec, root: Path):
    write_labels(root, "biomass_mean__regression", [f"{IDS[0]},1"])
    with pytest.raises(DataError, match=r"2 tables biomass_mean__<type>.csv"):
        open_splits(task)


def test_location_with_two_cubes_is_refused(task: TaskSpec, root: Path):
    write_cube(root / f"data/s2l1c/part-000009/{IDS[0]}.zarr.zip", cube())
    with pytest.raises(DataError, match="found more than one cube of 1 location;"):
        open_splits(task)


@pytest.mark.parametrize("damage", ["text", "cut", "no group", "no bands"])
def test_file_that_is_no_cube_is_named(task: TaskSpec, root: Path, damage: str):
    path = root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip"
    if damage == "text":
        path.write_text("not found")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "no group":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "nothing")
    else:
        write_cube(path, cube(), name="pixels")
    with pytest.raises(DataError, match=r"0000007.zarr.zip: not a readable zarr cube"):
        open_splits(task)["all"].read(0)


@pytest.mark.parametrize("pixels", [cube(12), cube()[:, :3], np.concatenate([cube(), cube()])])
def test_cube_of_another_shape_is_named(task: TaskSpec, root: Path, pixels: np.ndarray):
    write_cube(root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip", pixels)
    with pytest.raises(DataError, match=r"0000007.zarr.zip: shape is .* expected \(1, 4 seasons, 13 bands"):
        open_splits(task)["all"].read(0)


def test_cubes_of_mixed_size_are_read_as_they_are(task: TaskSpec, root: Path):
    write_cube(root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip", cube(size=5))
    split = open_splits(task)["all"]
    assert [split.read(index).pixels.shape[-1] for index in range(2)] == [5, 8]


def test_reflectances_are_refused(task: TaskSpec, root: Path):
    write_cube(root / f"data/s2l1c/part-000000/{IDS[0]}.zarr.zip", cube().astype(np.float32) / 10_000)
    with pytest.raises(DataError, match="reflectances"):
        open_splits(task)["all"].read(0)


def test_absent_cubes_and_labels_are_unavailable(task: TaskSpec, root: Path):
    with pytest.raises(Unavailable, match=r"data/s1 has no cubes"):
        open_splits(load_catalog().task("neuco_biomass_mean_s1"))
    (root / "labels/biomass_mean__regr.csv").unlink()
    (root / "labels").rmdir()
    with pytest.raises(Unavailable, match="labels, does not exist"):
        open_splits(task)


@pytest.mark.parametrize(
    ("update", "says"),
    [
        ({"options": {"modality": "s3", "target": "crops"}}, "expected modality = s1, s2l1c, s2l2a and target"),
        ({"options": {"modality": "s1"}}, "expected modality"),
        ({"bands": ("VV",)}, "modality 's2l1c' has no band VV"),
        ({"protocol": "holdout"}, "without an official split"),
    ],
)
def test_what_the_catalog_must_say(task: TaskSpec, root: Path, update: dict[str, object], says: str):
    with pytest.raises(ContractError, match=says):
        open_splits(task.model_copy(update=update))


TARGETS = (
    *("biomass_mean", "biomass_std", "clouds_reg", "heatisland_mean", "heatisland_std", "crops"),
    *("landcover_agriculture", "landcover_forest"),
)


def test_catalog_has_all_targets_and_controls():
    catalog = load_catalog()
    for target in (*TARGETS, "nodata", "random_reg"):
        assert catalog.task(f"neuco_{target}").options["target"] == target


def test_targets_of_the_stand_in_share_features_and_say_something_of_the_place():
    catalog = load_catalog()
    tasks = [catalog.task(f"neuco_sim_{target}") for target in (*TARGETS, "random_reg")]
    splits = [
        open_splits(task.model_copy(update={"sizes": (30, 0, 0), "options": {**task.options, "chip": 24}}))["all"]
        for task in tasks
    ]
    assert {len(split) for split in splits} == {30}
    assert len({split.items_sha256 for split in splits}) == 1
    assert len({split.labels_sha256 for split in splits}) == len(tasks)
    assert all(np.std(split.labels) > 0 for split in splits)
    assert all(item.lonlat is not None for item in splits[0].items)
    assert splits[0].read(0).pixels.shape == (4, 13, 24, 24)
    assert np.mean(splits[-1].labels == 0) > 0.4


@pytest.mark.parametrize("modality", ["s1", "s2l2a"])
def test_stand_in_has_all_modalities(modality: str):
    catalog = load_catalog()
    task, like = catalog.task("neuco_sim_crops"), catalog.task(f"neuco_biomass_mean_{modality}")
    options = {**task.options, "modality": modality, "chip": 24}
    update = {"sizes": (2, 0, 0), "options": options, "bands": like.bands, "plausible": like.plausible}
    image = open_splits(task.model_copy(update=update))["all"].read(1)
    assert image.pixels.shape == (4, len(like.bands), 24, 24)
    assert not math.isnan(np.nanmedian(image.pixels))


def test_the_publishers_spelling_of_a_table_is_found(task: TaskSpec, root: Path):
    write_labels(root, "landcover_aggriculture__regr", [f"{id},0.25" for id in IDS])
    update = {"options": {"modality": "s2l1c", "target": "landcover_agriculture"}, "target_range": (0.0, 1.0)}
    assert open_splits(task.model_copy(update=update))["all"].labels.tolist() == [0.25] * len(IDS)
    write_labels(root, "landcover_agriculture__regr", [f"{id},0.25" for id in IDS])
    with pytest.raises(DataError, match=r"2 tables landcover_agriculture__<type>.csv, expected one"):
        open_splits(task.model_copy(update=update))
