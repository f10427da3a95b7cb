"""Stand-ins: written whole or not at all, read by the reader of the real data, and neither too easy nor too hard."""

import errno
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import rasterio

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.catalog.bands import SENTINEL2
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError
from geofm_eval.sharing import temporary_beside
from geofm_eval.simulation import standins
from geofm_eval.simulation.scene import simulate
from geofm_eval.simulation.standins import ensure_standin
from geofm_eval.store import StoreError


@pytest.fixture
def task() -> TaskSpec:
    """The EuroSAT stand-in with a few chips per split."""
    return load_catalog().task("eurosat_sim").model_copy(update={"sizes": (23, 10, 10)})


@pytest.fixture
def small(task: TaskSpec) -> TaskSpec:
    """The same with fewer classes, each of which takes a while to write."""
    return task.model_copy(update={"sizes": (2, 2, 2), "classes": ("Forest", "River")})


def leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.parent.iterdir() if ".tmp-" in path.name]


def test_reader_of_the_real_data_reads_the_stand_in(task: TaskSpec):
    splits = open_splits(task)
    assert {name: len(split) for name, split in splits.items()} == {"train": 23, "val": 10, "test": 10}
    assert {split.definition for split in splits.values()} == {"official"}
    assert np.bincount(splits["train"].labels).tolist() == [3, 3, 3, 2, 2, 2, 2, 2, 2, 2]
    image = splits["train"].read(0)
    expected = np.rint(simulate("AnnualCrop", 1)[0])
    order = [list(SENTINEL2).index(name) for name in task.bands]
    assert task.bands[-1] == "B8A"
    np.testing.assert_array_equal(image.pixels, expected[order])


def test_files_are_geotiffs_of_10_m_like_the_real_ones(task: TaskSpec):
    with rasterio.open(ensure_standin(task) / "River" / "River_1.tif") as file:
        assert (file.count, file.width, file.height, file.dtypes[0]) == (13, 64, 64, "uint16")
        assert file.res == (10.0, 10.0)
        assert file.crs.to_epsg() == 32632


def test_a_whole_stand_in_is_not_written_again(small: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    folder = ensure_standin(small)
    monkeypatch.setattr(standins, "GENERATORS", {"eurosat": None})
    assert ensure_standin(small) == folder


def test_a_damaged_stand_in_is_written_again(small: TaskSpec):
    before = open_splits(small)["test"].items_sha256
    folder = ensure_standin(small)
    (folder / "Forest" / "Forest_1.tif").unlink()
    (folder / "River" / "River_1.tif").write_bytes(b"II*")
    assert open_splits(small)["test"].items_sha256 == before
    assert (folder / "Forest" / "Forest_1.tif").is_file()


def test_another_generator_makes_other_items(small: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    before = open_splits(small)["train"].items_sha256
    monkeypatch.setattr("geofm_eval.data.identity.GENERATOR_VERSION", 0)
    assert open_splits(small)["train"].items_sha256 != before


def test_many_at_once_write_once(small: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    calls: list[Path] = []

    def write(folder: Path, spec: TaskSpec) -> None:
        calls.append(folder)
        standins.eurosat.write_eurosat(folder, spec)

    monkeypatch.setattr(standins, "GENERATORS", {"eurosat": write})
    with ThreadPoolExecutor(4) as pool:
        folders = set(pool.map(ensure_standin, [small] * 4))
    assert len(folders) == len(calls) == 1


def test_interrupted_writing_leaves_nothing_and_can_be_repeated(small: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    def interrupted(folder: Path, spec: TaskSpec) -> None:
        folder.mkdir()
        (folder / "half").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(standins, "GENERATORS", {"eurosat": interrupted})
        with pytest.raises(KeyboardInterrupt):
            ensure_standin(small)
    folder = ensure_standin(small)
    assert not leftovers(folder)


def test_what_a_killed_process_left_is_swept_away(small: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    folder = ensure_standin(small)
    stale = temporary_beside(folder)
    monkeypatch.setattr("geofm_eval.sharing._is_running", lambda process: False)
    stale.mkdir()
    (folder / "standin.json").unlink()
    ensure_standin(small)
    assert not leftovers(folder)


@pytest.mark.parametrize(("code", "says"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "set GEOFM_CACHE")])
def test_full_disk_and_read_only_cache_say_what_to_do(
    small: TaskSpec, monkeypatch: pytest.MonkeyPatch, code: int, says: str
):
    def refused(folder: Path, spec: TaskSpec) -> None:
        raise OSError(code, "refused")

    monkeypatch.setattr(standins, "GENERATORS", {"eurosat": refused})
    with pytest.raises(StoreError, match=says):
        ensure_standin(small)


def test_unknown_generator_is_refused(small: TaskSpec):
    with pytest.raises(ContractError, match=r"stand-in 'mars' is unknown; expected one of eurosat"):
        ensure_standin(small.model_copy(update={"standin": "mars"}))


def test_truncated_pixels_are_named(small: TaskSpec):
    split = open_splits(small)["train"]
    path = split.items[0].path
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"Forest_1.tif: not a readable GeoTIFF"):
        split.read(0)


def test_data_can_be_listed_without_torch():
    code = (
        "import sys, geofm_eval.data.split, geofm_eval.data.labels; assert not {'torch', 'rasterio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
