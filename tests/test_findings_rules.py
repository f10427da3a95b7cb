"""Rules of verdicts: partial conjunctions and Holm against brute force; how often true nulls are mistaken."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fixtures import independent_verdicts as recomputed
from geofm_eval.findings.finding import AS_GOOD, GAIN, Claim, FindingCell, adjusted, cell_of, joint, mean_of
from geofm_eval.findings.most import majority, partial_conjunction, shortage, verdict_on_most
from geofm_eval.records import Score
from geofm_eval.results.units import in_points
from geofm_eval.stats.counts import Term, contrast_interval, count_score
from geofm_eval.stats.difference import Difference
from geofm_eval.stats.p_values import holm, p_above, p_below, p_value
from geofm_eval.stats.scores import paired_interval, paired_shuffle_interval, pooled_r2


def cells_of(values: list[float], half: float, claim: Claim = GAIN) -> list[FindingCell]:
    differences = [Difference(value, value - half, value + half) for value in values]
    return adjusted([cell_of(str(i), "g", "", one, True, "items", claim) for i, one in enumerate(differences)])


# Most cells


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.data())
def test_a_partial_conjunction_is_the_worst_simes_test_of_all_subsets(values: list[float], data: st.DataObject):
    least = data.draw(st.integers(1, len(values)))
    size = len(values) - least + 1
    # Fewer than ``least`` are non-null: some set of m - u + 1 holds nulls alone. Each such set must be rejected.
    expected = max(
        min(1.0, stats.false_discovery_control(subset, method="bh").min())
        for subset in itertools.combinations(values, size)
    )
    assert partial_conjunction(values, least) == pytest.approx(expected)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_recomputed_verdicts_use_the_same_test(values: list[float]):
    assert recomputed._most(values) == pytest.approx(partial_conjunction(values, majority(len(values))))


def test_a_majority_is_more_than_half():
    assert [majority(count) for count in (1, 2, 3, 4, 5, 12)] == [1, 2, 2, 3, 3, 7]


def test_half_of_the_cells_support_nothing_however_clear_they_are():
    """At least 4 of 6 are needed: with three nulls the test holds its level."""
    rng = np.random.default_rng(3)
    drawn = rng.standard_normal((4000, 6)) + np.array([20, 20, 20, 0, 0, 0])
    found = [partial_conjunction(stats.norm.sf(row).tolist(), 4) <= 0.05 for row in drawn]
    assert 0.03 <= np.mean(found) <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize(
    ("values", "half", "mean", "verdict"),
    [
        ([5.0] * 6, 1.0, (5.0, 4.0, 6.0), "supported"),
        # Most gain, but the mean is worth less than a point, or may be nothing.
        ([0.9] * 6, 0.3, (0.9, 0.6, 1.2), "undecided"),
        ([1.5] * 6, 1.0, (1.5, -0.1, 3.1), "undecided"),
        ([0.0] * 6, 0.5, (0.0, -0.2, 0.2), "refuted"),
        # Not one of the cells is clearly small, their mean is no gain.
        ([-0.5] * 6, 9.0, (-0.5, -1.0, 0.0), "refuted"),
        ([-0.5] * 6, 9.0, (-0.5, -1.0, 0.1), "undecided"),
        # No support is no refutation.
        ([1.0] * 6, 9.0, (1.0, -2.0, 4.0), "undecided"),
        # Both tests hold: most gain less than a point, a few far more.
        ([0.5] * 4 + [9.0] * 2, 0.1, (3.3, 3.2, 3.4), "undecided"),
    ],
)
def test_supported_and_refuted_are_tests_of_their_own(values, half, mean, verdict):
    assert verdict_on_most(cells_of(values, half), Difference(*mean), GAIN) == verdict


def test_a_biased_mean_refutes_nothing():
    cells, mean = cells_of([-0.5] * 6, 9.0), Difference(-0.5, -1.0, 0.0)
    assert verdict_on_most(cells, mean, GAIN, mean_refutes=False) == "undecided"


def test_to_be_as_good_is_more_than_not_to_differ():
    def verdict(value: float, half: float, reach: float) -> str:
        mean = Difference(value, value - reach, value + reach)
        return verdict_on_most(cells_of([value] * 6, half, AS_GOOD), mean, AS_GOOD)

    assert verdict(-0.3, 0.5, 0.2) == "supported"
    assert verdict(0.0, 3.0, 1.2) == "undecided"
    assert verdict(-2.0, 0.5, 0.2) == "refuted"
    # Clearly below 0 and clearly less than a point below it: as good.
    assert verdict(-0.4, 0.2, 0.1) == "supported"


def test_either_of_two_sets_of_cells_may_support_only_at_half_the_level():
    cells = [replace(cell, p_above=0.03) for cell in cells_of([5.0] * 6, 1.0)]
    mean = Difference(5.0, 4.0, 6.0)
    assert verdict_on_most(cells, mean, GAIN) == "supported"
    assert verdict_on_most(cells, mean, GAIN, tests=2) == "undecided"


def test_most_cells_need_five_of_three_data_sets_and_three_backbones():
    cells = [replace(cell, data=str(number)) for number, cell in enumerate(cells_of([5.0] * 6, 1.0))]
    assert shortage(cells, "abc", 6) is None
    assert shortage(cells, "abc", 13).endswith("of the cells. 7 cells without per-sample outcomes have no interval.")
    assert shortage(cells[:4], "abc", 4).endswith("Missing: 1 cell.")
    assert shortage(cells, "ab", 6).endswith("Missing: 1 backbone.")
    same = [replace(cell, data="items") for cell in cells]
    assert shortage(same, "abc", 6).endswith("Missing: 2 data sets.")


def test_one_sided_p_values_are_halves_of_two_sided_ones():
    found = Difference(0.7, 0.7 - 1.0, 0.7 + 1.0, 9)
    assert p_above(found) == pytest.approx(p_value(found) / 2)
    assert p_below(found) == pytest.approx(1 - p_value(found) / 2)
    assert p_below(found, 1.0) == pytest.approx(p_value(found, 1.0) / 2)
    assert p_above(found, -1.0) == pytest.approx(p_value(found, -1.0) / 2)
    # What is exactly 0 does not exceed 0, and is below a point.
    nothing = Difference(0.0, 0.0, 0.0)
    assert (p_above(nothing), p_above(nothing, -1.0), p_below(nothing, 1.0)) == (1, 0, 0)
    assert p_above(Difference(1.0)) is None


# Means of which intervals alone are known


def test_cells_of_the_same_items_move_together():
    same, apart = mean_of(cells_of([0.0] * 4, 2.0)), joint([(0.25, Difference(0, -2, 2), name) for name in "abcd"])
    assert (same.low, same.high) == pytest.approx((-2, 2))
    assert (apart.low, apart.high) == pytest.approx((-1, 1))
    assert joint([(1.0, Difference(1.0), "a")]) == Difference(1.0)


def test_independent_parts_with_few_degrees_of_freedom_know_more_together():
    half = stats.t(4).ppf(0.975)
    found = joint([(0.25, Difference(0, -half, half, 4), name) for name in "abcd"])
    assert found.freedom == pytest.approx(16)
    assert found.high == pytest.approx(stats.t(16).ppf(0.975) / 2)


def test_errors_are_percents_of_what_they_are_compared_with():
    score, base = (
        Score(metric="rmse", value=value, per_draw=(value,), n=9, n_train=9, direction="lower")
        for value in (19.0, 20.0)
    )
    found = in_points(Difference(-1.0, -2.0, 0.5, 7), score, base)
    assert (found.value, found.low, found.high, found.freedom) == (5.0, -2.5, 10.0, 7)


# Holm


def test_holm_is_the_closed_test_of_all_subsets():
    rng = np.random.default_rng(7)
    for count in (1, 2, 5, 7):
        values = [float(value) for value in rng.random(count) ** 3]
        closed = [
            max(
                min(1.0, len(subset) * min(values[j] for j in subset))
                for size in range(1, count + 1)
                for subset in itertools.combinations(range(count), size)
                if i in subset
            )
            for i in range(count)
        ]
        assert holm(values) == pytest.approx(closed)
    assert holm([]) == []


def test_p_follows_from_an_interval_and_its_degrees_of_freedom():
    for freedom in (3, 20, math.inf):
        t = stats.norm if math.isinf(freedom) else stats.t(freedom)
        reach = t.ppf(0.975) * 0.7
        for value in (0.0, 0.5, -2.0, 4.0):
            found = p_value(Difference(value, value - reach, value + reach, freedom))
            assert found == pytest.approx(2 * t.sf(abs(value) / 0.7))
            assert (found <= 0.05) == (abs(value) > reach)
    # The longer half of a skewed interval counts, so that p is never smaller than the interval allows.
    assert p_value(Difference(1.0, -0.1, 1.2)) > 0.05
    assert p_value(Difference(1.0)) is None
    assert p_value(Difference(0.0, 0.0, 0.0)) == 1
    assert p_value(Difference(0.0, 0.0, 0.0), against=1.0) == 0


def test_few_seeds_leave_few_degrees_of_freedom():
    rng = np.random.default_rng(8)

    def counts(spread: float) -> np.ndarray:
        hits = np.rint(np.clip(0.8 + rng.normal(0, spread, (3, 1)) + rng.normal(0, 0.05, 40), 0, 1) * 500).astype(int)
        row = np.stack([hits, 500 - hits], -1)
        return np.stack([row, row[..., ::-1]], -2)

    few = contrast_interval([Term(1, counts(0.1), "miou"), Term(-1, counts(0.1), "miou")])
    many = contrast_interval([Term(1, counts(0.0), "miou"), Term(-1, counts(0.0), "miou")])
    assert 2 <= few.freedom < 6
    assert many.freedom > 10
    draws = paired_interval(rng.random((5, 50)), rng.random((5, 50)))
    assert 4 <= draws.freedom <= 54


def items(rng: np.random.Generator) -> Difference:
    """Two subjects equally good at 200 items of shared difficulty."""
    easy = rng.random(200)
    first, second = (rng.random((1, 200)) < easy for _ in range(2))
    found = paired_interval(first, second)
    return Difference.within(float(first.mean() - second.mean()), found)


def groups(rng: np.random.Generator) -> Difference:
    """The same over five scenes, in which the two differ."""
    scene = np.repeat(np.arange(5), 20)
    first = rng.random((1, 100)) < 0.5 + rng.normal(0, 0.1, 5)[scene]
    second = rng.random((1, 100)) < 0.5 + rng.normal(0, 0.1, 5)[scene]
    return Difference.within(float(first.mean() - second.mean()), paired_interval(first, second, scene))


def seeds(rng: np.random.Generator) -> Difference:
    """Two networks of three seeds that differ more than images do."""

    def counts() -> np.ndarray:
        hits = rng.binomial(200, np.clip(0.8 + rng.normal(0, 0.03, (3, 1)), 0, 1), (3, 20))
        row = np.stack([hits, 200 - hits], -1)
        return np.stack([row, row[..., ::-1]], -2)

    first, second = counts(), counts()
    found = contrast_interval([Term(1, first, "miou"), Term(-1, second, "miou")])
    return Difference.within(float(count_score(first, "miou").mean() - count_score(second, "miou").mean()), found)


def shuffles(rng: np.random.Generator) -> Difference:
    """Two regressions over shuffle splits, equally good."""
    target, errors = rng.normal(0, 1, 100), rng.normal(0, 0.5, (2, 100))
    tested = np.stack([rng.permutation(100) < 10 for _ in range(20)])
    first, second = (np.where(tested, target + error, np.nan) for error in errors)
    difference = pooled_r2(first, target) - pooled_r2(second, target)
    return Difference.within(difference, paired_shuffle_interval(first, second, target, 90))


@pytest.mark.parametrize(("make", "repeats"), [(items, 80), (groups, 300), (seeds, 60), (shuffles, 40)])
def test_a_family_of_true_nulls_is_seldom_mistaken(make, repeats):
    """Ten cells without a difference: after Holm some cell is called in 5 % of families at most."""
    rng = np.random.default_rng(9)
    mistaken = sum(min(holm([p_value(make(rng)) for _ in range(10)])) <= 0.05 for _ in range(repeats))
    assert mistaken <= repeats * 0.05 + 2.5 * math.sqrt(repeats * 0.05 * 0.95)
