"""The ridge probe against scikit-learn, and what it refuses."""

import json

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofm_eval.data.labels import LabelSubset, ValidationPlan, label_subsets, validation_plan
from geofm_eval.errors import DataError
from geofm_eval.probes import load_sweep, save_sweep, solve
from geofm_eval.probes.ridge import RIDGE_PENALTIES, PathErrors, choose_penalty, decompose

TAPS = ("embed", "final")
COUNTS = {"train": 150, "val": 80, "test": 60}
WIDTH = 24


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    weights = rng.standard_normal(WIDTH)
    features, targets = {}, {}
    for split, count in COUNTS.items():
        signal = rng.standard_normal((count, WIDTH))
        targets[split] = 40 + 5 * signal @ weights + 10 * rng.standard_normal(count)
        features["final", split] = (100 + signal).astype(np.float32)
        features["embed", split] = (signal + 2 * rng.standard_normal((count, WIDTH))).astype(np.float32)
    return features, targets


@pytest.fixture(scope="module")
def budget(data):
    _, targets = data
    subsets = label_subsets(targets["train"], (0.02, 0.1, 1.0), 2, seed=0)
    plans = {
        (s.fraction, s.draw): validation_plan(
            targets["train"][s.indices], targets["val"], s.fraction, s.draw, "matched", seed=0
        )
        for s in subsets
    }
    return subsets, plans


def solve_all(data, budget, taps=TAPS, **changes):
    features, targets = data
    arguments = {"labels": targets, "subsets": budget[0], "plans": budget[1], "n_classes": 0, "task": "biomass"}
    arguments |= changes
    return solve("ridge", lambda tap, split: features[tap, split], taps=taps, pooling="mean", **arguments)


@pytest.fixture(scope="module")
def sweep(data, budget):
    return solve_all(data, budget)


def reference(penalty: float, n: int):
    """The same probe of scikit-learn: of standardised features, tr(X'X)/p is the number of items."""
    return make_pipeline(StandardScaler(), Ridge(alpha=penalty * n, solver="svd"))


@pytest.mark.parametrize(("n", "width"), [(150, 24), (30, 100), (40, 40), (3, 50), (200, 1)])
def test_predictions_agree_with_scikit_learn(n, width):
    rng = np.random.default_rng(n + width)
    scale = np.exp(rng.standard_normal(width))
    rows, queries = (1000 + scale * rng.standard_normal((m, width)) for m in (n, 20))
    rows, queries = rows.astype(np.float32), queries.astype(np.float32)
    truth = 7 + rows[:, 0].astype(float) * 0.3 + rng.standard_normal(n)
    found = decompose(rows).fit(truth).predict(queries)
    assert found.shape == (20, 40)
    for index in (0, 13, 20, 30, 39):
        expected = reference(RIDGE_PENALTIES[index], n).fit(rows.astype(float), truth).predict(queries.astype(float))
        np.testing.assert_allclose(found[:, index], expected, rtol=1e-6, atol=1e-6)


def test_constant_channels_are_dropped_and_nothing_else_changes(data):
    features, targets = data
    rows = features["final", "train"]
    padded = np.hstack([np.full((len(rows), 3), 5, np.float32), rows])
    path = decompose(padded).fit(targets["train"])
    assert path.standardiser.dropped == 3
    np.testing.assert_allclose(path.predict(padded), decompose(rows).fit(targets["train"]).predict(rows), rtol=1e-12)
    blank = decompose(np.ones((10, 4), np.float32)).fit(np.arange(10.0))
    np.testing.assert_array_equal(blank.predict(np.zeros((2, 4), np.float32)), np.full((2, 40), 4.5))


def test_the_validation_split_chooses_the_penalty_as_brute_force_does(sweep, data):
    features, targets = data
    row = sweep.row("embed", 1.0, 0)
    assert (row.val_kind, row.n_val, row.n_test, row.n_train) == ("split", 80, 60, 150)
    assert row.candidates == RIDGE_PENALTIES
    losses = []
    for penalty in RIDGE_PENALTIES:
        model = reference(penalty, 150).fit(features["embed", "train"].astype(float), targets["train"])
        losses.append(np.square(model.predict(features["embed", "val"].astype(float)) - targets["val"]).mean())
    np.testing.assert_allclose(row.val_loss, losses, rtol=1e-6)
    assert row.chosen_index == int(np.argmin(losses))
    assert 0 < row.chosen_index < 39
    assert row.val_score == pytest.approx(1 - min(losses) / targets["val"].var())
    model = reference(row.chosen, 150).fit(features["embed", "train"].astype(float), targets["train"])
    predicted = model.predict(features["embed", "test"].astype(float))
    np.testing.assert_allclose(row.outcomes, predicted, rtol=1e-6)
    assert row.test_score == pytest.approx(r2_score(targets["test"], predicted), abs=1e-6)
    assert row.extra["rmse"] == pytest.approx(np.sqrt(np.square(targets["test"] - predicted).mean()))


def test_inner_folds_choose_the_penalty_as_cross_validation_does(sweep, data, budget):
    features, targets = data
    subset = next(s for s in budget[0] if s.fraction == 0.1)
    plan = budget[1][0.1, 0]
    assert plan.kind == "inner_cv"
    fold_of = np.empty(len(subset.indices), int)
    for number, fold in enumerate(plan.folds):
        fold_of[fold] = number
    rows, truth = features["final", "train"][subset.indices].astype(float), targets["train"][subset.indices]
    kept = len(rows) - len(plan.folds[0])
    assert {len(fold) for fold in plan.folds} == {len(plan.folds[0])}, "the penalty counts the items of a fold"
    row = sweep.row("final", 0.1, 0)
    for index in (0, 15, row.chosen_index):
        model = reference(RIDGE_PENALTIES[index], kept)
        predicted = cross_val_predict(model, rows, truth, cv=PredefinedSplit(fold_of))
        assert row.val_loss[index] == pytest.approx(np.square(predicted - truth).mean(), rel=1e-6)
    assert row.val_loss[row.chosen_index] == min(row.val_loss)
    assert row.val_score == pytest.approx(r2_score(truth, predicted), rel=1e-6)
    assert row.n_val == len(rows)


def test_ties_go_to_the_stronger_penalty_and_edges_are_marked():
    truth = np.arange(4.0)
    choice = choose_penalty(PathErrors(np.array([3.0, 2.0, 2.0, 4.0]), truth))
    assert (choice.index, choice.at_edge, choice.val_score) == (1, False, pytest.approx(1 - 0.5 / truth.var()))
    assert choose_penalty(PathErrors(np.array([2.0, 2.0]), truth)).at_edge
    assert choose_penalty(PathErrors(np.array([2.0, 1.0]), np.ones(4))).val_score is None
    total = PathErrors(np.array([1.0]), truth) + PathErrors(np.array([2.0]), truth[:1])
    assert (total.squared.tolist(), len(total.targets)) == ([3.0], 5)


def test_without_validation_the_middle_penalty_is_used(data):
    subset = LabelSubset(0.1, 0, np.array([3, 8]))
    row = solve_all(data, ([subset], {(0.1, 0): ValidationPlan("none", np.empty(0, np.int64))})).row("final", 0.1, 0)
    assert (row.val_score, row.val_loss, row.at_edge, row.n_val) == (None, (), False, 0)
    assert 0.5 < row.chosen < 2


def test_a_subset_of_equal_targets_predicts_them(data):
    features, targets = data
    flat = {**targets, "train": np.where(np.arange(150) < 20, 5.0, targets["train"])}
    plan = ValidationPlan("split", np.arange(80))
    row = solve_all((features, flat), ([LabelSubset(0.1, 0, np.arange(20))], {(0.1, 0): plan})).row("final", 0.1, 0)
    np.testing.assert_array_equal(row.outcomes, np.full(60, 5, np.float32))
    assert row.chosen_index == 0
    assert row.test_score < 0


def test_repeats_and_other_taps_change_nothing(sweep, data, budget):
    for other in (solve_all(data, budget), solve_all(data, budget, taps=("final",))):
        for row in other.rows_for("final"):
            same = sweep.row("final", row.fraction, row.draw)
            assert np.array_equal(row.outcomes, same.outcomes)
            assert row.val_loss == same.val_loss
    assert sweep.kind == "prediction"
    assert [(r.tap, r.fraction, r.draw) for r in sweep.rows][:3] == [("embed", 0.02, 0), ("embed", 0.02, 1),
                                                                    ("embed", 0.1, 0)]  # fmt: skip


def test_saved_and_loaded_predictions_are_equal(sweep, tmp_path):
    save_sweep(sweep, tmp_path)
    assert "outcomes" not in json.loads((tmp_path / "sweep.json").read_text())["rows"][0]
    loaded = load_sweep(tmp_path)
    assert loaded.kind == "prediction"
    for row, other in zip(loaded.rows, sweep.rows, strict=True):
        assert row.outcomes.dtype == np.float32
        np.testing.assert_array_equal(row.outcomes, other.outcomes)
        assert (row.extra, row.val_loss, row.test_score) == (other.extra, other.val_loss, other.test_score)


@pytest.mark.parametrize(
    ("split", "values", "said"),
    [
        ("train", 3.0, r"biomass: the target is 3 in all of the train split \(150 samples\), so R2 is undefined"),
        ("test", 3.0, r"biomass: the target is 3 in all of the test split \(60 samples\), so R2 is undefined"),
        ("train", np.nan, r"biomass: not finite: 1 of 150 targets of the train split"),
        ("val", np.nan, r"biomass: not finite: 1 of 80 targets of the val split"),
        ("test", np.inf, r"biomass: not finite: 1 of 60 targets of the test split"),
    ],
)
def test_targets_that_leave_r2_undefined_are_refused(data, budget, split, values, said):
    features, targets = data
    bad = np.full_like(targets[split], values) if np.isfinite(values) else targets[split].copy()
    bad[0] = values
    with pytest.raises(DataError, match=said):
        solve_all((features, {**targets, split: bad}), budget)


def test_forty_penalties_strongest_first():
    assert len(RIDGE_PENALTIES) == 40
    assert (RIDGE_PENALTIES[0], RIDGE_PENALTIES[-1]) == (pytest.approx(1e4), pytest.approx(1e-6))
    assert list(RIDGE_PENALTIES) == sorted(RIDGE_PENALTIES, reverse=True)


def test_a_gpu_gives_the_same(data):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    features, targets = data
    rows = features["final", "train"]
    on_gpu = decompose(rows, torch.device("cuda")).fit(targets["train"]).predict(rows)
    np.testing.assert_allclose(on_gpu, decompose(rows).fit(targets["train"]).predict(rows), rtol=1e-8)
