"""Laws of label budgets: nested, stratified, never empty, the same for everyone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.data.budget import label_budget
from geofm_eval.data.labels import distinct, label_subsets, ranked_folds, strata_of, validation_plan
from geofm_eval.errors import ContractError
from tests.small_items import CATALOG, items

FRACTIONS = (0.01, 0.1, 1.0)

label_arrays = st.lists(st.integers(1, 60), min_size=2, max_size=6).flatmap(
    lambda counts: st.permutations([c for c, n in enumerate(counts) for _ in range(n)])
)


@settings(max_examples=60, deadline=None)
@given(label_arrays, st.integers(0, 2**31), st.integers(1, 4))
def test_subsets_are_nested_stratified_and_never_empty(labels: list[int], seed: int, draws: int):
    array = np.asarray(labels, dtype=np.int64)
    subsets = label_subsets(array, FRACTIONS, draws, seed)
    assert [(s.fraction, s.draw) for s in subsets] == [
        *((f, d) for f in FRACTIONS[:2] for d in range(draws)),
        (1.0, 0),
    ]
    by_key = {(s.fraction, s.draw): s.indices for s in subsets}
    for (fraction, draw), indices in by_key.items():
        assert np.all(np.diff(indices) > 0)
        if fraction == 0.01:
            assert set(indices) <= set(by_key[0.1, draw])
        for label in np.unique(array):
            expected = max(1, round(fraction * int(np.sum(array == label))))
            assert np.sum(array[indices] == label) == expected


def test_draws_differ_and_repeat():
    labels = np.repeat(np.arange(5), 200)
    first, again = (label_subsets(labels, FRACTIONS, 5, seed=3) for _ in range(2))
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.indices, b.indices)
    assert len({tuple(s.indices) for s in first if s.fraction == 0.1}) == 5
    other = label_subsets(labels, FRACTIONS, 5, seed=4)
    assert not np.array_equal(first[0].indices, other[0].indices)


def test_no_labels_are_refused():
    with pytest.raises(ContractError, match="training split is empty"):
        label_subsets(np.empty(0, dtype=np.int64), FRACTIONS, 5, 0)


def plan(per_class: int, val_per_class: int, fraction: float, budget: str = "matched"):
    train, val = np.repeat(np.arange(10), per_class), np.repeat(np.arange(10), val_per_class)
    return validation_plan(train, val, fraction, 0, budget, seed=1)  # type: ignore[arg-type]


def test_validation_shrinks_with_the_labels():
    assert len(plan(200, 50, 1.0).indices) == 500
    ten_percent = plan(20, 50, 0.1)
    assert ten_percent.kind == "split"
    assert len(ten_percent.indices) == 50


def test_full_budget_keeps_the_whole_validation_split():
    assert len(plan(2, 50, 0.01, "full").indices) == 500


def test_too_few_validation_items_give_inner_cross_validation():
    inner = plan(2, 50, 0.01)
    assert inner.kind == "inner_cv"
    assert len(inner.indices) == 0
    assert [len(fold) for fold in inner.folds] == [10, 10]


def test_one_label_per_class_leaves_nothing_to_validate_on():
    assert plan(1, 50, 0.01).kind == "none"


@settings(max_examples=60, deadline=None)
@given(label_arrays, st.integers(0, 2**31))
def test_folds_partition_what_can_be_held_out(labels: list[int], seed: int):
    array = np.asarray(labels, dtype=np.int64)
    inner = validation_plan(array, np.empty(0, dtype=np.int64), 0.01, 0, "matched", seed)
    counts = np.bincount(array)
    movable = np.flatnonzero(counts[array] >= 2)
    if len(movable) == 0:
        assert inner.kind == "none"
        return
    assert sorted(np.concatenate(inner.folds).tolist()) == movable.tolist()
    for fold in inner.folds:
        kept = np.delete(array, fold)
        assert set(kept) == set(array), "a class has left the training part"
    assert max(map(len, inner.folds)) - min(map(len, inner.folds)) <= max(1, len(array) // 2)


# -- regression targets


def test_targets_are_stratified_on_their_tenths():
    targets = np.random.default_rng(0).permutation(np.arange(200.0))
    strata = strata_of(targets)
    assert np.bincount(strata).tolist() == [20] * 10
    assert strata[np.argmin(targets)] == 0
    assert strata[np.argmax(targets)] == 9
    for subset in label_subsets(targets, (0.1, 0.5), 2, seed=0):
        assert np.bincount(strata[subset.indices]).tolist() == [round(20 * subset.fraction)] * 10


def test_equal_targets_share_a_bin_and_every_bin_is_kept():
    targets = np.concatenate([np.zeros(70), np.linspace(1, 2, 30)])
    strata = strata_of(targets)
    assert len(set(strata[:70])) == 1
    assert len(set(strata)) == 4
    (subset,) = label_subsets(targets, (0.01,), 1, seed=0)
    assert len(subset.indices) == 4
    assert strata_of(np.ones(5)).tolist() == [0] * 5
    with pytest.raises(ContractError, match="target is not finite"):
        strata_of(np.array([1.0, np.nan]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=80), st.integers(0, 2**31))
def test_target_subsets_are_nested_and_never_empty(values: list[float], seed: int):
    targets = np.asarray(values)
    subsets = {(s.fraction, s.draw): set(s.indices) for s in label_subsets(targets, FRACTIONS, 2, seed)}
    for draw in (0, 1):
        assert subsets[0.01, draw]
        assert subsets[0.01, draw] <= subsets[0.1, draw] <= subsets[1.0, 0]
    assert subsets[1.0, 0] == set(range(len(values)))


def test_fifty_validation_targets_are_enough():
    rng = np.random.default_rng(0)
    train, val = rng.standard_normal(60), rng.standard_normal(500)
    split = validation_plan(train, val, 0.1, 0, "matched", seed=1)
    assert (split.kind, len(split.indices)) == ("split", 50)
    assert np.bincount(strata_of(val)[split.indices]).tolist() == [5] * 10
    inner = validation_plan(train, val, 0.01, 0, "matched", seed=1)
    assert (inner.kind, len(inner.folds)) == ("inner_cv", 5)
    assert len(validation_plan(train, val, 0.01, 0, "full", seed=1).indices) == 500


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-10, 10), min_size=3, max_size=60), st.integers(0, 2**31))
def test_ranked_folds_partition_the_items_and_spread_over_the_target(values: list[float], seed: int):
    targets = np.asarray(values)
    folds = ranked_folds(targets, ("folds", seed)).folds
    assert len(folds) == min(5, len(values))
    assert sorted(np.concatenate(folds).tolist()) == list(range(len(values)))
    sizes = [len(fold) for fold in folds]
    assert max(sizes) - min(sizes) <= 1
    middle = np.sort(targets)[len(targets) // 2]
    if len(set(values)) == len(values):
        below = [int(np.sum(targets[fold] < middle)) for fold in folds]
        assert max(below) - min(below) <= 1


def test_two_targets_leave_nothing_to_validate_on():
    assert ranked_folds(np.array([1.0, 2.0]), ("folds", 0)).kind == "none"


def test_fractions_that_select_the_same_items_are_one():
    labels = np.repeat(np.arange(10), 10)
    cut = {(s.fraction, s.draw): s.indices for s in label_subsets(labels, (0.01, 0.1, 1.0), 3, seed=0)}
    np.testing.assert_array_equal(cut[0.01, 2], cut[0.1, 2])
    assert distinct(cut) == [0.1, 1.0]
    few = {(s.fraction, s.draw): s.indices for s in label_subsets(np.arange(4), (0.01, 0.1, 1.0), 2, seed=0)}
    assert distinct(few) == [1.0]
    apart = {(s.fraction, s.draw): s.indices for s in label_subsets(np.repeat([0, 1], 500), (0.01, 0.1, 1.0), 2, 0)}
    assert distinct(apart) == [0.01, 0.1, 1.0]


def test_equal_fractions_are_measured_once_and_said_once(caplog: pytest.LogCaptureFixture):
    labels = [index % 10 for index in range(100)]
    task = CATALOG.task("eurosat_sim")
    splits = {name: items(task, name, 100, labels=labels) for name in ("train", "val", "test")}
    for _ in range(2):
        budget = label_budget(task, splits, "matched", seed=0)
    assert {subset.fraction for subset in budget.subsets} == {0.1, 1.0}
    assert caplog.messages == [
        "eurosat_sim: label fractions 0.01 and 0.1 select the same samples; measured once, as 0.1"
    ]
