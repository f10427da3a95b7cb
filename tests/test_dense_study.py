"""Dense cases from the catalog to a record: which exist, what they train, that runs resume, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fixtures.outcomes import draw_sheet
from fixtures.runs import RunFolder
from fixtures.scheduler import group_of
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval.backbones import load_backbone
from geofm_eval.catalog import Case, dense_adaptation, dense_cases, load_catalog
from geofm_eval.catalog.dense import HEADS, TUNINGS, DenseAdaptation, narrowed, usual_taps
from geofm_eval.catalog.marking import markers
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.inference import quality
from geofm_eval.dense.job_training import restored, train_at
from geofm_eval.dense.recipes import RECIPES, TrainingRecipe, training_recipe
from geofm_eval.dense.search import cross_validated
from geofm_eval.dense.training import ran_out_of_memory
from geofm_eval.errors import ContractError
from geofm_eval.measure import measurement_of
from geofm_eval.measure.case import case_info
from geofm_eval.measure.training import measure_training
from geofm_eval.measure.training_setup import TrainingSetup, input_recipe
from geofm_eval.measure.trainings import CaseTrainings, search_seconds, tuned_path
from geofm_eval.records import Outcome, read_outcomes, read_record, read_resamples, write_record
from geofm_eval.report.collation import collate
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.reselection import RESAMPLES
from geofm_eval.workspace import Settings, Workspace
from tests.small_chips import chips
from tests.small_suite import OPTIONS

CATALOG = load_catalog()
TASK = CATALOG.task("sen1floods11_sim")


@pytest.fixture(autouse=True)
def small_data(tmp_path, monkeypatch):
    """Chips of 32 pixels that are easy, and four epochs."""
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    splits = {
        name: chips(TASK, name, count=n, first=first)
        for name, n, first in (("train", 10, 0), ("val", 4, 50), ("test", 5, 70))
    }
    monkeypatch.setattr("geofm_eval.workspace.open_splits", lambda *_: splits)
    short = TrainingRecipe("quick", epochs=2, validate_every=1, batch=4, rate=1e-2, rates=(1e-3, 1e-2, 3e-2))
    monkeypatch.setitem(RECIPES, "quick", short)
    return splits


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A cache for the tests that read the dense probe's sweep, which is then solved once."""
    return tmp_path_factory.mktemp("swept")


@pytest.fixture
def solved_once(small_data, swept, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(swept))


def setup_of(adaptation, layer="multi", model="pocket_mae", **more):
    case = Case("segment", model, TASK.slug, adaptation, layer)
    return TrainingSetup(Workspace(CATALOG, Settings()), case, **more)


def trainings_of(adaptation, layer="multi", model="pocket_mae", seeds=2):
    return CaseTrainings(setup_of(adaptation, layer, model), seeds)


def suite(tmp_path, resume=False):
    options = replace(OPTIONS, seeds=2)
    return Suite(options, CATALOG, {}, RunFolder("own", tmp_path / "own", resume), "main")


def measured(tmp_path, adaptation, layer="multi", model="pocket_mae", resume=False):
    case = Case("segment", model, TASK.slug, adaptation, layer)
    return measure_training(context_of(suite(tmp_path, resume), Workspace(CATALOG, Settings())), case)


def test_slugs_say_everything_and_read_back():
    made = [
        DenseAdaptation(head, tuning, fraction, blocks, variant)
        for head in HEADS
        for tuning in TUNINGS
        for fraction in (0.1, 1.0)
        for blocks in ("", "same", "probe")
        for variant in ("", "long", "aug", "up2")
    ]
    known = [one for one in made if dense_adaptation(one.slug) is not None]
    assert [dense_adaptation(one.slug) for one in known] == known
    assert len({one.slug for one in made}) == len(made)
    # A single tap has no four blocks; all labels are not lengthened; a tuned backbone encodes anyway; whole items have
    # no windows.
    left_out = {one.slug for one in made} - {one.slug for one in known}
    windowed = {slug for slug in left_out if slug.startswith("pooled") and slug.endswith("up2")}
    assert all("same" in s or "probe" in s or s.endswith(("p100_long", "aug")) for s in left_out - windowed)
    assert dense_adaptation("linear") is None
    assert dense_adaptation("upernet_frozen_p000") is None


def test_the_issue_s_ids_exist():
    ids = {case.nodename for case in dense_cases(CATALOG, "study")}
    for head, layer in (("upernet", "multi"), ("lightms", "multi"), ("single", "block05"), ("single", "block11")):
        for tuning in ("frozen", "full"):
            for percent in ("p010", "p100"):
                assert f"test_segment[prithvi_v1-sen1floods11-{head}_{tuning}_{percent}-{layer}]" in ids
    for other in ("lora", "lora_fc1", "lnbias"):
        assert f"test_segment[prithvi_v1-sen1floods11-lightms_{other}_p100-multi]" in ids
    for case in (
        "prithvi_v1-sen1floods11-upernet_same_frozen_p100-block11",
        "prithvi_v1-sen1floods11-upernet_probe_frozen_p100-multi",
        "prithvi_v1-sen1floods11-tokenlinear_frozen_p100-block11",
        "prithvi_v1-sen1floods11-single_frozen_p100-chosen",
        "prithvi_v1_rgb-sen1floods11-upernet_frozen_p100-multi",
        "prithvi_v1_random-sen1floods11-lightms_full_p100-multi",
        "unet-sen1floods11-tokenlinear_full_p100-final",
        "prithvi_v1-hls_burn_scars-upernet_frozen_p100-multi",
        "prithvi_v1-biomassters-upernet_frozen_p100-multi",
        "pocket_mae-sen1floods11_sim-lightms_frozen_p010-multi",
    ):
        assert f"test_segment[{case}]" in ids
    extended = {case.nodename for case in dense_cases(CATALOG, "extended")}
    assert "test_segment[pocket_mae-sen1floods11_sim-upernet_w064_frozen_p010-multi]" in extended - ids
    assert len(ids) == len(dense_cases(CATALOG, "study"))


def test_stand_ins_are_for_what_was_made_for_them_unless_named():
    default = {case.model for case in dense_cases(CATALOG, "study", tasks=[TASK.slug])}
    assert "pocket_mae" in default
    assert "mae_vits16_random" not in default
    named = dense_cases(CATALOG, "study", models=["mae_vits16_random"], tasks=[TASK.slug])
    assert {case.model for case in named} == {"mae_vits16_random"}


def test_wide_and_narrow_decoders_never_stand_together():
    for training, narrow in ((None, False), ("quick", True)):
        cases = dense_cases(CATALOG, "study", models=["prithvi_v1"], tasks=["sen1floods11"], training=training)
        heads = {dense_adaptation(case.adaptation).head for case in cases}
        assert ("upernet_w064" in heads, "upernet" in heads) == (narrow, not narrow)
    assert narrowed(DenseAdaptation("lightms", "frozen", 1.0)).head == "lightms"


def test_taps_scale_with_depth_and_too_few_blocks_give_no_case():
    nano, adaptation = CATALOG.model("galileo_nano"), DenseAdaptation("upernet", "frozen", 1.0)
    assert usual_taps(adaptation, "multi", nano) == ("block00", "block01", "block02", "block03")
    assert usual_taps(replace(adaptation, blocks="same"), "block03", nano) == ("block03",) * 4
    assert usual_taps(replace(adaptation, blocks="probe"), "multi", nano) is None
    shallow = nano.model_copy(update={"depth": 2, "slug": "shallow"})
    catalog = replace(CATALOG, models={"shallow": shallow})
    cases = dense_cases(catalog, "study", models=["shallow"], tasks=["sen1floods11"])
    assert {case.layer for case in cases} == {"block00", "block01", "chosen"}
    with pytest.raises(ContractError, match="choose a decoder that reads fewer blocks"):
        usual_taps(adaptation, "multi", shallow)


def test_markers_and_groups_of_trained_cases():
    case = Case("segment", "pocket_random", TASK.slug, "lightms_full_p100", "multi")
    assert markers(case, CATALOG) == ("sim", "trained", "dense", "control")
    group = group_of(CATALOG)
    assert group(f"benchmarks/test_segment.py::{case.nodename}") == "pocket_random-lightms_full_p100@sen1floods11_sim"
    assert group(f"a::test_probe[pocket_random-{TASK.slug}-linear-embed]") == "pocket_random@sen1floods11_sim"


def test_a_case_leaves_a_record_with_counts_and_a_sheet(tmp_path):
    found = measured(tmp_path, "lightms_frozen_p100")
    record = found.record
    score = record.scores["1.0"]
    assert (score.metric, score.n, score.n_train, len(score.per_draw)) == ("miou", 5, 10, 2)
    assert score.value == pytest.approx(np.mean(score.per_draw))
    counts = found.outcomes["counts_1.0"]
    assert counts.shape == (2, 5, 2, 2)
    assert count_score(counts, "miou").tolist() == pytest.approx(list(score.per_draw))
    assert record.training.taps == ("block03", "block05", "block07", "block11")
    assert record.training.chips == {"train": 10, "val": 4, "test": 5}
    assert (record.training.context_m, record.training.token_gsd_m) == (320.0, 40.0)
    assert 0 < record.training.grid_ceiling <= 1
    assert record.cost.trained_parameters < record.cost.parameters
    assert record.cost.flops > 1e6
    assert found.moved == {False}
    draw_sheet(found, Case("segment", *record.case.id.split("-")), suite(tmp_path))
    assert (tmp_path / "own" / "sheets" / f"{record.case.id}.png").stat().st_size > 10_000
    path = write_record(record, found.outcomes, tmp_path / "own")
    assert read_record(path).training == record.training
    again = read_outcomes(tmp_path / "own", read_record(path))
    np.testing.assert_array_equal(again.counts["1.0"], counts)


def test_a_run_that_is_resumed_does_not_train_again(tmp_path, monkeypatch):
    found = measured(tmp_path, "tokenlinear_frozen_p010", "block11")
    write_record(found.record, found.outcomes, tmp_path / "own")
    monkeypatch.setattr(CaseTrainings, "run", lambda _: pytest.fail("trained again"))
    again = measured(tmp_path, "tokenlinear_frozen_p010", "block11", resume=True)
    assert again.reused
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        measured(tmp_path, "tokenlinear_frozen_p100", "block11", resume=True)


def test_tuning_moves_the_backbone_and_leaves_what_changed(tmp_path):
    found = measured(tmp_path, "tokenlinear_lora_fc1_p100", "block11")
    assert found.moved == {True}
    key = {one.key for one in found.record.training.seeds}.pop()
    changed = load_file(tuned_path(key, 1))
    before = load_backbone(
        CATALOG.model("pocket_mae"), InputAdapter(CATALOG.model("pocket_mae"), TASK, CATALOG.recipe("probing"))
    )
    state = before.backbone.state_dict()
    assert changed
    assert all("fc1" in name and not torch.equal(value, state[name]) for name, value in changed.items())


def test_a_frozen_backbone_that_moves_is_seen(tmp_path, monkeypatch):
    from geofm_eval.dense import job_training as job

    def meddling(model, *arguments, **named):
        with torch.no_grad():
            next(model.backbone.parameters()).add_(1.0)
        return train(model, *arguments, **named)

    train = job.train
    monkeypatch.setattr(job, "train", meddling)
    assert measured(tmp_path, "tokenlinear_frozen_p100", "block11").moved == {True}


def test_a_twin_that_every_seed_draws_again_is_compared_with_its_own_beginning(tmp_path):
    found = measured(tmp_path, "tokenlinear_lnbias_p100", "block11", model="pocket_random")
    beginnings = [one.initial_sha256 for one in found.record.training.seeds]
    assert len({*beginnings, None}) == 3
    assert beginnings[0] == found.record.training.backbone_sha256
    assert found.moved == {True}
    still = found.record.training.seeds[1].model_copy(update={"backbone_sha256": beginnings[1]})
    training = found.record.training.model_copy(update={"seeds": (found.record.training.seeds[0], still)})
    stuck = replace(found, record=found.record.model_copy(update={"training": training}))
    assert stuck.moved == {True, False}


@pytest.mark.usefixtures("solved_once")
def test_the_dense_probe_records_what_confounds_comparisons(tmp_path):
    case = Case("probe", "pocket_mae", TASK.slug, "linear", "block07")
    found = measurement_of(context_of(suite(tmp_path), Workspace(CATALOG, Settings())), case)
    record = found.record
    write_record(record, found.outcomes, tmp_path / "own")
    known = record.provenance.inputs.model_extra
    assert (known["token_gsd_m"], known["context_m"]) == (40.0, 320.0)
    resamples = read_resamples(tmp_path / "own", read_record(next((tmp_path / "own" / "probe").glob("*.json"))))
    assert {key: len(array) for key, array in resamples.items()} == dict.fromkeys(record.scores, RESAMPLES)
    assert record.selection.near.keys() == record.scores.keys()
    assert all(choice.val_loss is not None for choice in record.selection.choices)
    collate(tmp_path / "own")
    text = (tmp_path / "own" / "tables" / f"{TASK.slug}-linear-ranking.md").read_text()
    assert f"Token, context, grid ceiling: 40 m, 320 m, {100 * known['grid_ceiling']:.1f} (pocket_mae)." in text


def test_the_first_seed_chooses_the_rate_of_all():
    made = trainings_of("tokenlinear_full_p100", "block11")
    trained = made.run()
    tried = {rate: train_at(made.jobs[0], rate).val_score for rate in made.setup.choice.rates}
    assert len(tried) == 3
    assert {one.rate for one in trained} == {max(tried, key=lambda rate: (tried[rate], -rate))}


def test_random_twins_and_unets_are_drawn_again_by_every_seed():
    twins = trainings_of("tokenlinear_full_p100", "block11", model="pocket_random").jobs
    assert twins[0].loaded.weights_sha256 != twins[1].loaded.weights_sha256
    frozen = trainings_of("tokenlinear_frozen_p100", "block11", model="pocket_random").jobs
    assert frozen[0].loaded.weights_sha256 == frozen[1].loaded.weights_sha256


def test_a_unet_learns_from_scratch_and_is_restored_with_its_statistics():
    made = trainings_of("tokenlinear_full_p100", "final", model="unet", seeds=1)
    (trained,) = made.run()
    assert made.jobs[0].identity["size"] == 32
    assert trained.trained_parameters == trained.total_parameters
    counts = made.tested([trained])
    assert counts.sum() == 5 * 31 * 32
    # The same score by a network that was restored again: running statistics are part of what is kept.
    score = [float(value) for value in count_score(counts, "miou")]
    job = made.jobs[0]
    held = job.counts(restored(job, trained), "val", range(4))
    assert quality(TASK, held) == pytest.approx(trained.val_score)
    assert score[0] > 0.3


@pytest.mark.usefixtures("solved_once")
def test_blocks_that_the_probe_chose_are_read():
    made = setup_of("upernet_w064_probe_frozen_p100")
    assert made.taps == (made.workspace.dense_sweep("pocket_mae", TASK.slug).best_taps(4), "validation")
    single = setup_of("single_w064_frozen_p100", "chosen")
    assert single.taps == (single.workspace.dense_sweep("pocket_mae", TASK.slug).best_taps(1), "validation")


def test_variants_change_what_they_say():
    plain, long, up2, aug = (
        setup_of(slug).choice
        for slug in (
            "lightms_frozen_p010",
            "lightms_frozen_p010_long",
            "lightms_frozen_p100_up2",
            "lightms_frozen_p100_aug",
        )
    )
    # Ten chips in batches of four are three steps; a tenth of them is one.
    assert (plain.lengthened, long.lengthened) == (1, 3)
    assert trainings_of("lightms_frozen_p100_up2").jobs[0].size == 16
    assert (up2.zoom, aug.online) == (2, True)


def test_few_labels_choose_rate_and_epoch_by_folds_of_the_training_chips(small_data):
    small_data["train"] = chips(TASK, "train", count=40)
    made = trainings_of("tokenlinear_full_p010", "block11")
    first = made.jobs[0]
    folds = made.setup.budget.folds
    assert len(folds) == 3
    assert np.concatenate(folds).size == len(made.setup.budget.train)
    found = {rate: cross_validated(first, rate) for rate in made.setup.choice.rates}
    best = max(found, key=lambda rate: (found[rate].chosen.score, -rate))
    trained = made.run()
    assert {one.rate for one in trained} == {best}
    assert {one.epoch for one in trained} == {found[best].chosen.epoch}
    assert [one.val_score for one in trained] == [found[best].chosen.score] * 2
    assert search_seconds(made, best) == pytest.approx(sum(one.seconds for one in found.values()))
    assert all(1 <= len(one.losses) == one.epoch for one in trained)


@pytest.mark.usefixtures("solved_once")
def test_the_blocks_of_few_labels_are_chosen_with_few_labels():
    made = setup_of("single_w064_frozen_p010", "chosen")
    sweep = made.workspace.dense_sweep("pocket_mae", TASK.slug)
    assert made.taps[0] == sweep.best_taps(1, 0.1)
    with pytest.raises(ContractError, match=r"with 0\.5 of the labels; choose one of the fractions 0\.1, 1"):
        sweep.best_taps(1, 0.5)


def test_dates_are_joined_by_one_weight_each_where_the_case_says_so():
    assert dense_adaptation("lightms_frozen_p100_dateweights").variant == "dateweights"
    ids = {case.id for case in dense_cases(CATALOG, "extended", models=["pocket_mae"], tasks=["pastis_sim", TASK.slug])}
    assert "pocket_mae-pastis_sim-lightms_frozen_p100_dateweights-multi" in ids
    assert f"pocket_mae-{TASK.slug}-lightms_frozen_p100_dateweights-multi" not in ids
    assert setup_of("lightms_frozen_p100").choice.recipe.temporal == "ltae"
    assert setup_of("lightms_frozen_p100_dateweights").choice.recipe.temporal == "linear"


def test_another_pretraining_of_a_pocket_is_trained_when_it_is_named():
    models = {case.model for case in dense_cases(CATALOG, "extended", tasks=[TASK.slug])}
    assert {"pocket_mae", "pocket_contrast", "pocket_random", "unet"} <= models
    assert not models & {"pocket_mae_seed1", "pocket_mae_third", "pocket_contrast_seed1"}
    assert dense_cases(CATALOG, models=["pocket_mae_seed1"], tasks=[TASK.slug])


def test_mixed_precision_is_another_recipe():
    assert setup_of("lightms_full_p100", dtype="bf16").choice.recipe.slug == "quick_bf16"


def test_all_models_see_the_same_chips():
    one, other = setup_of("lightms_frozen_p010").budget, setup_of("lightms_full_p010", model="pocket_contrast").budget
    assert one.train.tolist() == other.train.tolist()
    assert set(one.train) < set(setup_of("lightms_frozen_p100").budget.train)


def test_recipes_of_inputs():
    assert input_recipe(TASK, None) == "probing"
    assert input_recipe(CATALOG.task("sen1floods11"), None) == "pangaea"
    assert input_recipe(CATALOG.task("biomassters"), None) == "probing"
    assert input_recipe(TASK, "pangaea") == "pangaea"
    workspace = Workspace(CATALOG, Settings())
    assert workspace.with_recipe("probing") is workspace
    assert workspace.with_recipe("pangaea") is workspace.with_recipe("pangaea")


def test_out_of_memory_says_which_batch_fits(monkeypatch):
    from geofm_eval.dense.model import DenseModel

    whole = DenseModel.decode

    def decode(self, maps, size):
        if self.training and torch.is_grad_enabled() and len(maps[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return whole(self, maps, size)

    monkeypatch.setattr(DenseModel, "decode", decode)
    with pytest.raises(ContractError, match=r"batch of 4 windows of 32 x 32 pixels; a batch of 2 fits: --batch 2"):
        trainings_of("lightms_frozen_p100", seeds=1).run()
    assert ran_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not ran_out_of_memory(RuntimeError("shapes differ"))


def test_another_batch_is_another_recipe():
    assert training_recipe("pangaea", 4).slug == "pangaea_b04"
    assert training_recipe("pangaea", 8) is RECIPES["pangaea"]
    with pytest.raises(ContractError, match="at least 2 chips, found 1"):
        training_recipe("pangaea", 1)


def test_a_single_example_can_be_trained_on(monkeypatch):
    """Batch normalisation needs two."""
    made = trainings_of("upernet_w064_frozen_p100", seeds=1)
    object.__setattr__(made.jobs[0].budget, "train", np.array([3]))
    (trained,) = made.run()
    assert all(np.isfinite(trained.losses))


def test_what_is_no_dense_adaptation_is_refused():
    with pytest.raises(ContractError, match="'knn' is not a dense adaptation"):
        trainings_of("knn").run()


def test_a_failed_case_is_a_record_too(tmp_path):
    case = Case("segment", "pocket_mae", TASK.slug, "lightms_frozen_p100", "multi")
    found = measured(tmp_path, "tokenlinear_frozen_p100", "block11")
    failed = found.record.model_copy(
        update={"scores": {}, "training": None, "case": case_info(case, CATALOG),
                "outcome": Outcome(status="error", verdict="no_range", reason="died")}
    )  # fmt: skip
    path = write_record(failed, None, tmp_path / "own")
    assert json.loads(path.read_text())["outcome"]["reason"] == "died"
