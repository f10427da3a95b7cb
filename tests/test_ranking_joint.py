"""Joint errors of scores, their resamples and ranks: against brute force, laws, and what is refused."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.studies.trust.ranks import KINDS, MODELS, trust
from geofm_eval.errors import ContractError
from geofm_eval.ranking import (
    Source,
    joint_covariance,
    letters,
    ranks,
    resample_scores,
    simultaneous_ranks,
    sources_of,
    weighted_spread,
)
from geofm_eval.stats.counts import count_score, scores_without
from geofm_eval.stats.jackknife import t_quantile
from geofm_eval.stats.out_of_fold import contributions, error_parts
from geofm_eval.stats.scores import pooled_r2
from geofm_eval.stats.standard_error import Part, spread_of
from tests.planted.ranking import outcomes_of, probe_record, shuffled_record, trained_record

RNG = np.random.default_rng(5)


def total(scores: list[tuple[Source, ...]]) -> np.ndarray:
    """Covariance over all sources."""
    covariance = np.zeros((len(scores), len(scores)))
    for places, own, _ in joint_covariance(scores):
        covariance[np.ix_(places, places)] += own
    return covariance


def right(draws: int, n: int, models: int = 3) -> list[np.ndarray]:
    difficulty = RNG.normal(0, 1, n)
    return [(difficulty + RNG.normal(0, 0.6, (draws, n)) < 0.3 * m).astype(np.uint8) for m in range(models)]


def probed(outcomes: list[np.ndarray], groups: np.ndarray | None = None) -> list[tuple[Source, ...]]:
    found = []
    for number, one in enumerate(outcomes):
        made = sources_of(
            probe_record(f"m{number}", "t", one), outcomes_of(one.shape[1], groups=groups, right=one), "1.0"
        )
        assert made is not None
        found.append(made)
    return found


def jackknife(statistic, units: int) -> np.ndarray:
    """Covariance of the vectors ``statistic(kept units)`` when every unit is left out in turn."""
    without = np.array([statistic([u for u in range(units) if u != left]) for left in range(units)])
    centred = without - without.mean(0)
    return (units - 1) / units * centred.T @ centred


def test_of_one_draw_the_covariance_is_that_of_the_items():
    outcomes = right(1, 200)
    expected = np.cov(np.concatenate(outcomes), ddof=1) / 200
    np.testing.assert_allclose(total(probed(outcomes)), expected, atol=1e-12)


def test_groups_are_left_out_whole():
    outcomes = right(1, 90)
    group = np.arange(90) % 7
    expected = jackknife(lambda kept: [one[0, np.isin(group, kept)].mean() for one in outcomes], 7)
    np.testing.assert_allclose(total(probed(outcomes, group.astype(str))), expected, atol=1e-12)


def test_draws_that_models_share_are_paired_and_their_noise_is_not_counted_twice():
    outcomes = right(6, 80)
    items = jackknife(lambda kept: [one[:, kept].mean() for one in outcomes], 80)
    per_draw = np.array([one.mean(1) for one in outcomes])
    noise = np.array([one - one.mean(1, keepdims=True) - one.mean(0) + one.mean() for one in outcomes])
    mixed = np.einsum("adn,bdn->ab", noise, noise) / (79 * 80 * 5 * 6)
    expected = items + np.cov(per_draw, ddof=1) / 6 - mixed
    np.testing.assert_allclose(total(probed(outcomes)), expected, atol=1e-12)


def test_seeds_of_two_networks_have_nothing_in_common():
    hits = np.rint(800 + 100 * RNG.random((2, 3, 20, 2))).astype(np.int64)
    counts = np.stack([np.stack([hits[..., 0], 1000 - hits[..., 0]], -1),
                       np.stack([1000 - hits[..., 1], hits[..., 1]], -1)], -2)  # fmt: skip
    found = [
        sources_of(trained_record(f"m{m}", "t", counts[m]), outcomes_of(20, counts=counts[m]), "1.0") for m in (0, 1)
    ]
    scores = [one for one in found if one is not None]
    expected = jackknife(lambda kept: [count_score(one[:, kept], "miou").mean() for one in counts], 20)
    covariance = total(scores)
    assert covariance[0, 1] == pytest.approx(expected[0, 1], abs=1e-15)
    assert len(joint_covariance(scores)) == 3
    assert [len(places) for places, _, _ in joint_covariance(scores)] == [2, 1, 1]


def test_r2_errs_as_the_jackknife_says():
    target = RNG.normal(0, 2, 60)
    predicted = [(target + RNG.normal(0, 1 + m, (1, 60))).astype(np.float32) for m in (0, 1)]
    scores = []
    for number, one in enumerate(predicted):
        record = shuffled_record(f"m{number}", "t", one, 0.5)
        made = sources_of(record, outcomes_of(60, predicted=one, target=target), "1.0")
        assert made is not None
        scores.append(made)
    expected = jackknife(lambda kept: [pooled_r2(one[:, kept], target[kept]) for one in predicted], 60)
    np.testing.assert_allclose(total(scores), expected, rtol=1e-4)


def test_a_difference_over_shuffles_has_the_variance_of_its_paired_interval():
    target, tested = RNG.normal(0, 2, 80), RNG.random((12, 80)) < 0.15
    predicted = [np.where(tested, target + RNG.normal(0, 1 + m, (12, 80)), np.nan).astype(np.float32) for m in (0, 1)]
    scores = []
    for number, one in enumerate(predicted):
        record = shuffled_record(f"m{number}", "t", one, 0.5)
        made = sources_of(record, outcomes_of(80, predicted=one, target=target), "1.0")
        assert made is not None
        scores.append(made)
    n_train = record.scores["1.0"].n_train
    ours, (first, second), n = weighted_spread([1.0, -1.0], scores), predicted, len(target)
    errors = np.square(second.astype(np.float64) - target) - np.square(first.astype(np.float64) - target)
    expected = sum(np.square(part).sum() for part in error_parts(contributions(errors, target)[1], n_train / n))
    assert ours.variance == pytest.approx(expected, rel=1e-6)


def test_errors_that_cannot_be_known_are_none():
    one = np.ones((1, 1), dtype=np.uint8)
    assert sources_of(probe_record("m", "t", one), outcomes_of(1, right=one), "1.0") is None
    target = np.ones(5)
    constant = np.zeros((1, 5), dtype=np.float32)
    record = shuffled_record("m", "t", constant, 0.0)
    assert sources_of(record, outcomes_of(5, predicted=constant, target=target), "1.0") is None


def test_resamples_have_the_covariance_of_their_sources():
    scores = probed(right(1, 400))
    drawn = resample_scores([0.1, 0.2, 0.3], scores, 40_000)
    np.testing.assert_allclose(drawn.mean(0), [0.1, 0.2, 0.3], atol=5e-4)
    np.testing.assert_allclose(np.cov(drawn.T), total(scores), rtol=0.05, atol=1e-5)


def test_few_groups_get_the_tails_of_t():
    outcomes = right(1, 50, models=1)
    scores = probed(outcomes, (np.arange(50) % 5).astype(str))
    (source,) = scores[0]
    drawn = resample_scores([0.0], scores, 100_000)[:, 0]
    error = math.sqrt(float(np.square(source.parts).sum()))
    assert np.quantile(drawn, 0.975) / error == pytest.approx(t_quantile(0.975, source.freedom), rel=0.03)


def test_a_weighted_sum_has_the_variance_of_the_contrast_of_two_networks():
    rng = np.random.default_rng(8)
    hits = np.rint(700 + 80 * rng.random((2, 1, 30, 2)) + 60 * rng.random((2, 4, 1, 1))).astype(np.int64)
    counts = np.stack([np.stack([hits[..., 0], 1000 - hits[..., 0]], -1),
                       np.stack([1000 - hits[..., 1], hits[..., 1]], -1)], -2)  # fmt: skip
    scores = []
    for number, own in enumerate(counts):
        made = sources_of(trained_record(f"m{number}", "t", own), outcomes_of(30, counts=own), "1.0")
        assert made is not None
        scores.append(made)
    signs = (1.0, -1.0)
    parts = [
        Part(sign, count_score(own, "miou"), scores_without(own, "miou"))
        for sign, own in zip(signs, counts, strict=True)
    ]
    contrast = spread_of(parts)
    assert contrast is not None
    assert weighted_spread(signs, scores).variance == pytest.approx(contrast.variance)


def test_what_two_scores_have_in_common_cancels_in_their_difference():
    scores = probed(right(4, 60, models=2))
    covariance = total(scores)
    expected = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert weighted_spread([1.0, -1.0], scores).variance == pytest.approx(expected)
    assert weighted_spread([1.0, -1.0], [scores[0], scores[0]]).variance == 0


def test_scores_and_sources_must_fit():
    scores = probed(right(1, 20))
    with pytest.raises(ContractError, match="expected 3 finite scores"):
        resample_scores([0.1, 0.2], scores)
    with pytest.raises(ContractError, match="finite scores"):
        resample_scores([0.1, 0.2, math.nan], scores)


def ranks_by_loop(drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    first = np.array([[1 + sum(other > value for other in row) for value in row] for row in drawn])
    last = np.array([[sum(other >= value for other in row) for value in row] for row in drawn])
    best = np.array([[(value == max(row)) / sum(other == max(row) for other in row) for value in row] for row in drawn])
    return np.median((first + last) / 2, axis=0), np.sort(first, axis=0), best.mean(0)


@given(arrays(np.int64, st.tuples(st.integers(1, 30), st.integers(1, 6)), elements=st.integers(0, 4)))
@settings(deadline=None)
def test_ranks_are_those_of_a_loop(drawn: np.ndarray):
    found = ranks(drawn.astype(float))
    median, first, best = ranks_by_loop(drawn)
    np.testing.assert_array_equal(found.median, median)
    np.testing.assert_allclose(found.best, best)
    assert found.best.sum() == pytest.approx(1)
    np.testing.assert_array_equal(found.low, first[math.ceil(0.05 * len(drawn)) - 1])
    np.testing.assert_allclose(found.above + found.above.T, 1)
    assert ((found.low <= found.median) & (found.median <= found.high)).all()
    order = np.random.default_rng(0).permutation(drawn.shape[1])
    np.testing.assert_array_equal(ranks(drawn[:, order].astype(float)).high, found.high[order])


def test_equal_subjects_leave_every_rank_open():
    outcomes = right(1, 100, models=1) * 4
    drawn = resample_scores([0.5] * 4, probed(outcomes))
    found = ranks(drawn)
    assert found.best.tolist() == [0.25] * 4
    assert found.low.tolist() == [1] * 4
    assert found.high.tolist() == [4] * 4
    assert found.median.tolist() == [2.5] * 4


@given(st.integers(1, 7), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=60)
def test_two_share_a_letter_exactly_where_they_are_not_apart(count: int, random):
    names = [f"m{number}" for number in range(count)]
    pairs = [frozenset((a, b)) for i, a in enumerate(names) for b in names[i + 1 :]]
    apart = {pair for pair in pairs if random.random() < 0.5}
    found = letters(names, apart)
    for pair in pairs:
        one, other = pair
        assert bool(set(found[one]) & set(found[other])) == (pair not in apart)
    assert all(found.values())
    assert found[names[0]][0] == "a"
    for letter in set("".join(found.values())):
        group = {name for name in names if letter in found[name]}
        # Maximal: everybody else is apart from somebody in it.
        assert all(any(frozenset((name, own)) in apart for own in group) for name in set(names) - group)


def test_letters_of_a_chain():
    assert letters(["x", "y", "z"], {frozenset(("x", "z"))}) == {"x": "a", "y": "ab", "z": "b"}
    assert letters(["x", "y"], set()) == {"x": "a", "y": "a"}


def test_ranks_that_clear_differences_leave_open():
    clear = {("x", "z"): True, ("x", "y"): False, ("y", "z"): True}
    assert simultaneous_ranks(["x", "y", "z"], clear) == {"x": (1, 2), "y": (1, 2), "z": (3, 3)}


def test_rank_intervals_cover_in_a_small_simulation():
    """All kinds at full length: ``python -m benchmarks.studies.trust.ranks``."""
    found = trust(KINDS["3 seeds x 90 chips in 5 groups"], 60)
    assert 0.86 <= found.covered <= 1.0
    assert 1 < found.width < MODELS
