"""HLS Burn Scars on disk: the cut of its two folders into three splits, its nodata, and what is wrong with a copy."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.readers import hls_burn_scars
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, Unavailable
from geofm_eval.simulation.standins.hls_burn_scars import write_hls_burn_scars
from tests.chip_files import read_tif, tree, write_lines, write_tif

SIDE = 6
TRAINING, VALIDATION = 15, 3


def task(slug: str = "hls_burn_scars", **changes: object) -> TaskSpec:
    """The task of a small copy that is complete."""
    return load_catalog().task(slug).model_copy(update={"official_sizes": (13, 2, 3), **changes})


def name(number: int) -> str:
    return f"subsetted_512x512_HLS.S30.T{number % 5 + 10}SGH.2020{number + 100}.v1.4"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Chips whose reflectance is .01 x their number in every band, with a row of mask -1 and a burnt column."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    folder = tmp_path / "data/hls_burn_scars"
    for number in range(TRAINING + VALIDATION):
        place = folder / ("training" if number < TRAINING else "validation")
        labels = np.zeros((SIDE, SIDE), np.int16)
        labels[:, 0] = 1
        labels[0] = -1
        reflectance = np.full((6, SIDE, SIDE), 0.01 * (number + 1), np.float32)
        write_tif(place / f"{name(number)}_merged.tif", reflectance)
        write_tif(place / f"{name(number)}.mask.tif", labels)
    return folder


def test_training_folder_is_cut_as_scikit_learn_cuts_it(root: Path):
    splits = open_splits(task())
    # The draw of PANGAEA's code: all chips of the training folder in order of their names.
    train, val = train_test_split(np.arange(TRAINING), test_size=0.1, random_state=23)
    chips = sorted(name(number) for number in range(TRAINING))
    assert splits["train"].ids == tuple(chips[position] for position in sorted(train))
    assert splits["val"].ids == tuple(chips[position] for position in sorted(val))
    assert splits["test"].ids == tuple(name(number) for number in range(TRAINING, TRAINING + VALIDATION))
    assert {split.definition for split in splits.values()} == {"official"}


def test_cut_of_the_complete_data_set_has_the_declared_sizes():
    folders = {
        "training": tuple(hls_burn_scars._item(Path(), str(number)) for number in range(540)),
        "validation": tuple(hls_burn_scars._item(Path(), str(number)) for number in range(540, 804)),
    }
    found = hls_burn_scars._official(folders)
    assert tuple(map(len, found.values())) == load_catalog().task("hls_burn_scars").official_sizes == (486, 54, 264)
    _, val = train_test_split(np.arange(540), test_size=0.1, random_state=23)
    assert [int(item.id) for item in found["val"]] == sorted(val)


def test_reflectances_become_digital_numbers(root: Path):
    split = open_splits(task())["test"]
    image = split.read(0)
    assert image.pixels.shape == (6, SIDE, SIDE)
    np.testing.assert_allclose(image.pixels, 100 * (TRAINING + 1), rtol=1e-6)
    assert split.groups is not None
    assert set(split.groups) == {"T10SGH", "T11SGH", "T12SGH"}


@pytest.mark.parametrize("value", [9999.0, -9999.0, np.nan])
def test_no_data(root: Path, value: float):
    path = root / "validation" / f"{name(TRAINING)}_merged.tif"
    pixels = read_tif(path)
    pixels[:, 1, 2], pixels[3, 4, 5] = value, value
    write_tif(path, pixels)
    image = open_splits(task())["test"].read(0)
    assert np.argwhere(~image.valid).tolist() == [[1, 2], [4, 5]]
    assert np.nanmax(image.pixels) < 2000


def test_mask_keeps_what_is_missing(root: Path):
    labels = open_splits(task())["test"].read_target(0)
    assert labels.dtype == np.int64
    assert [int((labels == value).sum()) for value in (-1, 0, 1)] == [6, 25, 5]


def test_masks_of_nothing_are_dropped_and_counted(root: Path):
    chip = name(TRAINING + 1)
    write_tif(root / "validation" / f"{chip}.mask.tif", np.full((SIDE, SIDE), -1, np.int16))
    pixels = np.full((6, SIDE, SIDE), 9999, np.float32)
    write_tif(root / "validation" / f"{name(TRAINING)}_merged.tif", pixels)
    test = open_splits(task())["test"]
    assert test.dropped == {"no valid pixel": (name(TRAINING),), "no label at a valid pixel": (chip,)}
    assert len(test) == VALIDATION - 2


def test_own_split_file(root: Path):
    chips = [name(number) for number in (0, 1, 16, 2, 3)]
    rows = [f"{chip},{split}" for chip, split in zip(chips, ("train", "train", "train", "val", "test"), strict=True)]
    write_lines(root / "splits.csv", "chip,split", *rows, f"{name(99)},test")
    (root / "training" / f"{name(1)}.mask.tif").unlink()
    splits = open_splits(task())
    assert splits["train"].ids == (name(0), name(16))
    assert splits["train"].dropped == {"mask file is absent": (name(1),)}
    assert splits["test"].dropped == {"image file is absent": (name(99),)}
    assert splits["test"].definition == "custom"


def test_a_chip_that_both_folders_have_is_listed_with_its_folder(root: Path):
    for ending in ("_merged.tif", ".mask.tif"):
        content = (root / "training" / f"{name(1)}{ending}").read_bytes()
        (root / "validation" / f"{name(0)}{ending}").write_bytes(content)
    rows = [f"{name(16)},val", f"{name(2)},test"]
    write_lines(root / "splits.csv", "chip,split", f"{name(0)},train", *rows)
    with pytest.raises(
        DataError, match=r"is in 2 folders, with different files. Include its folder, for example training/"
    ):
        open_splits(task())
    write_lines(root / "splits.csv", "chip,split", f"training/{name(0)},train", *rows)
    item = open_splits(task())["train"].items[0]
    assert (item.id, item.path.parent.name) == (f"training/{name(0)}", "training")


def test_one_tile_in_two_splits_is_refused_unless_the_task_says_so(root: Path):
    with pytest.raises(DataError, match=r"group 'T1.SGH' is in splits 'train' and"):
        open_splits(task(shared_groups=False))


def test_partial_copies_are_no_official_split(root: Path):
    (root / "training" / f"{name(3)}_merged.tif").unlink()
    says = r"found 14 for training, 3 for validation, expected 18 of .*merged.tif in total. Complete the copy, or list"
    with pytest.raises(DataError, match=says):
        open_splits(task())
    for path in (root / "validation").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="0 for validation"):
        open_splits(task(official_sizes=None))
    for path in (root / "training").iterdir():
        path.unlink()
    with pytest.raises(Unavailable, match=r"neither splits.csv nor .*merged.tif.*hls_burn_scars.tar.gz"):
        open_splits(task())


@pytest.mark.parametrize(
    ("ending", "pixels", "says"),
    [
        ("_merged.tif", np.full((7, SIDE, SIDE), 0.1, np.float32), "7 bands, expected 6"),
        (
            "_merged.tif",
            np.full((6, SIDE, SIDE), 1200.0, np.float32),
            r"median value is 1.2e\+07 DN, expected 20 to .*right, widen plausible = { DN = \[low, high\] }",
        ),
        ("_merged.tif", np.full((6, SIDE, SIDE), 1e-5, np.float32), r"median value is 0.1 DN, expected 20 to 20000"),
        (".mask.tif", np.full((SIDE, SIDE), 255, np.int16), "label values 255 are out of range, expected -1, 0, 1"),
        (".mask.tif", np.zeros((SIDE, 9), np.int16), r"label map has \(6, 9\) pixels but the image has \(6, 6\)"),
    ],
)
def test_a_file_that_is_not_what_its_name_says(root: Path, ending: str, pixels: np.ndarray, says: str):
    write_tif(root / "training" / f"{name(2)}{ending}", pixels)
    with pytest.raises(DataError, match=says):
        open_splits(task())


def test_an_image_without_a_mask(root: Path):
    (root / "training" / f"{name(2)}.mask.tif").unlink()
    with pytest.raises(DataError, match=r"1 of 18 listed files missing; the first is .*mask.tif"):
        open_splits(task())


def test_options_are_refused(root: Path):
    with pytest.raises(ContractError, match="option fold is unknown to reader 'hls_burn_scars'; expected none"):
        open_splits(task(options={"fold": 1}))


# The stand-in is written for the same reader.


def small() -> TaskSpec:
    spec = load_catalog().task("hls_burn_scars_sim")
    return spec.model_copy(update={"sizes": (13, 5, 7), "options": {"chip": 32}})


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated") / "hls_burn_scars"
    write_hls_burn_scars(folder, small())
    return folder


def test_standin_has_the_sizes_asked_for(simulated: Path):
    listing = hls_burn_scars.read_listing(small(), simulated)
    assert [len(items) for items in listing.items.values()] == [13, 5, 7]
    assert {item.path.parent.name for item in listing.items["test"]} == {"validation"}
    for item in listing.items["train"]:
        pixels, labels = listing.load(item), listing.load_target(item)
        assert pixels.shape == (6, 32, 32)
        assert pixels.dtype == np.float32
        measured = pixels[pixels != 9999]
        assert 0 < np.median(measured) < 1
        assert set(np.unique(labels)) <= {-1, 0, 1}
        assert (labels[(pixels == 9999).any(axis=0)] == -1).all()


def test_standin_is_the_same_every_time(simulated: Path, tmp_path: Path):
    write_hls_burn_scars(tmp_path / "again", small())
    assert tree(tmp_path / "again") == tree(simulated)


def test_standin_through_the_catalog():
    splits = open_splits(small())
    assert {name: len(split) + sum(map(len, split.dropped.values())) for name, split in splits.items()} == {
        "train": 13,
        "val": 5,
        "test": 7,
    }
    labels = np.concatenate([splits["train"].read_target(index).ravel() for index in range(len(splits["train"]))])
    assert 0.02 < (labels == 1).sum() / (labels >= 0).sum() < 0.6
