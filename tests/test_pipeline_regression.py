"""Regression from files to a record: with a test split, and with shuffle splits of all items."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.model_selection import ShuffleSplit

from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval import workspace as pipeline
from geofm_eval.catalog import Case, Catalog, TaskSpec, load_catalog
from geofm_eval.data.items import Item, Listing
from geofm_eval.data.readers import READERS
from geofm_eval.errors import ContractError, DataError
from geofm_eval.measure import measurement_of
from geofm_eval.measure.case import Measurement
from geofm_eval.measure.probe import _content
from geofm_eval.probes import job as probe_job
from geofm_eval.records import read_outcomes, read_record, write_record
from geofm_eval.stats.scores import neuco_q, pooled_r2, r2_per_draw
from geofm_eval.store import content_hash
from geofm_eval.workspace import Settings, Workspace
from tests.small_suite import OPTIONS
from tests.tiny import RECIPE, SIDE, SPEC, tiny_loaded

SIZES = {"train": 120, "val": 80, "test": 60}
TASK = TaskSpec(
    slug="brightness",
    title="Brightness",
    kind="regression",
    metric="r2",
    reader="brightness",
    root="data/brightness",
    bands=("B03", "B04"),
    product="L1C",
    target_unit="t/ha",
    label_fractions=(0.1, 1.0),
    draws=2,
)
SHUFFLED = TASK.model_copy(update={"slug": "shuffled", "protocol": "shuffle_splits"})
BLOCKED = SHUFFLED.model_copy(update={"slug": "blocked", "options": {"blocks": "group"}})
TASKS = {task.slug: task for task in (TASK, SHUFFLED, BLOCKED)}


def brightness(item: Item) -> float:
    return float(np.random.default_rng(int(item.id.split("_")[1])).uniform(100, 2000))


def load(item: Item) -> np.ndarray:
    noise = np.random.default_rng(int(item.id.split("_")[1]) + 1).uniform(100, 300, (2, SIDE, SIDE))
    noise[1] += brightness(item)
    return noise.astype(np.float32)


def listing(task: TaskSpec, root: Path, edit: Callable[[Item], Item] = lambda item: item) -> Listing:
    """Images as bright as their target says, but for some noise; the files on disk are empty."""
    names = list(SIZES) if task.protocol == "holdout" else ["all"]
    numbers = iter(range(sum(SIZES.values())))
    items = {}
    for name in names:
        own = [next(numbers) for _ in range(SIZES[name] if name in SIZES else sum(SIZES.values()))]
        plain = [Item(f"i_{n}", root / "x.bin", None, group=f"{name}_g{n // 10}") for n in own]
        noise = np.random.default_rng(len(own)).normal(0, 100, len(own))
        labelled = [replace(i, label=brightness(i) + float(e)) for i, e in zip(plain, noise, strict=True)]
        items[name] = tuple(edit(item) for item in labelled)
    return Listing(root, items, "custom", load)


def catalog() -> Catalog:
    return Catalog(
        models={"tiny": SPEC}, tasks=dict(TASKS), recipes={"probing": RECIPE}, adaptations=load_catalog().adaptations
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home" / "data" / "brightness"
    folder.mkdir(parents=True)
    (folder / "x.bin").write_bytes(b"")
    monkeypatch.setenv("GEOFM_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(READERS, "brightness", listing)
    monkeypatch.setattr(pipeline, "load_backbone", lambda spec, adapter, **_: tiny_loaded(spec=spec))
    return folder


def measured(
    task: str, folder: Path, layer: str = "final", resume: bool = False, adaptation: str = "ridge"
) -> Measurement:
    known = catalog()
    suite = Suite(OPTIONS, known, {}, RunFolder("r", folder / "r", resume), "main")
    return measurement_of(
        context_of(suite, Workspace(known, Settings())), Case("probe", "tiny", task, adaptation, layer)
    )


def test_a_test_split_gives_a_record_with_predictions(home: Path, tmp_path: Path) -> None:
    found = measured("brightness", tmp_path)
    record, outcomes = found.record, found.outcomes
    assert outcomes is not None
    assert (found.test_items, found.unconverged) == (60, [])
    score = record.scores["1.0"]
    assert (score.metric, score.n, score.n_train, len(score.per_draw)) == ("r2", 60, 120, 1)
    assert 0.8 < score.value <= 1
    assert score.interval is not None
    # Items of a group are dependent, and six groups are too few for a bootstrap.
    assert score.interval.covers == "groups"
    assert score.interval.low < score.value < score.interval.high
    assert set(score.extra) == {"rmse"}
    assert 80 < score.extra["rmse"] < 250, "in the target's unit, about the noise of the target"
    assert len(record.scores["0.1"].per_draw) == 2
    assert record.selection is not None
    assert (record.selection.split, record.selection.criterion) == ("val", "squared_error")
    assert len(record.selection.candidates) == 40
    assert {c.val_kind for c in record.selection.choices} == {"split", "inner_cv"}
    source = record.provenance
    assert (source.protocol, source.target_unit, source.dropped) == ("holdout", "t/ha", {})
    np.testing.assert_allclose(r2_per_draw(outcomes["prediction_1.0"], outcomes["target"]), score.per_draw)
    assert outcomes["target"].shape == (60,)


@pytest.mark.parametrize("adaptation", ["adamw", "adamw_mended"])
def test_neuco_bench_s_own_probe_gives_a_record_without_any_choice(home: Path, tmp_path: Path, adaptation: str) -> None:
    found = measured("shuffled", tmp_path, adaptation=adaptation)
    record = found.record
    score = record.scores["1.0"]
    assert record.selection is not None
    assert found.outcomes is not None
    assert (record.selection.criterion, record.selection.candidates, record.selection.near) == ("none", (), {})
    assert {choice.val_score for choice in record.selection.choices} == {None}
    assert score.extra["neuco_q"] == pytest.approx(neuco_q(score.per_draw))
    assert score.extra["mean_r2"] == pytest.approx(np.mean(score.per_draw))
    assert found.outcomes["prediction_1.0"].shape == (40, 260)


def test_neuco_bench_s_own_probe_needs_shuffle_splits(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ContractError, match=r"'adamw' needs NeuCo-Bench's shuffle splits.*Choose ridge"):
        measured("brightness", tmp_path, adaptation="adamw")


@pytest.mark.parametrize("task", ["shuffled", "blocked"])
def test_shuffle_splits_give_a_record_of_out_of_fold_predictions(home: Path, tmp_path: Path, task: str) -> None:
    found = measured(task, tmp_path)
    record, outcomes = found.record, found.outcomes
    assert outcomes is not None
    score = record.scores["1.0"]
    predicted = outcomes["prediction_1.0"]
    assert predicted.shape == (40, 260)
    tested = ~np.isnan(predicted)
    if task == "shuffled":
        folds = ShuffleSplit(n_splits=40, test_size=0.1, random_state=42).split(np.zeros(260))
        for row, (_, test) in zip(tested, folds, strict=True):
            assert np.flatnonzero(row).tolist() == sorted(test)
    else:
        for row in tested:
            assert not set(outcomes["groups"][row]) & set(outcomes["groups"][~row])
    assert found.test_items == score.n == tested.any(axis=0).sum()
    assert score.n_train == (234 if task == "shuffled" else 230), "three of 26 blocks are tested"
    assert score.value == pytest.approx(pooled_r2(predicted, outcomes["target"]))
    np.testing.assert_allclose(score.per_draw, r2_per_draw(predicted, outcomes["target"]))
    assert score.interval is not None
    assert score.interval.method.startswith("crossed over shuffles and items")
    assert score.interval.covers == "shuffle splits"
    assert set(score.extra) == {"mean_r2", "neuco_q", "rmse"}
    assert record.provenance.protocol == "shuffle_splits"
    assert set(record.provenance.feature_keys) == {"all"}
    assert record.selection is not None
    assert record.selection.split == "all"
    assert {(c.fraction, c.draw) for c in record.selection.choices} == {(f, d) for f in (0.1, 1.0) for d in range(40)}
    path = write_record(record, outcomes, tmp_path / "r")
    again = measured(task, tmp_path, resume=True)
    assert again.reused
    assert again.test_items == found.test_items
    assert read_outcomes(tmp_path / "r", read_record(path)) is not None


def test_blocks_change_the_content_key(home: Path) -> None:
    def key(edit: Callable[[Item], Item]) -> str:
        READERS["brightness"] = lambda task, root: listing(task, root, edit)
        case = Case("probe", "tiny", "blocked", "ridge", "final")
        return content_hash(_content(Workspace(catalog(), Settings()), case))

    plain = key(lambda item: item)
    assert plain == key(lambda item: item)
    assert plain != key(lambda item: replace(item, group=f"g{item.id[-1]}{item.id[-2]}"))


def test_items_without_a_target_are_dropped_and_counted(home: Path, tmp_path: Path) -> None:
    def unlabel(item: Item) -> Item:
        return replace(item, label=float("nan")) if item.id in ("i_3", "i_7") else item

    READERS["brightness"] = lambda task, root: listing(task, root, unlabel)
    found = measured("shuffled", tmp_path)
    assert found.record.provenance.dropped == {"all": {"the target is NaN": 2}}
    assert found.outcomes is not None
    assert len(found.outcomes["ids"]) == 258


@pytest.mark.parametrize(("task", "split"), [("brightness", "train"), ("shuffled", "all")])
def test_a_constant_target_names_task_and_split(home: Path, tmp_path: Path, task: str, split: str) -> None:
    READERS["brightness"] = lambda task, root: listing(task, root, lambda item: replace(item, label=2.0))
    with pytest.raises(DataError, match=rf"{task}: the target is 2 in all of the {split} split \(\d+ samples\), so R2"):
        measured(task, tmp_path)


def test_deeper_taps_share_the_sweep(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[Any] = []
    real = probe_job.solve_together
    monkeypatch.setattr(
        probe_job, "solve_together", lambda *args, **kwargs: counted.append(args) or real(*args, **kwargs)
    )
    values = {layer: measured("brightness", tmp_path, layer).record.scores["1.0"].value for layer in SPEC.taps}
    assert len(counted) == 1
    assert len(set(values.values())) > 1
