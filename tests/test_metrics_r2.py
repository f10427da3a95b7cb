"""R2 and its intervals, on test splits and out of fold, against scikit-learn and loops."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from geofm_eval.errors import ContractError
from geofm_eval.stats.scores import (
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


def ends(interval):
    return interval.low, interval.high


def test_r2_and_rmse_by_hand_and_by_scikit_learn():
    assert r2([1, 2, 3], [1, 2, 3]) == 1
    assert r2([1, 2, 3], [2, 2, 2]) == 0
    assert r2([1, 2, 3], [3, 2, 1]) == -3
    assert rmse([1, 2, 3], [3, 2, 1]) == pytest.approx(np.sqrt(8 / 3))
    predicted, target = regression(80)
    assert r2(target, predicted[0]) == pytest.approx(r2_score(target, predicted[0]))


def left_out(target, predicted, groups):
    """R2 without each group in turn."""
    return np.array([r2_score(target[groups != g], predicted[groups != g]) for g in np.unique(groups)])


def by_jackknife(values, middle):
    """Ends of a t interval with the degrees of freedom that the kurtosis of the left-out values allows."""
    count = len(values)
    error = np.sqrt((count - 1) / count * np.square(values - values.mean()).sum())
    freedom = min(count - 1, 2 * count / (stats.kurtosis(values, fisher=False) - 1))
    return stats.t.interval(0.95, freedom, middle, error)


@pytest.mark.parametrize("groups", [np.arange(60), np.repeat(np.arange(8), [3, 4, 5, 6, 7, 8, 12, 15])])
def test_intervals_are_those_of_a_jackknife(groups):
    predicted, target = regression(60, seed=3)
    found = r2_interval(predicted, target, None if len(np.unique(groups)) == 60 else groups)
    expected = by_jackknife(left_out(target, predicted[0], groups), r2_score(target, predicted[0]))
    assert ends(found) == pytest.approx((expected[0], min(1, expected[1])))
    assert found.method == f"t interval, jackknife over {found.covers}"


def test_draws_that_differ_widen_an_interval():
    predicted, target = regression(150, 4)
    worse = predicted.copy()
    worse[0] += 5 * np.random.default_rng(1).standard_normal(150)
    alike, apart = r2_interval(predicted, target), r2_interval(worse, target)
    assert alike.covers == "draws x items"
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)
    assert apart.freedom < alike.freedom


@pytest.mark.parametrize("grouped", [False, True])
def test_paired_differences_are_those_of_a_jackknife_of_both(grouped):
    predicted, target = regression(90, 2, seed=5)
    first, second = predicted[0], 0.7 * predicted[0] + 0.3 * predicted[1]
    groups = np.arange(90) // 6 if grouped else np.arange(90)
    values = left_out(target, first, groups) - left_out(target, second, groups)
    expected = by_jackknife(values, r2_score(target, first) - r2_score(target, second))
    paired = paired_r2_interval(first, second, target, groups if grouped else None)
    assert ends(paired) == pytest.approx(expected)
    back = paired_r2_interval(second, first, target, groups if grouped else None)
    assert ends(back) == pytest.approx((-paired.high, -paired.low))
    alone = r2_interval(first, target)
    assert paired.high - paired.low < alone.high - alone.low


def test_the_unit_of_the_target_changes_nothing():
    predicted, target = regression(60, 3)
    scaled = r2_interval(1e4 * predicted + 7, 1e4 * target + 7)
    assert ends(scaled) == pytest.approx(ends(r2_interval(predicted, target)))


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


def crossed(errors, target, n_train):
    """Middle, standard error and degrees of freedom of a share of errors, cell by cell."""
    cells = [(j, i) for j, i in zip(*np.nonzero(~np.isnan(errors)), strict=True)]
    mean = np.mean([target[i] for _, i in cells])
    spread = sum((target[i] - mean) ** 2 for _, i in cells)
    ratio = sum(errors[j, i] for j, i in cells) / spread
    patterns = {i: tuple(~np.isnan(errors[:, i])) for _, i in cells}
    items, shuffles = {}, {}
    for j, i in cells:
        added = (errors[j, i] - ratio * (target[i] - mean) ** 2) / spread
        items[patterns[i]] = items.get(patterns[i], 0.0) + added
        shuffles[j] = shuffles.get(j, 0.0) + added
    of_items, of_shuffles = (np.array(list(parts.values())) for parts in (items, shuffles))
    units = len(of_items) / (len(of_items) - 1) * (of_items**2).sum() * (1 + 0.25 * n_train / errors.shape[1])
    draws = 6 * len(of_shuffles) / (len(of_shuffles) - 1) * (of_shuffles**2).sum()
    known = min(len(of_items) - 1, 2 * len(of_items) / (stats.kurtosis(of_items, fisher=False) - 1))
    freedom = (units + draws) ** 2 / (units**2 / known + draws**2 / (len(of_shuffles) - 1))
    return ratio, np.sqrt(units + draws / 6), freedom


def test_shuffles_and_items_are_crossed():
    predicted, target = folds()
    tested = ~np.isnan(predicted)
    scores = [r2_score(target[kept], row[kept]) for row, kept in zip(predicted, tested, strict=True)]
    np.testing.assert_allclose(r2_per_draw(predicted, target), scores)
    pooled = r2_score(np.tile(target, (40, 1))[tested], predicted[tested])
    assert pooled_r2(predicted, target) == pytest.approx(pooled)
    ratio, error, freedom = crossed(np.square(predicted - target), target, 180)
    assert 1 - ratio == pytest.approx(pooled)
    interval = shuffle_interval(predicted, target, 180)
    assert ends(interval) == pytest.approx(stats.t.interval(0.95, freedom, pooled, error))
    assert interval.method == "crossed over shuffles and items, shared training items counted"
    assert interval.covers == "shuffle splits"
    few = shuffle_interval(predicted, target, 18)
    assert few.high - few.low < interval.high - interval.low, "small training sets have fewer items in common"
    assert neuco_q(scores) == pytest.approx(2 * np.mean(scores) / (0.02 + np.std(scores)))


def test_blocks_that_are_tested_whole_count_as_one():
    rng = np.random.default_rng(2)
    block = np.repeat(np.arange(25), 8)
    target = rng.standard_normal(25)[block] + 0.3 * rng.standard_normal(200)
    fixed = target + 0.5 * rng.standard_normal(25)[block]
    whole, single = np.full((2, 40, 200), np.nan)
    for blocks, items in zip(whole, single, strict=True):
        for row, kept in (
            (blocks, np.isin(block, rng.choice(25, 3, replace=False))),
            (items, rng.choice(200, 24, replace=False)),
        ):
            row[kept] = fixed[kept]
    apart, together = shuffle_interval(single, target, 170), shuffle_interval(whole, target, 170)
    assert together.high - together.low > 1.5 * (apart.high - apart.low)


def test_paired_shuffles_are_crossed():
    predicted, target = folds()
    other = predicted + 0.3 * np.random.default_rng(9).standard_normal(predicted.shape)
    ratio, error, freedom = crossed(np.square(other - target) - np.square(predicted - target), target, 180)
    middle = pooled_r2(predicted, target) - pooled_r2(other, target)
    assert ratio == pytest.approx(middle)
    interval = paired_shuffle_interval(predicted, other, target, 180)
    assert ends(interval) == pytest.approx(stats.t.interval(0.95, freedom, middle, error))
    back = paired_shuffle_interval(other, predicted, target, 180)
    assert ends(back) == pytest.approx((-interval.high, -interval.low))
    assert paired_shuffle_interval(predicted, predicted, target, 180) is None


def test_what_shuffles_cannot_tell_is_none():
    predicted, target = folds()
    assert shuffle_interval(predicted[:1], target, 180) is None
    assert shuffle_interval(predicted, np.ones(200), 180) is None


def test_wrong_arguments_are_refused():
    predicted, target = regression(20)
    with pytest.raises(ContractError, match="R2 is undefined because the target is constant over 3 samples"):
        r2([2, 2, 2], [1, 2, 3])
    with pytest.raises(ContractError, match=r"same samples, found \(2,\) and \(3,\)"):
        r2([1, 2], [1, 2, 3])
    with pytest.raises(ContractError, match="must be finite"):
        rmse([1, np.nan], [1, 2])
    with pytest.raises(ContractError, match="at least one sample"):
        rmse([], [])
    with pytest.raises(ContractError, match="one value per sample, found 3 for 20"):
        r2_interval(predicted, [1, 2, 3])
    with pytest.raises(ContractError, match=r"level must be between 0 and 1, .* found 95"):
        r2_interval(predicted, target, level=95)
    with pytest.raises(ContractError, match="same draws and samples"):
        paired_r2_interval(predicted, predicted[:, 1:], target)
    with pytest.raises(ContractError, match="use r2_interval for a test split"):
        shuffle_interval(predicted, target, 15)
    with pytest.raises(ContractError, match="same shuffles of the same samples"):
        paired_shuffle_interval(*(folds(seed=seed)[0] for seed in (0, 1)), folds()[1], 180)
    with pytest.raises(
        ContractError, match=r"predictions must be \(shuffles, n\) for \(3,\) targets, found \(40, 200\)"
    ):
        shuffle_interval(folds()[0], np.ones(3), 180)
    with pytest.raises(ContractError, match=r"outcomes must be finite"):
        r2_interval(np.where(np.arange(20) == 3, np.nan, predicted), target)
