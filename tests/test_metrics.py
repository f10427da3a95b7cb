"""Intervals against brute force and against the coverage that they promise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from geofm_eval.errors import ContractError
from geofm_eval.metrics import bootstrap_interval, paired_interval


def outcomes(draws, n, p=0.8, seed=0):
    return (np.random.default_rng(seed).random((draws, n)) < p).astype(np.uint8)


def ends(interval):
    return interval.low, interval.high


def test_items_agree_with_resampling_one_by_one():
    correct = outcomes(1, 200)[0]
    rng = np.random.default_rng(1)
    means = [correct[rng.integers(0, 200, 200)].mean() for _ in range(4000)]
    interval = bootstrap_interval(correct, resamples=4000)
    np.testing.assert_allclose(ends(interval), np.quantile(means, [0.025, 0.975]), atol=0.011)
    assert (interval.covers, interval.level) == ("items", 0.95)
    assert "2000 resamples" in bootstrap_interval(correct).method


def test_groups_agree_with_resampling_groups_one_by_one():
    rng = np.random.default_rng(2)
    groups = np.repeat(np.arange(30), rng.integers(1, 12, 30))
    correct = (rng.random(len(groups)) < rng.beta(2, 1, 30)[groups]).astype(float)
    members = [np.flatnonzero(groups == g) for g in range(30)]
    means = []
    for _ in range(3000):
        picked = np.concatenate([members[g] for g in rng.integers(0, 30, 30)])
        means.append(correct[picked].mean())
    interval = bootstrap_interval(correct, groups=[f"scene_{g}" for g in groups], resamples=3000)
    np.testing.assert_allclose(ends(interval), np.quantile(means, [0.025, 0.975]), atol=0.02)
    assert interval.covers == "groups"
    items = bootstrap_interval(correct)
    assert interval.high - interval.low > items.high - items.low


def test_few_groups_use_a_t_interval_and_say_so():
    groups = np.repeat(np.arange(5), 20)
    means = np.array([0.5, 0.6, 0.7, 0.8, 0.9])
    correct = np.concatenate([np.arange(20) < round(20 * m) for m in means]).astype(float)
    interval = bootstrap_interval(correct, groups=groups)
    half = stats.t.ppf(0.975, 4) * means.std(ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(ends(interval), (0.7 - half, 0.7 + half), rtol=1e-9)
    assert interval.method.startswith("t interval over 5 groups")


def test_draws_widen_an_interval_and_are_named():
    rng = np.random.default_rng(3)
    level = np.clip(0.7 + 0.08 * rng.standard_normal(5), 0, 1)
    correct = (rng.random((5, 400)) < level[:, None]).astype(float)
    both = bootstrap_interval(correct)
    assert both.covers == "draws x items"
    items = bootstrap_interval(correct.mean(0))
    assert both.high - both.low > 1.5 * (items.high - items.low)


@pytest.mark.parametrize(("draw_sd", "item_sd"), [(0.05, 0.0), (0.05, 1.0), (0.0, 2.0)])
def test_coverage_over_draws_and_items(draw_sd, item_sd):
    """Simulated worlds with known truth: item difficulty and draw quality both vary, as with label subsets."""
    rng = np.random.default_rng(4)
    hits, worlds, n, draws = 0, 150, 150, 5
    truth = stats.norm.cdf(0.7 / np.sqrt(1 + item_sd**2 + (4 * draw_sd) ** 2))
    for _ in range(worlds):
        ability = 0.7 + item_sd * rng.standard_normal(n) + 4 * draw_sd * rng.standard_normal((draws, 1))
        correct = (rng.random((draws, n)) < stats.norm.cdf(ability)).astype(float)
        interval = bootstrap_interval(correct, resamples=500)
        hits += interval.low <= truth <= interval.high
    assert hits / worlds >= 0.89


def test_coverage_over_few_groups():
    rng = np.random.default_rng(5)
    hits, worlds = 0, 300
    for _ in range(worlds):
        level = rng.beta(8, 4, 6)
        correct = (rng.random((6, 40)) < level[:, None]).astype(float).ravel()
        interval = bootstrap_interval(correct, groups=np.repeat(np.arange(6), 40))
        hits += interval.low <= 8 / 12 <= interval.high
    assert hits / worlds >= 0.91


def test_outcomes_all_alike_get_the_exact_bound():
    right = bootstrap_interval(np.ones((3, 100)))
    assert ends(right) == (pytest.approx(0.025 ** (1 / 100)), 1.0)
    wrong = bootstrap_interval(np.zeros(100))
    assert ends(wrong) == (0.0, pytest.approx(1 - 0.025 ** (1 / 100)))
    assert "binomial" in wrong.method


@pytest.mark.parametrize(("correct", "groups"), [([], None), ([1], None), ([1, 0, 1], ["a", "a", "a"])])
def test_what_cannot_be_known_is_none(correct, groups):
    assert bootstrap_interval(correct, groups) is None
    assert paired_interval(correct, correct, groups) is None


def test_paired_differences_use_the_pairing():
    rng = np.random.default_rng(6)
    shared = rng.random(500) < 0.7
    better = shared | (rng.random(500) < 0.1)
    paired = paired_interval(better, shared)
    assert paired.low > 0
    alone = bootstrap_interval(shared)
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


def test_all_subjects_share_their_resamples():
    """The interval of a difference of linear scores is consistent only if both are resampled alike."""
    a, b = outcomes(1, 300, seed=7)[0], outcomes(1, 300, seed=8)[0]
    assert bootstrap_interval(a, seed=5) == bootstrap_interval(a, seed=5)
    assert bootstrap_interval(a, seed=5) != bootstrap_interval(a, seed=6)
    same = paired_interval(a, b, seed=5)
    assert ends(same) == pytest.approx(ends(paired_interval(1 - b, 1 - a, seed=5)))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(2, 60), st.integers(0, 1000), st.booleans())
def test_intervals_hold_the_estimate_and_stay_in_range(draws, n, seed, grouped):
    correct = outcomes(draws, n, 0.6, seed)
    groups = np.random.default_rng(seed).integers(0, 20, n) if grouped else None
    interval = bootstrap_interval(correct, groups, resamples=400, seed=seed)
    if interval is None:
        assert grouped
        return
    assert 0 <= interval.low <= correct.mean() + 1e-9
    assert correct.mean() - 1e-9 <= interval.high <= 1
    inner = bootstrap_interval(correct, groups, level=0.5, resamples=400, seed=seed)
    assert inner.high - inner.low <= interval.high - interval.low + 1e-12


def test_wrong_arguments_are_refused():
    with pytest.raises(ContractError, match=r"same draws and items, found .* \(1, 3\) and \(1, 4\)"):
        paired_interval([1, 0, 1], [1, 0, 1, 1])
    with pytest.raises(ContractError, match=r"outcomes must lie in \[0, 1\], found 0 to 7"):
        bootstrap_interval([0, 7])
    with pytest.raises(ContractError, match="must be finite"):
        bootstrap_interval([0, np.nan])
    with pytest.raises(ContractError, match="level must lie between 0 and 1, found 95"):
        bootstrap_interval([0, 1], level=95)
    with pytest.raises(ContractError, match="group of each of the 3 items"):
        bootstrap_interval([0, 1, 1], groups=["a", "b"])
    with pytest.raises(ContractError, match="shape"):
        bootstrap_interval(np.zeros((2, 2, 2)))
