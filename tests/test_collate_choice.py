"""Which tap and which control are chosen, and how models are ranked."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.records import read_outcomes, write_record
from geofm_eval.report.collation import collate
from geofm_eval.results.taps import choose_tap, val_score
from geofm_eval.stats.scores import paired_interval
from tests.collating import (
    MODEL,
    SMALL,
    rows_of,
    subject_of,
)
from tests.synthetic_run import Synthetic, make_record, write_run


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.9]), st.floats(0, 1)), min_size=2, max_size=6))
def test_validation_alone_chooses_the_tap_and_ties_go_to_the_shallower(scores: list[tuple[float, float]]):
    vals, tests = [val for val, _ in scores], [test for _, test in scores]
    subject = subject_of(vals, tests)
    chosen = choose_tap(subject, "1.0")
    assert chosen is not None
    first_best = vals.index(max(vals))
    assert chosen.tap == list(subject.taps)[first_best]
    assert chosen.score.value == tests[first_best]
    assert chosen.candidates == len(vals)


def test_the_mean_over_draws_decides_below_all_labels():
    subject = subject_of([0.5, 0.5], [0.3, 0.4])
    record = subject.taps["final"]
    assert record.selection is not None
    one = record.selection.choices[0]
    values = enumerate((0.2, None, 0.9))
    other = [replace(one, fraction=0.1, draw=draw, val_score=value) for draw, value in values]
    selection = record.selection.model_copy(update={"choices": tuple(other)})
    assert val_score(record.model_copy(update={"selection": selection}), "0.1") == pytest.approx(0.55)
    assert val_score(record.model_copy(update={"selection": selection}), "1.0") is None


def test_ranks_gains_and_paired_intervals(run: Path):
    (ranking,) = collate(run).rankings
    assert sorted(rows_of(ranking).values()) == [1, 2, 3]
    top = ranking.rows[0]
    assert top.subject.model == "galileo_nano"
    assert top.final is not None
    assert top.gain is not None
    assert top.gain.value == pytest.approx(top.chosen.score.value - top.final.value)
    assert top.over_control is not None
    assert top.control in {"band_stats", "galileo_nano_random"}
    control = next(row for row in ranking.rows if row.subject.model == top.control)
    assert top.over_control.value == pytest.approx(top.chosen.score.value - control.chosen.score.value)
    a, b = (read_outcomes(run, row.subject.taps[row.chosen.tap]) for row in (top, control))
    assert a is not None
    assert b is not None
    expected = paired_interval(a.correct["1.0"], b.correct["1.0"])
    assert expected is not None
    assert (top.over_control.low, top.over_control.high) == (expected.low, expected.high)
    assert control.over_control is None


def test_the_best_control_is_chosen_on_validation_and_equal_scores_share_a_rank(tmp_path: Path, without_figures: None):
    twins = (MODEL, Synthetic("rcf", (0.6,), control=True), Synthetic("band_stats", (0.6,), control=True))
    run = write_run(tmp_path / "twins", twins, ("eurosat_sim",), ("linear",))
    same, outcomes = make_record(twins[1], "eurosat_sim", "linear", "final")
    for twin, val in ((twins[1], 0.4), (twins[2], 0.7)):
        record, _ = make_record(twin, "eurosat_sim", "linear", "final")
        assert record.selection is not None
        choices = tuple(replace(c, val_score=val) for c in record.selection.choices)
        selection = record.selection.model_copy(update={"choices": choices})
        edited = record.model_copy(update={"scores": same.scores, "selection": selection})
        write_record(edited, outcomes, run)
    (ranking,) = collate(run).rankings
    assert rows_of(ranking) == {"galileo_nano": 1, "rcf": 2, "band_stats": 2}
    assert ranking.control == "band_stats"


def test_a_model_of_one_tap_has_no_gain(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "one", SMALL[2:], ("eurosat_sim",), ("linear",))
    collation = collate(run)
    (row,) = collation.rankings[0].rows
    assert row.gain is None
    assert row.over_control is None
    assert row.chosen.candidates == 1
    assert collation.problems == ()
    assert "band_stats (c)" in collation.text
