"""Widths of expected ranges against published tables, scipy and simulation."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.errors import ContractError
from geofm_eval.expected import rules

pytestmark = pytest.mark.fast


@pytest.mark.parametrize(("n", "factor"), [(3, 9.99), (5, 5.09), (8, 3.74), (10, 3.38), (20, 2.75)])
def test_howe_s_factor_for_a_single_new_value_is_that_of_the_tables(n, factor):
    assert rules.howe_factor(n, n - 1, 0.95, seeds=1) == pytest.approx(factor, abs=0.012)


@given(
    n=st.integers(2, 60),
    freedom=st.floats(1, 200),
    content=st.floats(0.5, 0.999),
    seeds=st.integers(1, 30),
    confidence=st.floats(0.5, 0.99),
)
def test_howe_s_factor_is_the_formula_in_scipy_s_words(n, freedom, content, seeds, confidence):
    quantile = scipy.stats.chi2(freedom).ppf(1 - confidence)
    z = scipy.stats.norm.ppf((1 + content) / 2)
    expected = z * math.sqrt(freedom * (1 / seeds + 1 / n) / quantile)
    assert rules.howe_factor(n, freedom, content, seeds, confidence) == pytest.approx(expected, rel=1e-6)


def test_a_variance_that_is_known_leaves_the_normal_quantile():
    assert rules.howe_factor(10**9, math.inf, 0.95, 1) == pytest.approx(1.95996, abs=1e-4)
    assert rules.howe_factor(10, 1e7, 0.95, 3) == pytest.approx(rules.howe_factor(10, math.inf, 0.95, 3), rel=1e-3)


def test_the_interval_holds_its_content_with_its_confidence():
    """In 95 % of references at least 95 % of new means of three seeds lie inside."""
    rng, n, seeds = np.random.default_rng(5), 10, 3
    references = rng.standard_normal((4000, n))
    half = rules.howe_factor(n, n - 1, 0.95, seeds) * references.std(axis=1, ddof=1)
    middle, error = references.mean(axis=1), math.sqrt(1 / seeds)
    content = scipy.stats.norm.cdf((middle + half) / error) - scipy.stats.norm.cdf((middle - half) / error)
    assert (content >= 0.95).mean() == pytest.approx(0.95, abs=0.015)


@pytest.mark.parametrize("limit", [0.5, 1.5, 2.5])
def test_both_means_outside_as_the_bivariate_normal_has_it(limit):
    both = scipy.stats.multivariate_normal([0, 0], [[1, math.sqrt(0.5)], [math.sqrt(0.5), 1]])
    inside = scipy.stats.norm.cdf(limit)
    upper = 1 - 2 * inside + both.cdf([limit, limit])
    opposite = scipy.stats.norm.cdf(-limit) - both.cdf([limit, -limit])
    # cdf([c, -c]) is P(Z1 < c, Z2 < -c), so that what is left of P(Z2 < -c) has Z1 above c.
    assert rules.both_outside(limit) == pytest.approx(2 * (upper + opposite), rel=2e-3)


def test_a_family_raises_its_alarm_as_often_as_it_may():
    content = rules.content_of(cases=40, alarm=0.05)
    limit = scipy.stats.norm.ppf((1 + content) / 2)
    rng = np.random.default_rng(3)
    first, fresh = rng.standard_normal((2, 40_000, 40))
    pooled = (first + fresh) / math.sqrt(2)
    alarms = ((abs(first) > limit) & (abs(pooled) > limit)).any(axis=1).mean()
    assert alarms == pytest.approx(0.05, abs=0.005)
    assert rules.content_of(1000) > content > rules.content_of(4)


def test_prior_and_pooled_variance_are_found_again_from_planted_ones():
    rng, freedom, prior, centre = np.random.default_rng(1), 4, 10.0, 0.04
    truth = prior * centre / rng.chisquare(prior, 5000)
    variances = truth * rng.chisquare(freedom, 5000) / freedom
    siblings = [(float(one), freedom) for one in variances]
    found = rules.prior_of(siblings)
    assert found == pytest.approx((prior, centre), rel=0.1)
    one = rules.pooled(0.09, freedom, siblings)
    expected = (found[0] * found[1] + freedom * 0.09) / (found[0] + freedom)
    assert one.spread == pytest.approx(math.sqrt(expected))
    assert one.freedom == pytest.approx(found[0] + freedom)


def test_the_prior_solves_the_two_equations_of_its_moments():
    """Smyth's estimator, equation by equation, in scipy's words."""
    from scipy.special import digamma, polygamma

    variances, freedoms = np.array([0.01, 0.08, 0.02, 0.3, 0.05, 0.6]), np.array([3, 4, 3, 7, 5, 3])
    prior, centre = rules.prior_of(list(zip(variances, freedoms, strict=True)))
    logs = np.log(variances) - digamma(freedoms / 2) + np.log(freedoms / 2)
    count = len(logs)
    moment = np.mean((logs - logs.mean()) ** 2 * count / (count - 1) - polygamma(1, freedoms / 2))
    assert polygamma(1, prior / 2) == pytest.approx(moment)
    assert math.log(centre) == pytest.approx(logs.mean() + digamma(prior / 2) - math.log(prior / 2))


def test_variances_that_scatter_by_chance_alone_share_one():
    alike = [(0.04, 2)] * 6
    assert rules.prior_of(alike)[0] == math.inf
    found = rules.pooled(0.04, 2, alike)
    assert found.freedom == 12, "no more than all siblings have together"
    assert found.spread == pytest.approx(rules.pooled(0.0, 2, alike).spread)


def test_a_case_without_siblings_keeps_its_own_variance():
    assert rules.pooled(0.09, 7, [(0.09, 7)]) == rules.Pooled(pytest.approx(0.3), 7.0)


def test_seeds_that_all_agree_have_no_spread_and_do_not_decide_for_others():
    assert rules.pooled(0.0, 2, [(0.0, 2)] * 3).spread == 0
    mixed = [(0.0, 7), *((one, 7) for one in (0.02, 0.03, 0.05, 0.04, 0.03))]
    assert 0 < rules.prior_of(mixed)[1] < 0.05
    with pytest.raises(ContractError, match="at least two seeds"):
        rules.pooled(0.1, 0, [(0.1, 0)])


@given(value=st.floats(0.01, 0.99), metric=st.sampled_from(["accuracy", "miou", "r2", "rmse"]))
def test_scales_go_there_and_back(value, metric):
    scaled = rules.to_scale(value, metric, 1000)
    assert rules.from_scale(scaled, metric) == pytest.approx(value)
    assert rules.to_scale(value + 0.005, metric, 1000) > scaled


def test_bounds_of_a_share_are_half_an_item_away():
    assert rules.from_scale(rules.to_scale(1.0, "accuracy", 50), "accuracy") == pytest.approx(0.99)
    assert rules.from_scale(rules.to_scale(0.0, "iou", 50), "iou") == pytest.approx(0.01)
    assert math.isfinite(rules.to_scale(1.0, "r2", 50))
    with pytest.raises(ContractError, match="found metric 'f1', expected one of accuracy"):
        rules.to_scale(0.5, "f1", 10)


@given(mean=st.floats(0.02, 0.98), spread=st.floats(0, 0.5), n=st.integers(2, 30), seeds=st.integers(1, 12))
def test_a_range_of_seeds_holds_its_mean_and_narrows_with_more_seeds(mean, spread, n, seeds):
    found = rules.Pooled(spread, 20.0)
    low, high = rules.seed_range(mean, "accuracy", 500, found, n, 0.002, seeds)
    assert low <= mean - 0.002 + 1e-9
    assert high >= mean + 0.002 - 1e-9
    narrow = rules.seed_range(mean, "accuracy", 500, found, n, 0.002, seeds + 1)
    assert low <= narrow[0]
    assert narrow[1] <= high


def test_a_range_of_seeds_in_the_middle_is_the_plain_one():
    """Around one half a logit is four times the share."""
    found = rules.Pooled(0.04, 1e6)
    low, high = rules.seed_range(0.5, "accuracy", 500, found, 10, 0.0)
    z = scipy.stats.norm.ppf((1 + rules.content_of()) / 2)
    half = z * 0.01 * math.sqrt(1 / 3 + 1 / 10)
    assert (low, high) == (pytest.approx(0.5 - half, rel=1e-2), pytest.approx(0.5 + half, rel=1e-2))


@pytest.mark.parametrize(
    ("metric", "value", "expected"),
    [("accuracy", 0.9, 0.002), ("miou", 0.4, 0.002), ("r2", 0.3, 0.002), ("rmse", 8.0, 0.008)],
)
def test_one_decision_of_five_hundred_is_the_least_width(metric, value, expected):
    assert rules.least_width(metric, value, 500) == pytest.approx(expected)


def test_the_share_of_a_mean_squared_error_is_what_a_perfect_item_saves():
    errors = np.full(500, 8.0)
    fewer = math.sqrt((np.square(errors).sum() - 64.0) / 500)
    assert 8.0 - fewer == pytest.approx(rules.least_width("rmse", 8.0, 500), rel=1e-3)


def test_one_sample_of_a_thousand_stays_inside_whatever_floating_point_makes_of_it():
    low, high = rules.outward(0.753 - 1 / 1000, 0.753 + 1 / 1000)
    assert low <= 0.752 <= 0.754 <= high


@given(st.floats(-1e6, 1e6), st.floats(0, 10))
def test_ends_are_rounded_away_from_each_other(low, width):
    found = rules.outward(low, low + width)
    assert found[0] <= low
    assert found[1] >= low + width
    assert found == pytest.approx((low, low + width), rel=2e-6, abs=1e-14)
