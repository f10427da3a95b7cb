"""The part of the labels that a score rests on is the one that was drawn, wherever it is named."""

import re
from dataclasses import replace

import pytest

from geofm_eval.expected import judge
from geofm_eval.factors.factorial import probed_factorial
from geofm_eval.ranking.grouping import settings
from geofm_eval.report.advice import advised
from geofm_eval.report.collation import collate
from geofm_eval.report.ranks.words import setting_label
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import read_run
from geofm_eval.results.units import of_labels, share_of_labels
from tests import synthetic_run
from tests.collating import CATALOG, SMALL, no_figures
from tests.planted.ranges import ORIGIN, on_cpu, ranges_for
from tests.synthetic_run import make_record, write_run

FEW = ((0.01, 5, 10), (0.1, 5, 28), (0.2, 5, 60), (1.0, 1, 270))
"""One label of every stratum at least: 1 % is 10 of 270, 20 % is 60, and 10 % is near what was asked."""

ASKED = re.compile(r"\b(1|20)(\.0)? %(?! asked)")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(synthetic_run, "FRACTIONS", FEW)


def test_what_was_drawn_is_named_with_its_count_and_what_was_asked(few):
    scores = make_record(SMALL[0], "eurosat_sim", "linear", "final")[0].scores
    assert of_labels(scores, "0.01") == "3.7 % of the labels (10 of 270; 1 % asked)"
    assert of_labels(scores, "0.1") == "10 % of the labels", "28 of 270 is near"
    assert of_labels(scores, "1.0") == "100 % of the labels"
    assert (share_of_labels(scores, "0.01"), share_of_labels(scores, "0.2")) == ("3.7 %", "22.2 %")


def test_without_a_score_at_all_labels_the_fraction_is_as_asked(few):
    scores = dict(make_record(SMALL[0], "eurosat_sim", "linear", "final")[0].scores)
    del scores["1.0"]
    assert of_labels(scores, "0.01") == "1 % of the labels"
    assert of_labels({}, "0.1") == "10 % of the labels"


def test_an_exact_fraction_is_as_asked():
    scores = make_record(SMALL[0], "eurosat_sim", "linear", "final")[0].scores
    assert [of_labels(scores, key) for key in scores] == [f"{part} % of the labels" for part in (1, 10, 100)]


def test_no_page_table_or_terminal_text_names_a_share_that_was_not_drawn(few, tmp_path, monkeypatch):
    no_figures(monkeypatch)
    run = write_run(tmp_path / "few", SMALL, ("eurosat_sim",), ("linear", "knn"))
    text = collate(run, CATALOG).text
    pages = {path.name: path.read_text(encoding="utf-8") for path in (run / "tables").glob("*.md")}
    pages |= {"terminal": text, "advice": advised(run, CATALOG, "eurosat_sim").text()}
    wrong = {name: found[0] for name, page in pages.items() if (found := ASKED.search(page))}
    assert wrong == {}
    assert "3.7 % of the labels (10 of 270; 1 % asked)" in pages["eurosat_sim-linear-labels.md"]


def test_levels_and_settings_are_named_by_what_was_drawn(few, tmp_path):
    found = read_run(write_run(tmp_path / "few", SMALL, ("eurosat_sim",), ("linear",)))
    (comparison,), _ = comparisons(found)
    made = probed_factorial([one for one in comparison.subjects if len(one.taps) > 1])
    assert made is not None
    (levels,) = [one.levels for one in made.factors if one.name == "labels"]
    assert set(levels) == {"3.7 %", "10 %", "22.2 %"}
    labels = {setting_label(one) for one in settings(found)}
    assert "3.7 % of the labels (10 of 270; 1 % asked)" in labels


def test_a_range_that_is_not_verified_here_names_what_was_drawn(few):
    record = on_cpu(make_record(SMALL[0], "eurosat_sim", "linear", "final")[0])
    ranges = ranges_for(record, "0.01", lo=0.01, hi=0.02, mean=0.015, origin=replace(ORIGIN, architectures=("vax",)))
    (one,) = [one for one in judge(record, ranges).judged if one.fraction == "0.01"]
    assert "at 3.7 % of the labels (10 of 270; 1 % asked), outside" in one.reason
