"""R2 and its intervals against brute force, and against the coverage that they promise."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from geofm_eval.errors import ContractError
from geofm_eval.metrics import (
    neuco_q,
    paired_r2_interval,
    paired_shuffle_interval,
    pooled_r2,
    r2,
    r2_interval,
    r2_per_draw,
    rmse,
    shuffle_interval,
)


def regression(n, draws=1, noise=0.5, seed=0):
    rng = np.random.default_rng(seed)
    target = 50 + 10 * rng.standard_normal(n)
    return target + 10 * noise * rng.standard_normal((draws, n)), target


def by_hand(target, predicted):
    return 1 - np.square(target - predicted).sum() / np.square(target - target.mean()).sum()


def ends(interval):
    return interval.low, interval.high


def test_r2_and_rmse_by_hand_and_by_scikit_learn():
    assert r2([1, 2, 3], [1, 2, 3]) == 1
    assert r2([1, 2, 3], [2, 2, 2]) == 0
    assert r2([1, 2, 3], [3, 2, 1]) == -3
    assert rmse([1, 2, 3], [3, 2, 1]) == pytest.approx(np.sqrt(8 / 3))
    predicted, target = regression(80)
    assert r2(target, predicted[0]) == pytest.approx(r2_score(target, predicted[0]))


@pytest.mark.parametrize("draws", [1, 4])
def test_items_agree_with_resampling_one_by_one(draws):
    predicted, target = regression(150, draws)
    rng = np.random.default_rng(1)
    values = []
    for _ in range(3000):
        picked = rng.integers(0, 150, 150)
        values.append(np.mean([by_hand(target[picked], row[picked]) for row in predicted]))
    interval = r2_interval(predicted, target, resamples=3000)
    if draws == 1:
        np.testing.assert_allclose(ends(interval), np.quantile(values, [0.025, 0.975]), atol=0.012)
        assert interval.covers == "items"
    else:
        assert interval.covers == "draws x items"
        assert interval.high - interval.low > np.ptp(np.quantile(values, [0.025, 0.975]))


def test_groups_agree_with_resampling_groups_one_by_one():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), rng.integers(2, 9, 30))
    target = 5 * rng.standard_normal(30)[groups] + rng.standard_normal(len(groups))
    predicted = target + 2 * rng.standard_normal(30)[groups]
    members = [np.flatnonzero(groups == g) for g in range(30)]
    picks = [np.concatenate([members[g] for g in rng.integers(0, 30, 30)]) for _ in range(3000)]
    values = [by_hand(target[picked], predicted[picked]) for picked in picks]
    interval = r2_interval(predicted, target, groups, resamples=3000)
    np.testing.assert_allclose(ends(interval), np.quantile(values, [0.025, 0.975]), atol=0.025)
    assert interval.covers == "groups"


def test_few_groups_use_a_t_interval_near_the_jackknife():
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(8), 30)
    target = rng.standard_normal(240)
    predicted = target + 0.6 * rng.standard_normal(240) + 0.2 * rng.standard_normal(8)[groups]
    interval = r2_interval(predicted, target, groups)
    left_out = [r2_score(target[groups != g], predicted[groups != g]) for g in range(8)]
    half = stats.t.ppf(0.975, 7) * np.sqrt(7 / 8 * np.square(left_out - np.mean(left_out)).sum())
    middle = r2_score(target, predicted)
    np.testing.assert_allclose(ends(interval), (middle - half, middle + half), atol=0.02)
    assert interval.method.startswith("t interval over 8 groups")


@pytest.mark.parametrize(("noise", "n"), [(0.5, 120), (1.5, 120), (0.5, 40)])
def test_coverage_over_items(noise, n):
    """The true R2 of predictions with this noise is 1 - noise^2."""
    worlds, hits = 300, 0
    for world in range(worlds):
        predicted, target = regression(n, noise=noise, seed=100 + world)
        interval = r2_interval(predicted, target, resamples=400)
        hits += interval.low <= 1 - noise**2 <= interval.high
    assert hits / worlds >= 0.89


def test_coverage_of_paired_differences():
    worlds, hits = 300, 0
    for world in range(worlds):
        rng = np.random.default_rng(world)
        target, shared = rng.standard_normal((2, 120))
        first, second = (target + 0.5 * shared + noise * rng.standard_normal(120) for noise in (0.3, 0.6))
        interval = paired_r2_interval(first, second, target, resamples=400)
        hits += interval.low <= 0.6**2 - 0.3**2 <= interval.high
    assert hits / worlds >= 0.9


def test_paired_differences_agree_with_recomputing_both():
    predicted, target = regression(150, 2, seed=5)
    first, second = predicted[:1], 0.7 * predicted[:1] + 0.3 * predicted[1:]
    rng = np.random.default_rng(6)
    values = []
    for _ in range(3000):
        picked = rng.integers(0, 150, 150)
        values.append(by_hand(target[picked], first[0, picked]) - by_hand(target[picked], second[0, picked]))
    paired = paired_r2_interval(first, second, target, resamples=3000)
    np.testing.assert_allclose(ends(paired), np.quantile(values, [0.025, 0.975]), atol=0.01)
    assert ends(paired_r2_interval(second, first, target, resamples=3000)) == pytest.approx((-paired.high, -paired.low))
    alone = r2_interval(first, target)
    assert paired.high - paired.low < alone.high - alone.low


def test_the_unit_of_the_target_changes_nothing():
    predicted, target = regression(60, 3)
    scaled = r2_interval(1e4 * predicted + 7, 1e4 * target + 7, seed=4)
    assert ends(scaled) == pytest.approx(ends(r2_interval(predicted, target, seed=4)))


def test_what_cannot_be_known_is_none():
    predicted, target = regression(30)
    assert r2_interval(predicted, np.ones(30)) is None
    assert r2_interval(predicted, np.ones(30), np.arange(30) // 10) is None
    assert r2_interval(predicted, target, np.zeros(30)) is None
    assert r2_interval([1.0], [2.0]) is None
    assert paired_r2_interval(predicted, predicted, target) is None


def folds(n=200, shuffles=40, noise=0.5, seed=0):
    """Out-of-fold predictions of a tenth of the items in every shuffle."""
    rng = np.random.default_rng(seed)
    target = rng.standard_normal(n)
    predicted = np.full((shuffles, n), np.nan)
    for row in predicted:
        tested = rng.choice(n, n // 10, replace=False)
        row[tested] = target[tested] + noise * rng.standard_normal(n // 10)
    return predicted, target


def test_the_corrected_resampled_t_by_hand():
    predicted, target = folds()
    tested = ~np.isnan(predicted)
    scores = [r2_score(target[kept], row[kept]) for row, kept in zip(predicted, tested, strict=True)]
    np.testing.assert_allclose(r2_per_draw(predicted, target), scores)
    pooled = r2_score(np.tile(target, (40, 1))[tested], predicted[tested])
    assert pooled_r2(predicted, target) == pytest.approx(pooled)
    half = stats.t.ppf(0.975, 39) * np.std(scores, ddof=1) * np.sqrt(1 / 40 + 20 / 180)
    interval = shuffle_interval(predicted, target)
    np.testing.assert_allclose(ends(interval), (pooled - half, pooled + half))
    assert (interval.method, interval.covers) == ("nadeau_bengio", "shuffle splits")
    assert neuco_q(scores) == pytest.approx(2 * np.mean(scores) / (0.02 + np.std(scores)))


def test_paired_shuffles_by_hand():
    predicted, target = folds()
    other = predicted + 0.3 * np.random.default_rng(9).standard_normal(predicted.shape)
    difference = r2_per_draw(predicted, target) - r2_per_draw(other, target)
    half = stats.t.ppf(0.975, 39) * difference.std(ddof=1) * np.sqrt(1 / 40 + 20 / 180)
    middle = pooled_r2(predicted, target) - pooled_r2(other, target)
    interval = paired_shuffle_interval(predicted, other, target)
    np.testing.assert_allclose(ends(interval), (middle - half, middle + half))
    assert ends(paired_shuffle_interval(other, predicted, target)) == pytest.approx((-interval.high, -interval.low))
    assert paired_shuffle_interval(predicted, predicted, target) is None


def test_coverage_of_the_corrected_t():
    """Ridge-free worlds: predictions of fixed quality, refitted shuffles of one sample; it covers, and is no wider than
    three times the interval over items."""
    worlds, hits, widths = 200, 0, []
    for world in range(worlds):
        rng = np.random.default_rng(world)
        target, error = rng.standard_normal((2, 200))
        fixed = target + 0.5 * error
        predicted = np.full((40, 200), np.nan)
        for row in predicted:
            tested = rng.choice(200, 20, replace=False)
            row[tested] = fixed[tested]
        interval = shuffle_interval(predicted, target)
        hits += interval.low <= 0.75 <= interval.high
        items = r2_interval(fixed, target, resamples=200)
        widths.append((interval.high - interval.low) / (items.high - items.low))
    assert hits / worlds >= 0.93
    assert np.median(widths) < 3


def test_wrong_arguments_are_refused():
    predicted, target = regression(20)
    with pytest.raises(ContractError, match="R2 is undefined: the target is constant over these 3 items"):
        r2([2, 2, 2], [1, 2, 3])
    with pytest.raises(ContractError, match=r"same items, found \(2,\) and \(3,\)"):
        r2([1, 2], [1, 2, 3])
    with pytest.raises(ContractError, match="must be finite"):
        rmse([1, np.nan], [1, 2])
    with pytest.raises(ContractError, match="at least one item"):
        rmse([], [])
    with pytest.raises(ContractError, match="one value per item: 20 items, found 3"):
        r2_interval(predicted, [1, 2, 3])
    with pytest.raises(ContractError, match="level must lie between 0 and 1, found 95"):
        r2_interval(predicted, target, level=95)
    with pytest.raises(ContractError, match="same draws and items"):
        paired_r2_interval(predicted, predicted[:, 1:], target)
    with pytest.raises(ContractError, match="predictions of a test split"):
        shuffle_interval(predicted, target)
    with pytest.raises(ContractError, match="same shuffles of the same items"):
        paired_shuffle_interval(*(folds(seed=seed)[0] for seed in (0, 1)), folds()[1])
    with pytest.raises(ContractError, match=r"outcomes must be finite"):
        r2_interval(np.where(np.arange(20) == 3, np.nan, predicted), target)
