"""Segmentation scores against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from geofm_eval.errors import ContractError
from geofm_eval.metric import iou_per_class
from geofm_eval.stats.confusion_counts import confusion, mean_iou

pytestmark = pytest.mark.fast


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_counts_and_iou_equal_those_of_scikit_learn(seed: int, classes: int):
    rng = np.random.default_rng(seed)
    target = rng.integers(-1, classes, (7, 9))
    predicted = rng.integers(0, classes, (7, 9))
    counts = confusion(target, predicted, classes, -1)
    kept = target != -1
    np.testing.assert_array_equal(counts, confusion_matrix(target[kept], predicted[kept], labels=range(classes)))
    present = sorted({*target[kept].tolist(), *predicted[kept].tolist()})
    expected = jaccard_score(target[kept], predicted[kept], labels=present, average=None)
    np.testing.assert_allclose(iou_per_class(counts)[present], expected)
    assert mean_iou(counts) == pytest.approx(expected.mean())


def test_a_class_that_nobody_saw_does_not_count():
    counts = np.diag([5, 0, 5])
    assert np.isnan(iou_per_class(counts)[1])
    assert mean_iou(counts) == 1
    assert np.isnan(mean_iou(np.zeros((2, 2))))


def test_pixels_are_counted_once_and_images_are_not_averaged():
    perfect, wrong = np.array([[98, 0], [0, 2]]), np.array([[0, 1], [1, 0]])
    assert mean_iou(perfect + wrong) == pytest.approx((98 / 100 + 2 / 4) / 2)


@pytest.mark.parametrize(
    ("target", "predicted", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), r"must have equal shapes, found \(2, 2\) and \(2, 3\)"),
        (np.full((2, 2), 5), np.zeros((2, 2)), "target has classes 5 to 5, expected 0 to 1"),
        (np.zeros((2, 2)), np.full((2, 2), -1), "prediction has classes -1 to -1, expected 0 to 1"),
    ],
)
def test_what_is_no_class_is_refused(target: np.ndarray, predicted: np.ndarray, message: str):
    with pytest.raises(ContractError, match=message):
        confusion(target, predicted, 2, -1)
