"""One interval for all cases of a model and task: against loops that resample what the cases share."""

import numpy as np
import pytest

from geofm_eval.compare import compare
from geofm_eval.stats.counts import count_score
from geofm_eval.stats.p_values import p_value
from geofm_eval.stats.scores import paired_shuffle_interval, pooled_r2, r2
from tests.planted.compare import easy, moved, probe, regression, trained

LAYERS = ("block00", "block01", "block02")
RESAMPLES = 2000


def runs(tmp_path):
    return tmp_path / "old", tmp_path / "new"


def only_task(tmp_path):
    (task,) = compare(*runs(tmp_path)).pooled
    return task


def resampled(units: int, statistic) -> tuple[float, float]:
    """Ends of a percentile interval, one resample after the other."""
    rng = np.random.default_rng(5)
    values = [statistic(rng.integers(0, units, units)) for _ in range(RESAMPLES)]
    return tuple(np.quantile(values, [0.025, 0.975]))


def agrees(task, low: float, high: float) -> bool:
    """Within a tenth of the width: both ends are read off 2,000 resamples of their own."""
    near = 0.1 * (high - low)
    return abs(task.difference.low - low) < near and abs(task.difference.high - high) < near


def test_accuracies_are_pooled_over_the_items_that_they_share(tmp_path):
    old, new = runs(tmp_path)
    right = {layer: easy(300, seed=number) for number, layer in enumerate(LAYERS)}
    # The same items are lost everywhere: errors that cases share do not average out.
    after = {layer: one & (np.arange(300) % 12 > 0) for layer, one in right.items()}
    for layer in LAYERS:
        probe(old, {"1.0": right[layer]}, layer)
        probe(new, {"1.0": after[layer]}, layer, weights="b" * 64)
    task = only_task(tmp_path)
    changes = np.mean([after[layer].astype(float) - right[layer] for layer in LAYERS], axis=0)
    assert task.difference.value == pytest.approx(changes.mean())
    assert agrees(task, *resampled(300, lambda drawn: changes[drawn].mean()))
    apart = np.sqrt(sum((after[x].astype(float) - right[x]).var() for x in LAYERS) / 300) / 3
    assert task.difference.high - task.difference.low > 1.3 * 2 * 1.96 * apart, "as if every case had its own items"


def test_groups_are_resampled_whole(tmp_path):
    old, new = runs(tmp_path)
    groups = np.repeat(np.arange(30), 10).astype(str)
    right = easy(300)
    # A group loses all of its items together, more or less of them.
    shares = np.repeat(np.random.default_rng(2).uniform(0, 0.6, 30), 10)
    lost = right & (np.random.default_rng(3).random(300) > shares)
    for layer in LAYERS:
        probe(old, {"1.0": right}, layer, groups=groups)
        probe(new, {"1.0": lost}, layer, groups=groups, weights="b" * 64)
    by_group = (lost.astype(float) - right).reshape(30, 10)
    task = only_task(tmp_path)
    low, high = resampled(30, lambda drawn: by_group[drawn].mean())
    assert task.difference.low == pytest.approx(low, abs=0.15 * (high - low))
    assert task.difference.high == pytest.approx(high, abs=0.15 * (high - low))
    plain = 2 * 1.96 * (lost.astype(float) - right).std() / np.sqrt(300)
    assert task.difference.high - task.difference.low > 1.15 * plain


def test_r2_on_a_test_split_is_pooled_over_the_items(tmp_path):
    old, new = runs(tmp_path)
    rng = np.random.default_rng(0)
    target = rng.normal(size=200)
    before = {layer: target + rng.normal(0, 0.5, 200) for layer in LAYERS}
    after = {layer: one + rng.normal(0, 0.35, 200) for layer, one in before.items()}
    for layer in LAYERS:
        regression(old, target, before[layer][None], layer, task="fuel_moisture_sim", adaptation="ridge")
        regression(
            new, target, after[layer][None], layer, task="fuel_moisture_sim", adaptation="ridge", weights="b" * 64
        )

    def mean_difference(drawn: np.ndarray) -> float:
        return np.mean([r2(target[drawn], after[x][drawn]) - r2(target[drawn], before[x][drawn]) for x in LAYERS])

    task = only_task(tmp_path)
    assert task.difference.value == pytest.approx(mean_difference(np.arange(200)), abs=1e-6)
    assert agrees(task, *resampled(200, mean_difference))


def test_r2_over_shuffles_is_pooled_over_items_and_shuffles(tmp_path):
    old, new = runs(tmp_path)
    rng = np.random.default_rng(0)
    target = rng.normal(size=150)
    tested = np.concatenate([rng.permutation(150) // 15 == np.arange(10)[:, None] for _ in range(4)])
    before = {x: np.where(tested, target + rng.normal(0, 0.5, (40, 150)), np.nan) for x in LAYERS}
    after = {x: before[x] + rng.normal(0, 0.3, 150) for x in LAYERS}
    for x in LAYERS:
        how = {"task": "neuco_sim_crops", "adaptation": "ridge"}
        regression(old, target, before[x], x, **how)
        regression(new, target, after[x], x, weights="b" * 64, **how)
    task = only_task(tmp_path)
    differences = [pooled_r2(after[x], target) - pooled_r2(before[x], target) for x in LAYERS]
    assert task.difference.value == pytest.approx(np.mean(differences), abs=1e-6)
    # R2 is linear in squared errors, so that any predictions with the mean ones have the interval of the mean.
    squares = [np.mean([(side[x] - target) ** 2 for x in LAYERS], axis=0) for side in (after, before)]
    alone = paired_shuffle_interval(*(target - np.sqrt(one) for one in squares), target, n_train=50)
    assert (task.difference.low, task.difference.high) == pytest.approx((alone.low, alone.high), abs=1e-6)
    each = [case.full.difference for case in task.cases]
    assert alone.high - alone.low < np.mean([one.high - one.low for one in each])


def test_counts_are_pooled_over_the_images(tmp_path):
    old, new = runs(tmp_path)
    rng = np.random.default_rng(0)
    before, after = {}, {}
    for x in LAYERS:
        hits = rng.integers(50, 100, (1, 60, 2))
        before[x] = _confusions(hits)
        after[x] = _confusions(hits - rng.integers(0, 12, (1, 60, 2)))
        trained(old, before[x], layer=x)
        trained(new, after[x], layer=x, weights="b" * 64)

    def mean_difference(drawn: np.ndarray) -> float:
        pairs = [(after[x][:, drawn], before[x][:, drawn]) for x in LAYERS]
        return np.mean([count_score(a, "miou") - count_score(b, "miou") for a, b in pairs])

    task = only_task(tmp_path)
    assert task.difference.value == pytest.approx(mean_difference(np.arange(60)))
    assert agrees(task, *resampled(60, mean_difference))


def _confusions(hits: np.ndarray) -> np.ndarray:
    counts = np.zeros((*hits.shape, 2), dtype=np.int64)
    counts[..., 0, 0], counts[..., 0, 1] = hits[..., 0], 100 - hits[..., 0]
    counts[..., 1, 1], counts[..., 1, 0] = hits[..., 1], 100 - hits[..., 1]
    return counts


def test_models_are_never_pooled_with_each_other(tmp_path):
    old, new = runs(tmp_path)
    right = easy()
    for model, lost, gained in (("m_one", 40, 10), ("m_two", 10, 40), ("band_stats", 0, 0)):
        probe(old, {"1.0": right}, model=model)
        probe(new, {"1.0": moved(right, lost, gained)}, model=model)
    found = {mean.model: mean for mean in compare(old, new).pooled}
    assert {model: mean.verdict for model, mean in found.items()} == {
        "m_one": "regression", "m_two": "improvement", "band_stats": "equivalent",
    }  # fmt: skip
    assert found["band_stats"].identical
    assert found["m_one"].difference.value == pytest.approx(-0.03)


def test_means_are_tested_together(tmp_path):
    old, new = runs(tmp_path)
    right = easy()
    tasks = ("eurosat_sim", "eurosat", "eurosat_rgb", "eurosat_spatial")
    for task in tasks:
        probe(old, {"1.0": right}, task=task)
        probe(new, {"1.0": moved(right, 23 if task == "eurosat" else 12, 10)}, task=task, weights="b" * 64)
    found = compare(old, new)
    means = {mean.task: mean for mean in found.pooled}
    assert means["eurosat"].p == pytest.approx(4 * p_value(means["eurosat"].difference))
    assert [means[task].verdict for task in tasks] == ["undecided"] * 4
    assert [case.new.case.task for case in found.regressions] == ["eurosat"], "tested alone it is one"


def test_errors_are_turned_so_that_more_is_better(tmp_path):
    old, new = runs(tmp_path)
    rng = np.random.default_rng(0)
    errors = rng.normal(0, 30, (3, 40, 50))
    trained(old, _sums(errors), "rmse", task="biomassters_sim")
    trained(new, _sums(errors * 1.1), "rmse", task="biomassters_sim", weights="b" * 64)
    found = compare(old, new)
    (task,), (case,) = found.pooled, found.cases
    assert task.difference.value == pytest.approx(-(case.full.new - case.full.old)) == pytest.approx(-3, abs=0.3)
    assert case.full.points == pytest.approx(-10, abs=0.01), "percent of the old error"
    assert (task.verdict, task.delta) == ("regression", 0.5)


def _sums(errors: np.ndarray) -> np.ndarray:
    target = np.full_like(errors, 100.0)
    parts = (np.ones_like(errors), errors, errors**2, target, target**2)
    return np.stack([part.sum(-1) for part in parts], axis=-1)
