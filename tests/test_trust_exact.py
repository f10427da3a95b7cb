"""Comparing probes with independent float64 solvers: they agree, and a probe that is not exact is found."""

from dataclasses import replace

import pytest

from benchmarks.studies.trust import exact
from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.measure import measurement_of
from geofm_eval.probes.sweep import solve_together
from geofm_eval.workspace import Settings, Workspace
from tests.small_chips import few_chips
from tests.small_suite import OPTIONS, install
from tests.test_targets_together import problems


@pytest.mark.parametrize("adaptation", ["linear", "knn"])
def test_probes_choose_and_answer_as_the_independent_optimum(tmp_path, monkeypatch, adaptation):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    install(tmp_path)
    workspace = Workspace(load_catalog([tmp_path / "small.toml"]), Settings())
    suite = Suite(OPTIONS, workspace.catalog, {}, RunFolder("own", tmp_path / "own", False), "main")
    record = measurement_of(context_of(suite, workspace), Case("probe", "oak", "colours", adaptation, "final")).record
    rows = exact.measured(workspace, record)
    assert rows
    for row in rows:
        assert row["chosen"][1] == row["chosen"][2]
        assert row["moved"][1] == 0
        assert row["loss_error"][1] < 1e-7


def ridge_rows(spoiled=None):
    problem = problems(1)[0]
    sweep = solve_together("ridge", [problem], "mean")[0]
    now = replace(sweep, rows=[spoiled(row) for row in sweep.rows]) if spoiled else sweep
    return list(exact.compared(problem, "ridge", now, sweep))


def test_ridge_chooses_and_predicts_as_the_independent_optimum():
    rows = ridge_rows()
    assert rows
    for row in rows:
        assert row["chosen"][1] == row["chosen"][2]
        assert row["moved"] == [0, 0]
        assert row["apart"][1] < 1e-4


def test_a_probe_that_is_not_exact_is_found():
    rows = ridge_rows(lambda row: replace(row, chosen_index=row.chosen_index + 1, outcomes=row.outcomes + 9))
    for row in rows:
        assert row["chosen"][0] == row["chosen"][2] != row["chosen"][1]
        assert row["moved"][0] == 0 < row["moved"][1]


def test_the_dense_probe_chooses_and_answers_as_the_independent_optimum(tmp_path, monkeypatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    catalog = few_chips(monkeypatch)
    workspace = Workspace(catalog, Settings())
    suite = Suite(OPTIONS, catalog, {}, RunFolder("own", tmp_path / "own", False), "main")
    case = Case("probe", "pocket_random", "sen1floods11_sim", "linear", "block03")
    rows = exact.measured(workspace, measurement_of(context_of(suite, workspace), case).record)
    assert {row["tap"] for row in rows} > {"block00", "block03"}
    for row in rows:
        assert row["probe"] == "dense"
        assert row["chosen"][1] == row["chosen"][2]
        assert row["moved"][1] == 0
        assert row["loss_error"][1] < 1e-7


def test_the_table_counts_what_differs_on_the_path_and_in_the_probe():
    row = {"probe": "linear", "seconds": [3.0, 4.0], "fraction": 1.0, "gap": 2e-4, "loss_error": [1e-5, 1e-9]}
    rows = [{**row, "chosen": [1, 2, 2], "moved": [3, 0]}, {**row, "chosen": [2, 2, 2], "moved": [1, 1]}]
    *_, counted, _, linear, dense = exact.table([rows])
    assert counted == "| linear | 1 | 2 | 1, 0 | 4, 1 | 1.0e-05, 1.0e-09 | 0, 2 |"
    assert linear == "linear probes: 3 s for the path alone, 4 s for the probe"
    assert dense == "dense probes: 0 s for the path alone, 0 s for the probe"
