"""Numbers that change only with a method: one that moves without a raised version would mix old and new records.

Made by running the same lines; renew a number only together with its version.
"""

import numpy as np
import pytest

from geofm_eval.data.labels import label_subsets, validation_plan
from geofm_eval.data.shuffle_splits import shuffled_subsets
from geofm_eval.measure.probe import RECORD_VERSION
from geofm_eval.probes import solve
from geofm_eval.probes.sweep import PROBE_VERSION
from geofm_eval.stats.scores import mean_interval, paired_interval, paired_r2_interval, r2_interval, shuffle_interval

CLASSES = 3
FRACTIONS = (0.1, 1.0)

KNN = [(0.1, None, 0.75), (0.1, None, 0.746667), (1.0, None, 0.783333)]
LINEAR = [(0.1, 25, 0.77), (0.1, 15, 0.77), (1.0, 21, 0.823333)]
INTERVALS = [(0.763984145, 0.826446511), (0.76848671, 0.845565341), (0.047851496, 0.140148504)]
"""Crossed over draws and items, items alone, and the paired difference."""


RIDGE = [(0.1, 0, 19, 0.718424), (0.1, 1, 22, 0.633218), (1.0, 0, 21, 0.778843)]
SHUFFLED = [(0.1, 0, 23, -0.759088), (0.1, 20, 19, 0.667222), (1.0, 0, 21, 0.545551), (1.0, 20, 21, 0.583656)]
REGRESSION = [(0.619808678, 0.784852056), (0.063418552, 0.208286759), (0.682436035, 0.866214321)]
"""Crossed over draws and items, the paired difference, and shuffle splits."""


def features(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    labels = np.arange(n) % CLASSES
    noise = np.random.default_rng(seed).standard_normal((n, 6))
    centres = np.random.default_rng(9).standard_normal((CLASSES, 6))
    return (centres[labels] + 1.5 * noise).astype(np.float32), labels


@pytest.fixture(scope="module")
def rows() -> dict[str, list[tuple[float, int | None, float]]]:
    """(label fraction, position of the chosen penalty, test score) of every row by probe."""
    data = {name: features(n, seed) for seed, (name, n) in enumerate((("train", 300), ("val", 150), ("test", 300)))}
    labels = {name: truth for name, (_, truth) in data.items()}
    subsets = label_subsets(labels["train"], FRACTIONS, 2, seed=5)
    plans = {
        (s.fraction, s.draw): validation_plan(
            labels["train"][s.indices], labels["val"], s.fraction, s.draw, "matched", 5
        )
        for s in subsets
    }
    found = {}
    for probe in ("knn", "linear"):
        sweep = solve(probe, lambda _, split: data[split][0], labels, ("final",), "mean", subsets, plans, CLASSES)
        found[probe] = [(row.fraction, row.chosen_index, round(row.test_score, 6)) for row in sweep.rows]
    return found


def test_knn(rows: dict[str, list[tuple[float, int | None, float]]]):
    assert PROBE_VERSION["knn"] == 2
    assert rows["knn"] == KNN


def test_linear(rows: dict[str, list[tuple[float, int | None, float]]]):
    assert PROBE_VERSION["linear"] == 4
    assert rows["linear"] == LINEAR


def test_intervals():
    assert RECORD_VERSION == 3
    correct = (np.random.default_rng(1).random((5, 400)) < 0.8).astype(np.uint8)
    worse = (np.random.default_rng(2).random((5, 400)) < 0.7).astype(np.uint8)
    crossed, single = mean_interval(correct), mean_interval(correct[:1])
    paired = paired_interval(correct, worse)
    assert crossed is not None
    assert single is not None
    assert paired is not None
    found = [(i.low, i.high) for i in (crossed, single, paired)]
    np.testing.assert_allclose(found, INTERVALS, atol=1e-9)


def numbers(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, 6))
    return rows.astype(np.float32), rows @ np.arange(6.0) + 4 * rng.standard_normal(n)


def test_ridge():
    assert PROBE_VERSION["ridge"] == 4
    data = {name: numbers(n, seed) for seed, (name, n) in enumerate((("train", 300), ("val", 150), ("test", 100)))}
    targets = {name: truth for name, (_, truth) in data.items()}
    subsets = label_subsets(targets["train"], FRACTIONS, 2, seed=5)
    plans = {
        (s.fraction, s.draw): validation_plan(
            targets["train"][s.indices], targets["val"], s.fraction, s.draw, "matched", 5
        )
        for s in subsets
    }
    sweep = solve("ridge", lambda _, split: data[split][0], targets, ("final",), "mean", subsets, plans, 0)
    found = [(row.fraction, row.draw, row.chosen_index, round(row.test_score, 6)) for row in sweep.rows]
    assert found == RIDGE


def test_shuffle_splits():
    rows, targets = numbers(100, 4)
    subsets, plans = shuffled_subsets(targets, FRACTIONS, seed=5)
    sweep = solve("ridge", lambda *_: rows, {"all": targets}, ("final",), "mean", subsets, plans, 0)
    found = [(row.fraction, row.draw, row.chosen_index, round(row.test_score, 6)) for row in sweep.rows[::20]]
    assert found == SHUFFLED


def test_intervals_of_r2():
    assert RECORD_VERSION == 3
    rng = np.random.default_rng(1)
    target = rng.standard_normal(200)
    first, second = (target + noise * rng.standard_normal((5, 200)) for noise in (0.5, 0.6))
    folds = np.where(rng.random((40, 200)) < 0.1, first[:1], np.nan)
    intervals = r2_interval(first, target), paired_r2_interval(first, second, target)
    found = [(i.low, i.high) for i in (*intervals, shuffle_interval(folds, target, 180)) if i is not None]
    np.testing.assert_allclose(found, REGRESSION, atol=1e-9)
