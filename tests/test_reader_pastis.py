"""PASTIS on disk: frames by date, void parcels, folds, and everything that a damaged or partial copy may hold."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers.pastis import _spread
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.standins import ensure_standin

DAYS = (20190301, 20190315, 20190401, 20190415, 20190501)
FOLDS = {1: 10, 2: 20, 4: 40, 5: 50}
"""One patch per fold, by its id."""


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Series of three dates below a home of the test's own."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return load_catalog().task("pastis").model_copy(update={"dates": 3})


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    """Four patches of five frames; frame k of band b holds 1000 * (k + 1) + b everywhere."""
    folder = tmp_path / task.root
    for name in ("DATA_S2", "ANNOTATIONS"):
        (folder / name).mkdir(parents=True)
    for id in FOLDS.values():
        write_patch(folder, id, np.zeros((8, 8)))
    write_metadata(folder)
    return folder


def series(count: int = 5) -> np.ndarray:
    values = 1000 * np.arange(1, count + 1)[:, None] + np.arange(10)
    return np.broadcast_to(values[:, :, None, None], (count, 10, 8, 8)).astype(np.int16)


def write_patch(folder: Path, id: int, classes: np.ndarray, pixels: np.ndarray | None = None) -> None:
    np.save(folder / "DATA_S2" / f"S2_{id}.npy", series() if pixels is None else pixels)
    target = np.stack([classes, np.full(classes.shape, 77), np.zeros(classes.shape)])
    np.save(folder / "ANNOTATIONS" / f"TARGET_{id}.npy", target.astype(np.uint8))


def write_metadata(folder: Path, days: dict[int, dict[str, int]] | None = None, **top: object) -> None:
    whole = {str(position): day for position, day in enumerate(DAYS)}
    features = [
        {
            "properties": {"ID_PATCH": id, "Fold": fold, "dates-S2": (days or {}).get(id, whole)},
            "geometry": {"type": "Polygon", "coordinates": [[[x, 6_862_000], [x + 1000, 6_862_070], [x, 6_862_070]]]},
        }
        for fold, id in FOLDS.items()
        for x in [651_969]
    ]
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}}
    (folder / "metadata.geojson").write_text(json.dumps({"crs": crs, "features": features, **top}))


def test_frames_are_spread_from_the_first_date_to_the_last(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert {name: split.ids for name, split in splits.items()} == {
        "train": ("10", "20"),
        "val": ("40",),
        "test": ("50",),
    }
    assert splits["train"].definition == "official"
    image = splits["train"].read(0)
    assert image.dates == (date(2019, 3, 1), date(2019, 4, 1), date(2019, 5, 1))
    np.testing.assert_array_equal(image.pixels[:, 4, 0, 0], [1004, 3004, 5004])


def test_frames_follow_their_dates_wherever_they_stand_in_the_file(task: TaskSpec, root: Path):
    unsorted = dict(zip("01234", (DAYS[3], DAYS[0], DAYS[4], DAYS[1], DAYS[2]), strict=True))
    write_metadata(root, {10: unsorted, 20: json.dumps(unsorted)})
    for index in (0, 1):
        image = open_splits(task)["train"].read(index)
        assert image.dates == (date(2019, 3, 1), date(2019, 4, 1), date(2019, 5, 1))
        np.testing.assert_array_equal(image.pixels[:, 0, 0, 0], [2000, 5000, 3000])


@pytest.mark.parametrize("wanted", [3, 6])
def test_frames_are_those_that_pangaea_takes_of_up_to_fifty(wanted: int):
    for dates in range(wanted, 51):
        expected = torch.linspace(0, dates - 1, wanted, dtype=torch.long).tolist()
        assert [frame for _, frame in _spread([(DAYS[0], k) for k in range(dates)], wanted)] == expected


def test_one_date_is_the_middle_one(task: TaskSpec, root: Path):
    image = open_splits(task.model_copy(update={"dates": 1}))["val"].read(0)
    assert image.pixels.shape == (1, 10, 8, 8)
    assert image.dates == (date(2019, 4, 1),)


def test_bands_are_picked_by_name(task: TaskSpec, root: Path):
    image = open_splits(task.model_copy(update={"bands": ("B12", "B02")}))["val"].read(0)
    np.testing.assert_array_equal(image.pixels[0, :, 0, 0], [1009, 1000])


def test_void_parcels_do_not_count(task: TaskSpec, root: Path):
    classes = np.arange(64).reshape(8, 8) % 20
    write_patch(root, 10, classes)
    target = open_splits(task)["train"].read_target(0)
    np.testing.assert_array_equal(target, np.where(classes == 19, -1, classes))


def test_unknown_class_is_refused(task: TaskSpec, root: Path):
    write_patch(root, 10, np.full((8, 8), 20))
    with pytest.raises(DataError, match=r"TARGET_10.npy: label values range from 20 to 20, expected 0 to 18, or -1"):
        open_splits(task)


def test_patch_without_any_label_is_dropped_and_counted(task: TaskSpec, root: Path):
    write_patch(root, 10, np.full((8, 8), 19))
    split = open_splits(task)["train"]
    assert split.ids == ("20",)
    assert split.dropped == {"no label at a valid pixel": ("10",)}


def test_nodata_is_masked(task: TaskSpec, root: Path):
    pixels = series().copy()
    pixels[0, :, :4] = -10_000
    write_patch(root, 10, np.zeros((8, 8)), pixels)
    image = open_splits(task)["train"].read(0)
    assert image.valid.sum(axis=(1, 2)).tolist() == [32, 64, 64]
    assert np.nanmin(image.pixels) == 1000


def test_short_series_are_dropped_and_counted(task: TaskSpec, root: Path):
    write_metadata(root, {20: {"0": DAYS[0], "1": DAYS[1]}})
    split = open_splits(task)["train"]
    assert split.ids == ("10",)
    assert split.dropped == {"fewer than 3 dates": ("20",)}


def test_centres_are_turned_into_degrees(task: TaskSpec, root: Path):
    lonlat = open_splits(task)["train"].items[0].lonlat
    assert lonlat == pytest.approx((2.3522, 48.8566), abs=1e-3)  # Paris, from Lambert-93


def test_centres_in_degrees_stay_and_others_are_no_place(task: TaskSpec, root: Path):
    write_metadata(root, crs=None)
    assert open_splits(task)["train"].items[0].lonlat is None
    path = root / "metadata.geojson"
    path.write_text(path.read_text().replace("6862", "45.").replace("65", "1."))
    assert open_splits(task)["train"].items[0].lonlat == pytest.approx((1.7, 45.04), abs=0.5)


@pytest.mark.parametrize(
    ("days", "says"),
    [
        ({"0": DAYS[0], "1": DAYS[1], "2": DAYS[0]}, "date 2019-03-01 occurs twice in dates-S2"),
        ({"0": DAYS[0], "1": 20190231, "2": DAYS[1]}, "date in dates-S2 is '20190231', expected a day"),
        ({"first": DAYS[0]}, "cannot read the PASTIS metadata"),
        ({"0": DAYS[0], "-1": DAYS[1]}, "dates-S2 must have one date for each of the frames 0 to 1"),
        ({"0": DAYS[0], "2": DAYS[1]}, "dates-S2 must have one date for each of the frames 0 to 1"),
    ],
)
def test_dates_that_are_none_are_refused(task: TaskSpec, root: Path, days: dict[str, int], says: str):
    write_metadata(root, {20: days})
    with pytest.raises(DataError, match=says):
        open_splits(task)


@pytest.mark.parametrize("frames", [1, 4, 6])
def test_frames_and_dates_must_be_as_many(task: TaskSpec, root: Path, frames: int):
    write_patch(root, 40, np.zeros((8, 8)), series(frames))
    with pytest.raises(DataError, match=rf"S2_40.npy: found {frames} frames?, but metadata.geojson has dates for 5"):
        open_splits(task)


def test_series_of_one_date_are_dropped_and_counted_where_more_are_asked_for(task: TaskSpec, root: Path):
    write_metadata(root, {20: {"0": DAYS[0]}})
    write_patch(root, 20, np.zeros((8, 8)), series(1))
    train = open_splits(task)["train"]
    assert train.ids == ("10",)
    assert train.dropped == {"fewer than 3 dates": ("20",)}


def test_a_patch_in_two_folds_is_refused(task: TaskSpec, root: Path):
    path = root / "metadata.geojson"
    content = json.loads(path.read_text())
    content["features"].append({**content["features"][0]})
    content["features"][-1]["properties"] = {**content["features"][0]["properties"], "Fold": 5}
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="patch 10 is listed twice, in folds 1 and 5; keep one"):
        open_splits(task)


@pytest.mark.parametrize("pixels", [series()[:, 0], series()[:, :9], series()[0]])
def test_arrays_of_another_shape_are_refused(task: TaskSpec, root: Path, pixels: np.ndarray):
    write_patch(root, 20, np.zeros((8, 8)), pixels)
    with pytest.raises(DataError, match=r"S2_20.npy: shape is \(.*\), expected \(dates, 10 bands, height, width\)"):
        open_splits(task)


@pytest.mark.parametrize("content", [b"", b"no array", b"\x93NUMPY\x01\x00"])
def test_file_that_is_no_array_is_named(task: TaskSpec, root: Path, content: bytes):
    (root / "DATA_S2" / "S2_50.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"S2_50.npy: not a readable npy array"):
        open_splits(task)


def test_pickled_objects_are_not_loaded(task: TaskSpec, root: Path):
    np.save(root / "DATA_S2" / "S2_50.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"S2_50.npy: not a readable npy array"):
        open_splits(task)


def test_patches_of_odd_size_must_match_their_labels(task: TaskSpec, root: Path):
    write_patch(root, 10, np.zeros((7, 9)))
    with pytest.raises(DataError, match=r"TARGET_10.npy: the label map has \(7, 9\) pixels but the image has \(8, 8\)"):
        open_splits(task)


def test_reflectances_are_refused(task: TaskSpec, root: Path):
    write_patch(root, 10, np.zeros((8, 8)), series().astype(np.float32) / 10_000)
    with pytest.raises(DataError, match="reflectances"):
        open_splits(task)


def test_partial_copy_says_what_it_holds(task: TaskSpec, root: Path):
    (root / "splits.csv").write_text("chip,split\n50,train\n40,val\n10,test\n")
    splits = open_splits(task)
    assert [splits[name].ids for name in ("train", "val", "test")] == [("50",), ("40",), ("10",)]
    assert splits["train"].definition == "custom"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("99,train", r"splits.csv: patch 99 is not in metadata.geojson"),
        ("10,train\n10,val\n20,test", "sample '10' is in splits 'train' and 'val'"),
        ("10,train\n20,holdout", r"splits.csv, line 3: split is 'holdout'"),
    ],
)
def test_own_split_must_fit_the_copy(task: TaskSpec, root: Path, rows: str, says: str):
    (root / "splits.csv").write_text(f"chip,split\n{rows}\n")
    with pytest.raises(DataError, match=says):
        open_splits(task)


def test_absent_files_are_counted(task: TaskSpec, root: Path):
    (root / "ANNOTATIONS" / "TARGET_20.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 4 listed files missing; the first is .*TARGET_20.npy"):
        open_splits(task)


def test_folder_without_metadata_is_unavailable(task: TaskSpec, root: Path):
    (root / "metadata.geojson").unlink()
    with pytest.raises(Unavailable, match=r"has no metadata.geojson.*zenodo"):
        open_splits(task)


def test_what_the_catalog_must_say(task: TaskSpec, root: Path):
    with pytest.raises(ContractError, match="set dates to the number of images"):
        open_splits(task.model_copy(update={"dates": None}))
    with pytest.raises(ContractError, match="option shuffle is unknown to reader 'pastis'; expected none"):
        open_splits(task.model_copy(update={"options": {"shuffle": True}}))
    with pytest.raises(ContractError, match="PASTIS has no band B10"):
        open_splits(task.model_copy(update={"bands": ("B10",)}))


def test_stand_in_is_read_by_the_same_reader():
    task = load_catalog().task("pastis_sim").model_copy(update={"sizes": (5, 2, 3), "options": {"chip": 32}})
    splits = open_splits(task)
    assert {name: len(split) for name, split in splits.items()} == {"train": 5, "val": 2, "test": 3}
    assert {split.definition for split in splits.values()} == {"official"}
    image = splits["test"].read(0)
    assert image.pixels.shape == (6, 10, 32, 32)
    assert set(np.unique(splits["test"].read_target(0))) <= set(range(-1, 10))
    metadata = json.loads((ensure_standin(task) / "metadata.geojson").read_text())
    assert [feature["properties"]["Fold"] for feature in metadata["features"]] == [1, 2, 3, 1, 2, 4, 4, 5, 5, 5]


def test_stand_in_of_any_size_has_the_same_patches():
    task = load_catalog().task("pastis_sim").model_copy(update={"options": {"chip": 24}})
    folders = [ensure_standin(task.model_copy(update={"sizes": sizes})) for sizes in ((2, 1, 1), (4, 1, 1))]
    for name in ("DATA_S2/S2_10001.npy", "ANNOTATIONS/TARGET_10001.npy"):
        small, large = (np.load(folder / name) for folder in folders)
        np.testing.assert_array_equal(small, large)
