"""The linear solver against scikit-learn and against the optimality conditions, over odd shapes and degenerate data."""

import warnings
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from geofm_eval.probes import heads, logistic
from geofm_eval.probes.heads import HeadJob, ProbeHead, fit_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.standardise import fit_standardiser, rotate

CPU = torch.device("cpu")


def clustered(n, width, classes, seed, signal=0.5, decay=0.5):
    """Features with decaying variances and overlapping classes; every class has at least one row."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, n - classes)])
    scale = np.arange(1, width + 1) ** -decay
    centres = signal * rng.standard_normal((classes, width))
    return ((centres[labels] + rng.standard_normal((n, width))) * scale).astype(np.float32), labels.astype(np.int64)


def fit(features, labels, classes, rows=None, penalties=PENALTIES) -> ProbeHead:
    rows = np.arange(len(labels)) if rows is None else np.asarray(rows)
    ((_, head),) = fit_heads([HeadJob("tap", rows, labels[rows])], {"tap": features}, classes, CPU, penalties)
    return head


def standardised(head: ProbeHead, features) -> np.ndarray:
    return head.standardiser(torch.from_numpy(features)).numpy()


def kept_rows(head: ProbeHead, features) -> np.ndarray:
    """The standardised training rows without the axes that only hold rounding, which no probe sees."""
    x = head.standardiser(torch.from_numpy(features))
    rotation = rotate(x, head.standardiser.rounding)
    return (rotation.coordinates @ rotation.basis.T).numpy()


def objective(x, labels, weights, intercepts, penalty) -> tuple[float, np.ndarray, np.ndarray]:
    """Objective and its gradients in float64, written independently of the solver."""
    logits = x @ weights.T + intercepts
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    residual = np.exp(log_p)
    residual[np.arange(len(x)), labels] -= 1
    value = -log_p[np.arange(len(x)), labels].mean() + penalty / 2 * np.square(weights).sum()
    return value, residual.T @ x / len(x) + penalty * weights, residual.mean(0)


def assert_optimal(head: ProbeHead, features, labels) -> None:
    """A penalised loss is strongly convex: |gradient|^2 / (2 penalty) bounds how far it is from its optimum."""
    x = kept_rows(head, features)
    for i, penalty in enumerate(PENALTIES):
        weights, intercepts = head.weights[i].double().numpy(), head.intercepts[i].double().numpy()
        value, slope, intercept_slope = objective(x, labels, weights, intercepts, penalty)
        assert np.square(slope).sum() / (2 * penalty) <= 1e-4 * value + 1e-12, f"penalty {penalty:g} is not solved"
        assert np.abs(intercept_slope).max() <= 1e-4, f"intercepts at penalty {penalty:g} are not solved"
        assert head.objective[i] == pytest.approx(value, rel=1e-5, abs=1e-9)


def scikit_learn_path(x, labels, penalties: Sequence[float], tol=1e-8):
    """Warm-started along the path; two classes have one weight vector, the difference, split evenly here."""
    classes = len(np.unique(labels))
    model = LogisticRegression(tol=tol, max_iter=20000, warm_start=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for penalty in penalties:
            model.set_params(C=(2 if classes == 2 else 1) / (penalty * len(x))).fit(x, labels)
            weights, intercepts = model.coef_.copy(), model.intercept_.copy()
            if classes == 2:
                weights, intercepts = np.vstack([-weights, weights]) / 2, np.hstack([-intercepts, intercepts]) / 2
            yield weights, intercepts


@st.composite
def problems(draw):
    classes = draw(st.integers(2, 6))
    n = draw(st.integers(classes, 60))
    width = draw(st.integers(1, 40))
    features, labels = clustered(n, width, classes, draw(st.integers(0, 10**6)), draw(st.sampled_from([0.0, 0.5, 3.0])))
    if draw(st.booleans()):
        features[:, draw(st.integers(0, width - 1))] = 7.7  # a constant channel
    if draw(st.booleans()):
        features[:, draw(st.integers(0, width - 1))] *= 1e-9  # a channel of rounding noise
    if draw(st.booleans()):
        twins = draw(st.integers(1, n))
        features[:twins] = features[-twins:]  # duplicated rows, some with another label
    if draw(st.booleans()):
        features += 1000
    return features, labels, classes


@settings(max_examples=30, deadline=None)
@given(problems())
def test_every_penalty_is_solved_to_its_optimum(problem):
    features, labels, classes = problem
    head = fit(features, labels, classes)
    assert head.converged
    assert_optimal(head, features, labels)


@settings(max_examples=12, deadline=None)
@given(problems())
def test_never_worse_than_scikit_learn(problem):
    features, labels, classes = problem
    head = fit(features, labels, classes)
    x = kept_rows(head, features)
    if x.shape[1] == 0:
        return
    chosen = range(0, len(PENALTIES), 3)
    peers = scikit_learn_path(x, labels, [PENALTIES[i] for i in chosen])
    for i, (weights, intercepts) in zip(chosen, peers, strict=True):
        value, *_ = objective(x, labels, weights, intercepts, PENALTIES[i])
        assert head.objective[i] <= value * (1 + 1e-4) + 1e-12


def test_the_whole_path_agrees_with_scikit_learn():
    features, labels = clustered(600, 48, 5, seed=1)
    train, held_out = np.arange(300), np.arange(300, 600)
    head = fit(features, labels, 5, train)
    x, y = standardised(head, features[train]), standardised(head, features[held_out])
    mine = torch.cat(list(head.logits(features[held_out]))).argmax(2).numpy()
    for i, (weights, intercepts) in enumerate(scikit_learn_path(x, labels[train], PENALTIES)):
        value, *_ = objective(x, labels[train], weights, intercepts, PENALTIES[i])
        assert head.objective[i] == pytest.approx(value, rel=1e-4)
        theirs = (y @ weights.T + intercepts).argmax(1)
        difference = np.mean(mine[:, i] == labels[held_out]) - np.mean(theirs == labels[held_out])
        assert abs(difference) <= 1 / len(held_out) + 1e-12


def test_more_channels_than_rows_give_the_same_head_as_their_row_space():
    features, labels = clustered(30, 200, 3, seed=2)
    head = fit(features, labels, 3)
    assert_optimal(head, features, labels)
    x = standardised(head, features)
    inside = np.linalg.pinv(x) @ x
    np.testing.assert_allclose(head.weights[20].numpy() @ inside, head.weights[20].numpy(), atol=1e-5)


def test_constant_features_leave_the_class_frequencies():
    labels = np.array([0, 0, 0, 1, 2, 2], dtype=np.int64)
    features = np.full((6, 4), 0.1, dtype=np.float32)
    head = fit(features, labels, 3)
    assert head.converged
    assert head.standardiser.dropped == 4
    probabilities = torch.cat(list(head.logits(features))).softmax(2)[0, 0]
    np.testing.assert_allclose(probabilities, [1 / 2, 1 / 6, 1 / 3], atol=1e-6)
    # The optimum is known: steps would look for it among rounding errors, thousands of them on some processors.
    assert head.iterations <= len(PENALTIES)


def test_a_class_without_rows_is_never_predicted():
    features, labels = clustered(40, 5, 4, seed=3)
    head = fit(features, labels, 4, np.flatnonzero(labels != 2))
    assert head.converged
    logits = torch.cat(list(head.logits(features)))
    assert torch.isneginf(logits[:, :, 2]).all()
    assert not (logits.argmax(2) == 2).any()


def test_a_single_class_is_predicted_everywhere():
    features, labels = clustered(20, 5, 2, seed=4)
    head = fit(features, labels, 2, np.flatnonzero(labels == 1))
    assert head.converged
    assert (torch.cat(list(head.logits(features))).argmax(2) == 1).all()


def test_repeats_and_companions_change_no_bit():
    shapes = {"a": 24, "b": 24, "c": 40}
    labels = clustered(50, 2, 3, seed=5)[1]
    train = {tap: clustered(50, width, 3, seed)[0] for seed, (tap, width) in enumerate(shapes.items())}

    def solve_together(taps):
        jobs = [HeadJob(tap, rows, labels[rows]) for tap in taps for rows in (np.arange(50), np.arange(0, 50, 2))]
        return {(job.tap, len(job.rows)): head for job, head in fit_heads(jobs, train, 3, CPU)}

    everything = solve_together(shapes)
    for other in (solve_together(shapes), solve_together(["c", "b"]), solve_together(["a"])):
        for key, head in other.items():
            assert torch.equal(head.weights, everything[key].weights)
            assert head.iterations == everything[key].iterations


def test_batches_of_one_give_the_same_bits(monkeypatch):
    features, labels = clustered(60, 30, 4, seed=6)
    jobs = [HeadJob("tap", np.arange(start, 60), labels[start:]) for start in range(6)]

    def weights():
        return {len(job.rows): head.weights for job, head in fit_heads(jobs, {"tap": features}, 4, CPU)}

    together = weights()
    monkeypatch.setattr(heads, "BATCH_BYTES", {"cpu": 1})
    alone = weights()
    assert all(torch.equal(together[n], alone[n]) for n in together)


def test_running_out_of_steps_is_reported(monkeypatch):
    monkeypatch.setattr(logistic, "MAX_STEPS", 1)
    features, labels = clustered(60, 30, 4, seed=7)
    assert not fit(features, labels, 4).converged


def test_a_step_that_cannot_decrease_forgets_what_misled_it(monkeypatch):
    monkeypatch.setattr(logistic, "MAX_TRIALS", 1)
    features, labels = clustered(60, 30, 4, seed=8, signal=3.0)
    head = fit(features, labels, 4)
    assert torch.isfinite(head.weights).all()
    assert np.all(np.diff(head.objective) <= 1e-9)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 30), width=st.integers(1, 30), seed=st.integers(0, 1000))
def test_rotation_is_exact(n, width, seed):
    x = torch.from_numpy(np.random.default_rng(seed).standard_normal((n, width)))
    rotation = rotate(x, torch.zeros(width, dtype=torch.float64))
    torch.testing.assert_close(rotation.coordinates @ rotation.basis.T, x, atol=1e-9, rtol=0)
    torch.testing.assert_close(rotation.coordinates.square().mean(0), rotation.curvature, atol=1e-9, rtol=0)


def test_a_channel_is_dropped_for_its_own_rounding_whatever_the_others_hold():
    rng = np.random.default_rng(0)
    features = (rng.standard_normal((50, 4)) * [1e7, 1, 1e-7, 0] + [0, 0, 1, 1]).astype(np.float32)
    standardiser = fit_standardiser(torch.from_numpy(features))
    assert standardiser.kept.tolist() == [True, True, False, False]
    assert standardiser.dropped == 2
    x = standardiser(torch.from_numpy(features))
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(2, dtype=torch.float64))


def test_the_few_values_of_a_dead_channel_are_rounding():
    rng = np.random.default_rng(0)
    features = rng.standard_normal((50, 5)).astype(np.float32)
    features[:, 0] = 0
    features[:3, 0] = 1e-6
    assert fit_standardiser(torch.from_numpy(features)).kept.tolist() == [False, True, True, True, True]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device: the GPU gives the CPU's optimum")
def test_a_gpu_gives_the_same_optimum():
    features, labels = clustered(200, 64, 5, seed=9)
    cpu = fit(features, labels, 5)
    job = HeadJob("tap", np.arange(200), labels)
    ((_, gpu),) = fit_heads([job], {"tap": features}, 5, torch.device("cuda"))
    assert gpu.converged
    np.testing.assert_allclose(gpu.objective, cpu.objective, rtol=1e-5)
