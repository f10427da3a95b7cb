"""Probes on a user's own arrays agree with scikit-learn, choose on validation, and say what does not fit."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from geofm_eval import probe_arrays
from geofm_eval.errors import ContractError, DataError

RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 900)
CENTRES = RNG.normal(0, 1, (3, 12))
CLEAR = CENTRES[LABELS] + RNG.normal(0, 1.0, (900, 12))
NOISE = RNG.normal(0, 1, (900, 12))
TARGET = CLEAR @ RNG.normal(0, 1, 12) + RNG.normal(0, 0.5, 900)
PARTS = slice(0, 400), slice(400, 600), slice(600, 900)


def splits(features, labels):
    """Train, val and test."""
    if isinstance(features, dict):
        return [({tap: x[part] for tap, x in features.items()}, labels[part]) for part in PARTS]
    return [(features[part], labels[part]) for part in PARTS]


def test_the_informative_tap_is_chosen_and_scores_are_those_of_scikit_learn():
    found = probe_arrays(*splits({"noise": NOISE, "clear": CLEAR}, LABELS))
    assert found.chosen == {1.0: "clear"}
    assert found.near == {1.0: ("clear",)}
    score = found.scores["clear"][1.0]
    scaled = (CLEAR - CLEAR[PARTS[0]].mean(0)) / CLEAR[PARTS[0]].std(0)
    penalty = found.sweep.row("clear", 1.0, 0).chosen
    model = LogisticRegression(C=penalty, tol=1e-10, max_iter=10_000).fit(scaled[PARTS[0]], LABELS[PARTS[0]])
    assert score.value == pytest.approx(model.score(scaled[PARTS[2]], LABELS[PARTS[2]]), abs=1 / 300)
    assert score.interval.low < score.value < score.interval.high


def test_targets_are_probed_by_ridge():
    found = probe_arrays(*splits(CLEAR, TARGET))
    assert found.probe == "ridge"
    score = found.scores["features"][1.0]
    assert score.metric == "r2"
    expected = Ridge(alpha=1.0).fit(CLEAR[PARTS[0]], TARGET[PARTS[0]]).score(CLEAR[PARTS[2]], TARGET[PARTS[2]])
    assert score.value == pytest.approx(expected, abs=0.01)


def test_without_validation_samples_the_training_samples_are_cross_validated():
    train, _, test = splits(CLEAR, LABELS)
    found = probe_arrays(train, None, test)
    assert found.sweep.row("features", 1.0, 0).val_kind == "inner_cv"
    assert found.chosen == {1.0: "features"}


def test_groups_widen_the_interval():
    train, val, test = splits(CLEAR, LABELS)
    scenes = np.arange(300) // 30
    independent = probe_arrays(train, val, test).scores["features"][1.0].interval
    grouped = probe_arrays(train, val, test, test_groups=scenes).scores["features"][1.0].interval
    assert "group" in grouped.method
    assert (grouped.low, grouped.high) != (independent.low, independent.high)


def test_label_fractions_are_rows():
    found = probe_arrays(*splits(CLEAR, LABELS), fractions=(0.1, 1.0), draws=2)
    rows = found.to_rows()
    assert [(row["fraction"], row["n_train"]) for row in rows] == [(0.1, 40), (1.0, 400)]
    assert all(row["low"] < row["score"] < row["high"] for row in rows)
    assert repr(found).startswith("ProbedArrays(linear, 1 tap, chosen features: accuracy 0.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"taps": ["clear", "deep"]}, "the train split has taps clear; deep is missing"),
        ({"probe": "ridge"}, "is for regression tasks"),
        ({"test_groups": np.zeros(3)}, r"test_groups has shape \(3,\), expected \(300,\)"),
        ({"fractions": (2.0,)}, "label fraction"),
    ],
)
def test_what_does_not_fit_is_said(change, message):
    with pytest.raises(ContractError, match=message):
        probe_arrays(*splits({"clear": CLEAR}, LABELS), **change)


def test_bad_arrays_are_refused():
    train, val, test = splits(CLEAR, LABELS)
    with pytest.raises(ContractError, match="expected integer classes in all splits, or floats in all"):
        probe_arrays(train, val, (test[0], test[1].astype(float)))
    with pytest.raises(ContractError, match=r"labels have shape \(300, 1\)"):
        probe_arrays(train, val, (test[0], test[1][:, None]))
    with pytest.raises(ContractError, match="expected"):
        probe_arrays(train, val, (test[0][:10], test[1]))
    with pytest.raises(ContractError, match="a regression target is not finite"):
        probe_arrays(*splits(CLEAR, np.where(LABELS == 0, np.nan, TARGET)))
    with pytest.raises(DataError, match="R2 is undefined"):
        probe_arrays(*splits(CLEAR, np.full(900, 1.5)))
