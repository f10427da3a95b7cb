"""Regression in tables and figures: R2, which may be negative, with its error, unit and what was left out."""

import csv
from pathlib import Path

import pytest

from geofm_eval.records import read_outcomes, write_record
from geofm_eval.report.collation import collate
from geofm_eval.report.probes.terminal import sparkbar
from geofm_eval.stats.scores import paired_r2_interval, paired_shuffle_interval
from tests.collating import CATALOG, SMALL, no_figures, rows_of
from tests.synthetic_regression import UNIT, make_regression, write_regression_run
from tests.synthetic_run import make_record

TASK = "biomass_sim"


def table(run: Path, name: str) -> str:
    return (run / "tables" / f"{TASK}-ridge-{name}.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("shuffled", [False, True], ids=["holdout", "shuffles"])
def test_differences_are_paired_over_the_same_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shuffled: bool
):
    no_figures(monkeypatch)
    run = write_regression_run(tmp_path / "run", SMALL, TASK, shuffled)
    collation = collate(run, CATALOG)
    assert collation.problems == ()
    (ranking,) = collation.rankings
    assert rows_of(ranking)["galileo_nano"] == 1
    top = ranking.rows[0]
    control = next(row for row in ranking.rows if row.subject.model == top.control)
    a, b = (read_outcomes(run, row.subject.taps[row.chosen.tap]) for row in (top, control))
    assert a is not None
    assert b is not None
    assert a.target is not None
    pair = a.prediction["1.0"], b.prediction["1.0"], a.target
    expected = paired_shuffle_interval(*pair, top.chosen.score.n_train) if shuffled else paired_r2_interval(*pair)
    assert expected is not None
    assert top.over_control is not None
    assert (top.over_control.low, top.over_control.high) == (expected.low, expected.high)


def test_tables_name_the_error_the_unit_and_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = write_regression_run(tmp_path / "run", SMALL, TASK)
    ranking = collate(run, CATALOG).rankings[0]
    text = table(run, "ranking")
    assert "| R2 [interval] | RMSE (t/ha) |" in text
    assert f"| {ranking.rows[0].chosen.score.extra['rmse']:.4g} |" in text
    assert "Samples left out: test 2 (the target is NaN)." in text
    assert "4 dates, passed one by one, features averaged" in text
    assert "below 0 is worse than its mean" in text
    assert "Shuffle splits" not in text
    assert "| -" in table(run, "labels"), "a negative R2 at few labels is shown as it is"
    with (run / "tables" / f"{TASK}-ridge-ranking.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert (row["metric"], row["target_unit"], row["neuco_q"]) == ("r2", UNIT, "")
    assert float(row["rmse"]) == ranking.rows[0].chosen.score.extra["rmse"]


def test_shuffle_splits_are_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = write_regression_run(tmp_path / "run", SMALL[2:], TASK, shuffled=True)
    collate(run, CATALOG)
    text = table(run, "ranking")
    assert "Shuffle splits: 40 random test sets" in text
    assert "95 %, crossed over shuffles and items, shared training items counted, covering shuffle splits" in text
    with (run / "tables" / f"{TASK}-ridge-ranking.csv").open(encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert float(row["neuco_q"]) > 0


def test_accuracy_and_r2_stand_in_tables_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = write_regression_run(tmp_path / "run", SMALL[2:], TASK)
    write_record(*make_record(SMALL[2], "eurosat_sim", "linear", "final", "run"), run)
    text = collate(run, CATALOG).text
    assert "test R2, 100 % of the labels" in text
    assert "test accuracy (%), 100 % of the labels" in text


def test_predictions_of_other_items_are_not_paired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = write_regression_run(tmp_path / "run", SMALL, TASK)
    for tap in SMALL[0].taps:
        record, outcomes = make_regression(SMALL[0], TASK, tap)
        moved = {name: array if name == "ids" else array + 1 for name, array in outcomes.items()}
        write_record(record, moved, run)
    collation = collate(run, CATALOG)
    assert any("differ in samples or draws: no paired interval" in problem for problem in collation.problems)


def test_figures_cut_what_is_far_below_zero(tmp_path: Path):
    run = write_regression_run(tmp_path / "run", SMALL, TASK)
    collate(run, CATALOG)
    for name in ("depth", "labels"):
        assert (run / "figures" / f"{TASK}-ridge-{name}.png").stat().st_size > 20_000
    assert sparkbar(-4.0, -0.5, 1.0) == "▁"
