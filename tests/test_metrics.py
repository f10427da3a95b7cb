"""Intervals of shares and of their differences, against scipy, likelihoods maximised by brute force, and loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from geofm_eval.errors import ContractError
from geofm_eval.stats.scores import mean_interval, paired_interval


def outcomes(draws, n, p=0.8, seed=0):
    return (np.random.default_rng(seed).random((draws, n)) < p).astype(np.uint8)


def differing(n, ours, theirs):
    """Two subjects' outcomes on n items, of which the first alone is right on ``ours``, the second on ``theirs``."""
    first, second = np.ones(n), np.ones(n)
    second[:ours], first[ours : ours + theirs] = 0, 0
    return first, second


def ends(interval):
    return interval.low, interval.high


def wilson(share, variance, freedom):
    """Ends of the score interval, its inequality solved by search: variance of independent items scaled to this one."""
    excess = variance / (share * (1 - share))
    quantile = stats.t.ppf(0.975, freedom)

    def beyond(true):
        return (share - true) ** 2 - quantile**2 * excess * true * (1 - true)

    return optimize.brentq(beyond, 0, share), optimize.brentq(beyond, share, 1)


def test_independent_items_get_the_score_interval():
    correct = outcomes(1, 200)[0]
    interval = mean_interval(correct)
    share = correct.mean()
    assert ends(interval) == pytest.approx(wilson(share, share * (1 - share) / 199, 199))
    assert ends(interval) == pytest.approx(
        stats.binomtest(int(correct.sum()), 200).proportion_ci(method="wilson"), abs=1e-3
    )
    assert (interval.covers, interval.level, interval.freedom) == ("items", 0.95, 199)
    assert interval.method == "Wilson score interval over items"


def test_draws_and_items_are_crossed():
    """The variance is that of a two-way analysis of variance: (MS_items + MS_draws - MS_rest) / (draws x items)."""
    rng = np.random.default_rng(3)
    draws, n = 5, 400
    ability = 0.7 + 0.3 * rng.standard_normal((draws, 1)) + rng.standard_normal(n)
    correct = (rng.random((draws, n)) < stats.norm.cdf(ability)).astype(float)
    mean = correct.mean()
    of_items = draws * sum((correct[:, i].mean() - mean) ** 2 for i in range(n)) / (n - 1)
    of_draws = n * sum((row.mean() - mean) ** 2 for row in correct) / (draws - 1)
    rest = correct - correct.mean(0) - correct.mean(1, keepdims=True) + mean
    of_rest = (rest**2).sum() / (draws - 1) / (n - 1)
    between = (of_draws - of_rest) / draws / n
    items = of_items / draws / n
    assert between > 0
    freedom = (items + 6 * between) ** 2 / (items**2 / (n - 1) + (6 * between) ** 2 / (draws - 1))
    interval = mean_interval(correct)
    assert ends(interval) == pytest.approx(wilson(mean, items + between, freedom))
    assert 4 < interval.freedom < min(freedom, 5), "the tails are those of the draws"
    assert interval.covers == "draws x items"


def test_draws_that_agree_add_nothing():
    correct = np.repeat(outcomes(1, 300), 4, axis=0)
    assert ends(mean_interval(correct)) == pytest.approx(ends(mean_interval(correct[0])), abs=1e-12)


def test_groups_are_left_out_whole():
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 12, 30)
    groups = np.repeat(np.arange(30), sizes)
    correct = (rng.random(len(groups)) < rng.beta(2, 1, 30)[groups]).astype(float)
    without = np.array([correct[groups != g].mean() for g in range(30)])
    variance = 29 / 30 * ((without - without.mean()) ** 2).sum()
    kurtosis = stats.kurtosis(without, fisher=False)
    freedom = min(29, 60 / (kurtosis - 1))
    interval = mean_interval(correct, groups=[f"scene_{g}" for g in groups])
    assert interval.freedom == pytest.approx(freedom)
    assert ends(interval) == pytest.approx(wilson(correct.mean(), variance, freedom))
    assert interval.covers == "groups"
    items = mean_interval(correct)
    assert interval.high - interval.low > items.high - items.low


def test_groups_that_are_all_alike_are_worth_their_items():
    correct = np.tile([1.0, 0.0], 20)
    interval = mean_interval(correct, np.repeat(np.arange(10), 4))
    assert ends(interval) == pytest.approx(wilson(0.5, 0.25 / 40, 9))


def test_outcomes_all_alike_get_the_exact_bound():
    right = mean_interval(np.ones((3, 100)))
    assert ends(right) == (pytest.approx(0.025 ** (1 / 100)), 1.0)
    wrong = mean_interval(np.zeros(100))
    assert ends(wrong) == (0.0, pytest.approx(1 - 0.025 ** (1 / 100)))
    assert "binomial" in wrong.method


@pytest.mark.parametrize(("correct", "groups"), [([], None), ([1], None), ([1, 0, 1], ["a", "a", "a"])])
def test_what_cannot_be_known_is_none(correct, groups):
    assert mean_interval(correct, groups) is None
    assert paired_interval(correct, correct, groups) is None


# Differences


def test_differences_of_many_items_are_those_of_student():
    first, second = outcomes(1, 500, 0.8, 1)[0], outcomes(1, 500, 0.7, 2)[0]
    expected = stats.ttest_1samp(first.astype(float) - second, 0).confidence_interval()
    found = paired_interval(first, second)
    assert ends(found) == pytest.approx((expected.low, expected.high))
    assert found.method == "t interval, jackknife over items"
    assert ends(paired_interval(second, first)) == pytest.approx((-found.high, -found.low))


def test_thirty_lost_and_ten_gained_of_a_thousand():
    found = paired_interval(*differing(1000, 10, 30))
    assert (round(100 * found.low, 1), round(100 * found.high, 1)) == (-3.2, -0.8)


@pytest.mark.parametrize(("n", "ours", "theirs"), [(1000, 3, 0), (100, 1, 4), (60, 12, 2), (1000, 0, 30)])
def test_few_differing_items_get_the_score_interval_of_tango(n, ours, theirs):
    """At either end the score statistic, from the likelihood maximised by search, is the quantile of t."""
    found = paired_interval(*differing(n, ours, theirs))
    assert found.method == "Tango score interval over items"
    value = (ours - theirs) / n
    for end in ends(found):

        def unlikely(differ, end=end):
            parts = (differ + end) / 2, (differ - end) / 2, 1 - differ
            return -sum(
                count * np.log(max(part, 1e-300))
                for count, part in zip((ours, theirs, n - ours - theirs), parts, strict=True)
            )

        share = optimize.minimize_scalar(
            unlikely, bounds=(abs(end), 1 - 1e-12), method="bounded", options={"xatol": 1e-13}
        )
        statistic = (value - end) ** 2 / (share.x - end**2) * (n - 1)
        assert statistic == pytest.approx(stats.t.ppf(0.975, n - 1) ** 2, rel=1e-3)


def test_paired_differences_use_the_pairing():
    rng = np.random.default_rng(6)
    shared = rng.random(500) < 0.7
    better = shared | (rng.random(500) < 0.1)
    paired = paired_interval(better, shared)
    assert paired.low > 0
    alone = mean_interval(shared)
    assert paired.high - paired.low < 0.8 * (alone.high - alone.low)
    assert ends(paired_interval(shared, better)) == pytest.approx((-paired.high, -paired.low))


def test_outcomes_that_do_not_differ_bound_the_difference():
    """With no discordant item among n, at most 1 - 0.025^(1/n) of all items are, in either direction."""
    shared = outcomes(1, 500)
    share = 1 - 0.025 ** (1 / 500)
    assert ends(paired_interval(shared, shared)) == pytest.approx((-share, share))
    assert share == pytest.approx(3.7 / 500, rel=0.01)
    groups = np.arange(500) // 50
    assert paired_interval(shared, shared, groups).high == pytest.approx(1 - 0.025 ** (1 / 10))
    assert ends(paired_interval(np.ones(500), np.zeros(500))) == pytest.approx((1 - 2 * share, 1.0))


# Laws


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(2, 60), st.integers(0, 1000), st.booleans(), st.floats(0.02, 0.98))
def test_intervals_hold_the_estimate_and_stay_in_range(draws, n, seed, grouped, share):
    correct = outcomes(draws, n, share, seed)
    groups = np.random.default_rng(seed).integers(0, 20, n) if grouped else None
    interval = mean_interval(correct, groups)
    if interval is None:
        assert grouped
        return
    assert 0 <= interval.low <= correct.mean() + 1e-9
    assert correct.mean() - 1e-9 <= interval.high <= 1
    inner = mean_interval(correct, groups, level=0.5)
    assert inner.high - inner.low <= interval.high - interval.low + 1e-12
    mirrored = mean_interval(1 - correct, groups)
    assert ends(mirrored) == pytest.approx((1 - interval.high, 1 - interval.low), abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 4), st.integers(2, 60), st.integers(0, 1000), st.booleans(), st.floats(0.02, 0.98))
def test_intervals_of_differences_hold_the_estimate(draws, n, seed, grouped, share):
    first, second = outcomes(draws, n, share, seed), outcomes(draws, n, 0.9, seed + 1)
    groups = np.random.default_rng(seed).integers(0, 20, n) if grouped else None
    interval = paired_interval(first, second, groups)
    if interval is None:
        assert grouped
        return
    value = first.mean() - second.mean()
    assert -1 <= interval.low <= value + 1e-9
    assert value - 1e-9 <= interval.high <= 1
    assert ends(paired_interval(second, first, groups)) == pytest.approx((-interval.high, -interval.low), abs=1e-9)


def test_wrong_arguments_are_refused():
    with pytest.raises(ContractError, match=r"same draws and samples, found .* \(1, 3\) and \(1, 4\)"):
        paired_interval([1, 0, 1], [1, 0, 1, 1])
    with pytest.raises(ContractError, match=r"outcomes must be in \[0, 1\], found 0 to 7"):
        mean_interval([0, 7])
    with pytest.raises(ContractError, match="must be finite"):
        mean_interval([0, np.nan])
    with pytest.raises(ContractError, match=r"level must be between 0 and 1, .* found 95"):
        mean_interval([0, 1], level=95)
    with pytest.raises(ContractError, match="one entry for each of the 3 samples"):
        mean_interval([0, 1, 1], groups=["a", "b"])
    with pytest.raises(ContractError, match="shape"):
        mean_interval(np.zeros((2, 2, 2)))
