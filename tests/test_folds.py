"""Cross-validated probes: penalty and tap are chosen within each fold, as scikit-learn would, and nothing leaks."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from geofm_eval.data.budget import label_budget
from geofm_eval.data.cross_validation import folded_subsets, inner_plan
from geofm_eval.data.split import ALL
from geofm_eval.errors import ContractError
from geofm_eval.measure.scores import outcome_arrays, score_fractions
from geofm_eval.probes.problem import UNTESTED
from geofm_eval.probes.ridge import RIDGE_PENALTIES
from geofm_eval.probes.sweep import load_sweep, save_sweep
from geofm_eval.records import Record, write_record
from geofm_eval.records.verified import problem_with_scores
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.taps import choose_tap
from tests.folded_data import numbers, only, opened, planted, recorded, swept, task


@pytest.mark.parametrize("grouped", [True, False])
def test_subsets_and_inner_folds_never_touch_their_fold(grouped: bool) -> None:
    _, labels, groups = planted(0)
    splits = opened(task(), labels, groups if grouped else None)
    whole = splits[ALL]
    folds = np.array(whole.folds)
    subsets, plans = folded_subsets(whole.labels, folds, (0.2, 1.0), 3, 1, whole.groups)
    assert [(one.fraction, one.draw) for one in subsets] == [
        *((0.2, i) for i in range(15)),
        *((1.0, i) for i in range(5)),
    ]
    for one in subsets:
        assert one.test is not None
        fold = one.draw % 5
        assert set(folds[one.test]) == {fold}
        assert fold not in folds[one.indices]
        if one.fraction == 1.0:
            assert len(one.indices) + len(one.test) == len(labels)
        else:
            larger = next(s for s in subsets if (s.fraction, s.draw) == (1.0, fold))
            assert set(one.indices) <= set(larger.indices)
        plan = plans[one.fraction, one.draw]
        assert plan.kind == "inner_cv"
        held = np.concatenate(plan.folds)
        assert len(np.unique(held)) == len(held)
        if grouped and one.fraction == 1.0:
            assert whole.groups is not None
            own = whole.groups[one.indices]
            assert not set(whole.groups[one.test]) & set(own)
            for part in plan.folds:
                assert not set(own[part]) & set(np.delete(own, part))


def test_a_fraction_is_left_out_only_if_it_is_equal_in_every_fold() -> None:
    """Outside fold 0 there is one sample per class, so half of them are all of them; outside fold 1 there are four."""
    labels = np.repeat(np.arange(2), 5)
    fold_of = np.array([0, 0, 0, 0, 1] * 2)
    assert {one.fraction for one in folded_subsets(labels, fold_of, (0.5, 1.0), 2, 0)[0]} == {0.5, 1.0}
    few = np.array([0, 1, 0, 1])
    assert {one.fraction for one in folded_subsets(few, np.array([0, 0, 1, 1]), (0.5, 1.0), 2, 0)[0]} == {1.0}


def test_a_fraction_that_selects_all_samples_is_left_out_with_a_message(caplog: pytest.LogCaptureFixture) -> None:
    labels = np.repeat(np.arange(3), 4)
    spec = task(slug="few_samples", label_fractions=(0.01, 0.1, 1.0))
    budget = label_budget(spec, opened(spec, labels), "matched", spec.seed)
    assert {subset.fraction for subset in budget.subsets} == {0.1, 1.0}
    assert "few_samples: label fractions 0.01 and 0.1 select the same samples; measured once, as 0.1" in caplog.messages


def test_a_class_of_one_group_is_never_held_out() -> None:
    labels = np.array([0] * 8 + [1] * 8 + [2] * 3)
    groups = np.array([f"g{i // 2}" for i in range(16)] + ["h"] * 3)
    plan = inner_plan(labels, groups, ("test",))
    assert not set(np.concatenate(plan.folds)) & {16, 17, 18}
    alone = inner_plan(labels[:8], np.array(["g"] * 8), ("test",))
    assert alone.kind == "inner_cv", "one group is cross-validated as samples"


def standardised(model: Any) -> Any:
    return make_pipeline(StandardScaler(), model)


def ridge_of(penalty: float, n: int) -> Any:
    return standardised(Ridge(alpha=penalty * n, solver="cholesky"))


def test_nested_ridge_equals_scikit_learn(tmp_path: Path) -> None:
    """Penalty and tap of every fold are chosen by inner folds; the out-of-fold R2 is the same."""
    features, _, groups = planted(1, n=100)
    rng = np.random.default_rng(5)
    target = features["block01"][:, 0] + 0.4 * features["final"][:, 3] + rng.normal(size=100)
    spec = numbers()
    splits = opened(spec, target.astype(np.float64), groups)
    sweep = swept("ridge", spec, splits, features)
    subject = only(recorded(sweep, spec, splits, tmp_path / "run"))
    budget, whole = label_budget(spec, splits, "matched", spec.seed), splits[ALL]
    predicted, chosen = np.full((4, 100), np.nan), []
    for subset in budget.subsets:
        assert subset.test is not None
        results = {}
        for number, values in enumerate(features.values()):
            rows, y = subset.indices, whole.labels
            losses = []
            for penalty in RIDGE_PENALTIES:
                error = 0.0
                for fold in budget.plans[1.0, subset.draw].folds:
                    train, held = np.delete(rows, fold), rows[fold]
                    model = ridge_of(penalty, len(train)).fit(values[train].astype(float), y[train])
                    error += np.square(model.predict(values[held].astype(float)) - y[held]).sum()
                losses.append(error)
            best = int(np.argmin(losses))
            held = np.concatenate([rows[fold] for fold in budget.plans[1.0, subset.draw].folds])
            results[number] = 1 - losses[best] / np.square(y[held] - y[held].mean()).sum()
            model = ridge_of(RIDGE_PENALTIES[best], len(rows)).fit(values[rows].astype(float), y[rows])
            predicted[number, subset.test] = model.predict(values[subset.test].astype(float))
        chosen.append(max(results, key=lambda one: results[one]))
        predicted[3, subset.test] = predicted[chosen[-1], subset.test]
    for number, tap in enumerate(features):
        score = subject.taps[tap].scores["1.0"]
        assert score.value == pytest.approx(r2_score(whole.labels, predicted[number]), abs=1e-6)
        assert score.n == 100
    found = choose_tap(subject, "1.0")
    assert found is not None
    assert found.score.value == pytest.approx(r2_score(whole.labels, predicted[3]), abs=1e-6)
    assert found.score.extra["rmse"] == pytest.approx(np.sqrt(np.square(predicted[3] - whole.labels).mean()))
    assert found.score.interval is not None
    assert found.score.interval.covers == "groups"
    taps = [list(features)[one] for one in chosen]
    assert found.agreed == (max(taps.count(tap) for tap in taps), 5)
    assert taps.count(found.tap) == found.agreed[0]


def test_linear_probe_equals_scikit_learn_out_of_fold(tmp_path: Path) -> None:
    features, labels, groups = planted(2)
    spec = task()
    splits = opened(spec, labels, groups)
    sweep = swept("linear", spec, splits, features)
    run = recorded(sweep, spec, splits, tmp_path / "run")
    subject, whole = only(run), splits[ALL]
    budget = label_budget(spec, splits, "matched", spec.seed)
    for tap in features:
        right = np.zeros((2, len(labels)))
        for subset in (one for one in budget.subsets if one.fraction == 0.5):
            row = sweep.row(tap, 0.5, subset.draw)
            assert row.chosen is not None
            c = 1 / (row.chosen * len(subset.indices))
            model = standardised(LogisticRegression(C=c, tol=1e-9, max_iter=5000))
            model.fit(features[tap][subset.indices].astype(float), whole.labels[subset.indices])
            own = model.predict(features[tap][subset.test].astype(float)) == whole.labels[subset.test]
            right[subset.draw // 5, subset.test] = own
            assert (row.outcomes[subset.test] == own).all()
            assert (np.delete(row.outcomes, subset.test) == UNTESTED).all()
        score = subject.taps[tap].scores["0.5"]
        assert score.per_draw == pytest.approx(right.mean(1))
        assert score.value == pytest.approx(right.mean())
    for record in subject.taps.values():
        assert problem_with_scores(run.folder, record) is None
        assert record.selection is not None
        assert len(record.selection.choices) == 15


def test_ranking_compares_nested_outcomes(tmp_path: Path) -> None:
    spec = task(label_fractions=(1.0,))
    for number, model in enumerate(("weak", "strong")):
        features, labels, groups = planted(3)
        if model == "weak":
            rng = np.random.default_rng(number)
            features = {
                tap: values + rng.normal(size=values.shape).astype(np.float32) for tap, values in features.items()
            }
        splits = opened(spec, labels, groups)
        run = recorded(swept("knn", spec, splits, features), spec, splits, tmp_path / "run", model)
    (comparison,), _ = comparisons(run)
    ranking = rank(comparison, run.pairs)
    first, second = ranking.rows
    assert first.subject.model == "strong"
    assert "folds)" in first.chosen.words
    assert first.gain is not None
    assert first.gain.low is not None
    final = first.subject.taps["final"].scores["1.0"].value
    assert first.gain.value == pytest.approx(first.chosen.score.value - final)
    found = run.pairs.difference(first.chosen.record, second.chosen.record, "1.0")
    assert found.value == pytest.approx(first.chosen.score.value - second.chosen.score.value)
    assert found.low is not None
    assert not run.pairs.problems


def test_shuffled_labels_score_at_chance(tmp_path: Path) -> None:
    """Of twelve random taps the best looks better than chance; the tap chosen within the folds does not."""
    spec = task(classes=("a", "b"), label_fractions=(1.0,), kind="classification")
    nested, best = [], []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        features = {f"block{i:02d}": rng.normal(size=(80, 6)).astype(np.float32) for i in range(12)}
        splits = opened(spec, rng.permutation(np.arange(80) % 2))
        subject = only(recorded(swept("knn", spec, splits, features), spec, splits, tmp_path / f"run{seed}"))
        found = choose_tap(subject, "1.0")
        assert found is not None
        nested.append(found.score.value)
        best.append(max(record.scores["1.0"].value for record in subject.taps.values()))
    assert np.mean(nested) < 0.53
    assert np.mean(best) > 0.56


def test_a_fold_with_a_constant_target_is_scored() -> None:
    """All zeros in one region: R2 of its fold alone would be undefined."""
    rng = np.random.default_rng(0)
    groups = np.arange(100) // 20
    target = np.where(groups == 2, 0.0, rng.normal(size=100))
    features = {"final": (target[:, None] + rng.normal(size=(100, 3))).astype(np.float32)}
    spec = numbers()
    splits = opened(spec, target, groups)
    sweep = swept("ridge", spec, splits, features)
    assert len(sweep.rows) == 5
    score = score_fractions("r2", list(sweep.rows), splits[ALL])["1.0"]
    assert 0 < score.value < 1


def test_a_class_with_fewer_samples_than_folds_is_scored() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 30 + [1] * 30 + [2] * 2)
    features = {"final": (np.eye(3)[labels] + 0.5 * rng.normal(size=(62, 3))).astype(np.float32)}
    spec = task(label_fractions=(1.0,))
    splits = opened(spec, labels)
    for probe in ("linear", "knn"):
        sweep = swept(probe, spec, splits, features)  # type: ignore[arg-type]
        score = score_fractions("accuracy", list(sweep.rows), splits[ALL])["1.0"]
        assert 0.75 < score.value < 1
        assert score.n == 62


def test_sweeps_are_stored_with_their_folds(tmp_path: Path) -> None:
    features, labels, groups = planted(2)
    spec = task(label_fractions=(1.0,))
    sweep = swept("knn", spec, opened(spec, labels, groups), features)
    save_sweep(sweep, tmp_path)
    for row, again in zip(sweep.rows, load_sweep(tmp_path).rows, strict=True):
        assert np.array_equal(row.outcomes, again.outcomes)


def test_neuco_probes_refuse_folds() -> None:
    features, _, _ = planted(2)
    spec = numbers()
    splits = opened(spec, np.random.default_rng(0).normal(size=120))
    with pytest.raises(ContractError, match="shuffle splits, but the task has folds"):
        swept("adamw", spec, splits, features)


def test_outcomes_without_folds_do_not_belong_to_the_record(tmp_path: Path) -> None:
    features, labels, groups = planted(2)
    spec = task(label_fractions=(1.0,))
    splits = opened(spec, labels, groups)
    run = recorded(swept("knn", spec, splits, features), spec, splits, tmp_path / "run")
    record = next(iter(only(run).taps.values()))
    rows = swept("knn", spec, splits, features).rows_for("final")
    arrays = outcome_arrays(spec, rows, splits[ALL])
    del arrays["fold"]
    with pytest.raises(ContractError, match="found arrays"):
        write_record(replace_record(record), arrays, tmp_path / "other")


def replace_record(record: Record) -> Record:
    return record.model_copy(update={"outcomes_sha256": None, "resamples_sha256": None})
