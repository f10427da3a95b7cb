"""Drift cases from the catalog to a record and to tables: floors, causes, resumption, and what is refused."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch

from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.data.relabelled import with_shuffled_labels
from geofm_eval.dense.inference import quality
from geofm_eval.dense.job_training import changed, merged
from geofm_eval.dense.recipes import RECIPES, TrainingRecipe
from geofm_eval.dense.revert import PARTS, WHOLE, score_lost_by_part
from geofm_eval.errors import ContractError
from geofm_eval.measure.drift import measure_drift
from geofm_eval.measure.drift_inputs import DriftMeasurement, at_rate_zero, on_shuffled_labels
from geofm_eval.measure.training_setup import TrainingSetup
from geofm_eval.measure.trainings import CaseTrainings
from geofm_eval.records import read_record, write_record
from geofm_eval.report.collation import collate
from geofm_eval.workspace import Settings, Workspace
from tests.small_chips import chips
from tests.small_items import items
from tests.small_suite import OPTIONS
from tests.small_vit import small_vit

TASKS = ("eurosat_sim", "sen1floods11_sim")
ADAPTATIONS = {"eurosat_sim": "pooled_full_p100", "sen1floods11_sim": "tokenlinear_lora_fc1_p100"}
LAYERS = {"eurosat_sim": "multi", "sen1floods11_sim": "block02"}


@pytest.fixture(scope="module")
def catalog():
    """A small backbone under the name of a pocket, and items of 16 pixels."""
    whole = load_catalog()
    land = whole.task("eurosat_sim").model_copy(update={"classes": ("dark", "even", "bright"), "nodata": None})
    models = {**whole.models, "pocket_mae": small_vit(bands=land.bands).model_copy(update={"slug": "pocket_mae"})}
    # Not random by nature: every seed begins with the same weights, which ``_load`` gives.
    models["pocket_mae"] = models["pocket_mae"].model_copy(update={"family": "reconstruction", "random_seed": None})
    return replace(whole, models=models, tasks={**whole.tasks, "eurosat_sim": land})


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def small_data(cache, catalog, monkeypatch):
    """Items that are easy, and few epochs; trainings are shared by the tests of this file."""
    monkeypatch.setenv("GEOFM_CACHE", str(cache))
    flood = catalog.task("sen1floods11_sim")
    data = {
        flood.slug: {
            name: chips(flood, name, count=count, first=first)
            for name, count, first in (("train", 8, 0), ("val", 4, 50), ("test", 6, 70))
        },
        "eurosat_sim": {
            name: items(name=name, count=count, first=first)
            for name, count, first in (("train", 12, 0), ("val", 30, 50), ("test", 30, 90))
        },
    }
    monkeypatch.setattr("geofm_eval.workspace.open_splits", lambda task, *_: data[task.slug])
    short = TrainingRecipe("quick", epochs=2, validate_every=1, batch=4, rate=1e-2, rates=(1e-3, 1e-2))
    monkeypatch.setitem(RECIPES, "quick", short)
    monkeypatch.setattr("geofm_eval.dense.recipes.EPOCHS_OF_ITEMS", 4)
    monkeypatch.setattr(TrainingSetup, "untouched", lambda self, seed: _load(self))


def _load(made):
    adapter = made.workspace.adapter(made.case.model, made.case.task)
    return load_backbone(made.model.model_copy(update={"random_seed": 0}), adapter)


def trainings_of(catalog, task, **more):
    case = Case("tune" if task == "eurosat_sim" else "segment", "pocket_mae", task, ADAPTATIONS[task], "block02")
    case = replace(case, layer="final") if task == "eurosat_sim" else case
    return CaseTrainings(TrainingSetup(Workspace(catalog, Settings()), case, **more), 2)


def suite(catalog, tmp_path, resume=False):
    return Suite(replace(OPTIONS, seeds=2), catalog, {}, RunFolder("own", tmp_path / "own", resume), "main")


def drift_case(task):
    return Case("drift", "pocket_mae", task, ADAPTATIONS[task], LAYERS[task])


@pytest.mark.parametrize("task", TASKS)
def test_a_record_holds_drift_its_floors_and_its_causes(task, catalog, tmp_path):
    owner = suite(catalog, tmp_path)
    found = measure_drift(context_of(owner, Workspace(catalog, Settings())), drift_case(task))
    record, drift = found.record, found.record.drift
    assert found.largest("still") < 1e-6
    assert found.largest("again") < 1e-6
    assert found.largest("tuned") > 1e-6
    assert {arm: len(rows) for arm, rows in drift.values["total"].items()} == {
        "tuned": 2, "shuffled": 2, "seeds": 1, "still": 1, "again": 1,
    }  # fmt: skip
    assert ("token" in drift.values) == (task == "sen1floods11_sim")
    assert drift.n == {"eurosat_sim": 30, "sen1floods11_sim": 6}[task]
    assert record.training.tuning == {"eurosat_sim": "full", "sen1floods11_sim": "lora_fc1"}[task]
    assert set(drift.reverted) == {*PARTS, "block00", "block01", "block02", WHOLE}
    if task == "sen1floods11_sim":
        weights = dict(zip(drift.taps, drift.values["weight"]["tuned"][0], strict=True))
        assert weights["block01.fc1"] > 0
        assert weights["block01.q"] == weights["block01.fc2"] == 0
        assert drift.reverted["qkv"].per_seed == (0.0, 0.0)
        assert drift.reverted["all"].per_seed == drift.reverted["fc1"].per_seed
    assert record.cost.seconds["floors"] > 0
    assert drift.metric in ("accuracy", "miou")
    assert drift.score - drift.frozen_score == pytest.approx(np.mean(drift.reverted["all"].per_seed))
    write_record(record, None, owner.run.folder)
    written = read_record(owner.run.folder / "drift" / f"{record.case.id}.json")
    assert written.model_copy(update={"checksum": None}) == record
    again = measure_drift(
        context_of(suite(catalog, tmp_path, resume=True), Workspace(catalog, Settings())), drift_case(task)
    )
    assert again.reused
    assert again.record == written


def test_reverting_all_gives_the_score_of_the_frozen_backbone_under_the_tuned_head(catalog):
    made = trainings_of(catalog, "eurosat_sim")
    trained, everything = made.run(), list(range(30))
    found = score_lost_by_part(made.jobs, trained, everything)
    for seed, (job, one) in enumerate(zip(made.jobs, trained, strict=True)):
        model = merged(job, one)
        tuned = quality(job.task, job.counts(model, "test", everything))
        model.backbone.load_state_dict(job.loaded.backbone.state_dict())
        frozen = quality(job.task, job.counts(model, "test", everything))
        assert found.lost["all"].per_seed[seed] == pytest.approx(tuned - frozen)
    assert found.items == 30


def test_floors_train_as_long_and_choose_nothing(catalog):
    made = trainings_of(catalog, "eurosat_sim")
    job, trained = made.jobs[0], made.run()[0]
    other, floor = on_shuffled_labels(job, trained)
    assert (floor.rate, floor.epoch, len(floor.losses)) == (trained.rate, trained.epoch, trained.epoch)
    assert floor.path != trained.path
    assert floor.backbone_sha256 != trained.backbone_sha256
    assert other.splits["train"].labels.tolist() != job.splits["train"].labels.tolist()
    assert other.splits["test"] is job.splits["test"]
    still = at_rate_zero(job, trained)
    assert changed(job, still) == {}
    assert changed(job, trained)
    assert len(still.losses) == 1


def test_label_maps_go_to_other_chips_whole(catalog):
    split = trainings_of(catalog, "sen1floods11_sim").setup.splits["train"]
    other = with_shuffled_labels(split, list(range(6)), seed=1)
    before = [split.read_target(i) for i in range(8)]
    after = [other.read_target(i) for i in range(8)]
    assert sorted(map(np.ndarray.tobytes, before[:6])) == sorted(map(np.ndarray.tobytes, after[:6]))
    assert any(not np.array_equal(a, b) for a, b in zip(before[:6], after[:6], strict=True))
    for row in (6, 7):
        np.testing.assert_array_equal(before[row], after[row])
    for row in range(8):
        np.testing.assert_array_equal(split.read(row).pixels, other.read(row).pixels)


def test_the_items_are_the_same_on_every_call_and_lie_in_the_test_split(catalog):
    found = DriftMeasurement(trainings_of(catalog, "sen1floods11_sim"))
    first, second = found.batches, DriftMeasurement(trainings_of(catalog, "sen1floods11_sim")).batches
    assert torch.equal(first[0].pixels, second[0].pixels)
    assert found.items.tolist() == list(range(6))


def test_other_number_types_are_refused(catalog):
    with pytest.raises(ContractError, match="drift is measured in float32, found --dtype bf16"):
        DriftMeasurement(trainings_of(catalog, "eurosat_sim", dtype="bf16"))


def test_collated_drift_is_in_tables_figures_and_text(catalog, tmp_path):
    owner = suite(catalog, tmp_path)
    for task in TASKS:
        write_record(
            measure_drift(context_of(owner, Workspace(catalog, Settings())), drift_case(task)).record,
            None,
            owner.run.folder,
        )
    found = collate(owner.run.folder, catalog)
    assert not found.problems
    tables, figures = owner.run.folder / "tables", owner.run.folder / "figures"
    for task in TASKS:
        for name in ("drift", "drift-parts", "drift-reverted"):
            text = (tables / f"{task}-{name}.md").read_text()
            assert "SIMULATED" in text
            assert "pocket_mae" in text
        tuning = {"eurosat_sim": "full", "sen1floods11_sim": "lora_fc1"}[task]
        for name in ("depth", "parts", "layers", "lost"):
            assert (figures / f"{task}-drift-{name}-{tuning}.png").stat().st_size > 5000
    rows = list(csv.DictReader((tables / "eurosat_sim-drift-values.csv").open()))
    drift = read_record(owner.run.folder / "drift" / f"{drift_case('eurosat_sim').id}.json").drift
    expected = drift.values["local"]["tuned"][1][drift.taps.index("block01.fc1")]
    (row,) = [
        r for r in rows
        if (r["measure"], r["arm"], r["repetition"], r["tap"]) == ("local", "tuned", "1", "block01.fc1")
    ]  # fmt: skip
    assert float(row["value"]) == expected
    lost = list(csv.DictReader((figures / "sen1floods11_sim-drift-lost.csv").open()))
    assert [r["part"] for r in lost] == ["fc1", "block00", "block01", "block02"]
    layers = list(csv.DictReader((figures / "eurosat_sim-drift-layers.csv").open()))
    assert len(layers) == 5 * 5
    contrasts = list(csv.DictReader((tables / "eurosat_sim-drift-contrasts.csv").open()))
    assert {r["contrast"] for r in contrasts} >= {"whole", "leads", "raw_leads", "depth", "above_seeds", "reverted"}
    assert "eurosat_sim-drift" in (tables / "README.md").read_text()
    assert "fc1 changes most" in found.text
    parts = (tables / "sen1floods11_sim-drift-parts.md").read_text()
    assert not any(word in parts.splitlines()[4] for word in ("supported", "refuted", "undecided"))
