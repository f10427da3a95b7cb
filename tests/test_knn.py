"""kNN against loops written out, with duplicates, ties, constant columns and fewer rows than neighbours."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.neighbors import KNeighborsClassifier

from geofm_eval.probes import knn
from geofm_eval.probes.knn import GRID, knn_ballot


def predict(train, labels, queries, classes, neighbours=(20, 5)) -> np.ndarray:
    tensors = (torch.from_numpy(np.asarray(part)) for part in (train, labels, queries))
    return knn_ballot(*tensors, classes, neighbours).predictions


def brute_force(train, labels, query, classes, k) -> int:
    """One query, written as the definition reads."""
    varying = np.ptp(train, axis=0) > 0
    train, query = train[:, varying], query[varying]
    centre = train.astype(np.float64).mean(0)

    def direction(row):
        row = row.astype(np.float64) - centre
        length = math.sqrt(float(row @ row))
        return row / length if length > 1e-12 else np.zeros_like(row)

    similarities = [float(direction(query) @ direction(row)) for row in train]
    order = sorted(range(len(train)), key=lambda i: (-round(similarities[i] * GRID), i))
    votes = [0.0] * classes
    for i in order[: min(k, len(train))]:
        votes[labels[i]] += math.exp(similarities[i] / 0.07)
    return next(c for c in range(classes) if votes[c] >= max(votes) * (1 - 1e-9))


@st.composite
def problems(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    n, width, classes = draw(st.integers(1, 40)), draw(st.integers(1, 8)), draw(st.integers(2, 5))
    train = rng.standard_normal((n, width)).astype(np.float32)
    if draw(st.booleans()):
        train = np.round(train)  # many equal rows and equal similarities
    if draw(st.booleans()):
        train[:, 0] = 3.3
    queries = np.concatenate([train[: n // 2], rng.standard_normal((7, width)).astype(np.float32)])
    return train, rng.integers(0, classes, n), queries, classes


@settings(max_examples=60, deadline=None)
@given(problems())
def test_agrees_with_loops(problem):
    train, labels, queries, classes = problem
    found = predict(train, labels, queries, classes)
    for row, k in enumerate((20, 5)):
        expected = [brute_force(train, labels, query, classes, k) for query in queries]
        assert found[row].tolist() == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 25))
def test_agrees_with_scikit_learn_where_nothing_ties(seed, k):
    rng = np.random.default_rng(seed)
    train, queries = rng.standard_normal((80, 12)), rng.standard_normal((30, 12))
    labels = rng.integers(0, 4, 80)
    centre = train.mean(0)
    peer = KNeighborsClassifier(k, metric="cosine", weights=lambda distance: np.exp((1 - distance) / 0.07))
    expected = peer.fit(train - centre, labels).predict(queries - centre)
    assert predict(train, labels, queries, 4, (k,))[0].tolist() == expected.tolist()


def test_equal_votes_go_to_the_lowest_class_and_equal_neighbours_to_the_earlier_row():
    train = np.array([[1, 0], [1, 0], [-1, 0], [-1, 0]], dtype=np.float32)
    labels = np.array([2, 1, 0, 0])
    queries = np.array([[5, 0]], dtype=np.float32)
    assert predict(train, labels, queries, 3, (2, 1)).tolist() == [[1], [2]]


def test_a_row_at_the_centre_has_no_direction_and_no_nan():
    train = np.full((6, 3), 0.1, dtype=np.float32)
    labels = np.array([3, 1, 1, 2, 2, 2])
    assert predict(train, labels, train, 4).tolist() == [[2] * 6, [1] * 6]


def test_blocks_of_queries_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    train, queries = rng.standard_normal((50, 6)), rng.standard_normal((33, 6))
    labels = rng.integers(0, 3, 50)
    whole = predict(train, labels, queries, 3)
    monkeypatch.setattr(knn, "BLOCK_BYTES", 8 * 50 * 4)
    assert np.array_equal(predict(train, labels, queries, 3), whole)


@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_a_common_offset_changes_nothing(shift):
    rng = np.random.default_rng(1)
    train, queries = rng.standard_normal((60, 10)), rng.standard_normal((20, 10))
    labels = rng.integers(0, 3, 60)
    assert np.array_equal(predict(train + shift, labels, queries + shift, 3), predict(train, labels, queries, 3))


def test_channels_without_information_are_left_out_and_counted():
    rng = np.random.default_rng(0)
    train = np.hstack([rng.standard_normal((30, 4)), np.full((30, 3), 3.3)]).astype(np.float32)
    ballot = knn_ballot(torch.from_numpy(train), torch.arange(30) % 2, torch.from_numpy(train[:5]), 2)
    assert ballot.dropped_channels == 3


def test_votes_that_nearly_tie_count_either_way():
    train = np.array([[1, 0], [1, 1e-9], [-1, 0], [-1, 1e-9]], dtype=np.float32)
    ballot = knn_ballot(torch.from_numpy(train), torch.tensor([0, 1, 0, 1]), torch.from_numpy(train[:1]), 2, (1,))
    assert ballot.lowest.tolist() == [[0.0, 0.0]]
    assert (ballot.highest > 0).all()
