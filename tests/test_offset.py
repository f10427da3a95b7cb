"""An offset of the files that the task does not declare, and one that it declares and the files lack."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.data import offset
from geofm_eval.datasets import open_splits
from geofm_eval.errors import DataError
from geofm_eval.simulation.standins.pastis import write_pastis

PER_SPLIT = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Patches in the layout of PASTIS, 24 of them, without an offset."""
    home = tmp_path_factory.mktemp("home")
    task = load_catalog().task("pastis_sim")
    write_pastis(home / "data" / "pastis", task.model_copy(update={"sizes": (8, 8, 8), "options": {"chip": 32}}))
    return home


@pytest.fixture
def task(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """The task of the real data on these patches."""
    monkeypatch.setenv("GEOFM_HOME", str(folder))
    return load_catalog().task("pastis").model_copy(update={"root": "data/pastis"})


def shifted(folder: Path, target: Path, by: int, keep: int = 0) -> None:
    """Copy the patches with another number added, but to the first few."""
    for path in sorted(folder.rglob("*")):
        copy = target / path.relative_to(folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if path.is_file() and path.name.startswith("S2_"):
            series = np.load(path)
            number = int(path.stem.split("_")[1]) - 10_000
            np.save(copy, np.where(series == -10_000, series, series + (0 if number < keep else by)).astype(np.int16))
        elif path.is_file():
            copy.write_bytes(path.read_bytes())


def test_data_as_declared_pass_and_are_read_once(task: TaskSpec, monkeypatch: pytest.MonkeyPatch):
    open_splits(task)
    monkeypatch.setattr(offset, "_darkest", lambda *_: pytest.fail("read again"))
    assert len(open_splits(task)["train"]) == PER_SPLIT


def test_an_undeclared_offset_is_refused_every_time(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shifted(folder, tmp_path, 1000)
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    task = load_catalog().task("pastis")
    for _ in range(2):
        with pytest.raises(DataError, match=r"are above 1\d\d\d DN .*Set offset = -1000 .*task 'pastis'"):
            open_splits(task)
    open_splits(task.model_copy(update={"offset": -1000.0}))
    open_splits(task.model_copy(update={"offset_checked": False}))


def test_an_offset_that_files_lack_is_refused(task: TaskSpec):
    declared = task.model_copy(update={"offset": -1000.0, "plausible": {"DN": (-1000.0, 20_000.0)}})
    with pytest.raises(DataError, match=r"5 % of the pixels of B\d+ are below -\d+ DN .*Set offset = 0"):
        open_splits(declared)


def test_a_few_items_cannot_tell(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: TaskSpec):
    monkeypatch.setattr(offset, "FEWEST", 25)
    shifted(folder, tmp_path, 1000)
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    open_splits(task)


def test_empty_pixels_do_not_hide_an_offset(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shifted(folder, tmp_path, 1000)
    for path in tmp_path.rglob("S2_*.npy"):
        series = np.load(path)
        series[..., :4, :4] = 0
        np.save(path, series)
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path))
    with pytest.raises(DataError, match="Set offset = -1000"):
        open_splits(load_catalog().task("pastis"))


def test_real_samples_pass(real_home: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_HOME", str(real_home))
    for slug in ("eurosat_rgb", "fuel_moisture"):
        assert open_splits(load_catalog().task(slug))
