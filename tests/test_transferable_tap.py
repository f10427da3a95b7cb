"""The tap that all other tasks choose, scored on the one that was left out."""

import csv
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.report.collation import collate
from geofm_eval.results.run import read_run
from geofm_eval.results.transfer import family_of, transferable_tap, transfers
from tests.collating import no_figures
from tests.planted.taps import names, planted_taps, right_items

CATALOG = load_catalog()
TAPS = names(4)
TASKS = ("crops", "floods", "fuel", "roofs")


def run_of(folder: Path, best: dict[str, int], same_items: tuple[str, ...] = ()) -> Path:
    """Tasks whose best tap, on validation and on test, is planted."""
    for number, (task, tap) in enumerate(best.items()):
        levels = [0.5] * 4
        levels[tap] = 0.8
        rng = np.random.default_rng(number)
        val, test = right_items(rng, levels, 400, own=0.1), right_items(rng, levels, 400, own=0.1)
        planted_taps(folder, val, test, task=task, items="shared" if task in same_items else "")
    return folder


def found(run: Path):
    return transfers(read_run(run), CATALOG)


def test_the_tap_is_chosen_on_the_other_tasks_and_scored_on_the_one_left_out(tmp_path: Path):
    run = run_of(tmp_path, dict(zip(TASKS, (1, 1, 1, 2), strict=True)))
    (study,) = found(run)
    assert (study.slug, study.family) == ("transferable-linear-simulated", "linear")
    rows = {row.task: row for row in study.rows}
    assert {task: row.tap for task, row in rows.items()} == dict.fromkeys(TASKS, TAPS[1])
    last = rows["roofs"]
    assert last.own.tap == TAPS[2]
    assert last.others == tuple(sorted(TASKS[:3]))
    assert last.over_own.high < 0
    assert last.over_own.value == pytest.approx(last.score.value - last.own.score.value)
    assert last.over_final is not None
    assert last.over_final.value == pytest.approx(last.score.value - last.subject.score("final", "1.0").value)
    assert last.over_final.low < last.over_final.value < last.over_final.high
    assert rows["floods"].over_own.value == 0
    assert rows["floods"].over_final.low > 0


def test_with_fewer_than_three_tasks_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = run_of(tmp_path, dict(zip(TASKS[:2], (1, 1), strict=True)))
    assert found(run) == []
    collate(run)
    assert not list((run / "tables").glob("transferable*"))
    assert "Transferable" not in (run / "tables" / "README.md").read_text("utf-8")


def test_a_task_on_the_same_items_is_no_other_task_and_counts_with_them_once(tmp_path: Path):
    run = run_of(tmp_path, dict(zip(TASKS, (1, 1, 2, 2), strict=True)), same_items=TASKS[:2])
    (study,) = found(run)
    rows = {row.task: row for row in study.rows}
    assert rows["crops"].others == ("fuel", "roofs")
    assert rows["crops"].tap == TAPS[2]
    third = run_of(tmp_path / "b", dict(zip(TASKS[:3], (1, 1, 2), strict=True)), same_items=TASKS[:2])
    (study,) = found(third)
    assert [row.task for row in study.rows] == ["fuel"]


def test_data_sets_have_equal_weights_whatever_their_number_of_tasks():
    one, other = {"a": 1.0, "b": 0.0, "c": 0.0}, {"a": 0.0, "b": 1.0, "c": 0.9}
    assert transferable_tap([[one, one, one], [other]], ["a", "b", "c"]) == "b"
    assert transferable_tap([[one], [one], [one], [other]], ["a", "b", "c"]) == "a"


def test_near_ties_weigh_less_than_clear_differences():
    near, clear = {"a": 0.501, "b": 0.5, "c": 0.1}, {"a": 0.2, "b": 0.6, "c": 0.1}
    assert transferable_tap([[near], [near], [clear]], ["a", "b", "c"]) == "b"


def test_scale_and_offset_of_a_metric_change_no_transferable_tap():
    rng = np.random.default_rng(0)
    for _ in range(20):
        tasks = [dict(zip(TAPS, rng.random(4), strict=True)) for _ in range(3)]
        moved = [{tap: 7 * value - 3 for tap, value in one.items()} for one in tasks]
        assert transferable_tap([[one] for one in tasks], TAPS) == transferable_tap([[one] for one in moved], TAPS)


def test_taps_that_a_task_lacks_are_not_chosen_and_equal_ones_go_to_the_shallower():
    assert transferable_tap([[{"a": 0.1, "b": 0.1}], [{"a": 0.3, "b": 0.3, "c": 0.9}]], ["a", "b", "c"]) == "a"
    assert transferable_tap([[{"a": 0.1}], [{"b": 0.3}]], ["a", "b"]) is None


def test_logistic_and_ridge_probes_are_one_family_and_other_poolings_another(tmp_path: Path):
    record = next(iter(planted_taps(tmp_path, np.eye(3), np.eye(3)).taps.values()))

    def family(adaptation: str, pooling: str) -> str:
        case = record.case.model_copy(update={"adaptation": adaptation})
        source = record.provenance.model_copy(update={"pooling": pooling})
        return family_of(record.model_copy(update={"case": case, "provenance": source}))

    assert family("linear", "mean") == family("ridge", "mean") == family("linear", "tokens") == "linear"
    assert [family("knn", "mean"), family("linear_cls", "cls")] == ["knn", "linear_cls"]


def test_the_table_marks_equal_taps_and_what_has_no_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    no_figures(monkeypatch)
    run = run_of(tmp_path, dict(zip(TASKS, (1, 1, 1, 2), strict=True)))
    collate(run)
    stem = run / "tables" / "transferable-linear-simulated"
    text = stem.with_suffix(".md").read_text("utf-8")
    assert text.startswith("# SIMULATED DATA: Transferable tap, linear probes")
    assert text.count("| same tap |") == 3
    assert "Minus own choice: clearly better in 0 of 4 rows with an interval, clearly worse in 1." in text
    assert stem.with_suffix(".tex").is_file()
    with stem.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {row["tap"] for row in rows} == {TAPS[1]}
    assert float(rows[-1]["minus_own_high"]) < 0
    assert "[table](transferable-linear-simulated.md)" in (run / "tables" / "README.md").read_text("utf-8")
