"""The pages on own data and own embeddings, followed literally: commands, entries and the reader that they show."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from geofm_eval.catalog import load_catalog
from geofm_eval.data.readers.own_reader import read_pool
from tests.own_data import own_task, write_image
from tests.test_readme import BLOCK, ROOT

CLASSES = ("crop", "forest", "water")
PLOTS = """
[tasks.my_plots]
title = "Plots"
reader = "table"
root = "/data/plots.csv"
classes = ["a", "b"]
bands = []
product = "any"
"""


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return [one["text"] for one in BLOCK.finditer(text) if one["language"] == language and not one["mark"]]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What commands need of the repository, and the data that the pages name."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("conftest.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for name in ("fixtures", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("studies", "expected"))
    rng = np.random.default_rng(0)
    rows = ["id,crop,lon,lat,A00,A01,A02,A03"]
    for number in range(30):
        write_image(folder / "data/my_scenes" / CLASSES[number % 3] / f"{number}.tif", 400 + number)
        place, vector = (10 + number % 6 * 0.1, 50 + number // 6 * 0.1), rng.normal(number % 3, 1, 4)
        rows.append(",".join(map(str, (f"p{number}", CLASSES[number % 3], *place, *vector))))
    (folder / "data/plots.csv").write_text("\n".join(rows) + "\n")
    fields = [row.split(",") for row in rows]
    (folder / "data/labels.csv").write_text("\n".join(",".join(row[:2]) for row in fields) + "\n")
    vectors = {
        name: [row[place] for row in fields[1:]] for place, name in enumerate(fields[0]) if place not in (1, 2, 3)
    }
    table = {name: values if name == "id" else [float(value) for value in values] for name, values in vectors.items()}
    parquet.write_table(pyarrow.table(table), folder / "data/embeddings.parquet")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", ["bring_data.md", "bring_embeddings.md"])
def test_the_commands_of_a_page_run_in_their_order(page: str, checkout: Path):
    """Measurements are collected only."""
    own = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "PYTEST_ADDOPTS": "--collect-only",
    }
    for block in blocks(page, "bash"):
        done = subprocess.run(
            ["bash", "-euc", block],
            cwd=checkout,
            env={**os.environ, **own},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_commands_of_the_second_page_name_the_entries_that_init_writes(checkout: Path):
    words = " ".join(blocks("bring_embeddings.md", "bash"))
    assert "vectors01" in words
    assert "plots,plots_random" in words


@pytest.mark.parametrize("page", ["bring_data.md", "bring_embeddings.md"])
def test_entries_of_a_page_are_valid(page: str, tmp_path: Path):
    shown = blocks(page, "toml")
    assert shown
    for entry in shown:
        (tmp_path / "my.toml").write_text(entry if "my_plots" not in entry else PLOTS + entry)
        load_catalog([tmp_path / "my.toml"])


def test_the_readers_of_the_page_are_all_there_are():
    from geofm_eval.catalog.tasks import OWN_READERS

    text = (ROOT / "docs" / "bring_data.md").read_text(encoding="utf-8")
    assert all(f'reader = "{name}"' in text for name in OWN_READERS)


def test_the_reader_of_the_page_reads_a_data_set_of_torchgeo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    datasets = pytest.importorskip("torchgeo.datasets")
    code = blocks("bring_data.md", "python")[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 20
    (tmp_path / "reader.py").write_text(code)

    class Few:
        def __init__(self, root: Path, split: str) -> None:
            files = [write_image(root / split / f"{number}.tif", 400 + number) for number in range(3)]
            self.samples = [(str(path), number) for number, path in enumerate(files)]

        def __getitem__(self, number: int) -> dict[str, torch.Tensor]:
            return {"image": torch.full((3, 8, 8), number)}

    monkeypatch.setattr(datasets, "UCMerced", Few)
    pool = read_pool(own_task(tmp_path, f"{tmp_path}/reader.py:read"), tmp_path)
    assert {split: sum(one == split for one in pool.given.values()) for split in ("train", "val", "test")} == {
        "train": 3, "val": 3, "test": 3,
    }  # fmt: skip
    assert pool.load is not None
    assert pool.load(pool.items[2]).shape == (3, 8, 8)
    assert pool.load(pool.items[2])[0, 0, 0] == 2


def test_the_recipe_for_stac_is_short():
    code = blocks("bring_data.md", "python")[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    compile(code, "stac", "exec")
