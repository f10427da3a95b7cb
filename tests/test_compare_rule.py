"""The rule of the gate: examples, laws, and its power against simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geofm_eval.compare import chance_of_finding, smallest_found, standard_error, verdict_on_difference
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import p_value
from geofm_eval.stats.scores import paired_interval
from geofm_eval.stats.standard_error import joined
from tests.planted.compare import easy, moved

POINT = 0.01


def verdict_on(old: np.ndarray, new: np.ndarray) -> str:
    difference = Difference.within(float(new.mean() - old.mean()), paired_interval(new, old))
    return verdict_on_difference(difference, p_value(difference), POINT)


def test_thirty_items_lost_and_ten_gained_of_a_thousand_are_a_regression():
    old = easy()
    new = moved(old, lost=30, gained=10)
    interval = paired_interval(new, old)
    assert (round(interval.low, 3), round(interval.high, 3)) == (-0.032, -0.008)
    assert verdict_on(old, new) == "regression"
    assert verdict_on(new, old) == "improvement"


def test_twenty_lost_and_twenty_gained_are_none():
    old = easy()
    assert verdict_on(old, moved(old, lost=20, gained=20)) == "undecided"
    assert verdict_on(old, moved(old, lost=4, gained=4)) == "equivalent"


@pytest.mark.parametrize(
    ("value", "low", "high", "expected"),
    [
        (-0.02, -0.03, -0.01, "regression"),
        (-0.008, -0.012, -0.004, "undecided"),  # clearly worse, but by less than what matters, as far as is known
        (-0.005, -0.008, -0.002, "equivalent"),  # clearly worse by too little to matter
        (-0.02, -0.05, 0.01, "undecided"),
        (0.0, -0.005, 0.005, "equivalent"),
        (0.02, 0.01, 0.03, "improvement"),
        (-0.0099999999999, -0.012, -0.008, "regression"),  # ten of a thousand, as binary numbers have it
    ],
)
def test_every_verdict(value, low, high, expected):
    difference = Difference(value, low, high)
    assert verdict_on_difference(difference, p_value(difference), POINT) == expected


def test_without_an_interval_nothing_is_decided():
    assert verdict_on_difference(Difference(-0.5), None, POINT) == "undecided"


def test_a_p_that_holm_raised_takes_a_regression_back():
    difference = Difference(-0.02, -0.039, -0.001)
    assert verdict_on_difference(difference, p_value(difference), POINT) == "regression"
    assert verdict_on_difference(difference, 3 * p_value(difference), POINT) == "undecided"


differences = st.tuples(
    st.floats(-0.1, 0.1), st.floats(1e-4, 0.1), st.floats(1e-4, 0.1), st.sampled_from([4.0, 30.0, math.inf])
).map(lambda d: Difference(d[0], d[0] - d[1], d[0] + d[2], d[3]))
deltas = st.floats(0.001, 0.05)


@given(differences, deltas)
def test_turning_a_difference_round_turns_its_verdict_round(difference, delta):
    other = Difference(-difference.value, -difference.high, -difference.low, difference.freedom)
    opposite = {"regression": "improvement", "improvement": "regression"}
    found = verdict_on_difference(difference, p_value(difference), delta)
    assert verdict_on_difference(other, p_value(other), delta) == opposite.get(found, found)


@given(differences, deltas)
def test_a_regression_is_clearly_below_zero_and_matters(difference, delta):
    if verdict_on_difference(difference, p_value(difference), delta) == "regression":
        assert difference.high < 0
        assert difference.value <= -delta + 1e-9


@given(differences, deltas, st.floats(1, 4))
def test_what_is_equivalent_stays_so_under_a_wider_margin(difference, delta, factor):
    p = p_value(difference)
    if verdict_on_difference(difference, p, delta) == "equivalent":
        assert verdict_on_difference(difference, p, delta * factor) == "equivalent"


@given(st.floats(0.001, 0.05), st.sampled_from([3.0, 12.0, math.inf]), deltas, st.integers(1, 20))
def test_the_smallest_drop_is_found_with_the_power_it_is_given_for(error, freedom, delta, tests):
    drop = smallest_found(error, freedom, delta, tests)
    assert chance_of_finding(drop, error, freedom, delta, tests) == pytest.approx(0.8)
    assert drop > delta
    quantile = stats.norm.ppf if math.isinf(freedom) else lambda p: stats.t.ppf(p, freedom)
    wider = stats.norm.ppf(0.975) * quantile(1 - 0.025 / tests) / quantile(0.975)
    assert drop == pytest.approx(max(wider * error, delta) + stats.norm.ppf(0.8) * error)
    # What just reaches the first part passes the rule itself, and what falls short of it does not.
    half = stats.norm.ppf(0.975) * error
    for factor, passed in ((1 + 1e-6, True), (1 - 1e-6, False)):
        value = -factor * wider * error
        p = p_value(Difference(value, value - half, value + half, freedom))
        assert (tests * p <= 0.05) == passed


def test_the_standard_error_is_that_of_the_interval():
    assert standard_error(Difference(-0.02, -0.02 - 1.96 * 0.01, -0.02 + 1.5 * 0.01)) == pytest.approx(0.01, rel=1e-3)
    few = standard_error(Difference(0.1, -0.1, 0.3, 4.0))
    assert few == pytest.approx(0.2 / stats.norm.ppf(0.975)), "4 are those of the tails, not of the width"
    assert standard_error(Difference(-0.02)) is None


def test_nine_of_ten_drops_of_two_points_are_found_where_four_percent_of_a_thousand_items_change():
    n, changed, drop = 1000, 0.04, 0.02
    error = math.sqrt((changed - drop**2) / n)
    promised = chance_of_finding(drop, error, math.inf, POINT)
    assert promised == pytest.approx(0.89, abs=0.005)
    rng = np.random.default_rng(0)
    lost, gained, _ = rng.multinomial(n, [0.03, 0.01, 0.96], 20_000).T
    estimate = (gained - lost) / n
    errors = np.sqrt(((gained + lost) / n - estimate**2) / n)
    found = (estimate + stats.norm.ppf(0.975) * errors < 0) & (estimate <= -POINT)
    assert found.mean() == pytest.approx(promised, abs=0.02)
    strict = estimate + stats.norm.ppf(0.975) * errors < -POINT
    assert strict.mean() == pytest.approx(0.34, abs=0.03), "what an interval wholly below the margin would find"
    # The suite's own intervals find as many: 300 runs leave a standard error of 2 points.
    old = easy()
    own = [verdict_on(old, moved(old, lost[i], gained[i], seed=i)) == "regression" for i in range(300)]
    assert np.mean(own) == pytest.approx(promised, abs=0.06)


def test_three_draws_do_not_make_the_standard_error_look_small():
    rng = np.random.default_rng(0)
    estimates, errors = [], []
    for _ in range(150):
        ease = rng.normal(size=400)
        old, new = (ease + rng.normal(0, 0.4, (3, 400)) > least for least in (0, 0.1))
        difference = Difference.within(float(new.mean() - old.mean()), paired_interval(new * 1.0, old * 1.0))
        estimates.append(difference.value)
        errors.append(standard_error(difference))
    assert np.median(errors) == pytest.approx(np.std(estimates), rel=0.25)


@pytest.mark.parametrize("draws", [3, 5])
def test_a_drop_of_the_size_that_is_printed_is_found_about_as_often_as_promised(draws):
    rng, error, between = np.random.default_rng(0), 0.006, 0.01
    found, sizes = [], []
    for spread in between**2 * rng.chisquare(draws - 1, 2000) / (draws - 1):
        sure = joined((error**2, 999.0), [(spread / draws, draws - 1.0)])
        half = sure.half_width(0.95)
        sizes.append(smallest_found(standard_error(Difference(0.0, -half, half, sure.tails)), sure.tails, 0.01))
        found.append(half)
    halves, typical = np.array(found), float(np.median(sizes))
    estimates = -typical + rng.standard_normal(2000) * math.sqrt(error**2 + between**2 / draws)
    share = float(((estimates + halves < 0) & (estimates <= -0.01)).mean())
    assert 0.72 < share < 0.84  # the standard error is itself uncertain: 75 % with three draws, 80 % with five
