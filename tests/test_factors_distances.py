"""How far apart levels lie: against loops over pairs, and without bias by noise."""

import itertools

import numpy as np
import pytest

from geofm_eval.factors.distances import distance_of, further
from geofm_eval.factors.noise import ErrorOfMeans, error_of_means

SHAPE = (3, 4, 2)
CELLS = int(np.prod(SHAPE))


def an_error(rng: np.random.Generator) -> ErrorOfMeans:
    square = rng.normal(0, 1, (CELLS, CELLS))
    return ErrorOfMeans(square @ square.T / 50, 30, rng.random(CELLS), 3)


def test_the_mean_square_over_pairs_less_its_noise():
    rng = np.random.default_rng(0)
    means, error = rng.normal(0, 3, SHAPE), an_error(rng)
    at = np.arange(CELLS).reshape(SHAPE)
    covariance = error.covariance
    squares = []
    for (j, k), (one, other) in itertools.product(np.ndindex(4, 2), itertools.combinations(range(3), 2)):
        a, b = at[one, j, k], at[other, j, k]
        noise = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
        squares.append((means[one, j, k] - means[other, j, k]) ** 2 - noise)
    found = distance_of(means, 0, error)
    assert found.square == pytest.approx(np.mean(squares))
    assert found.value == pytest.approx(np.sqrt(np.mean(squares)))
    pairs = itertools.combinations(range(4), 2)
    plain = distance_of(means, 1, None)
    assert plain.square == pytest.approx(np.mean([(means[:, i] - means[:, j]) ** 2 for i, j in pairs]))


def measured(rng: np.random.Generator, truth: np.ndarray) -> tuple[np.ndarray, ErrorOfMeans]:
    """Means and their error, of three seeds on forty items that all cells share."""
    cells = truth.size
    items = rng.normal(0, 2, (cells, 1, 40)) + rng.normal(0, 3, 40)
    scores = truth.reshape(cells, 1, 1) + items + rng.normal(0, 0.4, (cells, 3, 1))
    error = error_of_means(scores.mean(-1), (scores.sum(-1, keepdims=True) - scores) / 39)
    return scores.mean((1, 2)).reshape(truth.shape), error


def test_equal_levels_are_0_apart_on_average():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        means, error = measured(rng, np.zeros(SHAPE))
        found.append(distance_of(means, 0, error).square)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(300)
    naive = [distance_of(measured(rng, np.zeros(SHAPE))[0], 0, None).square for _ in range(50)]
    assert np.mean(naive) > 0.2, "without taking noise off, equal levels lie apart"


@pytest.mark.parametrize("apart", [(1.5, 1.0), (0.0, 1.0), (0.6, 0.1), (0.3, 0.3)])
def test_intervals_of_the_difference_cover(apart):
    rng, hits, repeats = np.random.default_rng(2), 0, 300
    first = np.array([-1.0, 0, 1]) * apart[0]
    second = np.array([-1.5, -0.5, 0.5, 1.5]) * apart[1]
    truth = first[:, None, None] + second[:, None] + np.zeros(2)
    ends = [np.sqrt(2 * levels.var(ddof=1)) for levels in (first, second)]
    for _ in range(repeats):
        means, error = measured(rng, truth)
        one, other = (distance_of(means, axis, error) for axis in (0, 1))
        found = further(one, other, error)
        assert found.low <= found.value <= found.high
        hits += found.low <= ends[0] - ends[1] <= found.high
    assert hits / repeats >= 0.93


def test_without_noise_the_difference_is_exact():
    truth = np.array([0.0, 2.0])[:, None] + np.array([0.0, 1.0])
    error = ErrorOfMeans(np.zeros((4, 4)), 10, np.zeros(4), 3)
    one, other = (distance_of(truth, axis, error) for axis in (0, 1))
    found = further(one, other, error)
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))
