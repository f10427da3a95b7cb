"""BioMassters on disk: months in order of preference, orbits that are missing, clouds, and the real samples."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.split import Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.standins import ensure_standin
from geofm_eval.simulation.standins.chips import write_geotiff

TRAIN, TEST = tuple(f"{number:08x}" for number in range(20)), ("ffff0000", "ffff0001")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Two months of Sentinel-2 below a home of the test's own, July before June before May."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    update = {"dates": 2, "options": {"months": [10, 9, 8], "cloud": 70}}
    return load_catalog().task("biomassters").model_copy(update=update)


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    """The official layout: months 8, 9 and 10 of all chips."""
    folder = tmp_path / task.root
    for split, chips in (("train", TRAIN), ("test", TEST)):
        for chip in chips:
            write_chip(folder / f"{split}_features", folder / f"{split}_agbm", chip)
    return folder


def optical(month: int, size: int = 6) -> np.ndarray:
    """Band b of month m holds 100 * m + b; the probability of cloud is 10."""
    bands = np.append(100 * month + np.arange(10), 10)
    return np.broadcast_to(bands[:, None, None], (11, size, size)).astype(np.uint16).copy()


def radar(month: int, size: int = 6) -> np.ndarray:
    bands = -month - np.arange(4) / 4
    return np.broadcast_to(bands[:, None, None], (4, size, size)).astype(np.float32).copy()


def write_chip(features: Path, targets: Path, chip: str, months: tuple[int, ...] = (8, 9, 10)) -> None:
    for folder in (features, targets):
        folder.mkdir(parents=True, exist_ok=True)
    for month in months:
        write_geotiff(features / f"{chip}_S2_{month:02d}.tif", optical(month))
        write_geotiff(features / f"{chip}_S1_{month:02d}.tif", radar(month))
    write_geotiff(targets / f"{chip}_agbm.tif", np.full((1, 6, 6), 42.5, dtype=np.float32))


def first(task: TaskSpec) -> Split:
    return open_splits(task)["test"]


def test_preferred_months_are_read_in_the_order_of_dates(task: TaskSpec, root: Path):
    image = first(task).read(0)
    assert image.pixels.shape == (2, 10, 6, 6)
    np.testing.assert_array_equal(image.pixels[:, 3, 0, 0], [903, 1003])
    assert image.dates == (date(2021, 6, 15), date(2021, 7, 15))


def test_month_without_a_file_gives_way_to_the_next(task: TaskSpec, root: Path):
    (root / "test_features" / f"{TEST[0]}_S2_10.tif").unlink()
    split = first(task)
    assert [day.month for day in split.read(0).dates] == [5, 6]
    assert [day.month for day in split.read(1).dates] == [6, 7]


def test_the_year_turns_between_december_and_january(task: TaskSpec, root: Path):
    for month in (0, 3, 4, 11):
        for chip in (*TRAIN, *TEST):
            folder = root / ("test_features" if chip in TEST else "train_features")
            write_geotiff(folder / f"{chip}_S2_{month:02d}.tif", optical(month + 1))
    options = {"months": [4, 11, 0, 3], "cloud": 100}
    image = first(task.model_copy(update={"dates": 4, "options": options})).read(0)
    assert image.dates == (date(2020, 9, 15), date(2020, 12, 15), date(2021, 1, 15), date(2021, 8, 15))


def test_chip_with_too_few_months_is_dropped_and_counted(task: TaskSpec, root: Path):
    for month in (9, 10):
        (root / "test_features" / f"{TEST[1]}_S2_{month:02d}.tif").unlink()
    split = first(task)
    assert split.ids == TEST[:1]
    assert split.dropped == {"fewer than 2 of the months": TEST[1:]}


def test_validation_is_a_tenth_of_the_training_chips(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert {name: len(split) for name, split in splits.items()} == {"train": 18, "val": 2, "test": 2}
    assert {split.definition for split in splits.values()} == {"official"}
    assert set(splits["train"].ids) | set(splits["val"].ids) == set(TRAIN)
    again = open_splits(task)
    assert again["val"].ids == splits["val"].ids


def test_one_date_is_a_series_and_no_date_a_single_image(task: TaskSpec, root: Path):
    bright = {"offset_checked": False}  # made-up months are of one value, that of July 1000
    series = first(task.model_copy(update={"dates": 1, **bright})).read(0)
    assert series.pixels.shape == (1, 10, 6, 6)
    assert series.dates == (date(2021, 7, 15),)
    image = first(task.model_copy(update={"dates": None, **bright})).read(0)
    assert image.pixels.shape == (10, 6, 6)
    assert image.dates == ()


def test_bands_decide_which_sensors_are_read(task: TaskSpec, root: Path):
    both = task.model_copy(update={"bands": ("VH", "B02", "VV_DESCENDING"), "product": "L2A", "nodata": -9999.0})
    np.testing.assert_array_equal(first(both).read(0).pixels[:, :, 0, 0], [[-9.25, 900, -9.5], [-10.25, 1000, -10.5]])
    (root / "test_features" / f"{TEST[0]}_S1_09.tif").unlink()
    assert [day.month for day in first(both).read(0).dates] == [5, 7]


def test_orbit_that_did_not_pass_is_no_data(task: TaskSpec, root: Path):
    path = root / "test_features" / f"{TEST[0]}_S1_10.tif"
    pixels = radar(10)
    pixels[2:] = -9999
    write_geotiff(path, pixels)
    update = {"bands": ("VV", "VH"), "nodata": -9999.0, "options": {"months": [10, 9]}}
    assert first(task.model_copy(update=update)).read(0).valid.all()
    all_four = ("VV", "VH", "VV_DESCENDING", "VH_DESCENDING")
    image = first(task.model_copy(update={**update, "bands": all_four})).read(0)
    assert image.valid.all(axis=(1, 2)).tolist() == [True, False]
    single = task.model_copy(update={**update, "bands": all_four, "dates": None})
    assert first(single).dropped == {"no valid pixel": TEST[:1]}


def test_clouds_and_empty_pixels_are_masked(task: TaskSpec, root: Path):
    pixels = optical(10)
    pixels[10, 0], pixels[10, 1], pixels[10, 2] = 70, 71, 255
    pixels[:10, 3] = 0
    pixels[4, 4] = 0
    write_geotiff(root / "test_features" / f"{TEST[0]}_S2_10.tif", pixels)
    valid = first(task).read(0).valid
    assert valid[0].all()
    assert valid[1].all(axis=1).tolist() == [True, False, False, False, True, True]


def test_biomass_is_in_tonnes_per_hectare(task: TaskSpec, root: Path):
    target = first(task).read_target(0)
    assert target.dtype == np.float32
    np.testing.assert_array_equal(target, np.full((6, 6), 42.5))


def test_chips_without_biomass_are_dropped_and_counted(task: TaskSpec, root: Path):
    write_geotiff(root / "test_agbm" / f"{TEST[0]}_agbm.tif", np.full((1, 6, 6), np.nan, dtype=np.float32))
    assert first(task).dropped == {"no label at a valid pixel": TEST[:1]}


@pytest.mark.parametrize("value", [-1.0, 4.25e5])
def test_biomass_out_of_range_is_refused(task: TaskSpec, root: Path, value: float):
    write_geotiff(root / "test_agbm" / f"{TEST[0]}_agbm.tif", np.full((1, 6, 6), value, dtype=np.float32))
    with pytest.raises(DataError, match=r"ffff0000_agbm.tif: label values range from .* expected 0 to 20000"):
        open_splits(task)


@pytest.mark.parametrize(
    ("pixels", "says"),
    [
        (optical(10)[:10], r"S2_10.tif: found 10 bands, expected 11 \(B02,"),
        (optical(10, 5), r"the months of the chip differ in size, \[\(10, 5, 5\), \(10, 6, 6\)\]"),
        (optical(10, 6) / np.float32(10_000), "reflectances"),
    ],
)
def test_damaged_months_are_named(task: TaskSpec, root: Path, pixels: np.ndarray, says: str):
    for month in (9, 10) if pixels.dtype == np.float32 else (10,):
        write_geotiff(root / "test_features" / f"{TEST[0]}_S2_{month:02d}.tif", pixels)
    with pytest.raises(DataError, match=says):
        open_splits(task)


def test_sensors_of_another_size_are_named(task: TaskSpec, root: Path):
    write_geotiff(root / "test_features" / f"{TEST[0]}_S1_10.tif", radar(10, 4))
    with pytest.raises(DataError, match=r"S2_10.tif: the image has \(6, 6\) pixels, but .*S1_10.tif has \(4, 4\)"):
        open_splits(task.model_copy(update={"bands": ("VV", "B02"), "nodata": -9999.0}))


def test_file_that_is_no_image_is_named(task: TaskSpec, root: Path):
    (root / "test_features" / f"{TEST[0]}_S2_10.tif").write_text("not found")
    with pytest.raises(DataError, match=r"ffff0000_S2_10.tif: not a readable GeoTIFF"):
        open_splits(task)


def test_absent_biomass_is_counted(task: TaskSpec, root: Path):
    (root / "test_agbm" / f"{TEST[0]}_agbm.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 22 listed files missing; the first is .*ffff0000_agbm.tif"):
        open_splits(task)


def test_own_split_goes_before_the_official_one(task: TaskSpec, root: Path):
    (root / "splits.csv").write_text(f"chip,split\n{TRAIN[3]},train\n{TEST[0]},val\n{TRAIN[1]},test\n")
    splits = open_splits(task)
    assert [splits[name].ids for name in ("train", "val", "test")] == [TRAIN[3:4], TEST[:1], TRAIN[1:2]]
    assert splits["val"].definition == "custom"


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ("0000ffff,train", r"splits.csv: chip '0000ffff' has no file"),
        (f"{TRAIN[0]},train\n{TRAIN[0]},val\n{TRAIN[1]},test", "is in splits 'train' and 'val'"),
    ],
)
def test_own_split_must_fit_the_copy(task: TaskSpec, root: Path, rows: str, says: str):
    (root / "splits.csv").write_text(f"chip,split\n{rows}\n")
    with pytest.raises(DataError, match=says):
        open_splits(task)


def test_flat_folder_needs_a_split(task: TaskSpec, tmp_path: Path):
    folder = tmp_path / task.root
    for chip in TRAIN[:4]:
        write_chip(folder, folder, chip)
    with pytest.raises(Unavailable, match=r"neither train_features nor a splits.csv. Write a splits.csv"):
        open_splits(task)
    splits = open_splits(task.model_copy(update={"options": {**task.options, "split": "by_chip"}}))
    assert [splits[name].ids for name in ("train", "val", "test")] == [TRAIN[:2], TRAIN[2:3], TRAIN[3:4]]
    assert splits["test"].read_target(0)[0, 0] == 42.5


def test_empty_folder_is_unavailable(task: TaskSpec, tmp_path: Path):
    (tmp_path / task.root).mkdir(parents=True)
    with pytest.raises(Unavailable, match=r"has no <chip>_S1_<mm>.tif"):
        open_splits(task)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"months": [1]}, "at least 2"),
        ({"months": [1, 1]}, "different numbers from 0"),
        ({"months": [3, 12]}, "different numbers from 0"),
        ({"cloud": 101}, "option cloud is 101; expected 0 to 100 percent"),
        ({"split": "random"}, "option split is 'random'; expected 'by_chip'"),
        ({"sensor": "s2"}, "option sensor is unknown to reader 'biomassters'; expected months, cloud, split"),
    ],
)
def test_unknown_options_are_refused(task: TaskSpec, root: Path, options: dict[str, object], says: str):
    with pytest.raises(ContractError, match=says):
        open_splits(task.model_copy(update={"options": options}))


def test_real_chips_are_read_as_they_are(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    splits = open_splits(load_catalog().task("biomassters_examples"))
    chips = {"train": "000aa810", "val": "001b0634", "test": "0060c0a5"}
    months = {"train": "07", "val": "00", "test": "07"}
    for name, split in splits.items():
        assert split.ids == (chips[name],)
        with rasterio.open(real_home / f"data/biomassters/{chips[name]}_S2_{months[name]}.tif") as file:
            stored = file.read()
        image, biomass = split.read(0), split.read_target(0)
        visible = (stored[10] <= 70) & (stored[:10] != 0).any(axis=0)
        np.testing.assert_array_equal(image.valid, visible)
        np.testing.assert_array_equal(image.pixels[:, visible], stored[:10, visible])
        with rasterio.open(real_home / f"data/biomassters/{chips[name]}_agbm.tif") as file:
            np.testing.assert_array_equal(biomass, file.read(1))
        assert 0 <= biomass.min() < biomass.mean() < 200 < biomass.max() < 1000


def test_real_radar_without_a_descending_orbit(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    task = load_catalog().task("biomassters_examples_s1")
    splits = open_splits(task)
    for split in splits.values():
        image = split.read(0)
        assert image.valid.all()
        vv, vh = image.pixels.mean((1, 2))
        assert -20 < vh < vv - 4 < -10
    four = {"bands": ("VV", "VH", "VV_DESCENDING", "VH_DESCENDING")}
    with pytest.raises(DataError, match=r"split 'train' is empty \(0 \(1 dropped: no valid pixel\)\)"):
        open_splits(task.model_copy(update=four))


def test_stand_in_is_read_by_the_same_reader():
    task = load_catalog().task("biomassters_sim")
    options = {**task.options, "chip": 24}
    splits = open_splits(task.model_copy(update={"sizes": (4, 2, 3), "options": options}))
    assert {name: len(split) for name, split in splits.items()} == {"train": 4, "val": 2, "test": 3}
    image, target = splits["test"].read(0), splits["test"].read_target(0)
    assert image.pixels.shape == (4, 10, 24, 24)
    assert target.shape == (24, 24)
    assert target.min() >= 0


def test_stand_in_has_radar_and_months_without_light():
    task = load_catalog().task("biomassters_sim")
    options = {"months": [1, 3], "cloud": 100, "chip": 24}
    optical_task = task.model_copy(update={"sizes": (4, 2, 3), "options": options, "dates": 2})
    assert open_splits(optical_task)["train"].dropped == {"fewer than 2 of the months": ("00000000", "00000003")}
    radar_task = optical_task.model_copy(
        update={"bands": ("VV", "VH"), "product": "GRD", "nodata": -9999.0, "plausible": {"dB": (-40.0, 10.0)}}
    )
    splits = open_splits(radar_task)
    assert not splits["train"].dropped
    assert ensure_standin(radar_task) == ensure_standin(optical_task)
    assert splits["train"].read(0).pixels.shape == (2, 2, 24, 24)


def test_a_chip_in_two_folders_is_refused(task: TaskSpec, root: Path):
    write_chip(root / "train_features", root / "train_agbm", TEST[0])
    with pytest.raises(DataError, match=f"{TEST[0]}_S\\d_.*the same file is also in .*train_features; keep a chip"):
        open_splits(task)


@pytest.mark.parametrize("moved", [f"test_features/{TEST[0]}_S2_10.tif", f"test_agbm/{TEST[0]}_agbm.tif"])
def test_month_or_biomass_of_another_place_is_refused(task: TaskSpec, root: Path, moved: str):
    with rasterio.open(root / moved, "r+") as file:
        file.transform = rasterio.Affine(10, 0, 500_320, 0, -10, 5_400_000)
    with pytest.raises(DataError, match=r"the grid .* differs from that of"):
        open_splits(task)["test"].read_pair(0)
