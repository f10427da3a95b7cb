"""What the fetch command says about data sets."""

from pathlib import Path

import pytest

from geofm_eval.catalog import TaskSpec, load_catalog
from geofm_eval.fetch import describe_task
from tests.six_images import six_images


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    return six_images(tmp_path, monkeypatch)


def test_instructions_have_source_licence_size_place_and_layout(task, tmp_path):
    lines = describe_task(task)
    assert lines[0] == "eurosat_rgb: EuroSAT, RGB edition"
    told = dict(line.strip().split("  ", 1) for line in lines[1:-1])
    assert {name: fact.strip() for name, fact in told.items()} == {
        "get it": task.how_to_get,
        "source": "https://github.com/phelber/EuroSAT",
        "licence": "MIT",
        "size": "90 MB",
        "samples": "3 train, 2 val, 1 test",
        "folder": f"{tmp_path}/data/eurosat_rgb (exists)",
        "layout": "<Class>/<Class>_<n>.jpg",
    }
    assert lines[-1].strip() == "eurosat-train.txt"


def test_instructions_need_no_home(task, monkeypatch):
    monkeypatch.delenv("GEOFM_HOME")
    assert any("GEOFM_HOME/data/eurosat_rgb (GEOFM_HOME is not set)" in line for line in describe_task(task))


def test_simulated_data_need_nothing():
    assert "simulated: generated in the cache, nothing to fetch" in describe_task(load_catalog().task("eurosat_sim"))[1]
