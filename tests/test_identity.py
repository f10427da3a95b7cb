"""What data are known by: every byte that is read counts, and nothing else; a change during a run ends it."""

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zarr

from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data.identity import items_sha256, labels_sha256
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.data.items import Item
from geofm_eval.data.split import Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError
from geofm_eval.extraction import Extraction
from geofm_eval.feature_blocks import FeatureBlock, extract
from geofm_eval.paths import geofm_cache
from geofm_eval.progress import LogProgress

CATALOG = load_catalog()
EUROSAT = CATALOG.task("eurosat").model_copy(update={"offset_checked": False})
FLOODS = CATALOG.task("sen1floods11")
CLASSES = ("Forest", "River")


def write_tif(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    shape = {"count": count, "height": height, "width": width, "dtype": values.dtype}
    with rasterio.open(path, "w", driver="GTiff", transform=rasterio.Affine(10, 0, 0, 0, -10, 0), **shape) as file:
        file.write(values)


def edit(path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
    """Change values in place: the size stays."""
    size = path.stat().st_size
    with rasterio.open(path, "r+") as file:
        file.write(change(file.read()))
    assert path.stat().st_size == size


def write_eurosat(home: Path, add: int = 0) -> Path:
    root = home / EUROSAT.root
    rows = ["file,class,split"]
    for number in range(12):
        name = f"{CLASSES[number % 2]}/{CLASSES[number % 2]}_{number}.tif"
        pixels = np.random.default_rng(number).integers(300, 3000, (13, 8, 8)) + add
        write_tif(root / name, pixels.astype(np.uint16))
        rows.append(f"{name},{CLASSES[number % 2]},{('train', 'val', 'test')[number // 4]}")
    (root / "splits.csv").write_text("\n".join(rows))
    return root


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    return write_eurosat(tmp_path)


def block(split: Split) -> FeatureBlock:
    spec = CATALOG.model("band_stats")
    adapter = InputAdapter(spec, split.task, CATALOG.recipe("probing"))
    return extract(load_backbone(spec, adapter), adapter, split)


def identity(task: TaskSpec = EUROSAT, split: str = "train") -> str:
    return open_splits(task)[split].items_sha256


def test_images_edited_in_place_give_other_features(root: Path):
    before = block(open_splits(EUROSAT)["train"])
    for path in root.rglob("*.tif"):
        edit(path, lambda values: values // 2)
    after = block(open_splits(EUROSAT)["train"])
    assert before.key != after.key
    np.testing.assert_allclose(after.meta["channels"][0]["mean"], before.meta["channels"][0]["mean"] / 2, rtol=1e-3)


def test_two_data_sets_of_the_same_names_and_sizes_share_no_features(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_eurosat(tmp_path / "other", add=500)
    other = EUROSAT.model_copy(update={"slug": "other", "root": f"other/{EUROSAT.root}"})
    one, two = (block(open_splits(task)["train"]) for task in (EUROSAT, other))
    assert two.meta["channels"][0]["mean"] == pytest.approx(one.meta["channels"][0]["mean"] + 500)


def test_a_copy_elsewhere_is_the_same_data(root: Path, tmp_path: Path):
    shutil.copytree(root, tmp_path / "copy")
    assert identity(EUROSAT.model_copy(update={"root": "copy"})) == identity()


def test_two_images_swapped_are_noticed(root: Path):
    before, labels = identity(), open_splits(EUROSAT)["train"].labels_sha256
    one, other = root / "Forest/Forest_0.tif", root / "River/River_1.tif"
    first = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(first)
    assert identity() != before
    assert open_splits(EUROSAT)["train"].labels_sha256 == labels


def test_only_the_selected_files_count(root: Path):
    before = identity()
    write_tif(root / "Forest/Forest_99.tif", np.ones((13, 8, 8), np.uint16))
    edit(root / "Forest/Forest_4.tif", lambda values: values + 1)
    for ending in (".tif.ovr", ".tif.aux.xml", ".tfw"):  # nothing reads them
        (root / "Forest/Forest_0").with_suffix(ending).write_bytes(b"extra")
    (root / "readme.txt").write_text("more")
    assert identity() == before


def test_a_mask_beside_an_image_counts(root: Path):
    mask = root / "Forest" / "Forest_0.tif.msk"
    before = identity()
    write_tif(mask, np.zeros((1, 8, 8), np.uint8))
    first = identity()
    edit(mask, lambda values: values + 255)
    assert len({before, first, identity()}) == 3


def test_an_offset_repaired_in_place_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    root, rows = tmp_path / EUROSAT.root, ["file,class,split"]
    for number in range(24):
        pixels = np.random.default_rng(number).integers(1100, 3000, (13, 8, 8)).astype(np.uint16)
        write_tif(root / f"Forest/{number}.tif", pixels)
        rows.append(f"Forest/{number}.tif,Forest,{('train', 'val', 'test')[number // 8]}")
    (root / "splits.csv").write_text("\n".join(rows))
    with pytest.raises(DataError, match="offset = -1000"):
        open_splits(CATALOG.task("eurosat"))
    for path in root.rglob("*.tif"):
        edit(path, lambda values: values - 1000)
    assert len(open_splits(CATALOG.task("eurosat"))["train"]) == 8


def item(path: Path, **more: object) -> Item:
    return Item("one", path, None, **more)  # type: ignore[arg-type]


def test_which_images_of_a_series_are_taken_counts(tmp_path: Path):
    task = CATALOG.task("pastis")
    path = tmp_path / "series.npy"
    chosen = [
        {"frames": (0, 1), "dates": (date(2019, 1, 1), date(2019, 2, 1))},
        {"frames": (1, 0), "dates": (date(2019, 1, 1), date(2019, 2, 1))},
        {"frames": (0, 1), "dates": (date(2019, 1, 1), date(2019, 3, 1))},
    ]
    assert len({items_sha256(task, [item(path, **one)], {path: "a"}) for one in chosen}) == 3


def test_every_file_of_an_image_counts_in_its_order(tmp_path: Path):
    one, other = tmp_path / "a.tif", tmp_path / "b.tif"
    known = {one: "1" * 64, other: "2" * 64}
    orders = [item(one, others=(other,)), item(other, others=(one,)), item(one), item(other)]
    assert len({items_sha256(FLOODS, [found], known) for found in orders}) == 4


def test_a_member_of_a_cube_counts(tmp_path: Path):
    def cube(name: str) -> str:
        path = tmp_path / f"{name}.zarr.zip"
        with zarr.storage.ZipStore(path, mode="w") as store:
            group = zarr.create_group(store)
            group.create_array("bands", data=np.zeros((4, 2, 8, 8), np.float32))
            group.create_array("band", data=np.array([ord(letter) for letter in name]))
        task = CATALOG.task("neuco_biomass_mean")
        split = Split(task, "all", (Item("one", path, 1.0),), "custom", lambda _: np.zeros(1))
        return split.items_sha256

    assert cube("ab") != cube("ba")


def test_labels_are_known_by_their_values_or_by_the_content_of_their_files(tmp_path: Path):
    path = tmp_path / "a.tif"
    classes = [Item("one", path, 0), Item("one", path, 1)]
    assert len({labels_sha256(EUROSAT, [one], {}) for one in classes}) == 2
    dense = [
        labels_sha256(task, [item(path, target=path)], {path: content})
        for task, content in ((FLOODS, "a"), (FLOODS, "b"), (FLOODS.model_copy(update={"ignore": -2}), "a"))
    ]
    assert len(set(dense)) == 3


def test_simulated_data_are_known_by_their_generator(monkeypatch: pytest.MonkeyPatch):
    task = CATALOG.task("eurosat_sim").model_copy(update={"sizes": (10, 10, 10)})
    split = open_splits(task)["train"]
    assert not split._contents
    before = items_sha256(task, split.items, {})
    monkeypatch.setattr("geofm_eval.data.identity.GENERATOR_VERSION", 0)
    assert items_sha256(task, split.items, {}) != before


def replaced(path: Path) -> None:
    edit(path, lambda values: values + 7)


def removed(path: Path) -> None:
    path.unlink()


def masked(path: Path) -> None:
    path.with_name(path.name + ".msk").write_bytes(b"mask")


@pytest.mark.parametrize("change", [replaced, removed, masked])
def test_data_that_change_during_a_run_end_it_and_store_nothing(
    root: Path, change: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
):
    split = open_splits(EUROSAT)["train"]
    batches = Extraction._batches

    def disturbed(self: Extraction, *args: Any, **more: Any):
        yield from batches(self, *args, **more)
        change(root / "Forest/Forest_0.tif")

    monkeypatch.setattr(Extraction, "_batches", disturbed)
    with pytest.raises(DataError, match=r"Forest_0\.tif(\.msk)?: (the file changed during|cannot read the file)"):
        block(split)
    assert not list((geofm_cache() / "features").glob("v1/[!.]*"))


def test_progress_of_hashing_is_the_runs_own(root: Path):
    names: list[str] = []

    def start(name: str, total: int) -> LogProgress:
        names.append(name)
        return LogProgress(name, total)

    assert open_splits(EUROSAT, start)["train"].items_sha256
    assert names == [f"hashing the files of {EUROSAT.root}"]
