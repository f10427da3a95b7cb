"""Tables without images: several files of one task, one file per split, identity, and targets that share features."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.catalog import Case, load_catalog, similarity_cases
from geofm_eval.catalog.notes import notes_of
from geofm_eval.data.split import ALL, Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError, DataError, GeofmError
from geofm_eval.measure import Context, measurement_of
from geofm_eval.probes.job import differ_in_target
from geofm_eval.workspace import Settings, Workspace
from tests.own_data import read_table, table_task, write_image, write_table

CLASSES = ("crop", "forest", "water")
REGIONS = ("iowa", "amazon")

ENTRIES = """
[tasks.plants]
title = "Plants"
reader = "table"
root = "{root}"
bands = []
product = "any"
classes = ["crop", "forest", "water"]
options = {{ file = {file}, id = "system:index", label = "cover" }}
label_fractions = [1.0]
label_year = 2023

[tasks.height]
title = "Height"
kind = "regression"
metric = "r2"
reader = "table"
root = "{root}"
bands = []
product = "any"
options = {{ file = {file}, id = "system:index", label = "height" }}
label_fractions = [1.0]
draws = 1

[tasks.depth]
title = "Depth"
kind = "regression"
metric = "r2"
reader = "table"
root = "{root}"
bands = []
product = "any"
options = {{ file = {file}, id = "system:index", columns = {{ label = "depth" }} }}
label_fractions = [1.0]
draws = 1

[models.own]
title = "Own"
architecture = "table"
tasks = ["plants", "height", "depth"]
options = {{ files = ["iowa.csv.gz", "amazon.csv.gz"], key = "system:index" }}
embedding = {{ product_year = 2024 }}
"""


def write_regions(root: Path, count: int = 60) -> None:
    """One table per region, whose ids repeat, with embeddings that tell the targets."""
    for number, name in enumerate(REGIONS):
        rng = np.random.default_rng(number)
        values = rng.normal(size=(count, 4)).round(6)
        columns: dict[str, list[Any]] = {"system:index": list(range(count))}
        columns |= {f"A{channel:02d}": column.tolist() for channel, column in enumerate(values.T)}
        columns |= {"cover": [CLASSES[row] for row in values[:, :3].argmax(axis=1)]}
        columns |= {"height": values[:, 0].tolist(), "depth": (values[:, 1] - values[:, 2]).tolist()}
        columns |= {"lon": (number + rng.random(count)).tolist(), "lat": rng.random(count).tolist()}
        write_table(root / f"{name}.csv.gz", columns)


def workspace(root: Path, file: str = '["iowa.csv.gz", "amazon.csv.gz"]') -> Workspace:
    (root / "own.toml").write_text(ENTRIES.format(root=root, file=file))
    return Workspace(load_catalog([root / "own.toml"]), Settings())


@settings(max_examples=8)
@given(order=st.permutations(REGIONS), endings=st.tuples(*[st.sampled_from(("csv", "csv.gz", "jsonl", "parquet"))] * 2))
def test_samples_of_several_tables_begin_with_the_name_of_the_file(
    tmp_path_factory: pytest.TempPathFactory, order: list[str], endings: tuple[str, str]
):
    root = tmp_path_factory.mktemp("own")
    names = {region: f"{region}.{ending}" for region, ending in zip(REGIONS, endings, strict=True)}
    for number, name in enumerate(names.values()):
        write_table(root / name, {"id": [1, 0], "label": [number + 0.5, number], "lon": [number] * 2, "lat": [5, 6]})
    pool = read_table(root, kind="regression", options={"file": [names[region] for region in order]})
    assert [(item.id, item.label, item.group, item.lonlat) for item in pool.items] == [
        ("amazon/0", 1, None, (1, 6)),
        ("amazon/1", 1.5, None, (1, 5)),
        ("iowa/0", 0, None, (0, 6)),
        ("iowa/1", 0.5, None, (0, 5)),
    ]
    assert (pool.given, pool.load) == ({}, None)


def test_a_class_may_be_absent_in_one_of_the_tables(tmp_path: Path):
    write_table(tmp_path / "a.csv", {"id": [1, 2], "label": ["crop", "forest"]})
    write_table(tmp_path / "b.csv", {"id": [1], "label": ["water"]})
    options = {"file": ["a.csv", "b.csv"]}
    assert [item.label for item in read_table(tmp_path, options=options).items] == [0, 1, 2]
    with pytest.raises(DataError, match=r"no row has the label 'snow' \(1 of 4 classes"):
        read_table(tmp_path, options=options, classes=(*CLASSES, "snow"))


def test_a_table_per_split_replaces_the_splits_of_the_tables(tmp_path: Path):
    for name in REGIONS:
        write_table(tmp_path / f"{name}.csv", {"id": [1, 2], "label": [1, 2], "split": ["val", "other"]})
    files = {"train": "iowa.csv", "test": "amazon.csv"}
    pool = read_table(tmp_path, kind="regression", options={"file": files})
    assert pool.given == {"iowa/1": "train", "iowa/2": "train", "amazon/1": "test", "amazon/2": "test"}


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ([], "expected a name, a list of names, or a table per split"),
        (["a.csv", 2], "expected a name, a list of names, or a table per split"),
        (["a.csv", "a.jsonl"], "2 tables of options.file are named 'a'"),
        (["a.csv", "c.csv"], "there is no table 'c.csv'; tables in this folder: a.csv, a.jsonl, images.csv"),
        ({"train": "a.csv", "Training": "images.csv"}, "each of train, val and test at most once"),
        ({"train": "a.csv", "north": "images.csv"}, "each of train, val and test at most once"),
        ({"train": "a.csv", "test": "a.csv"}, "another table for each"),
        (["a.csv", "images.csv"], "a.csv has no column of image files, but other tables of the task have one"),
        (["a.csv", "../b.csv"], "'../b.csv' leaves its folder"),
        ({"train": "/b.csv"}, "'/b.csv' "),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, file: Any, message: str):
    for name in ("a.csv", "a.jsonl"):
        write_table(tmp_path / name, {"id": [1, 2], "label": [1, 2]})
    write_table(tmp_path / "images.csv", {"file": ["1.npy"], "label": [1]})
    with pytest.raises((GeofmError, ValueError)) as caught:
        read_table(tmp_path, kind="regression", options={"file": file})
    assert message in str(caught.value).replace(str(tmp_path), "")
    if isinstance(caught.value, GeofmError):
        assert len(str(caught.value).replace(str(tmp_path), "")) <= 400


def places(root: Path, count: int = 30, **changed: list[Any]) -> dict[str, Split]:
    columns = {"id": [f"s{row:02d}" for row in range(count)], "label": list(range(count)), "lon": [0.0] * count}
    write_table(root / "a.csv", {**columns, "lat": [row / 10 for row in range(count)], **changed})
    return open_splits(table_task(root, kind="regression", split="random", protocol="folds", inspect=True))


def test_optical_bands_of_samples_without_images_are_not_checked(tmp_path: Path):
    """Neither the offset nor valid pixels can be looked for."""
    split = places(tmp_path)[ALL]
    assert len(split) == 30
    with pytest.raises(ContractError, match=r"sample 's00' of a.csv has no image: only models with architecture"):
        split.read(0)


def test_labels_are_no_part_of_the_identity_of_samples_without_images(tmp_path: Path):
    splits = [
        places(tmp_path / name, **changed)[ALL]
        for name, changed in {"a": {}, "b": {"label": [2] * 15 + [3] * 15}, "c": {"lon": [1.0] * 30}}.items()
    ]
    assert len({split.items_sha256 for split in splits}) == 2
    assert splits[0].items_sha256 == splits[1].items_sha256
    assert len({split.labels_sha256 for split in splits}) == 2
    assert splits[0].labels_sha256 == splits[2].labels_sha256


def test_a_task_and_a_model_read_the_same_files(tmp_path: Path):
    write_regions(tmp_path)
    found = workspace(tmp_path)
    record = measurement_of(Context(found), Case("probe", "own", "plants", "linear", "final")).record
    assert record.provenance.split_rule["by"] == "blocks"
    assert record.scores["1.0"].value > 0.8
    model, task = found.catalog.model("own"), found.catalog.task("plants")
    assert "own: the product is of 2024, the labels are of 2023." in notes_of([model], task)


def test_targets_of_one_table_share_features_and_are_solved_together(tmp_path: Path):
    write_regions(tmp_path)
    found = workspace(tmp_path)
    tasks = [found.catalog.task(slug) for slug in ("plants", "height", "depth")]
    assert [differ_in_target(tasks[1], other) for other in tasks] == [False, False, True]
    assert not differ_in_target(tasks[1], tasks[2].model_copy(update={"split": "random"}))
    assert len({found.block("own", task.slug, ALL).key for task in tasks}) == 1
    cases = [Case("probe", "own", slug, "ridge", "final") for slug in ("height", "depth")]
    assert len(similarity_cases(found.catalog, cases)) == 1
    assert min(found.sweep("own", slug, "ridge").rows[0].test_score for slug in ("height", "depth")) > 0.9


def test_targets_of_one_table_of_images_share_stored_pixels(tmp_path: Path):
    for number in range(30):
        write_image(tmp_path / f"{number:02d}.npy", 300 + number)
    columns = {"file": [f"{number:02d}.npy" for number in range(30)], "a": list(range(30)), "b": list(range(30, 60))}
    write_table(tmp_path / "t.csv", columns)
    known, keys = load_catalog(), set()
    for label in ("a", "b"):
        task = table_task(tmp_path, kind="regression", options={"label": label}, split="random", protocol="folds")
        found = Workspace(type(known)(known.models, {task.slug: task}, known.recipes, known.adaptations), Settings())
        keys.add(found.block("band_stats", task.slug, ALL).key)
    assert len(keys) == 1


def test_a_region_is_predicted_from_another(tmp_path: Path):
    write_regions(tmp_path)
    found = workspace(tmp_path, '{ train = "iowa.csv.gz", test = "amazon.csv.gz" }')
    splits = found.splits("height")
    regions = {name: {item.id.partition("/")[0] for item in split.items} for name, split in splits.items()}
    assert regions == {"train": {"iowa"}, "val": {"iowa"}, "test": {"amazon"}}
    assert found.sweep("own", "height", "ridge").rows[0].test_score > 0.9
