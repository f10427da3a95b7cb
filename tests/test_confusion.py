"""Segmentation scores against scikit-learn, and their intervals."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix, jaccard_score

from geofm_eval.confusion import confusion, iou_interval, iou_per_class, mean_iou
from geofm_eval.errors import ContractError


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


def test_intervals_cover_the_score_and_groups_widen_them():
    rng = np.random.default_rng(0)
    scene = np.repeat(np.arange(20), 5)
    quality = rng.uniform(0.5, 0.95, 20)[scene]
    hits = rng.binomial(500, quality[:, None], (100, 2))
    counts = np.stack([np.array([[a, 500 - a], [500 - b, b]]) for a, b in hits])
    score = float(mean_iou(counts.sum(0)))
    items, groups = iou_interval(counts, "miou"), iou_interval(counts, "miou", scene)
    assert items is not None
    assert groups is not None
    assert items.low < score < items.high
    assert groups.high - groups.low > 1.5 * (items.high - items.low)
    assert (items.covers, groups.covers) == ("items", "groups")
    one_class = iou_interval(counts, "iou")
    assert one_class is not None
    assert one_class.low < float(iou_per_class(counts.sum(0))[1]) < one_class.high
    assert iou_interval(counts[:1], "miou") is None


@pytest.mark.parametrize(
    ("target", "predicted", "message"),
    [
        (np.zeros((2, 2)), np.zeros((2, 3)), r"must have one shape, found \(2, 2\) and \(2, 3\)"),
        (np.full((2, 2), 5), np.zeros((2, 2)), "target has classes 5 to 5, expected 0 to 1"),
        (np.zeros((2, 2)), np.full((2, 2), -1), "prediction has classes -1 to -1, expected 0 to 1"),
    ],
)
def test_what_is_no_class_is_refused(target: np.ndarray, predicted: np.ndarray, message: str):
    with pytest.raises(ContractError, match=message):
        confusion(target, predicted, 2, -1)
    with pytest.raises(ContractError, match="metric 'dice' is none of a confusion matrix"):
        iou_interval(np.ones((3, 2, 2)), "dice")
