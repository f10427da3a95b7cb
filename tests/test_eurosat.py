"""What the EuroSAT reader finds on disk: nested archives, split files with places, damaged and absent parts."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError, Unavailable

ROWS = ("Forest/Forest_0.jpg,Forest,train", "Forest/Forest_1.jpg,Forest,val", "River/River_2.jpg,River,test")


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """The RGB edition with one image per split."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return load_catalog().task("eurosat_rgb")


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    folder = tmp_path / task.root
    write_images(folder)
    return folder


def write_images(folder: Path) -> None:
    for number, row in enumerate(ROWS):
        path = folder / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((8, 8, 3), (40 + number, 80, 120), dtype=np.uint8)).save(path)


def write_lists(folder: Path) -> None:
    for row in ROWS:
        file, _, split = row.split(",")
        (folder / f"eurosat-{split}.txt").write_text(f"{Path(file).name}\n\n")


def write_split_file(folder: Path, header: str, rows: list[str], name: str = "splits.csv") -> None:
    (folder / name).write_text("\n".join([header, *rows]), encoding="utf-8-sig")


def test_rgb_values_become_digital_numbers_in_file_order(task: TaskSpec, root: Path):
    write_lists(root)
    image = open_splits(task)["train"].read(0)
    expected = np.array([40, 80, 120]) * 2750 / 255
    assert task.bands == ("B04", "B03", "B02")
    np.testing.assert_allclose(image.pixels.mean((1, 2)), expected, atol=25)  # JPEG is not exact


def test_reads_the_folder_of_the_rgb_archive(task: TaskSpec, tmp_path: Path):
    folder = tmp_path / task.root
    write_images(folder / "2750")
    write_lists(folder)
    assert open_splits(task)["test"].items[0].path == folder / "2750/River/River_2.jpg"


@pytest.mark.parametrize("where", ["", "2750"])
def test_lists_are_read_from_the_root_or_from_beside_the_class_folders(task: TaskSpec, tmp_path: Path, where: str):
    folder = tmp_path / task.root
    write_images(folder / "2750")
    write_lists(folder / where)
    splits = open_splits(task)
    assert {name: split.ids for name, split in splits.items()} == {
        "train": ("Forest_0",), "val": ("Forest_1",), "test": ("River_2",)
    }  # fmt: skip
    assert splits["test"].definition == "official"


def test_own_split_file_may_say_scenes_and_places(task: TaskSpec, root: Path):
    rows = [f"{row},scene_{number},{7.5 + number},48.1" for number, row in enumerate(ROWS)]
    write_split_file(root, "file,class,split,group,lon,lat", rows, "subset.csv")
    splits = open_splits(task)
    assert splits["val"].items[0].lonlat == (8.5, 48.1)
    assert splits["val"].groups is not None
    assert splits["val"].groups.tolist() == ["scene_1"]


def test_scene_in_two_splits_is_refused(task: TaskSpec, root: Path):
    write_split_file(root, "file,class,split,group", [f"{row},same" for row in ROWS])
    with pytest.raises(DataError, match="group 'same' is in splits 'train' and 'val'"):
        open_splits(task)


def test_place_that_is_no_number_is_named(task: TaskSpec, root: Path):
    write_split_file(root, "file,class,split,lon,lat", [f"{row},east,48" for row in ROWS])
    with pytest.raises(DataError, match=r"splits.csv, line 2: lon and lat must be degrees, found 'east'"):
        open_splits(task)


def test_empty_split_is_refused(task: TaskSpec, root: Path):
    write_split_file(root, "file,class,split", list(ROWS[:2]))
    with pytest.raises(DataError, match="split 'test' is empty"):
        open_splits(task)


def test_images_without_any_split_are_unavailable(task: TaskSpec, root: Path):
    with pytest.raises(Unavailable, match=r"neither splits.csv nor eurosat-train.txt.*splits.csv"):
        open_splits(task)


def test_lists_without_any_image_are_unavailable(task: TaskSpec, tmp_path: Path):
    folder = tmp_path / task.root
    folder.mkdir(parents=True)
    write_lists(folder)
    with pytest.raises(Unavailable, match=r"found 0 of 3 listed files in .*; the first is "):
        open_splits(task)


def test_split_list_that_is_no_text_is_named(task: TaskSpec, root: Path):
    write_lists(root)
    (root / "eurosat-val.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"eurosat-val.txt: not a readable text file"):
        open_splits(task)


def test_truncated_jpg_is_named(task: TaskSpec, root: Path):
    write_lists(root)
    path = root / "Forest/Forest_0.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(DataError, match=r"Forest_0.jpg: not a readable image"):
        open_splits(task)["train"].read(0)


def test_every_real_image_is_in_its_unit(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    for split in open_splits(load_catalog().task("eurosat_rgb")).values():
        for index in range(0, len(split), 10):
            assert split.read(index).valid.all()
