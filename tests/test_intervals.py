"""Standard errors and degrees of freedom of units and draws, against loops, scipy and the normal theory."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from geofm_eval.stats.jackknife import make_sample
from geofm_eval.stats.standard_error import LOG, LOGIT, Part, Spread, joined, spread_of, student, uneven_freedom


def means(values):
    """The part of a mean over draws and units, each unit left out in a loop."""
    values = np.asarray(values)
    without = [np.delete(values, unit, 1).mean(1) for unit in range(values.shape[1])]
    return Part(1.0, values.mean(1), np.stack(without, 1))


def test_one_draw_of_a_mean_has_its_usual_standard_error():
    values = np.random.default_rng(0).normal(3, 2, (1, 40))
    found = spread_of([means(values)], even=True)
    assert math.sqrt(found.variance) == pytest.approx(stats.sem(values[0]))
    assert found.freedom == 39
    interval = student(float(values.mean()), found, 0.9, "", "")
    assert (interval.low, interval.high) == pytest.approx(
        stats.t.interval(0.9, 39, values.mean(), stats.sem(values[0]))
    )


def test_independent_networks_add_their_variances():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, (2, 3, 50)) + rng.normal(0, 1, (2, 3, 1))
    one, other = means(first), means(second)
    found = spread_of([one, Part(-2.0, other.scores, other.without)], even=True)

    def rest(values):
        return values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()

    units = np.var((first - 2 * second).mean(0), ddof=1) / 50
    draws = [weight * np.var(values.mean(1), ddof=1) / 3 for weight, values in ((1, first), (4, second))]
    mixed = sum(weight * (rest(values) ** 2).sum() / (2 * 49) / 150 for weight, values in ((1, first), (4, second)))
    between = sum(draws) - mixed
    assert found.variance == pytest.approx(units + between)
    of_draws = sum(draws) ** 2 / sum(one**2 / 2 for one in draws)
    expected = (units + 6 * between) ** 2 / (units**2 / 49 + (6 * between) ** 2 / of_draws)
    assert found.freedom == pytest.approx(expected)
    tails = (units + 20 * sum(draws)) ** 2 / (units**2 / 49 + (20 * sum(draws)) ** 2 / of_draws)
    assert found.tails == pytest.approx(tails)


def test_draws_that_differ_by_their_noise_alone_add_nothing():
    found = joined((2.0, 30.0), [(0.5, 2.0)], mixed=0.6)
    assert (found.variance, found.freedom) == (2.0, 30.0)
    assert 2 < found.tails < 4, "that three draws agree is no proof"
    assert joined((2.0, 30.0), [(0.0, 2.0)]) == joined((2.0, 30.0), []) == Spread(2.0, 30.0, 30.0)
    assert joined((0.0, 30.0), [(0.5, 2.0)]) == Spread(0.5, pytest.approx(2.0), pytest.approx(2.0))


@given(st.integers(2, 60), st.integers(0, 500), st.floats(0.1, 4))
def test_uneven_units_leave_fewer_degrees_of_freedom(count, seed, tails):
    values = np.random.default_rng(seed).standard_normal(count)
    values = np.sign(values) * np.abs(values) ** tails
    deviation = values - values.mean()
    found = uneven_freedom(deviation)
    assert 0 < found <= count - 1
    kurtosis = stats.kurtosis(deviation, fisher=False)
    assert found == pytest.approx(min(count - 1, 2 * count / (kurtosis - 1)) if kurtosis > 1 else count - 1)
    assert uneven_freedom(1e-6 * deviation) == pytest.approx(found)
    assert uneven_freedom(np.zeros(count)) == count - 1


def test_one_unit_that_decides_leaves_about_one_degree_of_freedom():
    alone = np.zeros(20)
    alone[3] = 1.0
    assert uneven_freedom(alone - alone.mean()) == pytest.approx(2.2, abs=0.2)


def test_what_is_not_finite_has_no_spread():
    part = means(np.random.default_rng(2).random((1, 5)))
    assert spread_of([Part(1.0, part.scores, np.where(part.without > 0, np.nan, 0))]) is None
    assert spread_of([Part(1.0, np.array([np.nan]), part.without)]) is None


@given(st.floats(0.01, 0.99), st.floats(1e-6, 500))
def test_scales_keep_an_interval_in_range(value, half):
    low, high = LOGIT.ends(value, half)
    assert 0 <= low < value < high <= 1
    low, high = LOG.ends(value, half)
    assert 0 <= low < value < high


def test_a_narrow_interval_is_the_same_on_any_scale():
    spread = Spread(1e-8, 50, 50)
    plain = student(0.3, spread, 0.95, "", "")
    for scale in (LOGIT, LOG):
        found = student(0.3, spread, 0.95, "", "", scale)
        assert (found.low, found.high) == pytest.approx((plain.low, plain.high), abs=1e-7)
    assert student(1.0, Spread(0.0, 5, 5), 0.95, "", "", LOGIT).high == 1.0


@pytest.mark.parametrize("target", [None, np.random.default_rng(3).normal(5, 2, 60)])
def test_a_sample_leaves_its_units_out_one_by_one(target):
    rng = np.random.default_rng(4)
    values, groups = rng.random((2, 60)), rng.integers(0, 9, 60)
    sample = make_sample(values, groups, target)

    def ratio(kept):
        spread = kept.sum() if target is None else np.square(target[kept] - target[kept].mean()).sum()
        return values[:, kept].sum(1) / spread

    np.testing.assert_allclose(sample.ratios(), ratio(groups >= 0))
    np.testing.assert_allclose(sample.without(), np.stack([ratio(groups != g) for g in range(9)], 1))
