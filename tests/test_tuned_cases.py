"""Cases that tune a backbone for whole items, and cases of what tuning changed: which exist, and what they record."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite, _check_files
from geofm_eval.catalog import Case, dense_adaptation, dense_cases, drift_cases, trained_case, tune_cases
from geofm_eval.catalog.dense import TUNINGS
from geofm_eval.dense.pooled import PooledJob
from geofm_eval.dense.recipes import RECIPES, for_items, training_recipe
from geofm_eval.errors import ContractError
from geofm_eval.measure.training import measure_training
from geofm_eval.measure.training_setup import TrainingSetup
from geofm_eval.records import Skip, read_outcomes, read_record, write_record
from geofm_eval.results.run import Run
from geofm_eval.workspace import Settings, Workspace
from tests.small_items import CATALOG, WOOD, items
from tests.small_suite import OPTIONS


def test_schedules_of_items_say_what_differs():
    made = for_items(training_recipe("pangaea", dtype="bf16"))
    assert (made.slug, made.epochs, made.validate_every, made.batch, made.flips) == (
        "pangaea_bf16_items",
        20,
        2,
        16,
        True,
    )
    assert (made.rate, made.rates) == (1e-4, RECIPES["pangaea"].rates)
    assert for_items(RECIPES["quick"], 16).slug == "quick_items"
    assert (for_items(RECIPES["quick"], 8).slug, for_items(RECIPES["quick"], 8).batch) == ("quick_items_b08", 8)
    with pytest.raises(ContractError, match="at least 2 chips, found 1"):
        for_items(RECIPES["quick"], 1)


def test_slugs_of_whole_items():
    made = dense_adaptation("pooled_lora_fc1_p010")
    assert (made.pooled, made.single, made.tuning, made.fraction) == (True, True, "lora_fc1", 0.1)
    assert dense_adaptation("pooled_full_p010_long").variant == "long"
    assert not dense_adaptation("upernet_full_p010").pooled
    for slug in ("same_full_p010", "probe_full_p010", "full_p010_up2", "frozen_p010_aug", "frozen_p100_dateweights"):
        assert dense_adaptation(f"pooled_{slug}") is None


def test_cases_of_the_suites():
    assert tune_cases(CATALOG, "bench") == []
    real = tune_cases(CATALOG, "study")
    assert {case.task for case in real} == {"eurosat", "neuco_biomass_mean"}
    simulated = [case for case in tune_cases(CATALOG, "extended") if CATALOG.task(case.task).simulated]
    assert {case.task for case in simulated} == {"eurosat_sim", "neuco_sim_biomass_mean"}
    study = [*real, *simulated]
    assert {(case.kind, case.layer) for case in study} == {("tune", "final")}
    assert len({case.id for case in study}) == len(study)
    ids = {case.id for case in study}
    for tuning in TUNINGS:
        assert {f"pocket_mae-eurosat_sim-pooled_{tuning}_p{part}-final" for part in ("010", "100")} <= ids
        assert f"prithvi_v1-neuco_biomass_mean-pooled_{tuning}_p100-final" in ids
    assert {case.adaptation for case in study if case.task.startswith("neuco")} == {f"pooled_{t}_p100" for t in TUNINGS}
    specs = {case.model: CATALOG.model(case.model) for case in (*study, *tune_cases(CATALOG, "extended"))}
    twins = {slug for slug, spec in specs.items() if spec.is_control}
    assert {"pocket_random", "prithvi_v1_random"} <= twins
    assert {case.adaptation for case in study if case.model in twins} == {"pooled_full_p010", "pooled_full_p100"}
    assert not any(spec.rgb_only or spec.from_scratch or spec.depth == 0 for spec in specs.values())
    assert not {"pocket_mae_seed1", "unet", "band_stats", "rcf"} & set(specs)
    assert not any(case.model == "mae_vits16" and case.task.endswith("sim") for case in study)


def test_what_is_named_is_tuned_where_it_can_be():
    named = tune_cases(
        CATALOG, "bench", models=["pocket_mae"], tasks=["eurosat_spatial"], adaptations=["pooled_lora_p025"]
    )
    assert [case.id for case in named] == ["pocket_mae-eurosat_spatial-pooled_lora_p025-final"]
    assert tune_cases(CATALOG, models=["pocket_mae"], tasks=["eurosat_spatial"]) == []
    asked = {"models": ["pocket_mae"], "adaptations": ["pooled_full_p100"]}
    assert tune_cases(CATALOG, tasks=["sen1floods11_sim"], **asked) == []
    assert dense_cases(CATALOG, tasks=["sen1floods11_sim"], **asked) == []
    # Who asks for a decoder alone gets no tuning of whole items in addition.
    assert tune_cases(CATALOG, tasks=["eurosat_sim"], models=["pocket_mae"], adaptations=["lightms_full_p100"]) == []


def test_cases_of_drift_are_of_what_was_tuned():
    tuned = tune_cases(CATALOG, "extended", models=["pocket_mae", "pocket_random"], tasks=["eurosat_sim"])
    dense = dense_cases(CATALOG, "extended", models=["pocket_mae", "unet"], tasks=["sen1floods11_sim"])
    drifts = drift_cases(CATALOG, [*tuned, *dense])
    assert not any("frozen" in case.adaptation or case.model == "unet" for case in drifts)
    assert {case.layer for case in drifts if case.task == "eurosat_sim"} == {"multi"}
    assert "pocket_mae-sen1floods11_sim-single_w064_full_p100-block05" in {case.id for case in drifts}
    trained = [case for case in (*tuned, *dense) if "frozen" not in case.adaptation and case.model != "unet"]
    assert [trained_case(case, CATALOG.task(case.task)) for case in drifts] == trained


def test_a_case_leaves_a_record_with_counts(tmp_path, monkeypatch):
    task = CATALOG.task("eurosat_sim")
    splits = {
        name: items(task.model_copy(update={"nodata": None}), name, n, k, labels=[i % 10 for i in range(n)])
        for name, n, k in (("train", 40, 0), ("val", 20, 50), ("test", 30, 70))
    }
    monkeypatch.setattr("geofm_eval.workspace.open_splits", lambda *_: splits)
    monkeypatch.setattr("geofm_eval.dense.recipes.EPOCHS_OF_ITEMS", 2)
    case = Case("tune", "pocket_random", "eurosat_sim", "pooled_lora_p050", "final")
    suite = Suite(replace(OPTIONS, seeds=2, batch=4), CATALOG, {}, RunFolder("own", tmp_path, False), "main")
    measured = measure_training(context_of(suite, Workspace(CATALOG, Settings())), case)
    record, training = measured.record, measured.record.training
    score = record.scores["0.5"]
    assert (score.metric, score.n, score.n_train, len(score.per_draw)) == ("accuracy", 30, 20, 2)
    assert (training.decoder, training.taps, training.recipe["slug"]) == ("pooled", ("final",), "quick_items_b04")
    assert (training.window, training.grid_ceiling, measured.moved) == (16, None, {True})
    assert not measured.examples
    path = write_record(record, measured.outcomes, tmp_path)
    assert path.parent.name == "tune"
    assert read_outcomes(tmp_path, read_record(path)).counts["0.5"].sum((1, 2, 3)).tolist() == [30, 30]


def test_shuffle_splits_are_cut_for_tuning_alone(monkeypatch):
    monkeypatch.setattr("geofm_eval.workspace.open_splits", lambda *_: {"all": items(WOOD, "all", 60)})
    case = Case("tune", "pocket_random", WOOD.slug, "pooled_full_p100", "final")
    made = TrainingSetup(Workspace(CATALOG, Settings()), case)
    assert set(made.splits) == {"train", "val", "test"}
    assert len(made.budget.train) == len(made.splits["train"]) < 60
    assert type(made.job(0)) is PooledJob


def test_a_skip_counts_for_the_tuned_case_and_for_that_of_its_drift(tmp_path):
    """Both have one id, and a skip does not say its kind."""
    name = "pocket_mae-sen1floods11_sim-lightms_full_p100-multi"
    skip = Skip(case_id=name, kind="data", what="chips", how="Fetch them.")
    run = Run(tmp_path, (), (skip,), (("segment", name), ("drift", name), ("probe", "other")), ())
    for kind in ("segment", "drift"):
        assert run.gaps(kind) == {name: "skipped, data unavailable: chips"}
    assert run.gaps("probe") == {"other": "no record: the run stopped before it"}


@pytest.mark.parametrize(
    ("file", "why"),
    [
        ("benchmarks/test_drift.py", "suite bench has none, study none on stand-ins"),
        (
            "benchmarks/test_tune.py::test_tune",
            "for tasks with one label per sample, select an adaptation such as pooled_full",
        ),
    ],
)
def test_a_file_that_was_named_and_has_no_case_is_refused(file, why):
    cases = {"probe": ("a case",), "tune": (), "drift": ()}
    with pytest.raises(pytest.UsageError, match=why):
        _check_files(SimpleNamespace(args=[file]), cases)
    _check_files(SimpleNamespace(args=["benchmarks", "benchmarks/test_probe.py"]), cases)
