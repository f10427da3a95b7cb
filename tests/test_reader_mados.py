"""MADOS on disk: one file per band at its own resolution, sparse labels, and what is wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers import mados
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.scene.landscape import MARINE
from geofm_eval.simulation.standins.mados import coarser, write_mados
from tests.chip_files import place_tif, read_tif, tree, write_lines, write_tif

SIDE = 12
CROPS = {"train": ("Scene_0_1", "Scene_0_10"), "val": ("Scene_7_0",), "test": ("Scene_12_3",)}
SENTINEL_2A = {10: (492, 560, 665, 833), 20: (704, 740, 783, 865, 1614, 2202), 60: (443,)}
SENTINEL_2B = {10: (492, 559, 665, 833), 20: (704, 739, 780, 864, 1610, 2186), 60: (442,)}


def task(**changes: object) -> TaskSpec:
    return load_catalog().task("mados").model_copy(update=changes)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four crops whose reflectance is a hundred-thousandth of the wavelength in nm, half of them of Sentinel-2B."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    folder = tmp_path / "data/mados"
    for split, crops in CROPS.items():
        write_lines(folder / "splits" / f"{split}_X.txt", *crops)
        for crop in crops:
            write_crop(folder, crop, SENTINEL_2A if crop.startswith("Scene_0") else SENTINEL_2B)
    return folder


def write_crop(folder: Path, name: str, files: dict[int, tuple[int, ...]]) -> None:
    scene, _, crop = name.rpartition("_")
    for metres, wavelengths in files.items():
        side = SIDE * 10 // metres
        for nanometres in wavelengths:
            path = folder / scene / str(metres) / f"{scene}_L2R_rhorc_{nanometres}_{crop}.tif"
            write_tif(path, np.full((side, side), nanometres * 1e-5, np.float32))
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[0, :2], labels[1, :3] = 1, 15
    write_tif(folder / scene / "10" / f"{scene}_L2R_cl_{crop}.tif", labels, nodata=0)


def test_official_lists_give_crops_and_scenes(root: Path):
    splits = open_splits(task())
    assert {name: split.ids for name, split in splits.items()} == CROPS
    assert list(splits["train"].groups) == ["Scene_0", "Scene_0"]
    assert splits["val"].definition == "official"
    assert splits["test"].items[0].target == root / "Scene_12/10/Scene_12_L2R_cl_3.tif"


def test_bands_of_both_satellites_come_in_the_tasks_order(root: Path):
    splits = open_splits(task())
    # Bands by ascending wavelength, B8A after B08, each as the files of that satellite are named.
    first = [443, 492, 560, 665, 704, 740, 783, 833, 865, 1614, 2202]
    second = [442, 492, 559, 665, 704, 739, 780, 833, 864, 1610, 2186]
    for split, expected in (("train", first), ("test", second)):
        image = splits[split].read(0)
        assert image.pixels.shape == (11, SIDE, SIDE)
        np.testing.assert_allclose(image.pixels[:, 5, 5], np.array(expected) / 10, rtol=1e-5)


def test_a_choice_of_bands(root: Path):
    image = open_splits(task(bands=("B12", "B02")))["train"].read(0)
    np.testing.assert_allclose(image.pixels[:, 0, 0], [220.2, 49.2], rtol=1e-5)
    with pytest.raises(ContractError, match="MADOS has no band B09; choose bands of B01, B02"):
        open_splits(task(bands=("B02", "B09")))


def test_coarse_pixels_are_repeated_in_place(root: Path):
    values = np.arange(36, dtype=np.float32).reshape(6, 6) / 1000 + 0.01
    write_tif(root / "Scene_0/20/Scene_0_L2R_rhorc_704_1.tif", values)
    write_tif(root / "Scene_0/60/Scene_0_L2R_rhorc_443_1.tif", np.array([[0.1, 0.2], [0.3, 0.4]], np.float32))
    pixels = open_splits(task())["train"].read(0).pixels
    for row, column in np.ndindex(SIDE, SIDE):
        assert pixels[4, row, column] == pytest.approx(1e4 * values[row // 2, column // 2], rel=1e-5)
        assert pixels[0, row, column] == pytest.approx(1e3 * (1 + 2 * (row // 6) + column // 6), rel=1e-5)


def test_labels_are_shifted_and_zero_means_nothing_was_drawn(root: Path):
    labels = open_splits(task())["train"].read_target(0)
    assert labels.dtype == np.int64
    assert labels[0, :3].tolist() == [0, 0, -1]
    assert labels[1, :4].tolist() == [14, 14, 14, -1]
    assert (labels == -1).sum() == SIDE * SIDE - 5


def test_gaps_and_crops_without_labels(root: Path):
    gap = np.full((SIDE, SIDE), 0.02, np.float32)
    gap[3, 4] = np.nan
    write_tif(root / "Scene_0/10/Scene_0_L2R_rhorc_833_1.tif", gap)
    write_tif(root / "Scene_0/10/Scene_0_L2R_cl_10.tif", np.zeros((SIDE, SIDE), np.uint8))
    train = open_splits(task())["train"]
    assert np.argwhere(~train.read(0).valid).tolist() == [[3, 4]]
    assert train.dropped == {"no label at a valid pixel": ("Scene_0_10",)}


def test_own_split_file(root: Path):
    rows = ("Scene_0_1,train", "Scene_0_10,train", "Scene_7_0,val", "Scene_12_3,test", "Scene_9_0,test")
    write_lines(root / "splits.csv", "chip,split", *rows)
    (root / "Scene_0/10/Scene_0_L2R_cl_10.tif").unlink()
    splits = open_splits(task())
    assert splits["train"].ids == ("Scene_0_1",)
    assert splits["train"].dropped == {"label file is absent": ("Scene_0_10",)}
    assert splits["test"].dropped == {"file of a band is absent": ("Scene_9_0",)}
    assert splits["test"].definition == "custom"


def test_one_scene_in_two_splits_is_refused_unless_the_task_says_so(root: Path):
    write_lines(root / "splits/val_X.txt", "Scene_0_10")
    write_lines(root / "splits/train_X.txt", "Scene_0_1")
    assert open_splits(task())["val"].ids == ("Scene_0_10",)
    with pytest.raises(DataError, match="group 'Scene_0' is in splits 'train' and 'val'"):
        open_splits(task(shared_groups=False))


def test_partial_copies(root: Path):
    (root / "Scene_7/20/Scene_7_L2R_rhorc_1610_0.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 4 listed files missing; the first is .*Scene_7_L2R_rhorc_1614_0"):
        open_splits(task())
    (root / "splits/test_X.txt").unlink()
    with pytest.raises(DataError, match=r"split lists test_X.txt are missing, but other lists exist"):
        open_splits(task())
    with pytest.raises(Unavailable, match=r"neither splits.csv nor train_X.txt, val_X.txt, test_X.txt.*zenodo"):
        mados.read_listing(task(), root / "elsewhere")


def test_lists_of_something_else(root: Path):
    write_lines(root / "splits/val_X.txt", "S2_12-1-18_a")
    with pytest.raises(DataError, match=r"val_X.txt: 'S2_12-1-18_a' is not the name of a crop, expected <scene>"):
        open_splits(task())


@pytest.mark.parametrize(
    ("file", "pixels", "says"),
    [
        ("20/Scene_0_L2R_rhorc_865_1.tif", np.full((12, 12), 0.02, np.float32), r"\(12, 12\) pixels of 20 m do"),
        ("10/Scene_0_L2R_rhorc_492_1.tif", np.full((3, 12, 12), 0.02, np.float32), "3 bands, expected 1"),
        ("10/Scene_0_L2R_cl_1.tif", np.full((12, 12), 16, np.uint8), "label values 16 are out of range, expected 0, 1"),
        (
            "10/Scene_0_L2R_cl_1.tif",
            np.ones((6, 6), np.uint8),
            r"map has \(6, 6\) pixels but the image has \(12, 12\)",
        ),
    ],
)
def test_a_file_that_is_not_what_its_name_says(root: Path, file: str, pixels: np.ndarray, says: str):
    write_tif(root / "Scene_0" / file, pixels)
    with pytest.raises(DataError, match=says):
        open_splits(task())


@pytest.mark.parametrize(("scale", "median"), [(1.0, "0.0074"), (1e8, r"7.4e\+05")])
def test_units_off_by_ten_thousand(root: Path, scale: float, median: str):
    with pytest.raises(DataError, match=rf"the median value is {median} DN, expected 2 to 20000"):
        open_splits(task(scale=scale))


# The stand-in is written for the same reader.


def small() -> TaskSpec:
    spec = load_catalog().task("mados_sim")
    return spec.model_copy(update={"sizes": (9, 3, 5), "options": {"chip": 40}})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "mados"
    write_mados(folder, small())
    return folder


def test_averages_by_hand():
    pixels = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    # Rows and columns beyond the edge repeat the last ones: the right column is (4 + 9) / 2, the last corner 14.
    np.testing.assert_allclose(coarser(pixels, 2)[0], [[3, 5, 6.5], [10.5, 12.5, 14]])


def test_classes_of_the_scenes_are_the_published_ones():
    published = [name.lower().replace("&", "and") for name in load_catalog().task("mados").classes]
    assert published == list(MARINE[1:])


def test_standin_has_the_sizes_asked_for_and_scenes_in_one_split(simulated: Path):
    listing = mados.read_listing(small(), simulated)
    assert [len(items) for items in listing.items.values()] == [9, 3, 5]
    scenes = [{item.group for item in items} for items in listing.items.values()]
    assert [len(found) for found in scenes] == [3, 1, 2]
    assert len(set.union(*scenes)) == 6


def test_standin_has_both_satellites_and_three_resolutions(simulated: Path):
    names = {path.name for path in simulated.rglob("*_0.tif")}
    assert {"Scene_0_L2R_rhorc_443_0.tif", "Scene_1_L2R_rhorc_442_0.tif"} <= names
    # 40 pixels of 10 m are 20 of 20 m, and not quite 7 of 60 m.
    sides = {path.parent.name: read_tif(path).shape[1:] for path in simulated.rglob("*_rhorc_*_0.tif")}
    assert sides == {"10": (40, 40), "20": (20, 20), "60": (7, 7)}


def test_standin_is_the_same_every_time(simulated: Path, tmp_path: Path):
    write_mados(tmp_path / "again", small())
    assert tree(tmp_path / "again") == tree(simulated)


def test_standin_through_the_catalog():
    splits = open_splits(small())
    assert {name: len(split) + sum(map(len, split.dropped.values())) for name, split in splits.items()} == {
        "train": 9,
        "val": 3,
        "test": 5,
    }
    train = splits["train"]
    assert len(train) > 5
    labels = np.stack([train.read_target(index) for index in range(len(train))])
    assert len(np.unique(labels)) > 4
    assert 0.02 < (labels >= 0).mean() < 0.6
    assert train.read(0).pixels.shape == (11, 40, 40)


def placed(root: Path, shifted: str = "") -> None:
    """Give every file its place, as large as the pixels of its folder; that of ``shifted`` is 60 m further east."""
    for path in root.rglob("*.tif"):
        place_tif(path, 60 if shifted and shifted in path.name else 0, metres=int(path.parent.name))


def test_bands_and_labels_of_several_pixel_sizes_lie_on_one_grid(root: Path):
    before = open_splits(task())["train"].read_pair(0)
    placed(root)
    image, labels = open_splits(task())["train"].read_pair(0)
    np.testing.assert_array_equal(image.pixels, before[0].pixels)
    np.testing.assert_array_equal(labels, before[1])


@pytest.mark.parametrize("shifted", ["rhorc_443", "rhorc_1614", "_cl_"])
def test_band_or_label_of_another_place_is_refused(root: Path, shifted: str):
    placed(root, shifted)
    with pytest.raises(DataError, match=rf"{shifted}.*the grid .* differs|differs from that of .*{shifted}"):
        open_splits(task())["train"].read_pair(0)
