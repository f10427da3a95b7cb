"""Rounding is not signal, and a large channel does not hide small ones: for every probe, on float32 features."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

from geofm_eval.data.labels import label_subsets, validation_plan
from geofm_eval.probes import solve
from geofm_eval.probes.selection import NEAR_LOWEST
from geofm_eval.probes.standardise import fit_standardiser, rotate
from geofm_eval.stats.reselection import weighted_r2
from geofm_eval.stats.scores import prediction_dtype

PATH_ERROR = 2e-4
"""Of a validation loss on the path, in nats."""

SIZES = {"train": 200, "val": 100, "test": 200}
STEP = float(np.finfo(np.float32).eps)


def probed(probe, features, labels, classes):
    """The only row of a probe on one tap with all labels; ``features`` and ``labels`` by split."""
    subsets = label_subsets(labels["train"], (1.0,), 1, seed=0)
    plans = {(1.0, 0): validation_plan(labels["train"], labels["val"], 1.0, 0, "matched", seed=0)}
    sweep = solve(probe, lambda _, split: features[split], labels, ("final",), "mean", subsets, plans, classes)
    return sweep.rows[0]


def classes_of(n):
    return np.arange(n) % 2


@pytest.mark.parametrize("probe", ["linear", "knn"])
@pytest.mark.parametrize("steps", [1, 4, 16])
def test_a_network_without_information_probes_at_chance(probe, steps):
    rng = np.random.default_rng(steps)
    level = rng.uniform(-1.4, 1.4, 64)
    direction = rng.standard_normal(64)
    features, labels = {}, {}
    for split, n in SIZES.items():
        labels[split] = classes_of(n)
        # Rounding that depends on the class, as that of sums in another order does.
        noise = rng.standard_normal((n, 64)) / 4 + np.where(labels[split] == 1, 1, -1)[:, None] * np.sign(direction) / 2
        features[split] = (level * (1 + steps * STEP * noise)).astype(np.float32)
    row = probed(probe, features, labels, 2)
    assert row.test_score == 0.5
    if probe == "linear":
        assert row.dropped_channels == 64


@pytest.mark.parametrize("large", [1e3, 1e7])
def test_informative_channels_beside_a_huge_one_reach_what_scikit_learn_reaches(large):
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((2, 16))
    features, labels = {}, {}
    for split, n in SIZES.items():
        labels[split] = classes_of(n)
        small = 3 * (centres[labels[split]] + 0.3 * rng.standard_normal((n, 16)))
        features[split] = np.hstack([small, large * rng.standard_normal((n, 1))]).astype(np.float32)
    scaler = StandardScaler().fit(features["train"].astype(np.float64))
    model = LogisticRegression().fit(scaler.transform(features["train"]), labels["train"])
    theirs = model.score(scaler.transform(features["test"]), labels["test"])
    assert theirs == 1.0
    assert probed("linear", features, labels, 2).test_score == theirs


@pytest.mark.parametrize("centre", [0.0, 1e5, 1e9, -1e12])
def test_a_target_far_from_zero_is_predicted_as_well_as_a_centred_one(centre):
    rng = np.random.default_rng(1)
    weights = rng.standard_normal(8)
    features = {split: rng.standard_normal((n, 8)).astype(np.float32) for split, n in SIZES.items()}
    labels = {
        split: centre + values @ weights / 3 + 0.1 * np.random.default_rng(2).standard_normal(len(values))
        for split, values in features.items()
    }
    model = Ridge(alpha=1e-3).fit(features["train"].astype(np.float64), labels["train"] - centre)
    theirs = model.score(features["test"], labels["test"] - centre)
    row = probed("ridge", features, labels, 0)
    assert row.test_score == pytest.approx(theirs, abs=2e-3)
    again = 1 - np.square(row.outcomes - labels["test"]).sum() / np.square(labels["test"] - labels["test"].mean()).sum()
    assert again == pytest.approx(row.test_score, abs=1e-6), "outcomes give the same score when they are read"


def test_predictions_take_float64_only_where_float32_is_too_coarse():
    spread = np.random.default_rng(0).standard_normal(50)
    assert prediction_dtype(spread) is np.float32
    assert prediction_dtype(1e4 + 100 * spread) is np.float32
    assert prediction_dtype(1e9 + spread) is np.float64


def test_an_axis_that_only_holds_rounding_is_left_out_in_both_branches():
    rng = np.random.default_rng(3)
    base = rng.standard_normal((300, 3))
    twin = base[:, :1] + 30 * STEP * rng.standard_normal((300, 1))
    values = torch.from_numpy(np.hstack([base, twin, np.zeros((300, 1))]).astype(np.float32))
    for n in (300, 4):
        standardiser = fit_standardiser(values[:n])
        rotation = rotate(standardiser(values[:n]), standardiser.rounding)
        assert int((rotation.curvature > 0).sum()) == 3
        assert not rotation.coordinates[:, rotation.curvature == 0].any()


def test_exact_penalties_are_those_of_an_independent_float64_solver():
    rng = np.random.default_rng(4)
    features, labels = {}, {}
    centres = 0.4 * rng.standard_normal((4, 30))
    for split, n in SIZES.items():
        labels[split] = np.arange(n) % 4
        features[split] = (centres[labels[split]] + rng.standard_normal((n, 30))).astype(np.float32)
    row = probed("linear", features, labels, 4)
    scaler = StandardScaler().fit(features["train"].astype(np.float64))
    x = {split: scaler.transform(values.astype(np.float64)) for split, values in features.items()}
    losses = {}
    for index in range(row.chosen_index - 2, row.chosen_index + 3):
        model = LogisticRegression(C=1 / (row.candidates[index] * 200), tol=1e-12, max_iter=100_000)
        model.fit(x["train"], labels["train"])
        losses[index] = -model.predict_log_proba(x["val"])[np.arange(100), labels["val"]].mean()
        if index == row.chosen_index:
            assert np.array_equal(row.outcomes, model.predict(x["test"]) == labels["test"])
    assert min(losses, key=losses.get) == row.chosen_index
    assert row.chosen_loss == pytest.approx(losses[row.chosen_index], abs=1e-7)
    # A runner-up that is farther from the best cannot be chosen, and keeps the path's own precision.
    gap = np.diff(sorted(losses.values())[:2])[0]
    assert row.runner_up_gap == pytest.approx(gap, abs=1e-6 if gap < NEAR_LOWEST else PATH_ERROR)


@pytest.mark.parametrize("centre", [0.0, 1e6, 1e9])
def test_resampled_scores_know_a_target_far_from_zero(centre):
    rng = np.random.default_rng(5)
    target, weights = rng.standard_normal(40), rng.integers(0, 3, (7, 40)).astype(np.float32)
    errors = np.square(0.3 * rng.standard_normal((2, 40)))
    np.testing.assert_allclose(
        weighted_r2(errors, centre + target, weights), weighted_r2(errors, target, weights), rtol=1e-6
    )
    assert np.isnan(weighted_r2(errors, np.full(40, centre + 0.1), weights)).all()
