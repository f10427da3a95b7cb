"""Shares of variance against scipy, loops and tables whose shares are known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from geofm_eval.errors import ContractError
from geofm_eval.factors.noise import ErrorOfMeans, error_of_means, logit
from geofm_eval.factors.variance import anova, effects, shares

NAMES = ("backbone", "decoder", "tuning")
TABLES = arrays(np.float64, (3, 2, 2, 3), elements=st.floats(-9, 9))


def test_one_factor_is_the_f_test_of_scipy():
    table = np.random.default_rng(0).normal(0, 1, (4, 5)) + np.arange(4)[:, None]
    found = anova(table)
    f = found.squares[0,] / found.freedom[0,] / found.error
    assert f == pytest.approx(stats.f_oneway(*table).statistic)
    # Omega squared from F: df (F - 1) / (df (F - 1) + N).
    assert found.share((0,)) == pytest.approx(3 * (f - 1) / (3 * (f - 1) + 20))


def brute_force(table: np.ndarray) -> dict[tuple[int, ...], float]:
    """Sums of squares of a table of three factors, cell by cell, by the formulas of a textbook."""
    grand = table.mean()
    found = dict.fromkeys(((0,), (1,), (2,), (0, 1), (0, 2), (1, 2), (0, 1, 2)), 0.0)
    for i, j, k in itertools.product(*map(range, table.shape[:3])):
        one = (table[i].mean(), table[:, j].mean(), table[:, :, k].mean())
        two = (table[i, j].mean(), table[i, :, k].mean(), table[:, j, k].mean())
        for axis in range(3):
            found[axis,] += (one[axis] - grand) ** 2
        for pair, mean in zip(((0, 1), (0, 2), (1, 2)), two, strict=True):
            found[pair] += (mean - one[pair[0]] - one[pair[1]] + grand) ** 2
        found[0, 1, 2] += (table[i, j, k].mean() - sum(two) + sum(one) - grand) ** 2
    return {effect: table.shape[3] * value for effect, value in found.items()}


def test_all_interactions_are_those_of_loops():
    table = np.random.default_rng(1).normal(0, 1, (3, 4, 2, 3)) + np.arange(4)[:, None, None]
    found = anova(table)
    assert found.squares == pytest.approx(brute_force(table))
    assert found.freedom == {(0,): 2, (1,): 3, (2,): 1, (0, 1): 6, (0, 2): 2, (1, 2): 3, (0, 1, 2): 6}
    within = np.square(table - table.mean(-1, keepdims=True)).sum()
    assert (found.error, found.error_freedom) == (pytest.approx(within / 48), 48)
    assert found.total == pytest.approx(np.square(table - table.mean()).sum())


def share_of(table: np.ndarray, **how: object) -> dict[tuple[str, ...], float]:
    return {one.effect: one.value for one in shares(NAMES[: table.ndim - 1], table, **how)}


def test_an_additive_table_has_no_interaction_and_a_crossed_one_nothing_else():
    a, b, c = np.array([0.0, 1, 5]), np.array([0.0, 2]), np.array([0.0, 3])
    added = (a[:, None, None] + b[:, None] + c)[..., None] + np.zeros(2)
    found = share_of(added)
    parts = np.array([a.var(), b.var(), c.var()])
    assert [found[name,] for name in NAMES] == pytest.approx(parts / parts.sum())
    assert all(value == pytest.approx(0, abs=1e-12) for effect, value in found.items() if len(effect) > 1)
    crossed = np.array([[1.0, -1], [-1, 1]])[..., None] + np.zeros(2)
    assert share_of(crossed) == pytest.approx({("backbone",): 0, ("decoder",): 0, ("backbone", "decoder"): 1})


def test_shares_of_pure_noise_are_0_on_average_and_eta_squared_is_not():
    rng = np.random.default_rng(2)
    tables = [anova(rng.normal(0, 1, (5, 4, 2, 3))) for _ in range(300)]
    for effect in tables[0].squares:
        values = [one.share(effect) for one in tables]
        assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    assert np.mean([one.squares[0, 1] / one.total for one in tables]) > 0.08


def test_planted_shares_are_found_under_noise():
    rng = np.random.default_rng(3)
    a, b = rng.normal(0, 2, 6), rng.normal(0, 1, 5)
    table = a[:, None] + b
    values = [share_of(table[..., None] + rng.normal(0, 1, (6, 5, 3))) for _ in range(200)]
    total = a.var() + b.var() + 1
    assert np.mean([one["backbone",] for one in values]) == pytest.approx(a.var() / total, abs=0.02)
    assert np.mean([one["decoder",] for one in values]) == pytest.approx(b.var() / total, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(TABLES, st.floats(-5, 5), st.sampled_from([-3.0, 0.5, 7.0]))
def test_laws_of_shares(table, shift, scale):
    found = anova(table)
    assert sum(found.squares.values()) <= found.total + 1e-9 * max(1, found.total)
    parts = effects(table.mean(-1))
    assert sum(parts.values()) == pytest.approx(table.mean(-1) - table.mean(), abs=1e-9)
    # A spread that rounding makes is no spread.
    if np.ptp(table) > 1e-3:
        assert share_of(scale * table + shift) == pytest.approx(share_of(table), abs=1e-6)
        assert share_of(table[::-1]) == pytest.approx(share_of(table), abs=1e-9)


def test_what_a_draw_adds_to_all_cells_is_taken_off_first():
    rng = np.random.default_rng(4)
    table = rng.normal(0, 1, (3, 4, 5))
    shifted = table + rng.normal(0, 10, 5)
    assert share_of(shifted, crossed=True) == pytest.approx(share_of(table, crossed=True))
    found = anova(table, crossed=True)
    left = table - table.mean(-1, keepdims=True) - table.mean((0, 1)) + table.mean()
    assert (found.error, found.error_freedom) == (pytest.approx(np.square(left).sum() / 44), 44)


def test_of_one_score_per_cell_shares_are_eta_squared_and_sum_to_1():
    scores = np.random.default_rng(9).normal(0, 1, (3, 4, 2))
    found = {one.effect: one.value for one in shares(NAMES[:3], scores[..., None])}
    assert sum(found.values()) == pytest.approx(1)
    deviations = scores - scores.mean()
    main = np.square(scores.mean((1, 2)) - scores.mean()).sum() * 8 / np.square(deviations).sum()
    assert found[NAMES[:1]] == pytest.approx(main)


def test_the_range_without_a_level_names_the_absurd_one():
    table = np.zeros((3, 4, 2))
    table += np.array([0.0, 1, 2])[:, None, None]
    table[:, 3] -= 50
    table[..., 1] += 1e-3
    backbone, decoder, _ = shares(NAMES[:2], table)
    assert decoder.value > 0.99
    assert (decoder.lowest.factor, decoder.lowest.level) == ("decoder", 3)
    assert decoder.lowest.value == pytest.approx(0, abs=1e-6)
    assert backbone.highest.value == pytest.approx(1, abs=1e-3)
    assert (backbone.highest.factor, backbone.highest.level) == ("decoder", 3)
    # Of two levels one leaves a table without the factor.
    assert anova(np.delete(table, [2, 3], 1)[:, 0]).share((0,)) == pytest.approx(1, abs=1e-3)


def test_intervals_of_shares_cover():
    """Scores of 3 x 4 cells with 3 seeds on 60 items that all share; the truth has neither noise of items."""
    rng, hits, repeats = np.random.default_rng(5), 0, 300
    truth = rng.normal(0, 0.5, 3)[:, None] + rng.normal(0, 0.5, 4)
    for _ in range(repeats):
        items = rng.normal(0, 1, (12, 1, 60)) + rng.normal(0, 1, 60)
        scores = truth.reshape(12, 1, 1) + items + rng.normal(0, 0.1, (12, 3, 1))
        without = (scores.sum(-1, keepdims=True) - scores) / 59
        error = error_of_means(scores.mean(-1), without)
        found = shares(NAMES[:2], scores.mean(-1).reshape(3, 4, 3), error=error)[0]
        hits += found.low <= truth.mean(1).var() / (truth.var() + 0.01) <= found.high
    assert 0.92 <= hits / repeats <= 0.99


def test_the_error_over_items_is_the_jackknife_of_a_mean():
    rng = np.random.default_rng(6)
    values = rng.normal(0, 1, (2, 3, 40)) + rng.normal(0, 1, 40)
    error = error_of_means(values.mean(-1), (values.sum(-1, keepdims=True) - values) / 39)
    assert error.items == pytest.approx(np.cov(values.mean(1)) / 40)
    assert error.seeds == pytest.approx(values.mean(-1).var(1, ddof=1) / 3)
    found = error.within(0.3, np.array([1.0, -1.0]))
    variance = np.array([1, -1]) @ error.covariance @ np.array([1, -1])
    freedom = variance**2 / (
        (np.array([1, -1]) @ error.items @ np.array([1, -1])) ** 2 / 39 + np.square(error.seeds).sum() / 2
    )
    assert found.freedom == pytest.approx(freedom)
    assert found.high - found.value == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance))


def test_logits_of_0_and_1_are_finite_and_others_exact():
    scores = np.array([0.0, 0.25, 1.0])
    assert logit(scores, 50) == pytest.approx([np.log(0.01 / 0.99), np.log(1 / 3), np.log(0.99 / 0.01)])


@pytest.mark.parametrize(
    "table", [np.zeros((3,)), np.zeros((3, 0)), np.zeros((1, 3)), np.full((2, 2), np.nan), np.zeros((2, 1, 3))]
)
def test_tables_that_cannot_be_analysed_are_refused(table):
    with pytest.raises(ContractError, match="at least two levels of every factor, at least one replicate"):
        anova(table)


def test_a_constant_table_has_shares_of_0():
    error = ErrorOfMeans(np.zeros((4, 4)), 5, np.zeros(4), 3)
    assert {(one.value, one.low, one.high) for one in shares(NAMES[:2], np.ones((2, 2, 3)), error=error)} == {(0, 0, 0)}
