"""Each metric has one entry, which scores, intervals, ranges, formats and the catalog follow."""

from typing import get_args

import numpy as np
import pytest
from sklearn import metrics as independent

from geofm_eval.catalog import load_catalog
from geofm_eval.catalog.tasks import TaskSpec
from geofm_eval.errors import ContractError
from geofm_eval.expected import rules
from geofm_eval.metric import METRICS, metric_named
from geofm_eval.results.units import unit_named
from geofm_eval.stats.confusion_counts import confusion
from geofm_eval.stats.counts import count_interval, count_score

pytestmark = pytest.mark.fast

RNG = np.random.default_rng(0)
CLASSES = RNG.integers(0, 2, (40, 50))
GUESSES = np.where(RNG.random(CLASSES.shape) < 0.7, CLASSES, 1 - CLASSES)
TARGETS = RNG.normal(50, 10, (40, 50))
PREDICTED = TARGETS + RNG.normal(0, 5, TARGETS.shape)

OF_ITEMS = {
    "accuracy": lambda: independent.accuracy_score(CLASSES.ravel(), GUESSES.ravel()),
    "miou": lambda: independent.jaccard_score(CLASSES.ravel(), GUESSES.ravel(), average="macro"),
    "iou": lambda: independent.jaccard_score(CLASSES.ravel(), GUESSES.ravel()),
    "r2": lambda: independent.r2_score(TARGETS.ravel(), PREDICTED.ravel()),
    "rmse": lambda: independent.root_mean_squared_error(TARGETS.ravel(), PREDICTED.ravel()),
}
"""The same scores from single pixels, by scikit-learn."""


def counts_for(name):
    """(1, images, ...) counts of the pixels."""
    if METRICS[name].confusion:
        return np.stack([confusion(a, b, 2, -1) for a, b in zip(CLASSES, GUESSES, strict=True)])[None]
    error = PREDICTED - TARGETS
    columns = (np.ones_like(error), error, error**2, TARGETS, TARGETS**2)
    return np.stack([one.sum(1) for one in columns], axis=-1)[None]


def test_every_metric_of_the_catalog_has_an_entry():
    assert {task.metric for task in load_catalog().tasks.values()} <= set(METRICS)
    kinds = set(get_args(TaskSpec.model_fields["kind"].annotation))
    assert {kind for metric in METRICS.values() for kind in metric.kinds} == kinds
    assert {metric.probed_as for metric in METRICS.values()} <= {"", *METRICS}


@pytest.mark.parametrize("name", METRICS)
def test_counts_lead_to_the_score_of_single_pixels(name):
    (score,) = count_score(counts_for(name), name)
    assert score == pytest.approx(OF_ITEMS[name](), rel=1e-12)
    found = count_interval(counts_for(name), name)
    assert METRICS[name].low <= found.low < score < found.high <= METRICS[name].high


@pytest.mark.parametrize("name", METRICS)
def test_ranges_and_tables_know_every_metric(name):
    value = 0.3
    assert rules.from_scale(rules.to_scale(value, name, 100), name) == pytest.approx(value)
    assert rules.least_width(name, value, 100) > 0
    shown = unit_named(name, "t/ha")
    assert shown.name == METRICS[name].title
    assert (shown.symbol == "t/ha") == METRICS[name].in_target_unit


def test_an_unknown_metric_is_refused_with_the_known_ones():
    with pytest.raises(ContractError, match="found metric 'f1', expected one of accuracy, miou, iou, r2, rmse"):
        metric_named("f1")
