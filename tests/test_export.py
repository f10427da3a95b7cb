"""Samples and features that leave the suite are the same numbers, in files that need nothing of ours."""

import csv
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import parquet

from geofm_eval.catalog import Catalog, TaskSpec, load_catalog
from geofm_eval.catalog.embeddings import EmbeddingProduct
from geofm_eval.catalog.notes import notes_of
from geofm_eval.checking import check_task
from geofm_eval.cli import app
from geofm_eval.data.split import ALL, Split
from geofm_eval.datasets import open_splits
from geofm_eval.errors import ContractError
from geofm_eval.exporting import export_features, export_samples
from geofm_eval.exporting.entry import entry_of
from geofm_eval.store import file_sha256
from geofm_eval.workspace import Settings, Workspace
from tests.own_data import table_task, write_image, write_table
from tests.small_chips import CATALOG, CROPS, FLOODS, chips, target_of
from tests.small_items import LAND, WOOD, items

SIZES = (("train", 4, 0), ("val", 2, 50), ("test", 2, 70))


@pytest.fixture(autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path_factory.mktemp("cache")))


def single(task: TaskSpec) -> dict[str, Split]:
    """Splits of a task with one label per sample."""
    return {name: items(task, name, count=count, first=first) for name, count, first in SIZES}


def dense(task: TaskSpec) -> dict[str, Split]:
    """Splits of a task with one label per pixel."""
    splits = {name: chips(task, name, count, first, side=8) for name, count, first in SIZES}
    return {name: replace(split, load_target=numbers) for name, split in splits.items()} if task.numeric else splits


def numbers(item) -> np.ndarray:
    target = target_of(int(item.path.stem), 8).astype(np.float32) / 3
    return np.where(target < 0, np.float32(np.nan), target)


def export(splits: Mapping[str, Split], folder: Path, monkeypatch: pytest.MonkeyPatch) -> TaskSpec:
    """Export splits; return the task that reads them."""
    task = next(iter(splits.values())).task
    with monkeypatch.context() as patch:
        patch.setattr("geofm_eval.exporting.samples.open_splits", lambda *_: splits)
        export_samples(task, folder)
    return load_catalog([folder / "task.toml"]).task(f"{task.slug}_export")


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "samples.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Split], Path]:
    splits = single(LAND)
    export(splits, tmp_path, monkeypatch)
    return splits, tmp_path


def test_samples_are_the_pixels_and_labels_that_models_see(exported):
    splits, folder = exported
    rows = {row["id"]: row for row in rows_of(folder)}
    for name, split in splits.items():
        for index, item in enumerate(split.items):
            row = rows[item.id]
            assert (row["split"], row["label"]) == (name, LAND.classes[item.label])
            np.testing.assert_array_equal(np.load(folder / row["file"]), split.read(index).pixels)


def test_manifest_describes_bands_units_and_every_file(exported):
    _, folder = exported
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["bands"] == list(LAND.bands)
    assert set(manifest["units"]) == {"DN"}
    assert set(manifest["files"]) == {row["file"] for row in rows_of(folder)}
    assert all(file_sha256(folder / name) == digest for name, digest in manifest["files"].items())


def test_second_export_writes_only_what_is_missing(exported, monkeypatch: pytest.MonkeyPatch):
    splits, folder = exported
    gone, *kept = sorted(folder.rglob("*.npy"))
    before = [path.stat().st_mtime_ns for path in kept]
    gone.unlink()
    export(splits, folder, monkeypatch)
    assert gone.is_file()
    assert [path.stat().st_mtime_ns for path in kept] == before


TWO_SENSORS = CATALOG.task("sen1floods11_s1s2_sim").model_copy(update={"plausible": {"DN": (20.0, 20_000.0)}})
TWO_DATES = CROPS.model_copy(update={"dates": 2})
BIOMASS = {"kind": "dense_regression", "metric": "rmse", "classes": ()}


def test_series_have_one_file_per_date_and_one_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    splits = dense(TWO_DATES)
    export(splits, tmp_path, monkeypatch)
    split = splits["train"]
    rows = [row for row in rows_of(tmp_path) if row["id"] == split.ids[0]]
    assert [row["date"] for row in rows] == [f"{day}" for day in split.read(0).dates]
    assert {row["mask"] for row in rows} == {f"masks/{split.ids[0]}.npy"}
    np.testing.assert_array_equal(np.load(tmp_path / rows[1]["file"]), split.read(0).pixels[1])
    np.testing.assert_array_equal(np.load(tmp_path / rows[0]["mask"]), split.read_target(0))


@pytest.mark.parametrize(
    "splits",
    [
        pytest.param(lambda: single(LAND), id="classes"),
        pytest.param(lambda: single(WOOD.model_copy(update={"protocol": "holdout"})), id="numbers-series"),
        pytest.param(lambda: dense(TWO_SENSORS), id="masks-two-sensors"),
        pytest.param(lambda: dense(TWO_DATES), id="masks-series"),
        pytest.param(lambda: dense(FLOODS.model_copy(update=BIOMASS)), id="numbers-per-pixel"),
        pytest.param(lambda: dense(TWO_DATES.model_copy(update=BIOMASS)), id="numbers-per-pixel-series"),
    ],
)
def test_exported_folder_is_read_back(splits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    originals = splits()
    task = export(originals, tmp_path, monkeypatch)
    copies = check_task(task).splits
    assert list(copies) == list(originals)
    for name, original in originals.items():
        copy = copies[name]
        assert sorted(copy.ids) == sorted(original.ids)
        order = [original.ids.index(one) for one in copy.ids]
        assert [item.group for item in copy.items] == [original.items[index].group for index in order]
        assert [item.label for item in copy.items] == [original.items[index].label for index in order]
        for index, position in enumerate(order):
            image, expected = copy.read(index), original.read(position)
            np.testing.assert_array_equal(image.pixels, expected.pixels)
            assert image.dates == expected.dates
            if task.dense:
                np.testing.assert_array_equal(copy.read_target(index), original.read_target(position))
                assert copy.read_target(index).dtype == original.read_target(position).dtype


PROBED: dict[str, Any] = {"label_fractions": (1.0,), "draws": 1}
STATED = EmbeddingProduct(inputs=("VV",), product_year=2019)
PRODUCT = CATALOG.model("band_stats").model_copy(update={"embedding": STATED})
FIELDS = {
    "version": 3,
    "radar": "GRD",
    "scale": 10_000.0,
    "offset": -1000.0,
    "nodata": 0.0,
    "offset_checked": False,
    "plausible": {"DN": [1.0, 9000.0], "my unit": [0.0, 1.0]},
    "dates": 3,
    "pixels": 64,
    "inspect": True,
    "shared_groups": True,
    "statistics": {"mean": [1.5] * 4, "std": [0.1] * 4, "source": 'my "own" \\ pixels'},
    "label_nodata": "ignore",
    "label_year": 2021,
    "label_source": "model",
    "target_unit": "t/ha",
    "delta": 0.25,
    "target_range": [0.0, 400.5],
    "block_m": 500.0,
    "label_fractions": [0.5, 1.0],
    "draws": 2,
    "official_sizes": [9, 9, 9],
    "gsd": 3.0,
    "design": "factorial",
    "tuned": True,
    "suites": ["core"],
    "bench_models": ["dofa_base"],
    "licence": "mine",
    "citation": "Müller\n2024",
    "source": "here",
    "size": "1 GB",
    "layout": ["*.tif"],
    "files": [{"name": "a.zip", "url": "https://a/a.zip", "md5": "0" * 32}],
    "how_to_get": "ask",
}
CHANGED = {
    "slug": "fields_export",
    "title": "Fields (exported)",
    "reader": "table",
    "root": "/data/exported",
    "options": {"file": "samples.csv", "target": ["VV_mean"]},
    "variant_of": "fields",
    "protocol": "holdout",
    "split": "given",
    # Values are stored in their unit, pixels without a label as such, and only samples that can be measured.
    "scale": 1.0,
    "offset": 0.0,
    "nodata": None,
    "label_nodata": None,
    "inspect": False,
    "block_m": None,
    # The download and the suites of the original.
    "official_sizes": None,
    "size": "",
    "layout": (),
    "files": (),
    "how_to_get": "",
    "suites": ("extended",),
    "bench_models": (),
}
STANDIN = {"standin": None, "sizes": None, "tier": None, "label_noise": None, "oracle": None, "offset_checked": False}
"""What describes how a stand-in is generated; the darkest pixels of a stand-in are not checked."""


@pytest.mark.parametrize("kind", ["dense_regression", "segmentation", "stand-in"])
def test_fields_of_the_entry_are_those_of_the_task(tmp_path: Path, kind: str):
    changed = CHANGED
    if kind == "stand-in":
        task = CATALOG.task("eurosat_sim").model_copy(update={"slug": "fields", "title": "Fields"})
        changed = CHANGED | STANDIN | {"options": {"file": "samples.csv"}}
    else:
        own = {"metric": "rmse", "classes": ()} if kind == "dense_regression" else {"metric": "miou", "ignore": 255}
        entry = {"slug": "fields", "title": "Fields", "reader": "table", "root": "/data/plots", "kind": kind}
        entry |= {"bands": ["B02", "B03", "B04", "VV"], "product": "L2A", "classes": ["no", 'a, "b"']}
        entry |= {**FIELDS, **own}
        task = TaskSpec.model_validate({**entry, "options": {"label": "VV_mean"}})
    assert kind == "stand-in" or {*task.model_fields_set} >= {*TaskSpec.model_fields} - {
        *STANDIN, "ignore", "protocol", "split", "variant_of",
    }  # fmt: skip
    (tmp_path / "task.toml").write_text(entry_of(task, {}, Path("/data/exported"), "samples.csv"), encoding="utf-8")
    copy = load_catalog([tmp_path / "task.toml"]).task("fields_export")
    for name in TaskSpec.model_fields:
        assert getattr(copy, name) == changed.get(name, getattr(task, name)), name
    assert notes_of([PRODUCT], copy) == notes_of([PRODUCT], task)


def test_random_test_sets_are_left_to_the_reader_of_the_original(tmp_path: Path):
    split = items(WOOD, ALL)
    text = entry_of(WOOD, {ALL: split}, tmp_path, "samples.csv")
    assert "random test sets of the original are not stored" in text
    assert 'protocol = "auto"' in text


def own_chips(root: Path, kind: str, **fields: Any) -> TaskSpec:
    """Sixty chips of groups of four, whose label is their brightness."""
    values = [300 + 7 * ((31 * number) % 60) for number in range(60)]
    names = [f"chips/{number}.npy" for number in range(60)]
    for name, value in zip(names, values, strict=True):
        write_image(root / name, value)
    labels = values if kind == "regression" else [("crop", "forest", "water")[(value - 300) // 140] for value in values]
    groups = [f"site {number // 4}" for number in range(60)]
    write_table(root / "chips.csv", {"file": names, "label": labels, "group": groups})
    return table_task(root, kind=kind, **PROBED, **fields)


def workspace_of(task: TaskSpec, models: Mapping[str, Any] = CATALOG.models) -> Workspace:
    return Workspace(Catalog(dict(models), {task.slug: task}, CATALOG.recipes, CATALOG.adaptations), Settings())


def assert_equal_scores(one: Workspace, other: Workspace, model: str, adaptations: tuple[str, ...]) -> None:
    for adaptation in adaptations:
        copied, original = one.sweep(model, "fields", adaptation), other.sweep("band_stats", "fields", adaptation)
        for row, expected in zip(copied.rows, original.rows, strict=True):
            assert row.test_score == expected.test_score
            np.testing.assert_array_equal(row.outcomes, expected.outcomes)


ADAPTATIONS = {"classification": ("knn", "linear"), "regression": ("ridge",)}


@pytest.mark.parametrize("kind", ADAPTATIONS)
def test_cross_validated_task_has_the_same_folds_and_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str):
    task = own_chips(tmp_path, kind, protocol="folds")
    originals = open_splits(task)
    exported = export(originals, tmp_path / "out", monkeypatch)
    copies = open_splits(exported)
    assert copies[ALL].ids == originals[ALL].ids
    assert copies[ALL].folds == originals[ALL].folds
    np.testing.assert_array_equal(copies[ALL].groups, originals[ALL].groups)
    # Label subsets are drawn by the name of the task.
    copy = exported.model_copy(update={"slug": task.slug})
    assert_equal_scores(workspace_of(copy), workspace_of(task), "band_stats", ADAPTATIONS[kind])


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return workspace_of(own_chips(tmp_path_factory.mktemp("own"), "classification"))


@pytest.mark.parametrize("style", ["parquet", "neuco"])
def test_features_are_written_in_full(workspace, tmp_path, style):
    (path,) = export_features(workspace, "band_stats", "fields", ["final"], tmp_path, style)
    blocks = workspace.blocks("band_stats", "fields")
    expected = np.concatenate([block.features("final") for block in blocks.values()])
    if style == "parquet":
        table = parquet.read_table(path)
        ids, values = table.column("id").to_pylist(), np.stack(table.columns[2:], axis=1)
    else:
        ids, *columns = zip(*list(csv.reader(path.open(newline="")))[1:], strict=True)
        values = np.array(columns, np.float64).T.astype(np.float32)
    assert list(ids) == [one for block in blocks.values() for one in block.ids]
    np.testing.assert_array_equal(values, expected)


def test_unknown_tap_is_named_with_the_taps_that_exist(workspace, tmp_path):
    with pytest.raises(ContractError, match="band_stats has no tap 'block03'; its taps: final"):
        export_features(workspace, "band_stats", "fields", ["block03"], tmp_path)


def test_options_for_features_need_a_model(tmp_path):
    with pytest.raises(ContractError, match="--tap, --probe and --format need --model"):
        app(["export", "eurosat_sim", "--out", str(tmp_path), "--tap", "embed"], standalone_mode=False)


@pytest.mark.parametrize(("kind", "style"), [("classification", "parquet"), ("regression", "neuco")])
def test_probes_on_exported_features_have_the_same_scores_bit_for_bit(tmp_path: Path, kind: str, style: str):
    task = own_chips(tmp_path, kind)
    original = workspace_of(task)
    (path,) = export_features(original, "band_stats", "fields", ["final"], tmp_path / "out", style)
    entry = f'title = "Copy"\narchitecture = "table"\ntasks = ["eurosat_sim"]\noptions = {{ file = "{path}" }}'
    (tmp_path / "own.toml").write_text(f"[models.copied]\n{entry}\n")
    model = load_catalog([tmp_path / "own.toml"]).model("copied").model_copy(update={"tasks": ("fields",)})
    assert_equal_scores(workspace_of(task, {"copied": model}), original, "copied", ADAPTATIONS[kind])
