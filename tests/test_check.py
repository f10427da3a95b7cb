"""The check of models and tasks before a run: everything is loaded, and what would fail is refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.checking import check_task
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers import READERS
from geofm_eval.errors import DataError, Unavailable
from tests.chip_files import write_tif

PER_SPLIT = {"train": 3, "val": 2, "test": 1}


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """EuroSAT RGB of six images with the official lists, in a home."""
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    root = tmp_path / "data" / "eurosat_rgb"
    (root / "River").mkdir(parents=True)
    number = 0
    for split, count in PER_SPLIT.items():
        names = [f"River_{number + index}" for index in range(count)]
        number += count
        for name in names:
            pixels = np.random.default_rng(number).integers(20, 120, (64, 64, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(root / "River" / f"{name}.jpg")
        (root / f"eurosat-{split}.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    facts = {"official_sizes": (3, 2, 1), "size": "90 MB", "layout": ("<Class>/<Class>_<n>.jpg", "eurosat-train.txt")}
    return load_catalog().task("eurosat_rgb").model_copy(update=facts)


def lines_of(task: TaskSpec) -> list[str]:
    return list(check_task(task).lines)


def test_complete_copy_is_counted_and_called_complete(task):
    assert lines_of(task) == [
        "eurosat_rgb: readable and complete",
        "  train    3 of 3 samples; the first, River_0, is 3 x 64 x 64, 100% valid",
        "  val      2 of 2 samples; the first, River_3, is 3 x 64 x 64, 100% valid",
        "  test     1 of 1 samples; the first, River_5, is 3 x 64 x 64, 100% valid",
        "  split    official",
    ]


def test_copy_with_fewer_items_than_published_is_not_complete(task):
    larger = task.model_copy(update={"official_sizes": (3, 2, 7)})
    with pytest.raises(DataError, match=r"split 'test' has 1 samples, but the complete data set has 7"):
        lines_of(larger)


def test_copy_with_a_split_file_of_its_own_is_called_custom(task, tmp_path):
    rows = [f"River/River_{n}.jpg,River,{split}" for n, split in enumerate(["train", "val", "test"])]
    (tmp_path / "data/eurosat_rgb/splits.csv").write_text("\n".join(["file,class,split", *rows]))
    lines = lines_of(task)
    assert lines[1].startswith("  train    1 of 3 samples; ")
    assert "custom (from the folder's split file)" in lines[-1]


def test_damaged_image_is_named(task, tmp_path):
    (tmp_path / "data/eurosat_rgb/River/River_3.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"River_3\.jpg: not a readable image"):
        lines_of(task)


def test_absent_data_come_with_instructions(task, tmp_path):
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(Unavailable, match=r"eurosat_rgb does not exist\. Unpack EuroSAT\.zip"):
        lines_of(task)


def test_targets_of_dense_tasks_are_read_and_dropped_items_are_counted(tmp_path, monkeypatch):
    chip = tmp_path / "chip.tif"
    chip.touch()

    def read_listing(task: TaskSpec, root: Path) -> Listing:
        items = {name: (Item(f"{name}_0", chip, None, target=chip),) for name in PER_SPLIT}
        dropped = {"test": {"label is NaN": ("a", "b")}}
        pixels, target = np.full((1, 8, 6), 500.0, np.float32), np.zeros((8, 6), np.int64)
        return Listing(root, items, "official", lambda item: pixels, lambda item: target, dropped)

    monkeypatch.setitem(READERS, "made_up", read_listing)
    dense = TaskSpec(
        slug="dense", title="Dense", kind="segmentation", metric="miou", reader="made_up", root=str(tmp_path),
        bands=("B04",), product="L1C", classes=("land", "water"), official_sizes=(1, 1, 3),
    )  # fmt: skip
    lines = lines_of(dense)
    assert lines[1] == "  train    1 of 1 samples; the first, train_0, is 1 x 8 x 6, target 8 x 6, 100% valid"
    assert lines[3].startswith("  test     1 of 3 samples; 2 dropped: label is NaN; the first, ")


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, r"\(nodata 0 is background; to ignore it, set label_nodata = 'ignore'\)"),
        ("ignore", r"\(nodata 0: no label\)"),
    ],
)
def test_what_the_nodata_of_labels_means_is_said(tmp_path, monkeypatch, told, says):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    fields = load_catalog().task("ai4smallfarms").model_copy(update={"official_sizes": (1, 1, 1), "label_nodata": told})
    for number, split in enumerate(("train", "validate", "test")):
        folder = tmp_path / fields.root / "sentinel-2-asia" / split
        write_tif(folder / "images" / f"{number}.tif", np.full((4, 6, 6), 900, np.uint16))
        write_tif(folder / "masks" / f"{number}.tif", np.eye(6, dtype=np.uint8), nodata=0)
    assert re.search(says, lines_of(fields)[1])


def test_simulated_data_can_be_checked():
    task = load_catalog().task("eurosat_sim")
    lines = lines_of(task.model_copy(update={"sizes": (20, 10, 10)}))
    assert lines[0] == "eurosat_sim: readable and complete"
    assert lines[1].startswith("  train    20 of 20 samples; the first, AnnualCrop_1, is 13 x 64 x 64")
