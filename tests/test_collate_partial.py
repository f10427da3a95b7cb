"""Runs that are not whole: what is missing is named, and what is there is collated."""

from pathlib import Path

import numpy as np
import pytest

from geofm_eval.records import append_skip, pack, read_record, record_path, write_record
from geofm_eval.report.collation import collate
from geofm_eval.results.run import read_run
from tests.collating import (
    MODEL,
    change,
    fail,
    page,
    rows_of,
)
from tests.synthetic_run import make_record


def test_an_archive_is_collated_next_to_it(run: Path, tmp_path: Path):
    """The unpacked copy is deep in the cache, where nobody would look for tables."""
    archive = tmp_path / "own" / "sent.tar.xz"
    archive.parent.mkdir()
    pack(run, archive, ())
    collation = collate(archive)
    assert collation.index == tmp_path / "own" / "sent" / "tables" / "README.md"
    assert f"All tables and figures: {collation.index}" in collation.text
    assert {path.name for path in (tmp_path / "own" / "sent").iterdir()} == {"report.html", "tables", "figures"}
    assert not any((read_run(archive).folder / name).exists() for name in ("tables", "figures"))


def test_an_interrupted_run_ranks_complete_models_and_names_the_others(run: Path):
    for tap in ("block02", "final"):
        for suffix in (".json", ".npz"):
            record_path(run, "probe", f"galileo_nano-eurosat_sim-linear-{tap}").with_suffix(suffix).unlink()
    collation = collate(run)
    (ranking,) = collation.rankings
    assert "galileo_nano" not in rows_of(ranking)
    assert "2 taps without a score" in ranking.dropped["galileo_nano"]
    assert "no record of 2 of 13 planned cases" in collation.text
    assert "galileo_nano-eurosat_sim-linear (block02, final): no record" in page(run)
    profile = (run / "figures" / "eurosat_sim-linear-depth.csv").read_text(encoding="utf-8")
    assert "galileo_nano,false,1.0,block03" in profile


def test_a_truncated_record_is_named_in_the_problems(run: Path):
    path = record_path(run, "probe", "galileo_nano_random-eurosat_sim-linear-block01")
    path.write_bytes(path.read_bytes()[:333])
    collation = collate(run)
    assert any(str(path) in problem for problem in collation.problems)
    assert str(path) in page(run)
    assert "galileo_nano_random" in collation.rankings[0].dropped
    assert rows_of(collation.rankings[0]) == {"galileo_nano": 1, "band_stats": 2}


def test_a_case_that_stopped_with_an_error_drops_its_model(run: Path):
    change(run, MODEL, "block01", fail)
    collation = collate(run)
    assert "block01: error: AssertionError" in collation.rankings[0].dropped["galileo_nano"]
    assert "Not ranked: galileo_nano" in (run / "tables" / "eurosat_sim-linear-ranking.md").read_text(encoding="utf-8")
    assert "1 error" in collation.text


def test_a_case_that_failed_keeps_its_score_and_a_footnote(run: Path):
    change(run, MODEL, "block01", lambda record: fail(record, "failed", keep=True))
    collation = collate(run)
    assert rows_of(collation.rankings[0])["galileo_nano"] == 1
    table = (run / "tables" / "eurosat_sim-linear-ranking.md").read_text(encoding="utf-8")
    assert "1 of its cases failed; first reason: AssertionError: the solver did not converge" in table


def test_skipped_models_are_named_with_the_cure(run: Path):
    for tap in ("embed", "final"):
        append_skip(run, "gw0", f"mae_vits16-eurosat_sim-linear-{tap}", "weights", "mae.pth", "Fetch mae.pth.")
    append_skip(run, "gw1", "galileo_nano-eurosat_sim-linear-embed", "weights", "old news", "None.")
    collation = collate(run)
    assert "weights unavailable: mae.pth" in collation.rankings[0].dropped["mae_vits16"]
    assert "2 cases: weights unavailable: mae.pth. Fetch mae.pth." in page(run)
    assert "old news" not in page(run), "a case that has a record was skipped by an earlier session"


def test_a_run_of_skips_alone_still_has_a_page(tmp_path: Path):
    append_skip(tmp_path / "run", "main", "a-b-linear-final", "data", "data/b", "Unpack it.")
    collation = collate(tmp_path / "run")
    assert collation.rankings == ()
    assert "1 skipped" in collation.text
    assert "Unpack it." in collation.index.read_text(encoding="utf-8")


@pytest.mark.parametrize("harm", ["absent", "foreign", "never written"])
def test_without_outcomes_a_difference_has_no_interval_and_says_so(run: Path, harm: str):
    ranking = collate(run).rankings[0]
    tap = ranking.rows[0].chosen.tap
    case_id = f"galileo_nano-eurosat_sim-linear-{tap}"
    if harm == "absent":
        record_path(run, "probe", case_id).with_suffix(".npz").unlink()
    elif harm == "never written":
        write_record(read_record(record_path(run, "probe", case_id)), None, run)
    else:
        record, outcomes = make_record(MODEL, "eurosat_sim", "linear", tap)
        write_record(record, {**outcomes, "ids": np.array([f"River_{i}" for i in range(400)])}, run)
    collation = collate(run)
    over = collation.rankings[0].rows[0].over_control
    assert over is not None
    assert over.value == ranking.rows[0].over_control.value
    assert over.low is None
    assert any(case_id in problem and "interval" in problem for problem in collation.problems)
