"""What may not stand in one table is split, and named."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from geofm_eval.records import Record
from geofm_eval.report.collation import collate
from tests.collating import (
    MODEL,
    SMALL,
    change,
    page,
    rows_of,
    with_source,
)
from tests.synthetic_run import write_run


def test_simulated_and_real_data_never_share_a_table(tmp_path: Path, without_figures: None):
    run = write_run(tmp_path / "mixed", SMALL, ("eurosat_sim", "eurosat_rgb"), ("linear",))
    collation = collate(run)
    assert [ranking.comparison.slug for ranking in collation.rankings] == ["eurosat_rgb-linear", "eurosat_sim-linear"]
    assert collation.problems == ()
    for path in (run / "tables").glob("eurosat_*"):
        text = path.read_text(encoding="utf-8")
        assert ("simulated" in text.lower()) == ("_sim" in path.name), path.name
    first_lines = [p.read_text(encoding="utf-8").splitlines()[0] for p in (run / "tables").glob("eurosat_sim*.md")]
    assert all("SIMULATED DATA" in line for line in first_lines)
    assert page(run).index("eurosat_rgb-linear-ranking.md") < page(run).index("## SIMULATED DATA")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("recipe", {"slug": "probing", "fill": "band_mean"}),
        ("items_sha256", {"test": "0" * 64}),
        ("labels_sha256", {"test": "0" * 64}),
        ("split_definition", "custom"),
    ],
)
def test_what_is_not_comparable_is_split_and_named(run: Path, field: str, value: object):
    change(run, SMALL[2], "final", lambda record: with_source(record, **{field: value}))
    collation = collate(run)
    assert [rows_of(ranking) for ranking in collation.rankings] == [
        {"galileo_nano": 1, "galileo_nano_random": 2},
        {"band_stats": 1},
    ]
    (problem,) = collation.problems
    assert f"records differ in {field} and are not comparable" in problem
    assert "eurosat_sim-linear-2: band_stats" in problem
    assert (run / "tables" / "eurosat_sim-linear-2-ranking.md").exists()


def test_one_evidence_class_per_table(run: Path):
    def published(record: Record) -> Record:
        case = record.case.model_copy(update={"markers": ("real", "closed", "control")})
        return record.model_copy(update={"evidence": "published", "case": case})

    change(run, SMALL[2], "final", published)
    collation = collate(run)
    assert "differ in evidence" in collation.problems[0]
    assert {ranking.comparison.simulated for ranking in collation.rankings} == {True, False}


def test_a_model_of_two_weight_files_is_left_out(run: Path):
    change(run, MODEL, "final", lambda record: with_source(record, weights_sha256="f" * 64))
    collation = collate(run)
    assert "measured with different weights" in collation.rankings[0].dropped["galileo_nano"]
    assert "galileo_nano is left out" in collation.problems[0]


def test_without_validation_no_tap_is_chosen(run: Path):
    def blind(record: Record) -> Record:
        assert record.selection is not None
        choices = tuple(
            replace(c, val_kind="none", val_score=None) if c.fraction < 0.1 else c for c in record.selection.choices
        )
        return record.model_copy(update={"selection": record.selection.model_copy(update={"choices": choices})})

    for model in SMALL:
        for tap in model.taps:
            change(run, model, tap, blind)
    collate(run)
    table = (run / "tables" / "eurosat_sim-linear-labels.md").read_text(encoding="utf-8")
    assert "too few labels give no validation score" in table
    with (run / "figures" / "eurosat_sim-linear-labels.csv").open(encoding="utf-8") as file:
        assert {row["fraction"] for row in csv.DictReader(file)} == {"0.1", "1.0"}
