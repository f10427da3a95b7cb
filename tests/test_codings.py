"""Smaller representations of features: what they keep, what they cost, and that nothing but training decides."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge

from geofm_eval.catalog import coding_of, load_catalog
from geofm_eval.catalog.recipes import AT_SIZE
from geofm_eval.data.labels import LabelSubset, label_subsets, validation_plan
from geofm_eval.errors import ContractError
from geofm_eval.probes.codings import bytes_per_sample, solve_coded
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import solve_together

SIZES = {"train": 600, "val": 200, "test": 300}
WIDTH = 24
RNG = np.random.default_rng(0)
MIX = RNG.normal(0, 1, (WIDTH, WIDTH))
SCALE = np.r_[np.full(6, 3.0), np.full(WIDTH - 6, 0.2)]
HIDDEN = {name: RNG.normal(0, 1, (n, WIDTH)) * SCALE for name, n in SIZES.items()}
FEATURES = {name: (hidden @ MIX).astype(np.float32) for name, hidden in HIDDEN.items()}
TARGET = {name: hidden[:, :6] @ np.arange(1.0, 7) + RNG.normal(0, 2, len(hidden)) for name, hidden in HIDDEN.items()}
CLASSES = {name: np.digitize(target, [-8.0, 8.0]).astype(np.int64) for name, target in TARGET.items()}


def problem(labels: dict[str, np.ndarray], classes: int, features=None, fractions=(0.2, 1.0)) -> ProbeProblem:
    subsets = label_subsets(labels["train"], fractions, 2, 0)
    plans = {
        (s.fraction, s.draw): validation_plan(
            labels["train"][s.indices], labels["val"], s.fraction, s.draw, "matched", 0
        )
        for s in subsets
    }
    own = FEATURES if features is None else features
    return ProbeProblem(lambda tap, split: own[split], labels, ("final",), subsets, plans, classes, torch.device("cpu"))


REGRESSION, CLASSIFICATION = problem(TARGET, 0), problem(CLASSES, 3)


def original(probe, one):
    return solve_together(probe, [one], "mean")[0]


@pytest.mark.parametrize(("probe", "one"), [("ridge", REGRESSION), ("linear", CLASSIFICATION), ("knn", CLASSIFICATION)])
@pytest.mark.parametrize("coding", ["int8", "bit", "pca", "first"])
def test_coded_sweep_has_the_rows_of_the_original(probe, one, coding):
    base, coded = original(probe, one), solve_coded(probe, one, "mean", coding)
    assert [(r.tap, r.fraction, r.draw, r.n_train) for r in coded.rows] == [
        (r.tap, r.fraction, r.draw, r.n_train) for r in base.rows
    ]
    assert coded.taps == base.taps
    assert coded.resamples.keys() == base.resamples.keys()


def test_eight_bits_cost_next_to_nothing_and_one_bit_costs_something():
    base = original("ridge", REGRESSION).row("final", 1.0, 0).test_score
    byte = solve_coded("ridge", REGRESSION, "mean", "int8").row("final", 1.0, 0).test_score
    bit = solve_coded("ridge", REGRESSION, "mean", "bit").row("final", 1.0, 0).test_score
    assert byte == pytest.approx(base, abs=0.003)
    assert 0.3 < bit < base - 0.02


def test_principal_components_agree_with_scikit_learn():
    row = solve_coded("ridge", REGRESSION, "mean", "pca").row("final", 1.0, 0)
    size = int(row.extra["dimensions"])
    pca = PCA(size, svd_solver="full").fit(FEATURES["train"].astype(np.float64))
    parts = {name: pca.transform(x.astype(np.float64)) for name, x in FEATURES.items()}
    mean, sd = parts["train"].mean(0), parts["train"].std(0)
    scaled = {name: (x - mean) / sd for name, x in parts.items()}
    errors = []
    for alpha in np.logspace(-4, 4, 33) * len(scaled["train"]):
        fitted = Ridge(alpha=alpha).fit(scaled["train"], TARGET["train"])
        errors.append((np.mean((fitted.predict(scaled["val"]) - TARGET["val"]) ** 2), fitted))
    best = min(errors, key=lambda pair: pair[0])[1]
    assert row.test_score == pytest.approx(best.score(scaled["test"], TARGET["test"]), abs=2e-3)


def test_number_of_dimensions_has_the_lowest_validation_loss():
    row = solve_coded("ridge", REGRESSION, "mean", "pca").row("final", 1.0, 0)
    losses = {}
    for size in (4, 8, 16, WIDTH):
        pca = PCA(size, svd_solver="full").fit(FEATURES["train"].astype(np.float64))
        cut = {name: pca.transform(x.astype(np.float64)).astype(np.float32) for name, x in FEATURES.items()}
        losses[size] = original("ridge", problem(TARGET, 0, cut)).row("final", 1.0, 0).chosen_loss
    assert row.extra["dimensions"] == min(losses, key=losses.get)
    assert {name for name in row.extra if name.startswith(AT_SIZE)} == {f"{AT_SIZE}{size}" for size in losses}


def test_first_dimensions_are_those_of_the_features():
    row = solve_coded("ridge", REGRESSION, "mean", "first").row("final", 1.0, 0)
    cut = {name: x[:, :8] for name, x in FEATURES.items()}
    assert row.extra[f"{AT_SIZE}8"] == original("ridge", problem(TARGET, 0, cut)).row("final", 1.0, 0).test_score
    assert row.extra[f"{AT_SIZE}{WIDTH}"] == original("ridge", REGRESSION).row("final", 1.0, 0).test_score


@pytest.mark.parametrize("coding", ["int8", "bit", "pca"])
def test_other_test_samples_change_no_coding(coding):
    moved = {**FEATURES, "test": FEATURES["test"][:1].repeat(SIZES["test"], 0) * 100}
    moved["test"][: SIZES["test"] // 2] = FEATURES["test"][: SIZES["test"] // 2]
    before = solve_coded("ridge", REGRESSION, "mean", coding).row("final", 1.0, 0)
    after = solve_coded("ridge", problem(TARGET, 0, moved), "mean", coding).row("final", 1.0, 0)
    half = SIZES["test"] // 2
    np.testing.assert_array_equal(before.outcomes[:half], after.outcomes[:half])
    assert before.val_score == after.val_score


def test_cross_validated_codings_are_fitted_without_the_tested_samples():
    every = np.concatenate([FEATURES["train"], FEATURES["val"]])
    target = {"all": np.concatenate([TARGET["train"], TARGET["val"]])}
    folds = np.arange(len(every)) % 4

    def solved(features: np.ndarray):
        subsets, plans = [], {}
        for fold in range(4):
            rows, test = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
            subsets.append(LabelSubset(1.0, fold, rows, test))
            plans[1.0, fold] = validation_plan(target["all"][rows], target["all"][:0], 1.0, fold, "matched", 0)
        one = ProbeProblem(lambda tap, split: features, target, ("final",), subsets, plans, 0, torch.device("cpu"))
        return solve_coded("ridge", one, "mean", "pca")

    moved = every.copy()
    moved[folds == 2] *= 50.0  # dominates every component that is fitted with it
    before, after = solved(every), solved(moved)
    assert before.row("final", 1.0, 2).val_score == after.row("final", 1.0, 2).val_score
    assert before.row("final", 1.0, 1).val_score != after.row("final", 1.0, 1).val_score


def test_features_on_a_grid_are_refused():
    grid = {name: np.sign(x) * (np.round(np.clip(np.abs(x), 0, 10) * 12.7) / 127) ** 2 for name, x in FEATURES.items()}
    one = problem(TARGET, 0, {name: x.astype(np.float32) for name, x in grid.items()})
    with pytest.raises(ContractError, match=r"features of final .* already quantised, so int8 would cost nothing"):
        solve_coded("ridge", one, "mean", "int8")
    assert solve_coded("ridge", one, "mean", "bit").rows


@given(width=st.integers(1, 4096), kept=st.integers(1, 4096))
def test_sizes_of_codings(width, kept):
    assert bytes_per_sample(width, "float32") == 4 * width
    assert bytes_per_sample(width, "int8") == width
    assert bytes_per_sample(width, "bit") == width / 8
    assert bytes_per_sample(width, "pca", kept) == 4 * kept


def test_every_coding_exists_for_every_probe_and_no_suite_has_it():
    found = [one for one in load_catalog().adaptations.values() if one.coding != "float32"]
    assert {(one.probe, one.coding) for one in found} == {
        (probe, coding) for probe in ("knn", "linear", "ridge") for coding in ("int8", "bit", "pca", "first")
    }
    assert not any(one.suites for one in found)
    assert all(coding_of(one.slug) == one.coding for one in found)
