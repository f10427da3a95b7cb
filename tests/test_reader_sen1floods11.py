"""Sen1Floods11 on disk: modalities, official and own splits, gaps and labels, and what is wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers import sen1floods11
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.standins.sen1floods11 import EVENTS, HELD_OUT, write_sen1floods11
from tests.chip_files import place_tif, read_tif, tree, write_lines, write_tif

HAND = "v1.1/data/flood_events/HandLabeled"
LISTS = "v1.1/splits/flood_handlabeled"
CHIPS = {"train": ("Ghana_1", "India_2"), "valid": ("Ghana_3",), "test": ("India_4",), "bolivia": ("Bolivia_5",)}
SIDE = 6


def task(slug: str, **changes: object) -> TaskSpec:
    return load_catalog().task(slug).model_copy(update=changes)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Five chips with their lists: S2 of chip n is 100 n + band, S1 -n dB, and the first row of labels is unknown."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    folder = tmp_path / "data/sen1floods11"
    for name, chips in CHIPS.items():
        write_lines(folder / LISTS / f"flood_{name}_data.csv", *(f"{c}_S1Hand.tif,{c}_LabelHand.tif" for c in chips))
        for chip in chips:
            write_chip(folder, chip)
    return folder


def test_a_corrected_mask_of_the_same_size_is_another_label(root: Path) -> None:
    before = open_splits(task("sen1floods11"))["train"].labels_sha256
    path = root / HAND / "LabelHand" / "Ghana_1_LabelHand.tif"
    size, labels = path.stat().st_size, read_tif(path)
    write_tif(path, np.where(labels == 0, 1, labels).astype(labels.dtype))
    assert path.stat().st_size == size
    assert open_splits(task("sen1floods11"))["train"].labels_sha256 != before


def write_chip(folder: Path, chip: str) -> None:
    number = int(chip[-1])
    optical = np.full((13, SIDE, SIDE), 100 * number, np.int16) + np.arange(13, dtype=np.int16)[:, None, None]
    labels = np.zeros((SIDE, SIDE), np.int16)
    labels[:, 3:] = 1
    labels[0] = -1
    write_tif(folder / HAND / f"S2Hand/{chip}_S2Hand.tif", optical)
    write_tif(folder / HAND / f"S1Hand/{chip}_S1Hand.tif", np.full((2, SIDE, SIDE), -number, np.float32))
    write_tif(folder / HAND / f"LabelHand/{chip}_LabelHand.tif", labels)


def test_official_lists_give_chips_events_and_files(root: Path):
    splits = open_splits(task("sen1floods11"))
    assert {name: split.ids for name, split in splits.items()} == {
        "train": ("Ghana_1", "India_2"),
        "val": ("Ghana_3",),
        "test": ("India_4",),
    }
    assert list(splits["train"].groups) == ["Ghana", "India"]
    assert splits["train"].definition == "official"
    files = [str(path.relative_to(root / HAND)) for path in splits["test"].items[0].files]
    assert files == ["S2Hand/India_4_S2Hand.tif", "LabelHand/India_4_LabelHand.tif"]


def test_bolivia_may_be_the_test_split(root: Path):
    assert open_splits(task("sen1floods11", options={"modality": "s2", "test": "bolivia"}))["test"].ids == (
        "Bolivia_5",
    )


@pytest.mark.parametrize(
    ("slug", "values"),
    [
        ("sen1floods11", [200 + band for band in range(13)]),
        ("sen1floods11_s1", [-2, -2]),
        ("sen1floods11_s1s2", [*(200 + band for band in range(13)), -2, -2]),
    ],
)
def test_modalities_and_their_order(root: Path, slug: str, values: list[int]):
    image = open_splits(task(slug))["train"].read(1)
    assert image.pixels.shape == (len(values), SIDE, SIDE)
    np.testing.assert_array_equal(image.pixels[:, 2, 2], values)
    assert image.valid.all()


def test_labels_keep_what_is_not_known(root: Path):
    labels = open_splits(task("sen1floods11"))["train"].read_target(0)
    assert labels.dtype == np.int64
    assert np.unique(labels, return_counts=True)[1].tolist() == [6, 15, 15]
    assert (labels[0] == -1).all()
    other = open_splits(task("sen1floods11", ignore=255))["train"].read_target(0)
    assert set(np.unique(other)) == {0, 1, 255}


def test_zeros_and_nan_are_no_data_in_any_band(root: Path):
    optical = read_tif(root / HAND / "S2Hand/Ghana_1_S2Hand.tif")
    optical[:, 0, 0] = 0
    optical[4, 1, 1] = 0
    write_tif(root / HAND / "S2Hand/Ghana_1_S2Hand.tif", optical)
    radar = read_tif(root / HAND / "S1Hand/Ghana_1_S1Hand.tif")
    radar[1, 2, 2] = np.nan
    write_tif(root / HAND / "S1Hand/Ghana_1_S1Hand.tif", radar)
    image = open_splits(task("sen1floods11_s1s2"))["train"].read(0)
    assert np.argwhere(~image.valid).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert np.isnan(image.pixels[:, ~image.valid]).all()


def test_chips_without_any_pixel_or_label_are_dropped_and_counted(root: Path):
    write_tif(root / HAND / "S1Hand/Ghana_1_S1Hand.tif", np.full((2, SIDE, SIDE), np.nan, np.float32))
    splits = open_splits(task("sen1floods11_s1"))
    assert splits["train"].ids == ("India_2",)
    assert splits["train"].dropped == {"no valid pixel": ("Ghana_1",)}
    write_tif(root / HAND / "LabelHand/India_2_LabelHand.tif", np.full((SIDE, SIDE), -1, np.int16))
    splits = open_splits(task("sen1floods11"))
    assert splits["train"].dropped == {"no label at a valid pixel": ("India_2",)}


def test_own_split_file_drops_chips_without_a_file(root: Path):
    write_lines(root / "splits.csv", "chip,split", "Ghana_1,train", "India_2,train", "Ghana_3,val", "India_4,test")
    (root / HAND / "S2Hand/Ghana_1_S2Hand.tif").unlink()
    splits = open_splits(task("sen1floods11"))
    assert splits["train"].definition == "custom"
    assert splits["train"].ids == ("India_2",)
    assert splits["train"].dropped == {"S2Hand file is absent": ("Ghana_1",)}
    assert open_splits(task("sen1floods11_s1"))["train"].ids == ("Ghana_1", "India_2")


def test_mixed_sizes_of_chips_are_read(root: Path):
    write_tif(root / HAND / "S2Hand/Ghana_1_S2Hand.tif", np.full((13, 9, 7), 500, np.int16))
    write_tif(root / HAND / "LabelHand/Ghana_1_LabelHand.tif", np.ones((9, 7), np.int16))
    train = open_splits(task("sen1floods11"))["train"]
    assert [train.read(index).valid.shape for index in range(2)] == [(9, 7), (SIDE, SIDE)]


# What is wrong with a copy is said in words.


def test_official_split_of_a_partial_copy_is_refused(root: Path):
    (root / HAND / "S2Hand/Ghana_3_S2Hand.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 4 listed files missing; the first is .*Ghana_3_S2Hand.tif"):
        open_splits(task("sen1floods11"))


def test_absent_lists(root: Path):
    (root / LISTS / "flood_valid_data.csv").unlink()
    with pytest.raises(DataError, match=r"split lists flood_valid_data.csv are missing, but other lists exist"):
        open_splits(task("sen1floods11"))
    for path in (root / LISTS).iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match=r"neither splits.csv nor flood_train_data.csv.*gs://sen1floods11"):
        open_splits(task("sen1floods11"))


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["chip;split"], r"the columns are chip;split; expected chip, split"),
        (["chip,split", "Ghana_1,dev"], r"splits.csv, line 2: split is 'dev', expected one of train, val, test"),
        (["chip,split", "Ghana_1,train", "Ghana_1,val", "India_4,test"], "sample 'Ghana_1' is in splits 'train' and"),
        (
            ["chip,split", "Ghana_1,train", "Ghana_1,train", "Ghana_3,val", "India_4,test"],
            "sample 'Ghana_1' more",
        ),
        (
            ["chip,split", "Ghana_9,train", "Ghana_3,val", "India_4,test"],
            r"files of all samples of split 'train'.*S2Hand file is absent",
        ),
    ],
)
def test_damaged_split_file(root: Path, rows: list[str], says: str):
    write_lines(root / "splits.csv", *rows)
    # A split without any file of its sensor is absent data; everything else is a damaged list.
    with pytest.raises(Unavailable if "absent" in says else DataError, match=says):
        open_splits(task("sen1floods11"))


def test_a_list_of_another_layout(root: Path):
    write_lines(root / LISTS / "flood_test_data.csv", "India_4")
    with pytest.raises(DataError, match=r"flood_test_data.csv: line is 'India_4', expected <chip>_S1Hand.tif,<chip>"):
        open_splits(task("sen1floods11"))


def test_one_event_in_two_splits_is_refused_unless_the_task_says_so(root: Path):
    with pytest.raises(DataError, match="group 'Ghana' is in splits 'train' and 'val'"):
        open_splits(task("sen1floods11", shared_groups=False))


@pytest.mark.parametrize(
    ("file", "pixels", "says"),
    [
        ("S2Hand", np.full((12, SIDE, SIDE), 500, np.int16), "12 bands, expected 13"),
        ("S1Hand", np.full((1, SIDE, SIDE), -9, np.float32), "1 band, expected 2"),
        (
            "S1Hand",
            np.full((2, 5, SIDE), -9, np.float32),
            r"\(5, 6\) pixels, but S2Hand/.*S2Hand.tif has \(6, 6\)",
        ),
        ("S2Hand", np.full((13, SIDE, SIDE), 0.05, np.float32), "look like reflectances"),
        ("S2Hand", np.full((13, SIDE, SIDE), 3e6, np.float32), r"median value is 3e\+06 DN, expected 20 to 20000"),
        ("S1Hand", np.full((2, SIDE, SIDE), 15.0, np.float32), "look like linear backscatter"),
        ("LabelHand", np.full((SIDE, SIDE), 2, np.int16), "label values 2 are out of range, expected -1, 0, 1"),
        ("LabelHand", np.full((SIDE, SIDE), np.nan, np.float32), "label values nan are out of range"),
        ("LabelHand", np.zeros((2, SIDE, SIDE), np.int16), "2 bands, expected one band of labels"),
        ("LabelHand", np.zeros((5, SIDE), np.int16), r"label map has \(5, 6\) pixels but the image has \(6, 6\)"),
    ],
)
def test_a_file_that_is_not_what_its_place_says(root: Path, file: str, pixels: np.ndarray, says: str):
    write_tif(root / HAND / file / f"Ghana_1_{file}.tif", pixels)
    with pytest.raises(DataError, match=says) as caught:
        open_splits(task("sen1floods11_s1s2"))
    assert "Ghana_1_" in str(caught.value)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modality": "s3"}, "option modality is 's3'; expected 's1' or 's2' or 's1s2'"),
        ({"modality": "s2", "fold": 1}, "option fold is unknown to reader 'sen1floods11'; expected modality, test"),
        ({"test": "train"}, "option test is 'train'; expected 'test' or 'bolivia'"),
    ],
)
def test_unknown_options(root: Path, options: dict[str, object], says: str):
    with pytest.raises(ContractError, match=says):
        open_splits(task("sen1floods11", options=options))


# The stand-in is written for the same reader.


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "sen1floods11"
    write_sen1floods11(folder, small())
    return folder


def small(slug: str = "sen1floods11_sim") -> TaskSpec:
    spec = task(slug, sizes=(12, 11, 13))
    return spec.model_copy(update={"options": {**spec.options, "chip": 32}})


def test_standin_has_the_sizes_asked_for_and_every_event_in_every_split(simulated: Path):
    listing = sen1floods11.read_listing(small(), simulated)
    assert [len(items) for items in listing.items.values()] == [12, 11, 13]
    assert all({item.group for item in items} == set(EVENTS) for items in listing.items.values())
    assert listing.definition == "official"
    apart = sen1floods11.read_listing(task("sen1floods11_sim", options={"test": "bolivia"}), simulated)
    assert {item.group for item in apart.items["test"]} == {HELD_OUT}
    assert len(apart.items["test"]) == 3


def test_standin_agrees_between_files(simulated: Path):
    both = sen1floods11.read_listing(small("sen1floods11_s1s2_sim"), simulated)
    water, dry = [], []
    for item in both.items["train"]:
        pixels, labels = both.load(item), both.load_target(item)
        assert pixels.shape == (15, 32, 32)
        assert labels.shape == (32, 32)
        assert set(np.unique(labels)) <= {-1, 0, 1}
        water.append(pixels[13, labels == 1])
        dry.append(pixels[13, labels == 0])
    # Open water turns the radar's beam away.
    assert np.nanmedian(np.concatenate(water)) < np.nanmedian(np.concatenate(dry)) - 3


def test_standin_is_the_same_every_time(simulated: Path, tmp_path: Path):
    write_sen1floods11(tmp_path / "again", small())
    assert tree(tmp_path / "again") == tree(simulated)


def test_standin_through_the_catalog():
    splits = open_splits(small())
    kept = {name: len(split) + sum(map(len, split.dropped.values())) for name, split in splits.items()}
    assert kept == {"train": 12, "val": 11, "test": 13}
    image = splits["train"].read(0)
    assert 100 < np.nanmedian(image.pixels) < 6000


# Real chips: what the reader gives against what rasterio finds in the files.


@pytest.fixture
def real(real_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    return real_home / "data/sen1floods11"


def test_real_radar_chips(real: Path):
    splits = open_splits(task("sen1floods11_s1"))
    assert {name: len(split) for name, split in splits.items()} == {"train": 5, "val": 2, "test": 4}
    assert splits["train"].dropped == {"no label at a valid pixel": ("Ghana_83483",)}
    assert splits["val"].dropped == {"no valid pixel": ("Paraguay_34417",)}
    assert {split.definition for split in splits.values()} == {"custom"}
    assert len(list((real / HAND / "S1Hand").iterdir())) == 13 == 5 + 2 + 4 + 2
    split = splits["train"]
    position = split.ids.index("Nigeria_812045")
    image = split.read(position)
    stored = read_tif(real / HAND / "S1Hand/Nigeria_812045_S1Hand.tif")
    assert image.pixels.shape == (2, 512, 512)
    np.testing.assert_array_equal(image.valid, np.isfinite(stored).all(axis=0))
    assert 0 < (~image.valid).sum() <= np.isnan(stored).sum()
    np.testing.assert_array_equal(image.pixels[:, image.valid], stored[:, image.valid])
    assert -20 < np.nanmean(image.pixels[0]) < -5
    assert np.nanmean(image.pixels[1]) < np.nanmean(image.pixels[0]) - 3


def test_real_labels(real: Path):
    for split in open_splits(task("sen1floods11_s1")).values():
        for position, item in enumerate(split.items):
            stored = read_tif(real / HAND / f"LabelHand/{item.id}_LabelHand.tif")[0]
            np.testing.assert_array_equal(split.read_target(position), stored)


def test_real_optical_chip(real: Path):
    listing = sen1floods11.read_listing(task("sen1floods11"), real)
    assert [item.id for items in listing.items.values() for item in items] == ["Spain_7370579"]
    assert {name: len(reasons["S2Hand file is absent"]) for name, reasons in listing.dropped.items()} == {
        "train": 6,
        "val": 3,
        "test": 3,
    }
    pixels = listing.load(listing.items["test"][0])
    stored = read_tif(real / HAND / "S2Hand/Spain_7370579_S2Hand.tif")
    np.testing.assert_array_equal(pixels, stored)
    assert pixels.shape == (13, 512, 512)
    assert (stored.min(), stored.max()) == (7, 6060)
    # In order of wavelength, so that cirrus, in which the ground is dark, stands at position 10.
    assert np.argmin(stored.mean((1, 2))) == task("sen1floods11").bands.index("B10") == 10


def test_real_official_lists_have_the_published_sizes(real: Path, tmp_path: Path):
    (tmp_path / "v1.1").symlink_to(real / "v1.1")
    spec = task("sen1floods11_s1")
    listing = sen1floods11.read_listing(spec, tmp_path)
    assert tuple(len(items) for items in listing.items.values()) == spec.official_sizes == (252, 89, 90)
    assert len({item.group for items in listing.items.values() for item in items}) == 10
    apart = sen1floods11.read_listing(task("sen1floods11_s1", options={"modality": "s1", "test": "bolivia"}), tmp_path)
    assert len(apart.items["test"]) == 15


@pytest.mark.parametrize("shifted", ["S1Hand", "S2Hand", "LabelHand"])
def test_sensor_or_label_of_another_place_is_refused(root: Path, shifted: str):
    for path in root.rglob("*.tif"):
        place_tif(path)
    open_splits(task("sen1floods11_s1s2"))["train"].read_pair(0)
    for path in (root / HAND / shifted).iterdir():
        place_tif(path, east=3)
    with pytest.raises(DataError, match=r"the grid .* differs from that of"):
        open_splits(task("sen1floods11_s1s2"))["train"].read_pair(0)
