"""One folder per class: splits, places and groups of the images, and what is wrong with folders."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.data.readers.folder import read_pool
from geofm_eval.data.readers.own_splits import split_of
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, GeofmError, Unavailable
from geofm_eval.workspace import Settings, Workspace
from tests.own_data import own_task, write_image

CLASSES = ("crop", "forest", "water")
FILES = st.tuples(st.sampled_from(CLASSES), st.sampled_from("abcd"), st.sampled_from((".npy", ".png")))


def write_classes(root: Path, n: int = 2, ending: str = ".npy") -> Path:
    for label, name in enumerate(CLASSES):
        for number in range(n):
            write_image(root / name / f"{number}{ending}", 300 + 400 * label + number)
    return root


def test_folders_of_classes_in_any_depth_and_format(tmp_path: Path):
    write_classes(tmp_path)
    write_image(tmp_path / "water" / "2020" / "may" / "0.tif")
    write_image(tmp_path / "water" / "0.TIFF")
    for hidden in ("water/._0.tif", "water/.cache/9.png", ".git/crop/1.png"):
        write_image(tmp_path / hidden, bands=3)
    for other in ("water/0.txt", "water/0.tif.aux.xml", "notes/readme.md", "overview.png"):
        (tmp_path / other).parent.mkdir(exist_ok=True)
        (tmp_path / other).write_text("")
    pool = read_pool(own_task(tmp_path), tmp_path)
    assert [item.id for item in pool.items] == [
        "crop/0.npy", "crop/1.npy", "forest/0.npy", "forest/1.npy",
        "water/0.TIFF", "water/0.npy", "water/1.npy", "water/2020/may/0.tif",
    ]  # fmt: skip
    assert [item.label for item in pool.items] == [0, 0, 1, 1, 2, 2, 2, 2]
    assert pool.given == {}
    for item in pool.items:
        assert pool.load is not None
        assert pool.load(item).shape == (4, 8, 8)


@pytest.mark.parametrize(
    ("folders", "expected"),
    [
        (("train", "val", "test"), {"train", "val", "test"}),
        (("Train", "Validation", "TEST"), {"train", "val", "test"}),
        (("training", "dev", "testing"), {"train", "val", "test"}),
        (("train", "test"), {"train", "test"}),
        (("train", "valid"), {"train", "val"}),
    ],
)
def test_split_folders_are_the_given_splits(tmp_path: Path, folders: tuple[str, ...], expected: set[str]):
    for folder in folders:
        write_classes(tmp_path / folder, n=1)
    pool = read_pool(own_task(tmp_path), tmp_path)
    assert {*pool.given} == {item.id for item in pool.items}
    assert {*pool.given.values()} == expected
    assert all(split_of(id.split("/")[0]) == split for id, split in pool.given.items())


@pytest.mark.parametrize("name", ["train", "Valid", " DEV ", "water", "Validation", ""])
def test_names_of_splits_ignore_capitals_and_spaces(name: str):
    assert split_of(name) == split_of(name.upper()) == split_of(f" {name} ")


@settings(max_examples=20)
@given(st.lists(FILES, max_size=9))
def test_every_image_is_one_sample_with_the_class_of_its_folder(tmp_path_factory: pytest.TempPathFactory, files: list):
    root = tmp_path_factory.mktemp("own")
    written = {f"{kind}/{stem}{ending}" for kind, stem, ending in files} | {f"{kind}/first.npy" for kind in CLASSES}
    for name in written:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"")
    pool = read_pool(own_task(root), root)
    assert [item.id for item in pool.items] == sorted(written)
    assert all(CLASSES[int(item.label or 0)] == item.id.split("/")[0] for item in pool.items)


def test_classes_may_have_names_of_splits(tmp_path: Path):
    for name in ("train", "test"):
        write_image(tmp_path / name / "0.npy")
    pool = read_pool(own_task(tmp_path, classes=("test", "train")), tmp_path)
    assert pool.given == {}
    assert [item.label for item in pool.items] == [0, 1]


def test_a_class_may_be_absent_from_the_test_split_but_not_from_training(tmp_path: Path):
    write_classes(tmp_path / "train", n=1)
    write_image(tmp_path / "test" / "crop" / "0.npy")
    assert len(read_pool(own_task(tmp_path), tmp_path).items) == 4
    (tmp_path / "train").rename(tmp_path / "other")
    (tmp_path / "test").rename(tmp_path / "train")
    (tmp_path / "other").rename(tmp_path / "test")
    with pytest.raises(DataError, match="train: there is no folder for class 'forest'"):
        read_pool(own_task(tmp_path), tmp_path)


def test_places_are_known_from_georeferenced_images(tmp_path: Path):
    write_classes(tmp_path, n=1)
    write_image(tmp_path / "crop" / "placed.tif", east=10_000)
    *_, item = (item for item in read_pool(own_task(tmp_path), tmp_path).items if item.id == "crop/placed.tif")
    assert item.lonlat is not None
    assert item.box is not None
    np.testing.assert_allclose(item.lonlat, (-2.8812, 40.6504), atol=0.001)
    assert item.box[0] < item.lonlat[0] < item.box[2]
    assert item.box[1] < item.lonlat[1] < item.box[3]


def test_groups_are_found_in_ids(tmp_path: Path):
    for name in CLASSES:
        write_image(tmp_path / name / f"S2A_{name}_1.npy")
    task = own_task(tmp_path, options={"group": "(S2._[a-z]+)_"})
    assert [item.group for item in read_pool(task, tmp_path).items] == ["S2A_crop", "S2A_forest", "S2A_water"]
    write_image(tmp_path / "crop" / "other.npy")
    with pytest.raises(DataError, match="no group in the id 'crop/other"):
        read_pool(task, tmp_path)


@pytest.mark.parametrize(("pattern", "message"), [("(", "not a regular"), ("a", "0 groups"), ("(a)(b)", "2 groups")])
def test_group_is_a_regular_expression_with_one_group(tmp_path: Path, pattern: str, message: str):
    with pytest.raises(ContractError, match=message):
        read_pool(own_task(write_classes(tmp_path), options={"group": pattern}), tmp_path)


def empty_class(root: Path) -> None:
    for path in (root / "forest").iterdir():
        path.unlink()


def no_class(root: Path) -> None:
    empty_class(root)
    (root / "forest").rmdir()


def unknown_class(root: Path) -> None:
    write_image(root / "town" / "0.npy")


def nested(root: Path) -> None:
    for name in CLASSES:
        (root / "images").mkdir(exist_ok=True)
        (root / name).rename(root / "images" / name)


def beside_splits(root: Path) -> None:
    for name in ("train", "test"):
        write_classes(root / name, n=1)


def twice(root: Path) -> None:
    nested(root)
    (root / "images").rename(root / "train")
    for name in ("val", "valid"):
        write_classes(root / name, n=1)


def linked(root: Path) -> None:
    (root / "crop" / "more").symlink_to(root / "water")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (empty_class, r"folder 'forest' has no images \(1 empty, 0 absent\)"),
        (no_class, "there is no folder for class 'forest'"),
        (unknown_class, "1 of 4 folders are not classes of task 'fields', for example 'town'; expected crop, forest"),
        (nested, "'images'; expected crop, forest, water.*or set root to .*images"),
        (beside_splits, "folder 'crop' with 2 images is next to the split folders"),
        (twice, "both mean split 'val'"),
        (linked, "a link to a folder"),
    ],
)
def test_folders_that_do_not_fit_are_explained(tmp_path: Path, spoil, message: str):
    spoil(write_classes(tmp_path))
    with pytest.raises(DataError, match=message) as caught:
        read_pool(own_task(tmp_path), tmp_path)
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 400


def test_one_class_alone_cannot_be_learned(tmp_path: Path):
    with pytest.raises(ContractError, match="classes has only crop"):
        read_pool(own_task(write_classes(tmp_path), classes=("crop",)), tmp_path)


def test_folder_without_images(tmp_path: Path):
    (tmp_path / "crop").mkdir()
    with pytest.raises(Unavailable, match="no folders with images"):
        read_pool(own_task(tmp_path), tmp_path)


def test_folders_hold_classes_only(tmp_path: Path):
    with pytest.raises(ContractError, match="reader = 'table'"):
        read_pool(own_task(tmp_path, kind="regression"), tmp_path)


@pytest.mark.parametrize("ending", [".tif", ".npy"])
def test_mixed_band_counts_name_the_file_and_both_counts(tmp_path: Path, ending: str):
    write_classes(tmp_path, n=5, ending=ending)
    write_image(tmp_path / "crop" / f"odd{ending}", bands=3)
    splits = open_splits(own_task(tmp_path, offset_checked=False, plausible={}))
    split, index = next((s, s.ids.index(f"crop/odd{ending}")) for s in splits.values() if f"crop/odd{ending}" in s.ids)
    with pytest.raises(DataError, match=rf"odd{ending}.*3.*expected 4 ") as caught:
        split.read(index)
    assert len(str(caught.value).replace(str(tmp_path), "")) <= 400


def test_from_folders_to_the_score_of_a_probe(tmp_path: Path):
    """Band values decide the class, so that band statistics solve the task."""
    task = own_task(write_classes(tmp_path, n=15), label_fractions=(1.0,), draws=1)
    known = load_catalog()
    catalog = Catalog(known.models, {task.slug: task}, known.recipes, known.adaptations)
    splits = open_splits(task)
    assert {name: len(split) for name, split in splits.items()} == {"train": 27, "val": 9, "test": 9}
    sweep = Workspace(catalog, Settings()).sweep("band_stats", "fields", "linear")
    assert max(row.test_score for row in sweep.rows) == 1.0


def test_errors_are_of_the_library(tmp_path: Path):
    write_image(tmp_path / "crop" / "0.tif").write_bytes(b"damaged")
    for name in ("forest", "water"):
        write_image(tmp_path / name / "0.npy")
    with pytest.raises(GeofmError, match=r"0\.tif: not a readable GeoTIFF"):
        read_pool(own_task(tmp_path), tmp_path)
