"""Sweeps: what is fitted, chosen and tested on which items, and how the result is kept."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from geofm_eval.data.labels import LabelSubset, ValidationPlan, label_subsets, validation_plan
from geofm_eval.errors import ContractError, DataError
from geofm_eval.probes import PROBE_VERSION, linear, load_sweep, save_sweep, solve
from geofm_eval.probes.heads import HeadJob, fit_heads
from geofm_eval.probes.logistic import PENALTIES
from geofm_eval.probes.problem import ProbeProblem, SweepRow, ValidationItems
from geofm_eval.probes.resampled import resampled_scores
from geofm_eval.probes.selection import PathScores, choose, default_choice, score_path
from geofm_eval.stats.reselection import RESAMPLES, resample_weights
from geofm_eval.stats.scores import r2

TAPS = ("embed", "block00", "final")
CLASSES = 3
COUNTS = {"train": 120, "val": 60, "test": 50}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = {split: np.arange(count) % CLASSES for split, count in COUNTS.items()}
    features = {}
    for depth, tap in enumerate(TAPS):
        centres = (0.2 + 0.4 * depth) * rng.standard_normal((CLASSES, 16))
        for split, truth in labels.items():
            noise = rng.standard_normal((len(truth), 16))
            features[tap, split] = (centres[truth] + noise).astype(np.float32)
    return features, labels


@pytest.fixture(scope="module")
def budget(data):
    _, labels = data
    subsets = label_subsets(labels["train"], (0.01, 0.1, 1.0), 2, seed=0)
    plans = {
        (s.fraction, s.draw): validation_plan(
            labels["train"][s.indices], labels["val"], s.fraction, s.draw, "matched", seed=0
        )
        for s in subsets
    }
    return subsets, plans


@pytest.fixture(scope="module")
def sweeps(data, budget):
    return {probe: solve_all(probe, data, budget) for probe in ("knn", "linear")}


def solve_all(probe, data, budget, taps=TAPS, **changes):
    features, labels = data
    subsets, plans = budget
    arguments = {"labels": labels, "subsets": subsets, "plans": plans, "n_classes": CLASSES, **changes}
    return solve(probe, lambda tap, split: features[tap, split], taps=taps, pooling="mean", **arguments)


def identical(a, b) -> bool:
    arrays = ("outcomes", "validation")
    same = {name: value for name, value in vars(a).items() if name not in arrays}
    return same == {n: v for n, v in vars(b).items() if n not in arrays} and np.array_equal(
        a.outcomes, b.outcomes, equal_nan=True
    )


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_every_tap_fraction_and_draw_has_a_row(sweeps, budget, probe):
    sweep = sweeps[probe]
    keys = [(row.tap, row.fraction, row.draw) for row in sweep.rows]
    assert keys == [(tap, s.fraction, s.draw) for tap in TAPS for s in budget[0]]
    assert {row.val_kind for row in sweep.rows} == {"none", "inner_cv", "split"}
    for row, subset in zip(sweep.rows_for("final"), budget[0], strict=True):
        assert (row.n_train, row.n_test, len(row.outcomes)) == (len(subset.indices), 50, 50)
        assert row.test_score == row.outcomes.mean()
        assert (row.val_score is None) == (row.val_kind == "none")
        assert row.n_val == {"none": 0, "inner_cv": row.n_train, "split": 60}[row.val_kind]
        assert row.converged
    assert sweep.row("final", 1.0, 0).test_score > sweep.row("embed", 1.0, 0).test_score
    assert sweep.meta["probe_version"] == PROBE_VERSION[probe]


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_repeats_and_other_taps_change_nothing(sweeps, data, budget, probe):
    again = solve_all(probe, data, budget)
    assert all(identical(a, b) for a, b in zip(sweeps[probe].rows, again.rows, strict=True))
    alone = solve_all(probe, data, budget, taps=("block00",))
    assert all(identical(a, b) for a, b in zip(sweeps[probe].rows_for("block00"), alone.rows, strict=True))


def test_the_penalty_minimises_the_validation_loss_and_the_test_split_is_read_at_it(sweeps, data):
    features, labels = data
    row = sweeps["linear"].row("block00", 1.0, 0)
    assert row.candidates == PENALTIES
    assert row.chosen_index == int(np.argmin(row.val_loss))
    assert row.chosen == PENALTIES[row.chosen_index]
    assert row.at_edge == (row.chosen_index in (0, 39))
    job = HeadJob("block00", np.arange(120), labels["train"])
    ((_, head),) = fit_heads([job], {"block00": features["block00", "train"]}, CLASSES, torch.device("cpu"))
    logits = torch.cat(list(head.logits(features["block00", "val"])))
    log_p = logits.double().log_softmax(2)[torch.arange(60), :, torch.from_numpy(labels["val"])]
    np.testing.assert_allclose(row.val_loss, -log_p.mean(0), rtol=5e-4)
    predicted = head.logits_at(features["block00", "test"], row.chosen_index).argmax(1).numpy()
    assert np.array_equal(row.outcomes, predicted == labels["test"])


def test_inner_folds_are_scored_on_what_they_did_not_see(sweeps, data, budget):
    features, labels = data
    subset = next(s for s in budget[0] if budget[1][s.fraction, s.draw].kind == "inner_cv")
    row = sweeps["linear"].row("final", subset.fraction, subset.draw)
    scores = []
    for fold in budget[1][subset.fraction, subset.draw].folds:
        rows, held = np.delete(subset.indices, fold), subset.indices[fold]
        job = HeadJob("final", rows, labels["train"][rows])
        ((_, head),) = fit_heads([job], {"final": features["final", "train"]}, CLASSES, torch.device("cpu"))
        scores.append(score_path(head, features["final", "train"][held], labels["train"][held]))
    total = sum(scores[1:], start=scores[0])
    np.testing.assert_allclose(row.val_loss, total.mean_loss, rtol=5e-4)
    assert row.val_score == total.accuracy(row.chosen_index)


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_every_tap_has_its_validation_score_on_resamples_at_every_validated_fraction(sweeps, probe):
    sweep = sweeps[probe]
    validated = {row.fraction for row in sweep.rows} - {row.fraction for row in sweep.rows if row.val_score is None}
    assert set(sweep.resamples) == validated == {0.1, 1.0}
    for fraction, scores in sweep.resamples.items():
        assert scores.shape == (len(TAPS), RESAMPLES)
        for tap, own in zip(TAPS, scores, strict=True):
            plain = np.mean([row.val_score for row in sweep.rows_for(tap) if row.fraction == fraction])
            assert own.mean() == pytest.approx(plain, abs=0.02)


def test_validation_items_hold_the_loss_and_the_score_of_the_choice(data, budget, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "geofm_eval.probes.sweep.resampled_scores", lambda _, solved: seen.extend(solved.values()) or {}
    )
    for probe in ("knn", "linear"):
        solve_all(probe, data, budget)
    validated = [row for row in seen if row.val_kind != "none"]
    assert {row.val_kind for row in validated} == {"split", "inner_cv"}
    for row in validated:
        assert len(np.unique(row.validation.items)) == row.n_val
        assert row.validation.score.mean() == pytest.approx(row.val_score, abs=1e-12)
        assert row.validation.loss.mean() == pytest.approx(row.chosen_loss, rel=1e-9)
        if row.candidates:
            assert row.chosen_loss == min(row.val_loss)


def test_without_validation_the_default_penalty_is_used(sweeps):
    row = sweeps["linear"].row("final", 0.01, 0)
    assert row.n_train == 3
    assert row.val_loss == ()
    assert abs(np.log(row.chosen * 3)) == min(abs(np.log(p * 3)) for p in PENALTIES)
    assert not default_choice(PENALTIES, 10**9).at_edge


def test_ties_go_to_the_stronger_penalty():
    scores = PathScores(np.array([3.0, 2.0, 2.0, 4.0]), np.array([1, 2, 3, 1]), count=4)
    choice = choose(scores)
    assert (choice.index, choice.at_edge, choice.val_score) == (1, False, 0.5)
    assert choose(PathScores(np.array([2.0, 2.0]), np.array([1, 1]), count=2)).at_edge


def test_knn_has_no_penalty_and_five_neighbours_beside_the_score(sweeps):
    row = sweeps["knn"].row("final", 1.0, 0)
    assert (row.candidates, row.chosen, row.chosen_index, row.val_loss, row.at_edge) == ((), None, None, (), False)
    assert set(row.extra) == {"accuracy_k5"}


def test_dropped_channels_and_failed_convergence_reach_the_row(data, budget, monkeypatch):
    features, labels = data
    constant = {key: np.hstack([values, np.ones((len(values), 2), np.float32)]) for key, values in features.items()}
    monkeypatch.setattr("geofm_eval.probes.logistic.MAX_STEPS", 1)
    row = solve_all("linear", (constant, labels), budget, taps=("final",)).row("final", 1.0, 0)
    assert row.dropped_channels == 2
    assert not row.converged


@pytest.mark.parametrize("probe", ["knn", "linear"])
def test_saved_and_loaded_sweeps_are_equal(sweeps, tmp_path, probe):
    sweep = sweeps[probe]
    save_sweep(sweep, tmp_path)
    loaded = load_sweep(tmp_path)
    assert loaded.kind == "correct"
    assert (loaded.key, loaded.probe, loaded.taps, loaded.seconds, loaded.meta) == (
        sweep.key, sweep.probe, sweep.taps, sweep.seconds, sweep.meta)  # fmt: skip
    assert all(identical(a, b) for a, b in zip(loaded.rows, sweep.rows, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outcomes.npz", "sweep.json"]


@pytest.mark.parametrize("damage", ["truncated", "absent", "mismatch", "outcomes"])
def test_a_damaged_sweep_names_its_folder(sweeps, tmp_path, damage):
    save_sweep(sweeps["knn"], tmp_path)
    file, outcomes = tmp_path / "sweep.json", tmp_path / "outcomes.npz"
    if damage == "truncated":
        file.write_text(file.read_text()[:100])
    elif damage == "absent":
        outcomes.unlink()
    elif damage == "outcomes":
        outcomes.write_bytes(outcomes.read_bytes()[:200])
    else:
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "rows": content["rows"][1:]}))
    with pytest.raises(DataError, match="not a readable sweep") as caught:
        load_sweep(tmp_path)
    assert str(tmp_path) in str(caught.value)
    assert "Delete the folder" in str(caught.value)


def test_unknown_rows_say_what_there_is(sweeps):
    with pytest.raises(ContractError, match=r"tap 'block99'.*embed, block00, final"):
        sweeps["knn"].row("block99", 1.0, 0)
    with pytest.raises(ContractError, match="block99"):
        sweeps["knn"].rows_for("block99")


def test_inputs_that_do_not_fit_together_are_refused(data, budget):
    features, labels = data
    subsets, plans = budget
    with pytest.raises(ContractError, match="probe 'lasso' is unknown; expected one of knn, linear, ridge"):
        solve_all("lasso", data, budget)
    with pytest.raises(ContractError, match="probe 'ridge' is for regression tasks, but the task is a classification"):
        solve_all("ridge", data, budget)
    targets = {split: truth.astype(float) for split, truth in labels.items()}
    with pytest.raises(ContractError, match="'knn' is for classification tasks, but the task is a regression"):
        solve_all("knn", data, budget, labels=targets, n_classes=0)
    with pytest.raises(ContractError, match="needs at least 2"):
        solve_all("knn", data, budget, n_classes=1)
    with pytest.raises(ContractError, match="expected 0 to 1"):
        solve_all("knn", data, budget, n_classes=2)
    with pytest.raises(ContractError, match="0 taps"):
        solve_all("knn", data, budget, taps=())
    with pytest.raises(ContractError, match="no validation plan"):
        solve_all("knn", data, budget, plans={})
    with pytest.raises(ContractError, match="is empty"):
        solve_all("knn", data, ([LabelSubset(0.1, 0, np.empty(0, np.int64))], plans))
    with pytest.raises(ContractError, match="test split is empty"):
        solve_all("knn", data, budget, labels={**labels, "test": labels["test"][:0]})
    with pytest.raises(ContractError, match=r"features of embed on the val split have shape \(60, 16\), expected \(59"):
        solve_all("knn", data, budget, labels={**labels, "val": labels["val"][1:]})
    broken = {**features, ("final", "test"): np.where(np.arange(16) == 3, np.nan, features["final", "test"])}
    with pytest.raises(ContractError, match="final on the test split are not finite"):
        solve_all("linear", (broken, labels), (subsets, plans))


def test_a_class_that_is_validated_but_never_trained_is_refused(data):
    _, labels = data
    subset = LabelSubset(1.0, 0, np.flatnonzero(labels["train"] != 2))
    plan = ValidationPlan("split", np.arange(60))
    with pytest.raises(ContractError, match=r"classes \[2\] have validation samples but no training samples"):
        solve_all("linear", data, ([subset], {(1.0, 0): plan}))


def test_memory_mapped_features_are_read_as_they_are(sweeps, data, budget, tmp_path):
    features, labels = data
    for (tap, split), values in features.items():
        np.save(tmp_path / f"{tap}.{split}.npy", values)

    def mapped(tap, split):
        return np.load(tmp_path / f"{tap}.{split}.npy", mmap_mode="r")

    sweep = solve("linear", mapped, labels, TAPS, "mean", *budget, CLASSES)
    assert all(identical(a, b) for a, b in zip(sweep.rows, sweeps["linear"].rows, strict=True))


def test_global_randomness_is_not_touched(data, budget):
    before = np.random.get_state()[1].copy(), torch.get_rng_state()
    solve_all("linear", data, budget, taps=("final",))
    assert np.array_equal(before[0], np.random.get_state()[1])
    assert torch.equal(before[1], torch.get_rng_state())


def test_penalties_are_forty_strongest_first():
    assert len(PENALTIES) == 40
    assert list(PENALTIES) == sorted(PENALTIES, reverse=True)
    assert linear.PENALTIES is PENALTIES


def planted_validation(problem, seed=0):
    """Rows of every tap and subset with a made-up score on every validation item."""
    rng = np.random.default_rng(seed)
    solved = {}
    for tap in problem.taps:
        for subset in problem.subsets:
            held = [holdout.held_out for holdout in problem.holdouts(subset)]
            split = next((holdout.split for holdout in problem.holdouts(subset)), "val")
            items = np.concatenate([*held, np.empty(0, np.int64)]).astype(np.int64)
            score = (rng.random(len(items)) < 0.5).astype(np.float64)
            row = SweepRow(
                tap=tap, fraction=subset.fraction, draw=subset.draw, n_train=1, n_val=len(items), n_test=1,
                val_kind="split", val_score=float(score.mean()) if len(items) else None,
                test_score=0.5, outcomes=np.zeros(1),
                validation=ValidationItems(split, items, 1 - score, score) if len(items) else None,
            )  # fmt: skip
            solved[tap, subset.fraction, subset.draw] = row
    return solved


def problem_of(data, budget, **more) -> ProbeProblem:
    features, labels = data
    subsets, plans = budget
    source = lambda tap, split: features[tap, split]  # noqa: E731
    return ProbeProblem(source, labels, TAPS, subsets, plans, CLASSES, torch.device("cpu"), **more)


def test_resampled_scores_are_means_over_draws_on_the_same_items_for_every_tap(data, budget):
    problem = problem_of(data, budget, seed=3)
    solved = planted_validation(problem)
    found = resampled_scores(problem, solved)
    for fraction, scores in found.items():
        own = [subset for subset in problem.subsets if subset.fraction == fraction]
        for position, tap in enumerate(TAPS):
            expected = []
            for subset in own:
                items = solved[tap, fraction, subset.draw].validation
                weights = resample_weights(COUNTS[items.split], 3, items.split)[:, items.items]
                expected.append((weights @ items.score) / weights.sum(1))
            assert scores[position] == pytest.approx(np.mean(expected, axis=0), rel=2e-5)
    assert 1.0 in found
    assert found[1.0].shape == (len(TAPS), RESAMPLES)


def test_taps_that_list_their_items_in_another_order_are_resampled_alike(data, budget):
    problem = problem_of(data, budget)
    solved = planted_validation(problem)
    turned = {}
    for key, row in solved.items():
        items = row.validation
        if items is not None and key[0] == TAPS[1]:
            items = ValidationItems(items.split, items.items[::-1], items.loss[::-1], items.score[::-1])
        turned[key] = replace(row, validation=items)
    first, second = resampled_scores(problem, solved), resampled_scores(problem, turned)
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[fraction], second[fraction]) for fraction in first)


def test_a_fraction_without_validation_items_has_no_resamples_and_the_others_keep_theirs(data, budget):
    problem = problem_of(data, budget)
    solved = planted_validation(problem)
    key = next(key for key in solved if key[1] == 0.1)
    solved[key] = replace(solved[key], validation=None)
    found = resampled_scores(problem, solved)
    assert 0.1 not in found
    assert 1.0 in found


def test_dependent_items_are_resampled_by_group(data, budget):
    groups = np.repeat([f"event {k}" for k in range(6)], 10)
    grouped, single = (problem_of(data, budget, groups=given) for given in ({"val": groups}, {}))
    solved = planted_validation(single)
    for key, row in solved.items():
        if key[1] == 1.0:
            alike = np.repeat(np.arange(6) % 2, 10).astype(np.float64)
            items = np.arange(60)
            solved[key] = replace(row, val_score=0.5, validation=ValidationItems("val", items, alike, alike))
    wide, narrow = (resampled_scores(one, solved)[1.0].std() for one in (grouped, single))
    assert wide > 2 * narrow


def test_resampled_r2_is_that_of_the_resampled_target():
    rng = np.random.default_rng(5)
    labels = {split: rng.standard_normal(count) for split, count in COUNTS.items()}
    subsets = [LabelSubset(1.0, 0, np.arange(COUNTS["train"]))]
    plans = {(1.0, 0): ValidationPlan("split", np.arange(COUNTS["val"]))}
    source = lambda tap, split: np.ones((COUNTS[split], 2), np.float32)  # noqa: E731
    problem = ProbeProblem(source, labels, TAPS, subsets, plans, 0, torch.device("cpu"))
    predicted = labels["val"] + 0.5 * rng.standard_normal((len(TAPS), COUNTS["val"]))
    solved = planted_validation(problem)
    for tap, values in zip(TAPS, predicted, strict=True):
        items = ValidationItems("val", np.arange(COUNTS["val"]), np.square(values - labels["val"]), values)
        solved[tap, 1.0, 0] = replace(solved[tap, 1.0, 0], validation=items)
    found = resampled_scores(problem, solved)[1.0]
    again = np.repeat(np.arange(COUNTS["val"]), resample_weights(COUNTS["val"], 0, "val")[17].astype(int))
    expected = [r2(labels["val"][again], values[again]) for values in predicted]
    assert found[:, 17] == pytest.approx(expected, rel=2e-5)


def test_resamples_are_saved_and_loaded_and_absent_ones_are_none(sweeps, tmp_path):
    sweep = replace(sweeps["linear"], resamples={0.1: np.ones((3, 5), np.float32), 1.0: np.zeros((3, 5), np.float32)})
    (tmp_path / "with").mkdir()
    save_sweep(sweep, tmp_path / "with")
    found = load_sweep(tmp_path / "with").resamples
    assert sorted(found) == [0.1, 1.0]
    assert np.array_equal(found[0.1], sweep.resamples[0.1])
    (tmp_path / "without").mkdir()
    save_sweep(replace(sweep, resamples={}), tmp_path / "without")
    assert load_sweep(tmp_path / "without").resamples == {}
