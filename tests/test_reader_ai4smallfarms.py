"""AI4SmallFarms on disk: its folders, tiles of any size, masks of two codings, and what is wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers import ai4smallfarms
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError, Unavailable
from geofm_eval.simulation.standins.ai4smallfarms import outlines, write_ai4smallfarms
from tests.chip_files import place_tif, read_tif, tree, write_lines, write_tif

FOLDER = "sentinel-2-asia"
TILES = {"train": ("0_vietnam", "2_cambodia"), "validate": ("4_cambodia",), "test": ("12_cambodia",)}


def task(**changes: object) -> TaskSpec:
    """The task of a small copy that is complete."""
    return load_catalog().task("ai4smallfarms").model_copy(update={"official_sizes": (2, 1, 1), **changes})


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four tiles, each of a size of its own, whose bands are 1000, 1100, 1200 and 1300, with one row of outlines."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    folder = tmp_path / "data/ai4smallfarms"
    for split, tiles in TILES.items():
        for position, tile in enumerate(tiles):
            shape = (5 + position, 6)
            mask = np.zeros(shape, np.uint8)
            mask[1] = 255
            pixels = np.full((4, *shape), 1000, np.uint16) + 100 * np.arange(4, dtype=np.uint16)[:, None, None]
            write_tif(folder / FOLDER / split / "images" / f"{tile}.tif", pixels)
            # With the nodata value that rasterised masks often declare: it is a label all the same.
            write_tif(folder / FOLDER / split / "masks" / f"{tile}.tif", mask, nodata=0)
    return folder


def test_folders_are_the_splits(root: Path):
    splits = open_splits(task())
    assert {name: split.ids for name, split in splits.items()} == {
        "train": ("0_vietnam", "2_cambodia"),
        "val": ("4_cambodia",),
        "test": ("12_cambodia",),
    }
    assert {split.definition for split in splits.values()} == {"official"}
    (root / FOLDER / "validate").rename(root / FOLDER / "val")
    assert open_splits(task())["val"].ids == ("4_cambodia",)


def test_tiles_of_their_own_sizes(root: Path):
    train = open_splits(task())["train"]
    shapes = [(train.read(index).pixels.shape, train.read_target(index).shape) for index in range(2)]
    assert shapes == [((4, 5, 6), (5, 6)), ((4, 6, 6), (6, 6))]
    np.testing.assert_array_equal(train.read(0).pixels[:, 0, 0], [1000, 1100, 1200, 1300])


@pytest.mark.parametrize("positive", [255, 1])
def test_outlines_are_the_positive_class(root: Path, positive: int):
    path = root / FOLDER / "train/masks/0_vietnam.tif"
    write_tif(path, np.where(read_tif(path) > 0, positive, 0).astype(np.uint8))
    labels = open_splits(task())["train"].read_target(0)
    assert labels.dtype == np.int64
    assert labels.sum(axis=1).tolist() == [0, 6, 0, 0, 0]
    assert task().classes == ("background", "outline")


def test_no_data(root: Path):
    path = root / FOLDER / "test/images/12_cambodia.tif"
    pixels = read_tif(path)
    pixels[2, 3, 4] = 0
    write_tif(path, pixels)
    assert np.argwhere(~open_splits(task())["test"].read(0).valid).tolist() == [[3, 4]]


def test_own_split_file(root: Path):
    rows = ("2_cambodia,train", "12_cambodia,val", "0_vietnam,test", "7_vietnam,test", "4_cambodia,test")
    write_lines(root / "splits.csv", "chip,split", *rows)
    (root / FOLDER / "validate/masks/4_cambodia.tif").unlink()
    splits = open_splits(task())
    assert splits["val"].ids == ("12_cambodia",)
    assert splits["test"].ids == ("0_vietnam",)
    assert splits["test"].dropped == {"images file is absent": ("7_vietnam",), "masks file is absent": ("4_cambodia",)}
    assert splits["test"].definition == "custom"


def test_partial_copies_are_no_official_split(root: Path):
    (root / FOLDER / "train/images/2_cambodia.tif").unlink()
    with pytest.raises(DataError, match=r"found 1 for train, 1 for val, 1 for test, expected 4 of sentinel-2-asia/"):
        open_splits(task())
    with pytest.raises(Unavailable, match=r"neither splits.csv nor sentinel-2-asia/.*dans-xy6-ngg6"):
        ai4smallfarms.read_listing(task(), root / "elsewhere")


def test_one_tile_in_two_folders(root: Path):
    for kind in ("images", "masks"):
        content = (root / FOLDER / "train" / kind / "0_vietnam.tif").read_bytes()
        (root / FOLDER / "test" / kind / "0_vietnam.tif").write_bytes(content)
    with pytest.raises(DataError, match="sample '0_vietnam' is in splits 'train' and 'test'"):
        open_splits(task(official_sizes=(2, 1, 2)))
    write_lines(root / "splits.csv", "chip,split", "0_vietnam,train", "2_cambodia,val", "12_cambodia,test")
    assert open_splits(task())["train"].ids == ("0_vietnam",)  # the files are the same
    write_tif(root / FOLDER / "test" / "images" / "0_vietnam.tif", np.full((4, 5, 6), 900, np.uint16))
    with pytest.raises(DataError, match=r"'0_vietnam' is in 2 folders, .* sentinel-2-asia/train/images/0_vietnam"):
        open_splits(task())
    place = "sentinel-2-asia/train/images/0_vietnam"
    write_lines(root / "splits.csv", "chip,split", f"{place},train", "2_cambodia,val", "12_cambodia,test")
    train = open_splits(task())["train"]
    assert train.ids == (place,)
    assert train.items[0].target == root / FOLDER / "train/masks/0_vietnam.tif"


@pytest.mark.parametrize(
    ("kind", "pixels", "says"),
    [
        ("images", np.full((3, 5, 6), 900, np.uint16), "3 bands, expected 4"),
        ("images", np.full((4, 5, 6), 0.09, np.float32), "look like reflectances"),
        ("masks", np.array([[0, 1, 255]], np.uint8), r"label values 0, 1, 255 .* expected 0, 1 or 0, 255"),
        ("masks", np.zeros((4, 6), np.uint8), r"label map has \(4, 6\) pixels but the image has \(5, 6\)"),
    ],
)
def test_a_file_that_is_not_what_its_place_says(root: Path, kind: str, pixels: np.ndarray, says: str):
    write_tif(root / FOLDER / "train" / kind / "0_vietnam.tif", pixels)
    with pytest.raises(DataError, match=says):
        open_splits(task())


# The stand-in is written for the same reader.


def small() -> TaskSpec:
    spec = load_catalog().task("ai4smallfarms_sim")
    return spec.model_copy(update={"sizes": (5, 2, 3), "options": {"chip": 32}})


def test_outlines_by_hand():
    parcel = np.array([[1, 1, 2], [1, 1, 2], [0, 0, 0]])
    expected = np.array([[0, 1, 0], [1, 1, 1], [0, 0, 0]], bool)
    np.testing.assert_array_equal(outlines(parcel), expected)


def test_standin_is_read_and_the_same_every_time(tmp_path: Path):
    for again in ("one", "two"):
        write_ai4smallfarms(tmp_path / again, small())
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    listing = ai4smallfarms.read_listing(small(), tmp_path / "one")
    assert [len(items) for items in listing.items.values()] == [5, 2, 3]
    for item in listing.items["train"]:
        assert listing.load(item).shape == (4, 32, 32)
        assert set(np.unique(read_tif(item.target))) <= {0, 255}


def test_standin_through_the_catalog():
    splits = open_splits(small())
    assert {name: len(split) for name, split in splits.items()} == {"train": 5, "val": 2, "test": 3}
    labels = np.stack([splits["train"].read_target(index) for index in range(5)])
    assert 0.1 < labels.mean() < 0.6
    assert 100 < np.nanmedian(splits["train"].read(0).pixels) < 6000


@pytest.mark.parametrize("factor", [1e-4, 100])
def test_values_in_another_unit_are_refused(root: Path, factor: float):
    for path in (root / FOLDER).glob("*/images/*.tif"):
        write_tif(path, (read_tif(path) * factor).astype(np.float32))
    with pytest.raises(DataError, match=r"the median value is .* DN, expected"):
        open_splits(task())["train"].read(0)


def test_mask_of_another_place_is_refused_and_one_without_a_place_is_not(root: Path):
    for path in root.rglob("images/*.tif"):
        place_tif(path)
    open_splits(task())["train"].read_pair(0)
    for path in root.rglob("masks/*.tif"):
        place_tif(path, east=10)
    with pytest.raises(DataError, match=r"masks/0_vietnam.tif: the grid .* differs from that of images/0_vietnam.tif"):
        open_splits(task())["train"].read_pair(0)
