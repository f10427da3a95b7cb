"""Which tap is chosen where taps tie, and how sure the choice is."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geofm_eval.stats.reselection import (
    RESAMPLES,
    as_stored,
    choose,
    chosen_each,
    resample_weights,
    weighted_mean,
    weighted_r2,
)

SCORES = st.lists(st.sampled_from([0.3, 0.5, 0.5 + 1e-12, 0.7]), min_size=1, max_size=6)


def test_the_best_score_is_chosen_whatever_its_loss():
    assert choose([0.5, 0.7, 0.6], [0.1, 9.0, 0.2]) == 1


def test_a_tie_of_scores_goes_to_the_lower_loss():
    assert choose([0.7, 0.7, 0.7], [0.9, 0.8, 0.85]) == 1


def test_a_tie_of_scores_and_losses_goes_to_the_shallower():
    assert choose([0.1, 0.7, 0.7], [0.1, 0.8, 0.8]) == 1


def test_sums_in_another_order_and_the_last_digits_of_losses_change_no_choice():
    third = sum([0.1] * 3) / 0.3 * 0.7
    assert third != 0.7
    for scores in ([0.7, third], [third, 0.7]):
        assert choose(scores, [0.8, 0.8 * (1 - 1e-7)]) == 0
    assert choose([0.7, third], [0.8, 0.8 * (1 - 1e-5)]) == 1


def test_a_tie_with_an_unknown_loss_goes_to_the_shallower_and_only_that_tie():
    assert choose([0.7, 0.7], [np.nan, 0.1]) == 0
    assert choose([0.7, 0.7], [0.9, np.nan]) == 0
    assert choose([0.2, 0.7, 0.7], [np.nan, 0.9, 0.8]) == 2
    assert choose([0.7, 0.7], None) == 0


@given(SCORES, st.data())
def test_choosing_each_column_is_choosing_once_per_column(scores: list[float], data: st.DataObject):
    losses = data.draw(st.lists(st.sampled_from([0.1, 0.2, float("nan")]), min_size=len(scores), max_size=len(scores)))
    other = data.draw(st.permutations(scores))
    expected = [choose(scores, losses), choose(other, losses)]
    assert chosen_each(np.array([scores, other]).T, losses).tolist() == expected


@given(st.integers(2, 8), st.integers(10, 60), st.floats(-3, 3))
@settings(max_examples=30, deadline=None)
def test_a_constant_added_to_all_taps_changes_no_choice(taps: int, n: int, constant: float):
    values = np.random.default_rng(taps * n).standard_normal((taps, n))
    weights = resample_weights(n, 1, "val")
    plain, moved = weighted_mean(values, weights), weighted_mean(values + constant, weights)
    assert chosen_each(plain).tolist() == chosen_each(moved).tolist()


def test_equal_taps_are_chosen_about_equally_often():
    """Over many validation sets; on a single one the tap that is ahead by chance is chosen more often."""
    counts = np.zeros(5)
    for seed in range(60):
        right = np.random.default_rng(seed).random((5, 400)) < 0.6
        counts += np.bincount(
            chosen_each(weighted_mean(right.astype(float), resample_weights(400, seed, "val"))), minlength=5
        )
    shares = counts / counts.sum()
    assert shares.min() > 0.1
    assert shares.max() < 0.32


def test_a_dominating_tap_is_chosen_by_every_resample():
    right = np.random.default_rng(0).random((4, 200)) < 0.5
    right[2] = True
    assert set(chosen_each(weighted_mean(right.astype(float), resample_weights(200, 3, "val")))) == {2}


def test_resamples_depend_on_task_and_items_alone_and_count_every_item_once_on_average():
    weights = resample_weights(300, 5, "val")
    assert weights.shape == (RESAMPLES, 300)
    assert np.array_equal(weights, resample_weights(300, 5, "val"))
    assert not np.array_equal(weights, resample_weights(300, 6, "val"))
    assert not np.array_equal(weights, resample_weights(300, 5, "train"))
    assert (weights.sum(1) == 300).all()


def test_items_of_a_group_are_drawn_together():
    groups = np.repeat(["a", "b", "c", "d"], [10, 1, 5, 4])
    weights = resample_weights(20, 5, "val", groups)
    assert (weights[:, :10] == weights[:, :1]).all()
    assert len(np.unique(weights[:, [0, 10, 11, 16]], axis=0)) > 20
    assert (weights[:, [0, 10, 11, 16]].sum(1) == 4).all()


def test_the_spread_of_resampled_means_is_their_standard_error():
    values = np.random.default_rng(1).standard_normal((1, 500))
    found = weighted_mean(values, resample_weights(500, 2, "val")).std()
    assert found == pytest.approx(values.std() / np.sqrt(500), rel=0.15)


def test_weighted_scores_are_those_of_repeated_items():
    rng = np.random.default_rng(2)
    target, predicted = rng.standard_normal(30), rng.standard_normal((2, 30))
    weights = resample_weights(30, 4, "all")[:3]
    found = weighted_r2(np.square(predicted - target), target, weights)
    means = weighted_mean(predicted, weights)
    for b, counts in enumerate(weights):
        again = np.repeat(np.arange(30), counts.astype(int))
        y, p = target[again], predicted[:, again]
        assert found[:, b] == pytest.approx(1 - np.square(p - y).sum(1) / np.square(y - y.mean()).sum())
        assert means[:, b] == pytest.approx(p.mean(1))


def test_a_resample_without_any_item_of_a_subset_is_the_subset_itself():
    weights = np.zeros((1, 4), np.float32)
    assert weighted_mean(np.array([[1.0, 0.0, 1.0, 1.0]]), weights)[0, 0] == 0.75


def test_r2_of_a_constant_resample_is_unknown():
    weights = np.array([[2, 0, 0], [1, 1, 1]], np.float32)
    found = weighted_r2(np.ones((1, 3)), np.array([1.0, 2.0, 3.0]), weights)
    assert np.isnan(found[0]).tolist() == [True, False]


def test_stored_scores_are_close_equal_ones_equal_and_files_half_as_large():
    values = np.random.default_rng(3).random(1000) * np.array([1, -40])[:, None]
    kept = as_stored(values)
    assert kept.dtype == np.float32
    assert np.abs(kept - values).max() <= 40 * 2**-16
    assert (np.abs(kept / values - 1) < 2**-16 * 1.01).all()
    assert as_stored(0.7) == as_stored(0.7 + 1e-9)
    assert as_stored(0.0) == 0
    assert (kept.view(np.uint32) & 0xFF == 0).all()
