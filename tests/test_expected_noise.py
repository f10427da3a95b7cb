"""Solving again with a little noise: the same probe, found by its features, kept solve by solve."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from fixtures.measure import measure, measure_dense
from fixtures.runs import Run
from fixtures.suite import Suite
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.data.seeds import generator
from geofm_eval.errors import DataError
from geofm_eval.expected import noise
from geofm_eval.paths import geofm_cache
from geofm_eval.pipeline import Settings, Workspace
from tests.small_chips import chips
from tests.small_suite import OPTIONS, install


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Catalog and data of the small suite, and the catalog's workspace in a cache of its own."""
    folder = tmp_path_factory.mktemp("small")
    install(folder)
    return folder


@pytest.fixture
def workspace(small, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(small / "cache"))
    monkeypatch.setattr(noise, "SOLVES", 3)
    return Workspace(load_catalog([small / "small.toml"]), Settings())


def record_of(workspace, small, adaptation="knn", layer="final"):
    suite = Suite(OPTIONS, workspace.catalog, {}, Run("own", small / "own", False), "main")
    return measure(workspace, suite, Case("probe", "oak", "colours", adaptation, layer)).record


def test_every_number_is_multiplied_by_a_noise_of_its_own(workspace, small):
    record = record_of(workspace, small)
    job = noise._job(workspace, record)
    clean = np.array(job.problem.features("final", "test"))
    first, second = (noise._Noisy(job, number)("final", "test") for number in (0, 1))
    relative = (first[clean != 0] / clean[clean != 0] - 1) / noise.NOISE
    assert relative.std() == pytest.approx(1.0, abs=0.1)
    assert abs(relative.mean()) < 0.1
    assert (first == noise._Noisy(job, 0)("final", "test")).all()
    assert not (first == second).all()
    assert first.dtype == np.float32


def test_the_scores_are_those_of_scikit_learn_on_the_noisy_features(workspace, small):
    record = record_of(workspace, small)
    found = noise.noisy_scores(workspace, [record])["colours"]
    splits, blocks = workspace.splits("colours"), workspace.blocks("oak", "colours")
    for number, scores in enumerate(found):
        x = {}
        for split in ("train", "test"):
            values = np.array(blocks[split].features("final"))
            draw = generator("feature noise", number, "final", split).standard_normal(values.shape, dtype=np.float32)
            x[split] = values * (1 + np.float32(1e-4) * draw)
        x = {split: one - x["train"].mean(axis=0) for split, one in x.items()}
        knn = KNeighborsClassifier(20, metric="cosine", weights=lambda d: np.exp((1 - d) / 0.07))
        knn.fit(x["train"], splits["train"].labels)
        right = knn.predict(x["test"]) == splits["test"].labels
        assert scores["final"]["1.0"] == pytest.approx(right.mean())
    assert set(found[0]) == set(workspace.catalog.model("oak").taps)
    assert set(found[0]["final"]) == set(record.scores)


def test_without_noise_the_score_is_the_record_s(workspace, small, monkeypatch):
    monkeypatch.setattr(noise, "NOISE", 0.0)
    for adaptation in ("knn", "linear"):
        record = record_of(workspace, small, adaptation)
        (scores, *_) = noise.noisy_scores(workspace, [record])["colours"]
        assert scores["final"] == {key: pytest.approx(score.value, abs=1e-12) for key, score in record.scores.items()}


def test_solves_that_are_there_are_not_repeated(workspace, small, monkeypatch):
    record = record_of(workspace, small)
    before = noise.noisy_scores(workspace, [record])
    job = noise._job(workspace, record)
    shutil.rmtree(noise._path(job.key, 1))
    solved = []
    original = noise.solve_together
    monkeypatch.setattr(noise, "solve_together", lambda *a: solved.append(1) or original(*a))
    assert noise.noisy_scores(workspace, [record]) == before
    assert solved == [1]
    assert len(list((geofm_cache() / "noise" / "v1").iterdir())) >= 3


def test_a_block_that_is_gone_is_asked_for(workspace, small):
    record = record_of(workspace, small)
    keys = {**record.provenance.feature_keys, "test": "0" * 64}
    lost = record.model_copy(update={"provenance": record.provenance.model_copy(update={"feature_keys": keys})})
    with pytest.raises(DataError, match=r"block\.json is absent: run the case again here, with the same GEOFM_CACHE"):
        noise.noisy_scores(workspace, [lost])


def test_a_record_of_another_sweep_is_refused(workspace, small):
    record = record_of(workspace, small)
    other = record.model_copy(update={"provenance": record.provenance.model_copy(update={"sweep_key": "0" * 64})})
    with pytest.raises(DataError, match="oak-colours-knn-final of run 'own': what is here solves another probe"):
        noise.noisy_scores(workspace, [other])


def test_the_dense_probe_is_solved_and_tested_on_noisy_maps(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(noise, "SOLVES", 1)
    known = load_catalog()
    task = known.task("sen1floods11_sim").model_copy(update={"label_fractions": (1.0,), "draws": 1})
    catalog = replace(known, tasks={task.slug: task})
    sizes = (("train", 6, 0), ("val", 3, 50), ("test", 3, 70))
    splits = {name: chips(task, name, count=count, first=first) for name, count, first in sizes}
    monkeypatch.setattr("geofm_eval.pipeline.open_splits", lambda _: splits)
    workspace = Workspace(catalog, Settings())
    suite = Suite(OPTIONS, catalog, {}, Run("own", tmp_path / "own", False), "main")
    record = measure_dense(workspace, suite, Case("probe", "pocket_random", task.slug, "linear", "block03")).record
    ((scores,),) = noise.noisy_scores(workspace, [record]).values()
    assert set(scores["block03"]) == set(record.scores) == {"1.0"}
    assert scores["block03"]["1.0"] == pytest.approx(record.scores["1.0"].value, abs=0.03)
    probe = workspace.dense_probe("pocket_random", task.slug)
    monkeypatch.setattr(noise, "NOISE", 0.0)
    still = noise._dense_solve(probe, 0, workspace)
    assert still["block03"]["1.0"] == pytest.approx(record.scores["1.0"].value, abs=1e-9)
