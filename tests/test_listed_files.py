"""Files that lists and folders name: none outside the data set, no litter, ids that are paths, places that may lack."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from geofm_eval.catalog import TaskSpec, WeightsSpec, load_catalog
from geofm_eval.data.readers.listed import check_inside, visible
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError
from geofm_eval.fetch import path_sha256
from geofm_eval.paths import escape
from tests.chip_files import write_lines, write_tif

OUTSIDE = (
    "/vsicurl/http://127.0.0.1/a.tif",
    "/vsizip/a.zip/a.tif",
    "http://127.0.0.1/a.tif",
    "s3://bucket/a.tif",
    "zip+https://host/a.zip!a.tif",
    "file:///etc/passwd",
    "/etc/passwd",
    "../../other/a.tif",
    "Forest/../../a.tif",
    "..\\a.tif",
)
APPLE = b"\0\5\x16\7\0\2\0\0Mac OS X        " + b"\0" * 200


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return load_catalog().task("eurosat")


@pytest.fixture
def root(task: TaskSpec, tmp_path: Path) -> Path:
    """Images of the same names in the folders of two classes."""
    folder = tmp_path / task.root
    rows = []
    for kind in ("Forest", "River"):
        for number, split in enumerate(("train", "val", "test")):
            write_tif(folder / kind / f"000{number}.tif", np.full((13, 4, 4), 300 + number, np.uint16))
            rows.append(f"{kind}/000{number}.tif,{kind},{split}")
    write_lines(folder / "splits.csv", "file,class,split", *rows)
    return folder


def replace_first(root: Path, name: str) -> None:
    lines = (root / "splits.csv").read_text().splitlines()
    write_lines(root / "splits.csv", lines[0], f'"{name}",Forest,train', *lines[2:])


@pytest.mark.parametrize("name", OUTSIDE)
def test_list_cannot_lead_out_of_the_data_set(task: TaskSpec, root: Path, name: str):
    replace_first(root, name)
    with pytest.raises(DataError, match=r"splits.csv, line 2: '.*expected a name below the folder"):
        open_splits(task)


@pytest.mark.parametrize("reader", ["sen1floods11", "hls_burn_scars", "mados", "ai4smallfarms"])
@pytest.mark.parametrize("name", OUTSIDE[:9])
def test_chip_lists_cannot_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: str, name: str):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    task = load_catalog().task(reader)
    write_lines(tmp_path / task.root / "splits.csv", "chip,split", f'"{name}",train')
    with pytest.raises(DataError, match="expected a name below the folder"):
        open_splits(task)


@pytest.mark.parametrize("field", ["root", "options"])
def test_catalog_cannot_either(task: TaskSpec, field: str):
    for name in ("/vsicurl/http://a", "s3://b", "../x", "a/" + "ä" * 128):
        value = name if field == "root" else {"split_lists": name, "edition": "tif"}
        with pytest.raises(ValidationError, match="expected a name below the folder of the data"):
            TaskSpec.model_validate({**task.model_dump(), field: value})


@pytest.mark.parametrize("name", ["/vsicurl/http://a", "s3://b", "../x"])
def test_weights_of_the_catalog_cannot_either(name: str):
    with pytest.raises(ValidationError, match="expected a path below GEOFM_HOME or an absolute one"):
        WeightsSpec(file=name)
    assert WeightsSpec(file="/full/path.pth").file == "/full/path.pth"


@pytest.mark.parametrize("name", ["a.tif", "Forest/Größe 1 ü.tif", "a/../b.tif", "..x/a.tif", "2019-01-01T10:30.tif"])
def test_other_names_are_left_alone(name: str):
    assert escape(name) is None


@pytest.mark.parametrize("what", ["file", "folder"])
def test_link_out_of_the_data_set_is_refused(task: TaskSpec, root: Path, tmp_path: Path, what: str):
    inner = root / "Forest" / "0000.tif" if what == "file" else root / "Forest"
    shutil.move(inner, tmp_path / "elsewhere")
    inner.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataError, match=r"0000.tif: the path leads to .*elsewhere.*, outside the data set"):
        open_splits(task)


def test_linked_data_set_and_links_inside_it_are_read(task: TaskSpec, root: Path, tmp_path: Path):
    shutil.move(root, tmp_path / "disk")
    root.symlink_to(tmp_path / "disk")
    (root / "Forest" / "0000.tif").unlink()
    (root / "Forest" / "0000.tif").symlink_to("../River/0000.tif")
    assert open_splits(task)["train"].read(0).valid.all()


def test_many_files_are_checked_folder_by_folder(tmp_path: Path):
    (tmp_path / "a").mkdir()
    check_inside(tmp_path, (tmp_path / "a" / f"{number}.tif" for number in range(20_000)))


def test_same_names_in_folders_of_classes_are_different_items(task: TaskSpec, root: Path):
    splits = open_splits(task)
    assert splits["train"].ids == ("Forest/0000.tif", "River/0000.tif")
    replace_first(root, "Forest/./0001.tif")
    with pytest.raises(DataError, match=r"sample 'Forest/0001.tif' is in splits 'train' and 'val'"):
        open_splits(task)


def test_litter_of_macos_is_no_item(task: TaskSpec, root: Path):
    (root / "Forest" / "._0000.tif").write_bytes(APPLE)
    with (root / "splits.csv").open("a") as file:
        file.write("Forest/._0000.tif,Forest,train\n")
    assert len(open_splits(task)["train"]) == 2
    assert [path.name for path in visible(root / "Forest", "*.tif")] == ["0000.tif", "0001.tif", "0002.tif"]


def test_litter_does_not_change_the_hash_of_weights(tmp_path: Path):
    (tmp_path / "model.pt").write_bytes(b"weights")
    before = path_sha256(tmp_path)
    for name in ("._model.pt", ".DS_Store", "Thumbs.db"):
        (tmp_path / name).write_bytes(APPLE)
    assert path_sha256(tmp_path) == before


def test_name_that_is_no_text_is_named(tmp_path: Path):
    with open(os.fsencode(tmp_path) + b"/for\xeat.tif", "wb"):
        pass
    with pytest.raises(DataError, match="is not UTF-8") as told:
        visible(tmp_path, "*.tif")
    str(told.value).encode()


@pytest.mark.parametrize(("lon", "lat"), [("500320", "4500000"), ("nan", "48"), ("7", "-91"), ("7", "")])
def test_place_in_a_list_is_in_degrees_or_absent(task: TaskSpec, root: Path, lon: str, lat: str):
    lines = (root / "splits.csv").read_text().splitlines()
    write_lines(root / "splits.csv", f"{lines[0]},lon,lat", *(f"{line},{lon},{lat}" for line in lines[1:]))
    if not lat:
        assert open_splits(task)["train"].items[0].lonlat is None
        return
    with pytest.raises(DataError, match=r"line 2: lon and lat must be degrees, found"):
        open_splits(task)
