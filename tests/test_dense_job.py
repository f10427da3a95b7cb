"""A dense training from chips to a score: stored maps, label budgets, choice on validation, counts."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.classification import MulticlassF1Score, MulticlassJaccardIndex

from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.budget import ChipBudget, chip_budget, chip_strata
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.inference import ChipPredictor, counts_of, predictions, quality, score_of, secondary_metrics
from geofm_eval.dense.job import DenseJob
from geofm_eval.dense.job_training import COUNTS, counts_on_test, restored, train_at, trained_on
from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.dense.search import cross_validated
from geofm_eval.errors import DataError
from tests.small_chips import CATALOG, CROPS, FLOODS, chips, train_chosen
from tests.small_vit import load, small_vit

QUICK = TrainingRecipe("test", epochs=4, validate_every=2, batch=4, rate=1e-2, rates=(1e-3, 1e-2, 3e-2))
HEIGHTS = CATALOG.task("biomassters_sim")


def job(tuning="frozen", side=32, size=32, task=FLOODS, seed=0, count=6, **choice):
    spec = small_vit(image_size=size, bands=task.bands)
    adapter = InputAdapter(spec, task, CATALOG.recipe("probing"))
    splits = {
        name: chips(task, name, count=n, first=first, side=side)
        for name, n, first in (("train", count, 0), ("val", 2, 50), ("test", 3, 70))
    }
    taps = ("block01", "block02")
    made = TrainingConfig(**{"decoder": "tokenlinear", "tuning": tuning, "taps": taps[-1:], "recipe": QUICK, **choice})
    budget = ChipBudget(np.arange(count), np.arange(2))
    return DenseJob(lambda: load(spec, task.slug), adapter, splits, budget, made, seed)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("side", [32, 48, 20])
def test_stored_maps_give_what_encoding_again_gives(side):
    """Chips as large as the window, larger (four windows, overlapping) and smaller (one, enlarged)."""
    made = job(side=side)
    network = restored(made, train_chosen(made))
    assert made.size == min(side, 32)
    again = ChipPredictor(made.adapter, made.size, torch.device("cpu"))
    stored = made._predictor("test")
    split = made.splits["test"]
    with torch.inference_mode():
        for item in range(len(split)):
            expected = again(network, split.read(item), item)
            assert expected.shape == (2, side, side)
            torch.testing.assert_close(stored(network, split.read(item), item), expected, rtol=1e-4, atol=1e-5)


def test_a_training_is_done_once_and_tested_once(monkeypatch):
    first = job("full")
    trained = train_chosen(first)
    counts = counts_on_test(first, trained)
    monkeypatch.setattr("geofm_eval.dense.job_training.train", lambda *_, **__: pytest.fail("trained again"))
    again = job("full")
    assert train_chosen(again) == trained
    assert (counts_on_test(again, trained) == counts).all()
    assert counts.shape == (3, 2, 2)
    assert counts.sum() == 3 * 31 * 32  # the row without labels is left out


def test_the_rate_is_chosen_on_validation_and_a_frozen_backbone_has_one():
    made = job("lora")
    trained = train_chosen(made)
    every = [train_at(made, rate) for rate in QUICK.rates]
    assert trained.val_score == max(one.val_score for one in every)
    assert trained.rate in QUICK.rates
    frozen = job()
    assert train_chosen(frozen).rate == QUICK.rate
    assert train_chosen(frozen).seconds["encode"] > 0
    assert trained.trained_parameters > train_chosen(frozen).trained_parameters
    low_rank = trained.trained_parameters - train_chosen(frozen).trained_parameters
    assert low_rank == 3 * 4 * 8 * (16 + 16)  # blocks, parts, rank, rows and columns
    assert trained.total_parameters == train_chosen(frozen).total_parameters + low_rank


def test_what_is_easy_is_learnt():
    longer = TrainingRecipe("test", epochs=20, validate_every=5, batch=4, rate=3e-3)
    made = job(count=8, recipe=longer, decoder="single_w064")
    assert score_of(FLOODS, counts_on_test(made, train_chosen(made))) > 0.8


def test_another_seed_budget_tap_or_window_is_another_training():
    narrow = job()
    narrow.__dict__["size"] = 16
    paths = {
        train_chosen(narrow).path,
        train_chosen(job()).path,
        train_chosen(job(seed=1)).path,
        train_chosen(job(count=4)).path,
        train_chosen(job(taps=("block01",))).path,
        train_chosen(job(lengthened=2)).path,
    }
    assert len(paths) == 6


def test_a_damaged_result_is_trained_again():
    made = job()
    trained = train_chosen(made)
    counts = counts_on_test(made, trained)
    network = trained.path / "network.safetensors"
    network.write_bytes(network.read_bytes()[:-20])
    again = job()
    assert (counts_on_test(again, train_chosen(again)) == counts).all()
    assert train_chosen(again).losses == trained.losses
    assert list(trained.path.parent.glob("*damaged*"))
    assert COUNTS in {path.name for path in trained.path.parents[1].glob("tested/*/*")}


def test_scores_against_torchmetrics():
    rng = np.random.default_rng(0)
    targets, found = rng.integers(-1, 10, (5, 16, 16)), rng.integers(0, 9, (5, 16, 16))
    targets[targets == 7] = 3  # a class that is absent from the targets
    counts = np.stack([counts_of(CROPS, t, f) for t, f in zip(targets, found, strict=True)])
    truth, guess = torch.from_numpy(targets), torch.from_numpy(found)
    iou = MulticlassJaccardIndex(10, average="none", ignore_index=-1)(guess, truth)
    f1 = MulticlassF1Score(10, average="none", ignore_index=-1)(guess.flatten(), truth.flatten())
    more = secondary_metrics(CROPS, counts)
    shown = [k for k in range(10) if counts.sum(0)[k].sum() + counts.sum(0)[:, k].sum() > 0]
    assert score_of(CROPS, counts) == pytest.approx(float(iou[shown].mean()))
    assert more["mean_f1"] == pytest.approx(float(f1[shown].mean()))
    assert more["pixel_accuracy"] == pytest.approx((guess == truth)[truth >= 0].float().mean().item())
    assert {name for name in more if name.startswith("iou_")} == {f"iou_class{k:02d}" for k in shown}


def test_errors_of_a_regression_against_their_formula():
    rng = np.random.default_rng(0)
    truth = np.where(rng.random((4, 8, 8)) < 0.2, np.nan, rng.normal(50, 20, (4, 8, 8))).astype(np.float32)
    found = (np.nan_to_num(truth) + rng.normal(0, 5, truth.shape)).astype(np.float32)
    counts = np.stack([counts_of(HEIGHTS, t, f) for t, f in zip(truth, found, strict=True)])
    known = np.isfinite(truth)
    error = (found - truth)[known]
    assert score_of(HEIGHTS, counts) == pytest.approx(float(np.sqrt(np.square(error).mean())), rel=1e-5)
    expected = 1 - np.square(error).sum() / np.square(truth[known] - truth[known].mean()).sum()
    assert secondary_metrics(HEIGHTS, counts)["r2"] == pytest.approx(float(expected), rel=1e-5)


def test_a_constant_target_is_refused():
    flat = job(task=FLOODS)
    split = flat.splits["train"]
    heights = split.__class__(
        **{
            **split.__dict__,
            "task": split.task.model_copy(update={"kind": "dense_regression", "metric": "rmse", "classes": ()}),
            "load_target": lambda item: np.full((32, 32), 7.0, np.float32),
        }
    )
    made = DenseJob(flat.load, flat.adapter, {**flat.splits, "train": heights}, flat.budget, flat.choice, 0)
    with pytest.raises(
        DataError, match="every labelled pixel of 6 training chips has the value 7, expected different values"
    ):
        _ = made.scale


def test_folds_give_what_trainings_without_each_of_them_give():
    """One epoch, so that the network of each fold can be made by a plain training too."""
    short = replace(QUICK, epochs=2, validate_every=2)
    plain = job("full", recipe=short)
    parts = (np.array([0, 3]), np.array([1, 4]), np.array([2, 5]))
    folded = replace(plain, budget=ChipBudget(np.arange(6), np.arange(0), folds=parts))
    counts = []
    for part in parts:
        left = ChipBudget(np.setdiff1d(np.arange(6), part), np.arange(2))
        alone = replace(plain, budget=left)
        network = restored(alone, train_at(alone, 1e-2))
        counts.append(alone.counts(network, "train", part.tolist()))
    found = cross_validated(folded, 1e-2)
    assert [one.epoch for one in found.validations] == [2]
    assert found.chosen.score == quality(FLOODS, np.concatenate(counts))
    # The final training sees all chips, for as many epochs as the folds chose.
    final = train_chosen(folded)
    assert (final.epoch, len(final.losses), final.examples) == (2, 2, 12)
    assert final.val_score == max(cross_validated(folded, rate).chosen.score for rate in short.rates)


def test_folds_that_are_interrupted_go_on(monkeypatch, tmp_path):
    made = replace(job("full"), budget=ChipBudget(np.arange(6), np.arange(0), folds=(np.arange(3), np.arange(3, 6))))
    expected = cross_validated(made, 1e-2)
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "other"))
    whole, calls = DenseJob.counts, []

    def failing(self, *arguments):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return whole(self, *arguments)

    monkeypatch.setattr(DenseJob, "counts", failing)
    with pytest.raises(KeyboardInterrupt):
        cross_validated(made, 1e-2)
    assert cross_validated(made, 1e-2).validations == expected.validations
    # The first fold was finished: what is left are the two validations of the second.
    assert len(calls) == 4 + 2


def test_a_network_is_kept_as_it_is_after_the_epoch_that_was_chosen():
    made = job("full", recipe=replace(QUICK, validate_every=1))
    states = {}

    def keep(network, epoch):
        states[epoch] = network.trained_state()
        return float(epoch)

    trained_on(made, np.arange(6), 1e-2, "whole", keep)
    network, done, _ = trained_on(made, np.arange(6), 1e-2, "part", keep, until=3)
    assert len(done.losses) == 3
    assert all(torch.equal(value, states[3][name]) for name, value in network.trained_state().items())


def test_an_epoch_on_stored_maps_has_one_window_of_every_chip():
    made = job(side=80, recipe=replace(QUICK, epochs=9, validate_every=9))
    samples, _ = made.samples(np.arange(6))
    assert len(samples) == 6
    assert train_chosen(made).examples == 9 * 6
    seen = [[samples._window(position, epoch) for epoch in range(18)] for position in range(6)]
    for position, rows in enumerate(seen):
        assert set(rows[:9]) == set(rows[9:]) == set(range(9 * position, 9 * position + 9))
    assert len({tuple(np.array(rows[:9]) % 9) for rows in seen}) > 1, "every chip has an order of its own"
    assert made.identity["windows"] == 54
    assert "windows" not in job().identity
    assert "windows" not in job("full", side=80).identity


def test_chips_without_a_label_are_no_part_of_a_budget():
    split = chips(count=20)
    load = split.load_target
    object.__setattr__(
        split, "load_target", lambda item: np.full((32, 32), -1) if item.id in ("train3", "train7") else load(item)
    )
    held = {"train": chip_strata(split), "val": chip_strata(split)}
    budget = chip_budget(held, 1.0, 0, "matched", 1)
    assert not {3, 7} & {*budget.train.tolist(), *budget.val.tolist()}
    assert len(budget.train) == 18


def test_few_validation_chips_make_way_for_folds():
    many, few = chips(count=60), chips(name="val", first=100, count=20)
    held = {"train": chip_strata(many), "val": chip_strata(few)}
    budget = chip_budget(held, 0.1, 0, "matched", 1)
    assert len(budget.folds) == 3
    assert len(budget.val) == 0
    assert sorted(np.concatenate(budget.folds)) == budget.train.tolist()
    assert budget.validated_on == len(budget.train)
    assert chip_budget(held, 0.1, 0, "full", 1).folds == ()
    assert chip_budget(held, 1.0, 0, "matched", 1).folds == ()
    more = {"train": chip_strata(many), "val": chip_strata(chips(name="val", first=100, count=80))}
    assert chip_budget(more, 0.1, 0, "matched", 1).folds == ()


def test_the_scale_of_a_target_is_that_of_all_its_pixels():
    rng = np.random.default_rng(0)
    stored = [np.where(rng.random((32, 32)) < 0.3, np.nan, rng.normal(50 * k, 1 + k, (32, 32))) for k in range(6)]
    stored[2][:] = np.nan
    flat = job(task=FLOODS)
    split = flat.splits["train"]
    heights = split.__class__(
        **{
            **split.__dict__,
            "task": split.task.model_copy(update={"kind": "dense_regression", "metric": "rmse", "classes": ()}),
            "load_target": lambda item: stored[int(item.path.stem)].astype(np.float32),
        }
    )
    made = DenseJob(flat.load, flat.adapter, {**flat.splits, "train": heights}, flat.budget, flat.choice, 0)
    assert made.scale == pytest.approx((np.nanmean(stored), np.nanstd(stored)), rel=1e-6)


def test_classes_that_no_training_chip_shows_are_known():
    both, dry = chips(count=6), chips(count=6)
    object.__setattr__(dry, "load_target", lambda item: np.zeros((32, 32), np.int64))
    budget = chip_budget({"train": chip_strata(both), "val": chip_strata(both)}, 1.0, 0, "matched", 1)
    assert budget.absent == ()
    crops = chips(CROPS, count=6)
    held = {"train": chip_strata(crops), "val": chip_strata(crops)}
    assert chip_budget(held, 1.0, 0, "matched", 1).absent == tuple(range(2, 10))
    with pytest.raises(DataError, match=r"the training chips show only 'dry', expected two or more classes"):
        chip_strata(dry)


def test_small_budgets_keep_every_class_and_are_nested():
    split = chips(count=40)
    strata = {"train": chip_strata(split), "val": chip_strata(chips(name="val", first=100, count=20))}
    assert len(np.unique(strata["train"].strata)) == 3  # by the share of the rarer class
    budgets = {
        fraction: chip_budget(strata, fraction, draw=0, budget="matched", seed=1) for fraction in (0.1, 0.5, 1.0)
    }
    assert len(budgets[1.0].train) == 40
    assert set(budgets[0.1].train) < set(budgets[0.5].train) < set(budgets[1.0].train)
    assert set(strata["train"].strata[budgets[0.1].train]) == set(strata["train"].strata)
    assert len(budgets[0.1].val) < len(budgets[1.0].val) == 20
    assert len(chip_budget(strata, 0.1, 0, "full", 1).val) == 20
    assert budgets[0.1].train.tolist() != chip_budget(strata, 0.1, 1, "matched", 1).train.tolist()


def test_a_series_is_encoded_date_by_date_and_joined():
    made = job(task=CROPS, count=4)
    trained = train_chosen(made)
    assert counts_on_test(made, trained).shape == (3, 10, 10)
    assert made._maps("train").maps("block02").shape == (4, 6, 16, 4, 4)


@pytest.mark.parametrize(("name", "reads"), [("val", 2), ("test", 6)])
def test_validation_chips_are_read_once_and_test_chips_whenever_they_are_predicted(name, reads):
    made, read = job("full"), []
    split = made.splits[name]
    load = split.load
    object.__setattr__(split, "load", lambda item: read.append(item.id) or load(item))
    network = made.network()
    first, again = (made.counts(network, name, range(len(split))) for _ in range(2))
    assert (first == again).all()
    assert len(read) == reads


def test_predictions_come_in_the_unit_of_the_target():
    made = job()
    network = restored(made, train_chosen(made))
    split = made.splits["test"]
    heights = split.task.model_copy(update={"kind": "dense_regression", "metric": "rmse", "classes": ()})
    predictor = ChipPredictor(made.adapter, 32, torch.device("cpu"))
    (_, plain), (_, scaled) = (
        next(iter(predictions(network, predictor, heights, split.read_pair, [0], scale)))
        for scale in ((0.0, 1.0), (5.0, 2.0))
    )
    np.testing.assert_allclose(scaled, plain * 2 + 5, rtol=1e-5)
