"""Tuning for tasks with one label per item: what is seen, learnt, held out and scored."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GroupShuffleSplit, ShuffleSplit
from torch import nn

from geofm_eval.catalog.dense import TUNINGS
from geofm_eval.data.inputs import InputAdapter
from geofm_eval.dense.budget import ChipBudget
from geofm_eval.dense.config import TrainingConfig
from geofm_eval.dense.inference import score_of, secondary_metrics
from geofm_eval.dense.job_training import NETWORK, changed, counts_on_test, restored, train_at
from geofm_eval.dense.model import HEAD_GAIN, PooledModel
from geofm_eval.dense.pooled import PooledJob, WholeItems, holdout, item_budget
from geofm_eval.dense.recipes import TrainingRecipe
from geofm_eval.dense.training import train
from geofm_eval.errors import DataError
from tests.small_chips import train_chosen
from tests.small_items import CATALOG, LAND, WOOD, items
from tests.small_vit import load, small_vit

RECIPE = TrainingRecipe("test", epochs=16, validate_every=4, batch=4, rate=1e-2, rates=(1e-2,), flips=True)
SPEC = small_vit(bands=LAND.bands)


def job(tuning="frozen", task=LAND, seed=0, budget=None, labels=None, **recipe):
    splits = {name: items(task, name, n, first) for name, n, first in (("val", 9, 50), ("test", 30, 70))}
    splits["train"] = items(task, labels=labels)
    choice = TrainingConfig("pooled", tuning, ("final",), replace(RECIPE, **recipe))
    budget = budget or ChipBudget(np.arange(12), np.arange(9))
    return PooledJob(lambda: load(SPEC), adapter(task), splits, budget, choice, seed)


def adapter(task):
    return InputAdapter(SPEC, task, CATALOG.recipe("probing"))


def found(made, network, name):
    """(n,) targets and predictions of a split."""
    pairs = list(made.pairs(network, name, range(len(made.splits[name]))))
    return tuple(np.array([float(pair[side][0, 0]) for pair in pairs]) for side in (0, 1))


def test_mirrors_are_a_function_of_seed_epoch_and_item():
    split, every = items(), np.arange(12)
    samples = WholeItems(split, every, adapter(LAND), seed=0)
    plain = replace(samples, flips=False).batch(every, 0)
    assert plain.target.tolist() == [[[label]] for label in split.labels]
    assert torch.equal(plain.images.pixels, adapter(LAND)([split.read(i) for i in range(12)]).pixels)
    whole = samples.batch(every, 3)
    again = WholeItems(split, every[::-1].copy(), adapter(LAND), seed=0).batch(np.array([4, 0]), 3)
    assert torch.equal(again.images.pixels, whole.images.pixels[[7, 11]])
    assert again.names == ("train7", "train11")
    mirrored = [plain.images.pixels.flip(axes) for axes in ([], [-1], [-2], [-1, -2])]
    which = [[torch.equal(a, b) for a, b in zip(whole.images.pixels, one, strict=True)] for one in mirrored]
    assert np.sum(which, axis=0).tolist() == [1] * 12
    assert np.sum(which, axis=1).min() > 0
    for other in (samples.batch(every, 4), replace(samples, seed=1).batch(every, 3)):
        assert not torch.equal(other.images.pixels, whole.images.pixels)


@pytest.mark.parametrize("tuning", TUNINGS)
def test_few_items_are_learnt_by_heart_and_the_frozen_stays_frozen(tuning):
    made = job(tuning)
    trained = train_chosen(made)
    network = restored(made, trained)
    assert trained.losses[-1] < 0.5 * trained.losses[0]
    assert made.counts(network, "train", range(12)).trace(axis1=1, axis2=2).sum() >= 11
    moved = set(changed(made, trained))
    parts = {
        "frozen": (),
        "full": (".",),
        "lora": (".attn.qkv.weight", ".attn.proj.weight"),
        "lora_fc1": (".mlp.fc1.weight",),
        "lnbias": ("norm", ".bias"),
    }
    names = made.loaded.backbone.state_dict()
    assert moved == {name for name in names if any(part in name for part in parts[tuning])}
    assert (trained.trained_parameters == trained.total_parameters) == (tuning == "full")
    assert trained.examples == RECIPE.epochs * 12


@pytest.mark.parametrize(("tuning", "task"), [("frozen", LAND), ("lora", WOOD)], ids=["classes", "numbers"])
def test_an_interrupted_training_ends_as_an_uninterrupted_one_does(tuning, task, tmp_path, monkeypatch):
    monkeypatch.setattr("geofm_eval.dense.job_training.train", partial(train, every=0.0))
    made = job(tuning, task, epochs=4, validate_every=2)
    whole = train_at(made, 1e-2)
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "other"))
    read, calls = WholeItems.batch, []

    def failing(self, chosen, epoch):
        calls.append(epoch)
        if len(calls) == 9:
            raise KeyboardInterrupt
        return read(self, chosen, epoch)

    monkeypatch.setattr(WholeItems, "batch", failing)
    with pytest.raises(KeyboardInterrupt):
        train_at(made, 1e-2)
    pieces = train_at(made, 1e-2)
    # 4 epochs of 3 steps and a calibration; the step that was interrupted is read twice.
    assert len(calls) == 4 * 3 + 1 + 1
    assert (pieces.losses, pieces.validations) == (whole.losses, whole.validations)
    expected = load_file(whole.path / NETWORK)
    assert all(torch.equal(value, expected[name]) for name, value in load_file(pieces.path / NETWORK).items())


def test_numbers_come_back_in_their_unit_and_scores_are_those_of_scikit_learn():
    made = job("lora", WOOD, budget=ChipBudget(np.arange(10), np.arange(9)))
    labels = made.splits["train"].labels[:10]
    assert made.scale == pytest.approx((labels.mean(), labels.std()))
    trained = train_chosen(made)
    network = restored(made, trained)
    target, predicted = found(made, network, "test")
    assert target.tolist() == made.splits["test"].labels.tolist()
    with torch.inference_mode():
        values = network.outputs(made.adapter([made.splits["test"].read(i) for i in range(30)]))[:, 0].numpy()
    np.testing.assert_allclose(predicted, values * labels.std() + labels.mean(), rtol=1e-4)
    counts = counts_on_test(made, trained)
    assert counts.shape == (30, 5)
    assert score_of(WOOD, counts) == pytest.approx(r2_score(target, predicted), rel=1e-4)
    assert 0.9 < score_of(WOOD, counts) < 1
    assert secondary_metrics(WOOD, counts)["rmse"] == pytest.approx(
        np.sqrt(np.square(predicted - target).mean()), rel=1e-5
    )
    assert trained.val_score == pytest.approx(r2_score(*found(made, network, "val")), rel=1e-4)


def test_accuracy_is_that_of_scikit_learn():
    made = job(epochs=2, validate_every=1)
    trained = train_chosen(made)
    network = restored(made, trained)
    counts = counts_on_test(made, trained)
    assert counts.shape == (30, 3, 3)
    assert score_of(LAND, counts) == pytest.approx(accuracy_score(*found(made, network, "test")))
    assert 0 < score_of(LAND, counts) < 1
    assert trained.val_score == pytest.approx(accuracy_score(*found(made, network, "val")))


@pytest.mark.parametrize("task", [LAND, WOOD], ids=["image", "series"])
def test_the_head_reads_the_mean_token_of_the_mean_date(task):
    network = PooledModel(load(SPEC).backbone, "frozen", "block01", 3)
    batch = adapter(task)([items(task).read(i) for i in range(4)])
    days = range(task.dates) if batch.series else [slice(None)]
    with torch.inference_mode():
        dated = [replace(batch, pixels=batch.pixels[:, day], valid=batch.valid[:, day]) for day in days]
        tokens = torch.stack([network.backbone(day)["block01"][:, 1:].mean(1) for day in dated]).mean(0)
        expected = HEAD_GAIN * network.head(nn.functional.layer_norm(tokens, (16,)))
        torch.testing.assert_close(network.outputs(batch), expected, rtol=1e-4, atol=1e-5)
        network.mixed_precision = True
        assert network.outputs(batch).dtype == torch.float32
        torch.testing.assert_close(network.outputs(batch), expected, rtol=0.05, atol=0.05)


def test_the_gain_of_the_head_changes_its_steps_and_not_its_beginning():
    backbone = load(SPEC).backbone
    torch.manual_seed(0)
    network = PooledModel(backbone, "frozen", "final", 3)
    torch.manual_seed(0)
    plain = nn.Linear(16, 3)
    torch.testing.assert_close(HEAD_GAIN * network.head.weight, plain.weight)
    optimiser = torch.optim.AdamW(network.new_parameters, lr=0.01, weight_decay=0.0)
    network.outputs(adapter(LAND)([items().read(0)])).sum().backward()
    optimiser.step()
    torch.testing.assert_close(HEAD_GAIN * network.head.bias, plain.bias - HEAD_GAIN * 0.01, rtol=1e-4, atol=1e-5)


def test_what_shuffles_test_is_held_out():
    whole = replace(items(WOOD, "all", 80), dropped={"the target is NaN": ("x",)})
    parts = holdout({"all": whole})
    ranked = np.argsort([item.rank for item in whole.items])
    drawn = [ranked[test] for _, test in ShuffleSplit(40, test_size=0.1, random_state=42).split(ranked)]
    expected = {whole.ids[row] for row in np.concatenate(drawn[:4])}
    assert set(parts["test"].ids) == expected
    assert set(parts["val"].ids) == {whole.ids[row] for row in np.concatenate(drawn[4:8])} - expected
    assert sorted(id for part in parts.values() for id in part.ids) == sorted(whole.ids)
    assert {name: (part.name, len(part.dropped)) for name, part in parts.items()} == {
        "train": ("train", 1), "val": ("val", 0), "test": ("test", 0)
    }  # fmt: skip
    row = whole.ids.index(parts["test"].ids[3])
    assert np.array_equal(parts["test"].read(3).pixels, whole.read(row).pixels)
    assert parts["test"].labels[3] == whole.labels[row]
    assert holdout(parts) is parts


def test_blocks_are_held_out_whole():
    task = WOOD.model_copy(update={"options": {**WOOD.options, "blocks": "group"}})
    whole = items(task, "all", 80)
    parts = holdout({"all": whole})
    ranked = np.argsort([item.rank for item in whole.items])
    cut = GroupShuffleSplit(40, test_size=0.1, random_state=42).split(ranked, groups=whole.groups[ranked])
    expected = np.concatenate([ranked[test] for _, test in cut][:4])
    assert set(parts["test"].ids) == {whole.ids[row] for row in expected}
    blocks = [set(part.groups) for part in parts.values()]
    assert sum(map(len, blocks)) == len(set.union(*blocks)) == 20


def budgeted(fraction, train=200, val=200, task=LAND, matched=True, labels=None):
    parts = {"train": items(task, count=train, labels=labels), "val": items(task, "val", val, 500)}
    return parts, item_budget(task, parts, fraction, matched, seed=1)


def test_validation_shrinks_with_the_labels_and_makes_way_for_folds():
    parts, tenth = budgeted(0.1)
    assert (tenth.folds, tenth.absent, tenth.validated_on) == ((), (), 21)
    for name, chosen in (("train", tenth.train), ("val", tenth.val)):
        assert np.bincount(parts[name].labels[chosen]).tolist() == [7, 7, 7]
    assert set(tenth.train) < set(budgeted(0.5)[1].train)
    assert len(budgeted(0.1, matched=False)[1].val) == 200
    for task in (LAND, WOOD):
        _, few = budgeted(0.1, val=40, task=task)
        assert len(few.val) == 0
        assert np.array_equal(np.sort(np.concatenate(few.folds)), few.train)
        assert (len(few.folds), few.validated_on) == (5, len(few.train))
        assert len(budgeted(0.1, val=40, task=task, matched=False)[1].val) == 40


def test_classes_without_an_item_are_known_and_lonely_ones_are_never_held_out():
    _, two = budgeted(1.0, labels=[0, 2] * 100)
    assert two.absent == (1,)
    _, lonely = budgeted(1.0, train=12, val=9, labels=[0] * 6 + [1] * 5 + [2])
    assert (len(lonely.train), lonely.validated_on, lonely.absent) == (12, 11, ())
    assert 11 not in np.concatenate(lonely.folds)


def test_what_nothing_can_be_learnt_from_is_refused():
    with pytest.raises(DataError, match=r"eurosat_sim: found 3 training samples at 0\.01 of the labels, too few"):
        budgeted(0.01, train=30, val=9)
    with pytest.raises(DataError, match="the label is 7 in all of 12 training samples, expected different values"):
        _ = job(task=WOOD, labels=[7.0] * 12).scale
