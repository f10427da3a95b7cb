"""Rules of verdicts: Holm against brute force, and how often a family of true nulls is mistaken."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from geofm_eval.crossed import Term, contrast_interval, count_score
from geofm_eval.findings.finding import adjusted, cell_of, decide, in_points, joint, mean_of
from geofm_eval.holm import holm, p_value
from geofm_eval.metrics import paired_interval, paired_shuffle_interval, pooled_r2
from geofm_eval.records import Score
from geofm_eval.report.choice import Difference


def cells_of(values: list[float], half: float, data: str = "items") -> list:
    differences = [Difference(value, value - half, value + half) for value in values]
    return adjusted([cell_of(str(i), "g", "", one, True, data) for i, one in enumerate(differences)])


def test_a_mean_below_the_margin_refutes_only_where_few_estimates_reach_it():
    narrow = Difference(-0.5, -1.5, 0.5)
    assert decide(cells_of([0.0] * 6, 3.0), narrow) == "refuted"
    assert decide(cells_of([2.0] * 4 + [-5.0] * 2, 6.0), narrow) == "undecided"
    assert decide(cells_of([0.0] * 6, 3.0), Difference(0.0, -1.5, 1.5)) == "undecided"
    assert decide(cells_of([0.5] * 6, 0.1), Difference(0.5, 0.4, 0.6)) == "supported"


def test_cells_of_the_same_items_move_together():
    same, apart = mean_of(cells_of([0.0] * 4, 2.0)), joint([(0.25, Difference(0, -2, 2), name) for name in "abcd"])
    assert (same.low, same.high) == pytest.approx((-2, 2))
    assert (apart.low, apart.high) == pytest.approx((-1, 1))
    assert joint([(1.0, Difference(1.0), "a")]) == Difference(1.0)


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
