"""Uncertainty of CKA against simulation, and the measures next to it against their formulas."""

from itertools import permutations

import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from geofm_eval.errors import ContractError
from geofm_eval.similarity import (
    cka,
    jackknife_error,
    jackknife_values,
    one_channel_decides,
    permutation_null,
    procrustes_distance,
    relative_distance,
    spread,
    without_top_channel,
)
from tests.test_similarity import gaussian, related, rotation


def pair(seed, n=80):
    """The same population for every seed."""
    x = gaussian(seed, n, 6)
    return x, x @ gaussian(10**6, 6, 5) + 2.0 * gaussian(seed + 10**5, n, 5)


def test_standard_errors_are_those_of_repeated_sampling():
    values = [cka(*pair(seed)).debiased for seed in range(300)]
    truth = np.std(values, ddof=1)
    jackknife = np.mean([jackknife_error(*pair(seed)) for seed in range(10)])
    assert jackknife == pytest.approx(truth, rel=0.3)


def test_the_jackknife_is_that_of_a_loop_over_groups():
    x, y = pair(0, 24)
    groups = np.repeat(list("abcdef"), 4)
    values = np.array([cka(x[groups != g], y[groups != g]).debiased for g in "abcdef"])
    expected = np.sqrt(5 / 6 * np.square(values - values.mean()).sum())
    assert jackknife_error(x, y, groups) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("far", [0.0, 1e3, 1e6])
def test_sums_without_a_group_are_those_of_the_rest_alone(far):
    x, y = (part + far for part in pair(3, 90))
    x[5] += 1e4  # almost all of the variance goes with one item
    for groups in (None, np.arange(90), np.arange(90) % 7, np.repeat([3, 1, 2], [60, 20, 10])):
        found = jackknife_values(x, y, groups)
        labels = np.random.default_rng(0).permutation(np.arange(90) % 50) if groups is None else np.asarray(groups)
        alone = [cka(x[labels != g], y[labels != g]).debiased for g in np.unique(labels)]
        np.testing.assert_allclose(found, alone, rtol=0, atol=1e-9 * (1 + far / 1e3))


def test_what_is_constant_without_a_group_has_no_value_there():
    x, y = pair(4, 20)
    x[1:] = x[1]
    x[:2] += gaussian(5, 2, 6)
    found = jackknife_values(x, y, np.repeat(np.arange(10), 2))
    assert np.isnan(found).tolist() == [True] + 9 * [False]
    assert np.isnan(jackknife_error(x, y, np.repeat(np.arange(10), 2)))


def test_groups_of_like_items_widen_the_error():
    x, y = pair(1, 20)
    groups = np.repeat(np.arange(20), 6)
    noise = 0.05
    many = [np.repeat(part, 6, axis=0) + noise * gaussian(7, 120, part.shape[1]) for part in (x, y)]
    assert jackknife_error(*many, groups) > 1.5 * jackknife_error(*many)


def test_chance_is_that_of_all_orders():
    x, y = related(0, 6, 3, 2)
    orders = [cka(x, y[list(order)]).debiased for order in permutations(range(6))]
    null = permutation_null(x, y)
    assert null.observed == pytest.approx(cka(x, y).debiased)
    assert null.mean == pytest.approx(np.mean(orders), abs=1e-12)
    assert null.sd == pytest.approx(np.std(orders), rel=1e-9)


def test_chance_has_a_z_near_zero_and_likeness_a_large_one():
    independent = [permutation_null(gaussian(s, 40, 20), gaussian(s + 500, 40, 20)).z for s in range(30)]
    assert abs(np.mean(independent)) < 0.6
    assert 0.5 < np.std(independent) < 1.6
    assert permutation_null(*related(0, 40)).z > 5


def test_procrustes_against_scipy():
    x, y = (part - part.mean(0) for part in related(0, 30, 5, 5))
    x, y = x / np.linalg.norm(x), y / np.linalg.norm(y)
    turn, _ = orthogonal_procrustes(y, x)
    assert procrustes_distance(x, y) == pytest.approx(np.square(x - y @ turn).sum())
    assert procrustes_distance(x, x @ rotation(1, 5) * 3 + 7) == pytest.approx(0, abs=1e-9)
    assert 0 < procrustes_distance(x, gaussian(5, 30, 9)) <= 2
    assert np.isnan(procrustes_distance(x, np.ones((30, 2))))


def test_the_relative_distance_sees_a_rotation():
    x = gaussian(0, 30, 5)
    moved = x + 0.1 * gaussian(1, 30, 5) + 4.0
    expected = np.linalg.norm((x - x.mean(0)) - (moved - moved.mean(0))) / np.linalg.norm(x - x.mean(0))
    assert relative_distance(x, moved) == pytest.approx(expected)
    assert relative_distance(x, x + 3.0) == pytest.approx(0, abs=1e-12)
    assert relative_distance(x, x @ rotation(2, 5)) > 0.5
    with pytest.raises(ContractError, match="needs features of the same shape"):
        relative_distance(x, gaussian(0, 30, 4))


def test_one_massive_channel_decides_and_is_named():
    shared = gaussian(0, 200, 1) * 100
    x, y = (np.hstack([gaussian(seed, 200, 20), shared]) for seed in (1, 2))
    assert cka(x, y).debiased > 0.99
    without = without_top_channel(x, y)
    assert one_channel_decides(cka(x, y).debiased, without)
    assert abs(without) < 0.1
    for found in (spread(x), spread(y)):
        assert found.top_channel_share > 0.99
        assert found.participation == pytest.approx(1, abs=0.1)


def test_even_features_have_no_deciding_channel():
    x, y = related(0, 400, 8, 8)
    found = spread(x)
    assert not one_channel_decides(cka(x, y).debiased, without_top_channel(x, y))
    spectrum = np.linalg.eigvalsh(np.cov(x.T))
    assert found.participation == pytest.approx(spectrum.sum() ** 2 / np.square(spectrum).sum())
    assert found.top_direction_share == pytest.approx(spectrum.max() / spectrum.sum())
    assert found.top_channel_share == pytest.approx(x.var(0).max() / x.var(0).sum())
    assert spread(gaussian(3, 20, 50)).participation <= 19


@pytest.mark.parametrize("flat", [np.ones((40, 3)), np.tile(gaussian(1, 1, 3) * 1e6, (40, 1))])
def test_constant_features_have_no_error_no_chance_and_no_shares(flat):
    x = gaussian(0, 40, 4)
    assert np.isnan(jackknife_error(x, flat))
    null = permutation_null(x, flat)
    assert np.isnan([null.observed, null.mean, null.sd, null.z]).all()
    found = spread(flat)
    assert np.isnan([found.participation, found.top_channel_share, found.top_direction_share]).all()
    assert np.isfinite(spread(x).participation)


def test_the_distance_of_anything_to_itself_is_never_below_zero():
    assert all(procrustes_distance(x, x) >= 0 for x in (gaussian(seed, 20, 6) for seed in range(20)))


def test_what_cannot_be_resampled_is_refused():
    x, y = pair(0, 6)
    with pytest.raises(ContractError, match=r"expected \(6,\), one group per sample"):
        jackknife_error(x, y, ["a", "b"])
    with pytest.raises(ContractError, match="leaves 2 samples, expected at least 4"):
        jackknife_error(x, y, list("aaaabb"))
    with pytest.raises(ContractError, match="found 1 group; a jackknife needs at least two"):
        jackknife_error(x, y, ["a"] * 6)
    with pytest.raises(ContractError, match="numbers of samples differ"):
        permutation_null(x, gaussian(0, 7))
