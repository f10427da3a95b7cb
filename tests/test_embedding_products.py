"""A published product of embeddings at real points: scores as scikit-learn computes them from the same files."""

import csv
import gzip
import random
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.preprocessing import StandardScaler

from geofm_eval.catalog import Case, load_catalog
from geofm_eval.measure import Context, measurement_of
from geofm_eval.workspace import Settings, Workspace

CHANNELS = [f"A{number:02d}" for number in range(64)]

LAND_COVER = """
[tasks.{slug}]
title = "Land cover at points"
reader = "table"
root = "{root}"
bands = []
product = "any"
classes = ["water", "trees", "grass", "flooded", "crops", "shrub", "built", "bare", "snow"]
options = {{ file = {files}, id = "system:index", label = "dw_label" }}
label_fractions = [1.0]
label_source = "model"
{more}
"""

BACKSCATTER = """
[tasks.{slug}]
title = "Backscatter at points"
kind = "regression"
metric = "r2"
reader = "table"
root = "{root}"
bands = []
product = "any"
options = {{ file = {files}, id = "system:index", label = "S1_VV" }}
label_fractions = [1.0]
{more}
"""

PRODUCT = """
[models.product]
title = "Annual embedding"
architecture = "table"
tasks = ["dynworld", "backscatter", "elsewhere"]
options = {{ files = {files}, columns = "A*", key = "system:index" }}
embedding = {{ product_version = "V1", product_year = 2024, inputs = ["VV", "VH"] }}
"""


@pytest.fixture(scope="module")
def files(real_home: Path) -> list[Path]:
    found = sorted((real_home / "data" / "alphaearth").glob("*.csv.gz"))
    if not found:
        pytest.skip(f"no points of AlphaEarth in {real_home}/data/alphaearth")
    return found


@pytest.fixture
def workspace(files: list[Path], tmp_path: Path) -> Workspace:
    names, root = [path.name for path in files], files[0].parent
    other = f'{{ train = "{names[1]}", test = "{names[0]}" }}'
    entries = (
        LAND_COVER.format(slug="dynworld", root=root, files=names, more='split = "random"'),
        BACKSCATTER.format(slug="backscatter", root=root, files=names, more='split = "random"'),
        BACKSCATTER.format(slug="elsewhere", root=root, files=other, more=""),
        PRODUCT.format(files=[str(path) for path in files]),
    )
    (tmp_path / "own.toml").write_text("".join(entries).replace("'", '"'))
    return Workspace(load_catalog([tmp_path / "own.toml"]), Settings())


def embeddings(files: list[Path]) -> dict[str, np.ndarray]:
    """Embeddings by id, read with the standard library."""
    found = {}
    for path in files:
        with gzip.open(path, "rt") as file:
            for row in csv.DictReader(file):
                name = f"{path.name.removesuffix('.csv.gz')}/{row['system:index']}"
                found[name] = np.array([float(row[channel]) for channel in CHANNELS], np.float32)
    return found


def fitted(workspace: Workspace, task: str, values: dict[str, np.ndarray], model: object) -> np.ndarray:
    """Predictions of the test samples by a model of scikit-learn on standardised channels."""
    splits = workspace.splits(task)
    train, test = (np.stack([values[one] for one in splits[name].ids]).astype(np.float64) for name in ("train", "test"))
    scaler = StandardScaler().fit(train)
    model.fit(scaler.transform(train), splits["train"].labels)
    return model.predict(scaler.transform(test))


def test_accuracy_is_that_of_scikit_learn(workspace: Workspace, files: list[Path]):
    record = measurement_of(Context(workspace), Case("probe", "product", "dynworld", "linear", "final")).record
    train, test = (workspace.splits("dynworld")[name] for name in ("train", "test"))
    model = LogisticRegression(C=1 / (record.selection.choices[0].chosen * len(train)), max_iter=5000, tol=1e-6)
    expected = np.mean(fitted(workspace, "dynworld", embeddings(files), model) == test.labels)
    assert record.scores["1.0"].value == pytest.approx(expected, abs=1.5 / len(test))
    assert 0.6 < expected < 0.9


@pytest.mark.parametrize("task", ["backscatter", "elsewhere"])
def test_r2_is_that_of_scikit_learn(workspace: Workspace, files: list[Path], task: str):
    record = measurement_of(Context(workspace), Case("probe", "product", task, "ridge", "final")).record
    train, test = (workspace.splits(task)[name] for name in ("train", "test"))
    model = Ridge(alpha=record.selection.choices[0].chosen * len(train))
    expected = r2_score(test.labels, fitted(workspace, task, embeddings(files), model))
    assert record.scores["1.0"].value == pytest.approx(expected, abs=1e-5)
    assert record.provenance.inputs.model_extra["surplus"] == 0


def test_a_row_of_every_sample_is_found_in_both_files(workspace: Workspace, files: list[Path]):
    block, values = workspace.block("product", "dynworld", "test"), embeddings(files)
    for row in random.Random(0).sample(range(len(block.ids)), 50):
        np.testing.assert_array_equal(block.features("final")[row], values[block.ids[row]])
