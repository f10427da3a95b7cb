"""Solving again with last-digit noise: the same probe, found by its features, kept solve by solve."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval.cache import list_cache
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.errors import DataError, GeofmError
from geofm_eval.measure import compatible, dense_noise, measurement_of, noise
from geofm_eval.measure.admitted import admitted_scores, by_score
from geofm_eval.measure.noise import UNPERTURBED, Blocks, Perturbation, PerturbedSolve
from geofm_eval.paths import geofm_cache
from geofm_eval.stats.scores import pooled_r2, r2
from geofm_eval.workspace import Settings, Workspace
from tests.small_chips import few_chips
from tests.small_suite import OPTIONS, install

FEW = (Perturbation(1e-7, 0), Perturbation(1e-6, 0))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Catalog and data of the small suite, and the catalog's workspace in a cache of its own."""
    folder = tmp_path_factory.mktemp("small")
    install(folder)
    return folder


@pytest.fixture
def workspace(small, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(small / "cache"))
    monkeypatch.setattr(noise, "PERTURBATIONS", FEW)
    return Workspace(load_catalog([small / "small.toml"]), Settings())


def record_of(workspace, small, adaptation="knn", layer="final"):
    suite = Suite(OPTIONS, workspace.catalog, {}, RunFolder("own", small / "own", False), "main")
    return measurement_of(context_of(suite, workspace), Case("probe", "oak", "colours", adaptation, layer)).record


def test_half_of_the_solves_have_noise_of_the_seventh_digit_half_of_the_sixth_and_one_has_none():
    levels = [one.noise for one in noise.PERTURBATIONS if not one.compatible]
    assert levels == [1e-7] * 4 + [1e-6] * 4
    assert [one.noise for one in noise.PERTURBATIONS if one.compatible] == [0.0]
    assert len({one.name for one in (UNPERTURBED, *noise.PERTURBATIONS)}) == 10


def test_every_number_is_multiplied_by_a_noise_of_its_own(workspace, small):
    job = noise.job_of(workspace, record_of(workspace, small))
    clean = np.array(job.problem.features("final", "test"), dtype=np.float64)
    first, second = (Blocks(job.blocks, "mean", Perturbation(1e-6, number))("final", "test") for number in (0, 1))
    relative = (first[clean != 0] / clean[clean != 0] - 1) / 1e-6
    assert relative.std() == pytest.approx(1.0, abs=0.2)
    assert abs(relative.mean()) < 3 / np.sqrt(relative.size)
    assert (first == Blocks(job.blocks, "mean", Perturbation(1e-6, 0))("final", "test")).all()
    assert not (first == second).all()
    assert first.dtype == np.float32
    assert (Blocks(job.blocks, "mean", UNPERTURBED)("final", "test") == clean).all()


def test_noise_below_the_step_of_float32_still_moves_some_last_digits():
    values = np.linspace(1, 2, 5000, dtype=np.float32)
    moved = noise.noisy(values, Perturbation(1e-7, 0), "final", "test")
    assert 0.3 < (moved != values).mean() < 1
    assert np.abs(moved / values - 1).max() < 6e-7


def test_the_scores_are_those_of_scikit_learn_on_the_noisy_features(workspace, small):
    record = record_of(workspace, small)
    found = admitted_scores(workspace, [record])["colours"]["final"]
    splits, blocks = workspace.splits("colours"), workspace.blocks("oak", "colours")
    for one in (UNPERTURBED, *FEW):
        x = {split: Blocks(blocks, "mean", one)("final", split).astype(np.float64) for split in ("train", "test")}
        x = {split: values - x["train"].mean(axis=0) for split, values in x.items()}
        knn = KNeighborsClassifier(20, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07))
        knn.fit(x["train"], splits["train"].labels)
        right = knn.predict(x["test"]) == splits["test"].labels
        assert found["1.0"].solves[one.name] == pytest.approx(right.mean())
    assert set(found) == set(record.scores)


@pytest.mark.parametrize("adaptation", ["knn", "linear"])
def test_the_solve_without_noise_gives_the_record_s_score(workspace, small, adaptation):
    record = record_of(workspace, small, adaptation)
    found = admitted_scores(workspace, [record])["colours"]["final"]
    for key, score in record.scores.items():
        own = found[key]
        assert own.solves["no noise"] == pytest.approx(score.value, abs=1e-12)
        assert own.low <= score.value <= own.high
        assert bool(own.draws) is (adaptation == "linear")
    if adaptation == "linear":
        places = [record.selection.candidates.index(one.chosen) for one in record.selection.choices]
        assert [draw.indices[0] for key in sorted(found) for draw in found[key].draws] == places


def test_solves_that_are_there_are_not_repeated(workspace, small, monkeypatch):
    record = record_of(workspace, small)
    before = admitted_scores(workspace, [record])
    job = noise.job_of(workspace, record)
    shutil.rmtree(noise.path_of(job.key, FEW[1]))
    solved = []
    original = noise.solve_together
    monkeypatch.setattr(noise, "solve_together", lambda *a: solved.append(1) or original(*a))
    assert admitted_scores(workspace, [record]) == before
    assert solved == [1]
    assert len(list((geofm_cache() / "noise" / "v2").iterdir())) >= 3
    assert noise.path_of(job.key, FEW[1]).name in {entry.key for entry in list_cache("noise")}


def test_a_block_that_is_gone_is_asked_for(workspace, small):
    record = record_of(workspace, small)
    keys = {**record.provenance.feature_keys, "test": "0" * 64}
    lost = record.model_copy(update={"provenance": record.provenance.model_copy(update={"feature_keys": keys})})
    with pytest.raises(DataError, match=r"block\.json is absent\. Run the case again with the same GEOFM_CACHE"):
        admitted_scores(workspace, [lost])


def test_a_record_of_another_sweep_is_refused(workspace, small):
    record = record_of(workspace, small)
    other = record.model_copy(update={"provenance": record.provenance.model_copy(update={"sweep_key": "0" * 64})})
    with pytest.raises(DataError, match="of run 'own': the current setup solves a different probe"):
        admitted_scores(workspace, [other])


# -- the process that computes as other processors do


def test_the_other_process_has_the_variable_before_its_first_product_and_this_one_does_not(monkeypatch):
    import os

    monkeypatch.delenv(compatible.VARIABLE, raising=False)
    assert compatible.compute(os.getenv, compatible.VARIABLE) == "COMPATIBLE"
    assert compatible.VARIABLE not in os.environ
    assert compatible.compute(os.getpid) == compatible.compute(os.getpid) != os.getpid()


def test_a_process_that_is_killed_says_so_and_the_next_call_starts_another():
    import os

    with pytest.raises(GeofmError, match="MKL_CBWR=COMPATIBLE was killed; free some memory"):
        compatible.compute(os._exit, 9)
    assert compatible.compute(os.getpid) != os.getpid()


def test_the_other_process_solves_the_same_blocks(workspace, small, monkeypatch):
    monkeypatch.setattr(noise, "PERTURBATIONS", (Perturbation(compatible=True),))
    monkeypatch.setattr(noise, "NOISE_VERSION", "test")
    record = record_of(workspace, small)
    found = admitted_scores(workspace, [record])["colours"]["final"]["1.0"]
    assert found.solves == pytest.approx({"no noise": record.scores["1.0"].value, "MKL_CBWR=COMPATIBLE": found.low})


def test_without_mkl_there_is_a_solve_less_and_the_log_says_so(monkeypatch, caplog):
    assert any(one.compatible for one in noise.solves_of("cpu")) is compatible.available("cpu")
    assert not compatible.available("cuda:0")
    monkeypatch.setattr(compatible, "available", lambda _: False)
    assert noise.solves_of("cpu") == (UNPERTURBED, *noise.PERTURBATIONS[:-1])
    assert "cpu has no MKL, so ranges are based on one solve less (MKL_CBWR=COMPATIBLE)" in caplog.text


# -- from solves to scores


class _Job:
    """A job whose problem is planted."""

    def __init__(self, problem, shuffled):
        self.problem, self.splits = problem, {"all" if shuffled else "test": None}


def planted(explored, leads, targets=None):
    """One tap, one draw per row of ``explored``; the second penalty is tied in the first draw alone."""
    from types import SimpleNamespace

    from geofm_eval.data.labels import LabelSubset

    y = np.zeros(4) if targets is None else targets
    subsets = [LabelSubset(1.0, draw, np.arange(2), np.arange(len(y))) for draw in range(len(explored))]
    problem = SimpleNamespace(
        taps=("final",),
        subsets=subsets,
        regression=targets is not None,
        folds=0,
        labels={"test": y},
        tested=lambda subset: SimpleNamespace(split="test", held_out=subset.test),
    )
    explored, leads = np.array(explored, dtype=float), np.array(leads, dtype=np.float32)
    exact = PerturbedSolve(leads, np.ones(len(leads)), np.zeros(len(leads), dtype=np.int64), explored[:, 0], explored)
    noisy = replace(exact, above=leads + np.float32(1e-6) * (leads > 0), explored=explored[:, :0])
    return problem, {UNPERTURBED: exact, FEW[0]: noisy}


def test_the_ends_are_the_means_of_each_draw_s_extremes_over_admissible_penalties():
    problem, solves = planted([[0.5, 0.7, 0.1], [0.6, 0.9, 0.1]], [[0, 1e-6, 0.1], [0, 1e-3, 0.1]])
    found = by_score(_Job(problem, shuffled=False), solves)["final"]["1.0"]
    assert (found.low, found.high) == pytest.approx((0.55, 0.65))
    assert [one.indices for one in found.draws] == [(0, 1), (0,)]
    assert found.solves == pytest.approx({"no noise": 0.55, "noise 1e-07, solve 0": 0.55})


def test_squared_errors_of_shuffles_are_pooled_and_of_draws_averaged():
    y, p = np.array([1.0, 2.0, 3.0, 5.0]), np.array([[1.5, 2, 3, 4], [1, 2, 2, 5], [0, 2, 3, 5]])
    errors = np.square(p - y).sum(1)
    problem, solves = planted([[errors[0], errors[1]], [errors[2], 9.0]], [[0, 1e-6], [0, 1e-3]], y)
    pooled = by_score(_Job(problem, shuffled=True), solves)["final"]["1.0"]
    ends = [pooled_r2(np.stack([p[first], p[2]]), y) for first in (0, 1)]
    assert (pooled.low, pooled.high) == pytest.approx((min(ends), max(ends)))
    averaged = by_score(_Job(problem, shuffled=False), solves)["final"]["1.0"]
    ends = [np.mean([r2(y, p[first]), r2(y, p[2])]) for first in (0, 1)]
    assert (averaged.low, averaged.high) == pytest.approx((min(ends), max(ends)))


def test_votes_of_a_probe_without_penalties_are_combined_over_all_solves():
    problem, solves = planted([[0.5, 0.6], [0.6, 0.6]], np.zeros((2, 0)))
    gone = np.full(2, -1)
    exact = replace(solves[UNPERTURBED], chosen=gone)
    other = replace(exact, explored=np.array([[0.4, 0.5], [0.6, 0.7]]), tested=np.array([0.45, 0.65]))
    found = by_score(_Job(problem, shuffled=False), {UNPERTURBED: exact, FEW[0]: other})["final"]["1.0"]
    assert (found.low, found.high) == pytest.approx((0.5, 0.65))
    assert found.draws == ()


def test_a_draw_without_validation_has_its_default_penalty_alone():
    problem, solves = planted([[0.5, 0.7]], [[0, 1e-6]])
    blind = {one: replace(solve, lowest=np.array([np.nan])) for one, solve in solves.items()}
    found = by_score(_Job(problem, shuffled=False), blind)["final"]["1.0"]
    assert (found.low, found.high, found.draws[0].indices) == (0.5, 0.5, (0,))


# -- the dense probe


@pytest.fixture
def dense(tmp_path, monkeypatch):
    """Workspace and record of a dense probe of few chips."""
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(noise, "PERTURBATIONS", (*FEW, Perturbation(compatible=True)))
    catalog = few_chips(monkeypatch)
    workspace = Workspace(catalog, Settings())
    suite = Suite(OPTIONS, catalog, {}, RunFolder("own", tmp_path / "own", False), "main")
    case = Case("probe", "pocket_random", "sen1floods11_sim", "linear", "block03")
    return workspace, measurement_of(context_of(suite, workspace), case).record


def test_the_dense_probe_is_encoded_once_solved_with_noise_and_tested_in_one_pass(dense, monkeypatch):
    workspace, record = dense
    encoded = []
    original = dense_noise.DenseProbe.sampled
    monkeypatch.setattr(dense_noise.DenseProbe, "sampled", lambda probe: encoded.append(1) or original(probe))
    (scores,) = admitted_scores(workspace, [record]).values()
    own = scores["block03"]["1.0"]
    assert encoded == [1]
    assert set(scores["block03"]) == set(record.scores) == {"1.0"}
    assert list(own.solves) == ["no noise", *(one.name for one in noise.PERTURBATIONS)]
    assert own.solves["no noise"] == pytest.approx(record.scores["1.0"].value, abs=1e-12)
    assert own.low <= record.scores["1.0"].value <= own.high
    (choice,), (draw,) = record.selection.choices, own.draws
    assert record.selection.candidates.index(choice.chosen) == draw.indices[0]
    assert draw.gap == pytest.approx(choice.runner_up_gap, rel=5e-4), "records keep four digits"
    assert all(abs(value - own.solves["no noise"]) < 0.01 for value in own.solves.values())
    assert admitted_scores(workspace, [record]) == {record.case.task: scores}
    assert encoded == [1], "kept as a whole, and read again"


def test_a_penalty_that_the_dense_probe_admits_is_tested(dense, monkeypatch):
    workspace, record = dense
    monkeypatch.setattr(dense_noise, "choices", lambda above, noisy, chosen, lowest: item_choices(chosen))
    (scores,) = admitted_scores(workspace, [record]).values()
    own = scores["block03"]["1.0"]
    assert own.low < own.high, "the strongest and the weakest penalty do not score alike"
    assert own.low <= record.scores["1.0"].value <= own.high


def item_choices(chosen):
    from geofm_eval.expected.admissible import Choices

    return Choices((chosen, *(k for k in (0, 39) if k != chosen)), 0.0)
