"""Intervals of cross-validated scores, differences, ranks and means: all are widened for shared training samples."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks.studies.trust.folds import NOISE, FoldDraws, measured
from geofm_eval.findings.means import Means, Pairing
from geofm_eval.ranking import Source, errors_of, joint_covariance, settings, sources_of, weighted_interval
from geofm_eval.records import Outcomes, Record
from geofm_eval.stats.folds import folded_interval, paired_folded_interval, widening
from geofm_eval.stats.scores import r2, r2_interval
from tests.folded_data import numbers, opened, planted, recorded, swept
from tests.planted.ranking import outcomes_of, probe_record, shuffled_record

pytestmark = pytest.mark.fast

RNG = np.random.default_rng(3)


def made(record: Record, outcomes: Outcomes) -> tuple[Source, ...]:
    found = sources_of(record, outcomes, "1.0")
    assert found is not None
    return found


def predictions(n: int, *noises: float, draws: int = 1) -> tuple[np.ndarray, list[np.ndarray]]:
    target = RNG.normal(size=n)
    return target, [(target + RNG.normal(0, noise, (draws, n))).astype(np.float32) for noise in noises]


@pytest.mark.parametrize("draws", [1, 3])
def test_errors_of_folded_accuracies_are_widened_in_samples_and_draws(draws: int):
    right = (RNG.random((draws, 80)) < 0.7).astype(np.uint8)
    plain = outcomes_of(80, right=right)
    record = probe_record("m", "t", right)
    of_split, of_folds = (made(record, one) for one in (plain, replace(plain, folds=np.zeros(80, dtype=np.uint8))))
    assert [one.name for one in of_folds] == [one.name for one in of_split]
    for (_, before, _), (_, after, _) in zip(joint_covariance([of_split]), joint_covariance([of_folds]), strict=True):
        np.testing.assert_allclose(after, 1.2 * before)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("grouped", [True, False])
def test_a_folded_difference_has_one_interval_however_it_is_computed(grouped: bool, draws: int):
    """The interval from the error sources, which ranks and means use, is the paired interval."""
    target, (first, second) = predictions(60, 0.5, 0.7, draws=draws)
    groups = np.array([f"g{i // 4}" for i in range(60)]) if grouped else None
    scores = []
    for number, one in enumerate((first, second)):
        outcomes = outcomes_of(60, groups=groups, predicted=one, target=target)
        own = replace(outcomes, folds=np.zeros(60, dtype=np.uint8))
        scores.append(made(shuffled_record(f"m{number}", "t", one, 0.5), own))
    expected = paired_folded_interval(first, second, target, groups)
    assert expected is not None
    found = weighted_interval((expected.low + expected.high) / 2, [1.0, -1.0], scores)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_ranks_and_means_of_a_cross_validated_run_are_widened(tmp_path: Path):
    features, _, groups = planted(1, n=100, taps=1)
    target = features["final"][:, 0] + np.random.default_rng(5).normal(size=100)
    spec = numbers()
    splits = opened(spec, target.astype(np.float64), groups)
    worse = {"final": features["final"] + np.random.default_rng(6).normal(size=(100, 8)).astype(np.float32)}
    for model, own in (("a", features), ("b", worse)):
        run = recorded(swept("ridge", spec, splits, own), spec, splits, tmp_path / "run", model)
    (setting,) = settings(run)
    first, second = (entry.record for entry in setting.entries)
    paired = run.pairs.difference(first, second, "1.0")
    mean = Means(run.pairs).over([Pairing(first, second, "1.0")])
    assert paired.low is not None
    assert paired.high is not None
    factor = Pairing(first, second, "1.0").factor
    assert (mean.low, mean.high) == pytest.approx((factor * paired.low, factor * paired.high))
    errors, _ = errors_of(setting, run.pairs)
    of_rank = weighted_interval(paired.value, [1.0, -1.0], [errors[entry.model] for entry in setting.entries])
    assert (of_rank.low, of_rank.high) == pytest.approx((paired.low, paired.high))


def test_r2_has_a_symmetric_interval_on_the_log_scale():
    target, (predicted,) = predictions(60, 0.5)
    value = r2(target, predicted[0])
    plain, found = r2_interval(predicted, target), folded_interval(predicted, target, None)
    assert plain is not None
    assert found is not None
    assert (1 - found.low) * (1 - found.high) == pytest.approx((1 - value) ** 2)
    reach = np.log((1 - found.low) / (1 - value))
    assert reach == pytest.approx(widening(target) * (value - plain.low) / (1 - value))
    assert found.high < 1
    assert "log scale" in found.method


def test_an_exact_fit_keeps_its_interval():
    target = RNG.normal(size=(1, 20))
    found = folded_interval(target, target[0], None)
    assert found is not None
    assert found.low == found.high == 1.0


@pytest.mark.parametrize(
    ("noises", "different"), [((NOISE,), None), ((NOISE, NOISE), 0.1)], ids=["score", "difference"]
)
def test_intervals_of_few_samples_cover(noises: tuple[float, ...], different: float | None):
    """Without the widening, coverage is about 82 %."""
    found = measured(FoldDraws("R2 in five folds", 60, 1, False, noises), 100, 2)
    assert found.with_shared.share >= 0.9
    assert found.without.share < 0.9
    assert different is None or (found.different is not None and found.different < different)
