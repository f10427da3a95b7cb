"""Regression targets of the same items: solved in one pass, each as if it had been solved alone."""

import dataclasses
import os
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.model_selection import ShuffleSplit

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.data.shuffle_splits import SEED, SHUFFLES, TEST_SHARE, published_order, shuffled_subsets, shuffles
from geofm_eval.datasets import open_splits
from geofm_eval.probes import job as probe_job
from geofm_eval.probes import ridge
from geofm_eval.probes.problem import ProbeProblem
from geofm_eval.probes.sweep import solve_together
from geofm_eval.stats.reselection import RESAMPLES
from geofm_eval.workspace import Settings, Workspace
from tests.processes import CONTEXT, set_environment

N, WIDTH, TAPS = 60, 12, ("embed", "final")
TARGETS = ("neuco_sim_clouds_reg", "neuco_sim_biomass_std", "neuco_sim_landcover_agriculture")


def problems(count: int = 3) -> list[ProbeProblem]:
    rng = np.random.default_rng(0)
    features = {tap: rng.normal(size=(N, WIDTH)).astype(np.float32) for tap in TAPS}
    found = []
    for number in range(count):
        labels = features["final"] @ rng.normal(size=WIDTH) + rng.normal(size=N)
        subsets, plans = shuffled_subsets(labels, (0.2, 1.0), seed=number)
        found.append(
            ProbeProblem(
                lambda tap, _: features[tap], {"all": labels}, TAPS, tuple(subsets), plans, 0, torch.device("cpu")
            )
        )
    return found


def test_a_target_is_the_same_alone_and_together():
    together = solve_together("ridge", problems(), "mean")
    for problem, sweep in zip(problems(), together, strict=True):
        alone = solve_together("ridge", [problem], "mean")[0]
        assert alone.resamples[1.0].shape == sweep.resamples[1.0].shape == (len(TAPS), RESAMPLES)
        np.testing.assert_array_equal(alone.resamples[1.0], sweep.resamples[1.0])
        for one, other in zip(alone.rows, sweep.rows, strict=True):
            np.testing.assert_array_equal(one.outcomes, other.outcomes)
            plain = [{**vars(row), "outcomes": None, "validation": None} for row in (one, other)]
            assert plain[0] == plain[1]


def test_with_all_labels_targets_share_every_decomposition(monkeypatch: pytest.MonkeyPatch):
    counted = {"decompositions": 0}
    real = ridge.decompose

    def decompose(*arguments: object) -> object:
        counted["decompositions"] += 1
        return real(*arguments)

    monkeypatch.setattr(ridge, "decompose", decompose)
    for count in (1, 3):
        whole = [
            dataclasses.replace(problem, subsets=tuple(s for s in problem.subsets if s.fraction == 1.0))
            for problem in problems(count)
        ]
        counted["decompositions"] = 0
        solve_together("ridge", whole, "mean")
        # The fit that is tested and five inner folds, whatever the number of targets.
        assert counted["decompositions"] == len(TAPS) * SHUFFLES * 6


def small_catalog() -> Catalog:
    """Targets of a small stand-in, and a control to solve them with."""
    known = load_catalog()
    small = {"sizes": (24, 0, 0), "label_fractions": (1.0,)}
    tasks = {
        slug: known.task(slug).model_copy(update={**small, "options": {**known.task(slug).options, "chip": 24}})
        for slug in TARGETS
    }
    return dataclasses.replace(known, tasks=tasks)


@pytest.fixture
def catalog() -> Catalog:
    return small_catalog()


def seconds_of(slug: str) -> float:
    """Solve a target in a process of its own."""
    return Workspace(small_catalog(), Settings()).sweep("band_stats", slug, "ridge").seconds


def test_two_processes_that_want_two_targets_solve_once():
    given = (dict(os.environ),)
    with ProcessPoolExecutor(2, mp_context=CONTEXT, initializer=set_environment, initargs=given) as pool:
        first, second = pool.map(seconds_of, TARGETS[:2])
    assert first == second, "targets of one pass share its time, to the last digit; those of two passes do not"


def test_siblings_are_solved_with_the_first_and_found_by_the_others(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    solved: list[int] = []
    real = probe_job.solve_together

    def solve(probe, given, pooling):
        solved.append(len(given))
        return real(probe, given, pooling)

    monkeypatch.setattr(probe_job, "solve_together", solve)
    keys = {Workspace(catalog, Settings()).sweep("band_stats", slug, "ridge").key for slug in TARGETS}
    assert solved == [3], "the first target solves all, whichever workspace asks for the others"
    assert len(keys) == 3


def test_a_sibling_that_cannot_be_solved_is_left_out(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    gone = catalog.tasks[TARGETS[1]]
    catalog.tasks[TARGETS[1]] = gone.model_copy(update={"options": {**gone.options, "target": "unknown"}})
    sweep = Workspace(catalog, Settings()).sweep("band_stats", TARGETS[0], "ridge")
    assert np.isfinite(sweep.rows[0].test_score)


def test_a_killed_solve_leaves_nothing_half_written(catalog: Catalog, monkeypatch: pytest.MonkeyPatch):
    real = probe_job._save
    saved: list[str] = []

    def interrupted(sweep, folder):
        if saved:
            raise KeyboardInterrupt
        saved.append(sweep.key)
        return real(sweep, folder)

    monkeypatch.setattr(probe_job, "_save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Workspace(catalog, Settings()).sweep("band_stats", TARGETS[0], "ridge")
    monkeypatch.setattr(probe_job, "_save", real)
    solved: list[int] = []
    together = probe_job.solve_together
    monkeypatch.setattr(probe_job, "solve_together", lambda p, g, pool: solved.append(len(g)) or together(p, g, pool))
    for slug in TARGETS:
        Workspace(catalog, Settings()).sweep("band_stats", slug, "ridge")
    assert solved == [2], "what was written before stays, the rest is solved"


def test_folds_follow_the_published_table_whatever_the_order_of_items(monkeypatch: pytest.MonkeyPatch):
    task = load_catalog().task(TARGETS[0]).model_copy(update={"sizes": (30, 0, 0)})
    items = open_splits(task)["all"].items
    table = np.random.default_rng(1).permutation(len(items))
    ranked = [dataclasses.replace(item, rank=int(rank)) for item, rank in zip(items, table, strict=True)]
    published = [item.id for item in sorted(ranked, key=lambda item: item.rank)]
    expected = ShuffleSplit(SHUFFLES, test_size=TEST_SHARE, random_state=SEED).split(np.zeros((len(items), 1)))
    for found, (_, test) in zip(shuffles(len(items), order=published_order(ranked)), expected, strict=True):
        assert {items[i].id for i in found.test} == {published[i] for i in test}


def test_blocks_keep_neighbours_apart_and_share_features():
    known = load_catalog()
    small = {"sizes": (60, 0, 0), "label_fractions": (1.0,)}
    plain, blocked = (known.task(f"neuco_sim_biomass_mean{end}") for end in ("", "_blocks"))
    tasks = {
        task.slug: task.model_copy(update={**small, "options": {**task.options, "chip": 24}})
        for task in (plain, blocked)
    }
    workspace = Workspace(dataclasses.replace(known, tasks=tasks), Settings())
    keys = [workspace.blocks("band_stats", slug)["all"].key for slug in tasks]
    assert keys[0] == keys[1]
    split = workspace.splits(blocked.slug)["all"]
    assert split.definition == "custom"
    cells = np.array([f"{item.lonlat[0] // 2}/{item.lonlat[1] // 2}" for item in split.items if item.lonlat])
    for subset in workspace.budget(blocked.slug).subsets:
        assert not set(cells[subset.test]) & set(cells[subset.indices])
        folds = workspace.budget(blocked.slug).plans[subset.fraction, subset.draw].folds
        inner = [set(cells[subset.indices][fold]) for fold in folds]
        assert sum(map(len, inner)) == len(set.union(*inner)), "a cell lies in one inner fold"
        assert sorted(np.concatenate(folds)) == list(range(len(subset.indices)))
