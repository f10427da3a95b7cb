"""The simulated power and false alarms of the gate, in small: the rules that are compared, and the promise of one."""

import shutil

import pytest

from benchmarks.studies.trust import power, simulated_gate
from benchmarks.studies.trust.simulated_gate import (
    FRACTIONS,
    TAPS,
    Simulated,
    difference,
    found_in_first,
    one_large_holm,
    per_family,
    per_run,
    promised,
    simulate,
)
from geofm_eval.compare import compare
from tests.planted.compare import easy, moved, probe


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(simulated_gate, "SIMULATIONS", 300)


def test_a_drop_that_one_large_holm_swallows_is_found_by_its_family():
    same, lost = difference(20, 20), difference(27, 11)
    run = Simulated([[lost, *[same] * (TAPS * FRACTIONS - 1)], [same] * (TAPS * FRACTIONS)], TAPS)
    assert one_large_holm(run) == [False, False]
    assert per_family(run) == [True, False]
    many = Simulated([*run.cells, *[run.cells[1]] * 10], TAPS)
    assert per_run(many) == [False] * 12, "of 24 primary cases one such difference is what chance brings"


def test_a_mean_that_regressed_is_found_by_pooling_alone():
    run = Simulated([[difference(26, 14)] * (TAPS * FRACTIONS)], TAPS)
    assert one_large_holm(run) == [True]
    assert per_family(run) == [False]


def test_simulated_power_is_what_the_formula_promises(few):
    found = found_in_first(per_family, simulate(0.02, 0.04, 1))
    assert promised(0.02, 0.04, 2) == "82.6 %"
    assert found == pytest.approx(0.826, abs=0.07)
    assert found_in_first(one_large_holm, simulate(0.02, 0.04, 1)) < 0.6


def test_independent_families_err_as_often_as_they_are_many(few):
    runs = simulate(0.0, 0.04, 12)
    assert sum(any(per_family(run)) for run in runs) / len(runs) == pytest.approx(0.26, abs=0.08)
    assert sum(any(per_run(run)) for run in runs) / len(runs) < 0.06


def test_a_row_of_the_real_feature_table_gives_drop_promise_and_verdicts(tmp_path):
    old, right = tmp_path / "old", easy()
    for layer, val in (("block05", 0.9), ("final", 0.8)):
        probe(old, {"1.0": right}, layer, val=val)
    found = []
    for number, lost in enumerate((30, 12)):
        new = tmp_path / f"new{number}"
        for layer, val in (("block05", 0.9), ("final", 0.8)):
            probe(new, {"1.0": moved(right, lost, 10)}, layer, val=val, weights="b" * 64)
        found.append(compare(old, new))
    text = power.table({"noise": found})
    assert len(text.splitlines()) == 2 + 2
    first = text.splitlines()[2].strip("| ").split(" | ")
    assert first[:3] == ["eurosat_sim, block05 (chosen)", "noise", "1.1"]
    assert first[5:] == ["1 of 2", "1 of 2", "0 of 2"]
    copied = shutil.copytree(old, tmp_path / "same")
    (row, _) = power.table({"same numbers": [compare(old, copied)]}).splitlines()[2:]
    assert row.strip("| ").split(" | ")[2:] == ["0.0", "-", "0 %", "0 of 1", "0 of 1", "0 of 1"]
