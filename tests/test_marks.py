"""Rows with more than half of their bands filled: shown, marked, and counted in no verdict."""

from pathlib import Path
from typing import Any

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.findings.rankings import fields
from geofm_eval.records import MOSTLY_FILLED, Record, marked, write_record
from geofm_eval.report.probes.tables import ranking_table
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.leaderboard import rank
from geofm_eval.results.pairs import Pairs
from geofm_eval.results.run import read_run
from geofm_eval.results.scope import excluded_model
from tests.synthetic_run import BANDS, MODELS, Synthetic, make_record, write_run

CATALOG = load_catalog()
DINO, GALILEO = MODELS[0], MODELS[3]


def filled(record: Record, count: int, **recipe: Any) -> Record:
    """The record with so many of its ten bands filled."""
    source = record.provenance
    real = len(BANDS) - count
    bands = {"real_bands": BANDS[:real], "filled_bands": BANDS[real:], "masked_bands": ()}
    changes = {"inputs": source.inputs.model_copy(update=bands), "recipe": {**source.recipe, **recipe}}
    return record.model_copy(update={"provenance": source.model_copy(update=changes)})


def record_of(count: int, model: Synthetic = DINO) -> Record:
    return filled(make_record(model, "eurosat_sim", "linear", "final")[0], count)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Four models under the second version of the recipe, one with most of its bands filled."""
    folder = write_run(tmp_path / "run", MODELS[:4], ("eurosat_sim",), ("linear",))
    for model in MODELS[:4]:
        for tap in model.taps:
            record, outcomes = make_record(model, "eurosat_sim", "linear", tap, "run")
            count = 7 if model is DINO else 0
            new = {"version": 2, "fill": "band_mean", "normalisation": "native"}
            write_record(filled(record, count, **new), outcomes, folder)
    return folder


@pytest.mark.parametrize(("count", "expected"), [(0, False), (5, False), (6, True), (9, True)])
def test_more_than_half_of_the_bands_filled_is_a_mark(count: int, expected: bool):
    assert marked(record_of(count)) == expected
    assert excluded_model(record_of(count), {DINO.slug}, CATALOG) == ([MOSTLY_FILLED] if expected else [])


def test_masked_bands_are_no_mark():
    assert not marked(make_record(GALILEO, "eurosat_sim", "linear", "final")[0])


def test_marked_row_is_shown_with_its_bands_and_the_reason(run: Path):
    (comparison,) = comparisons(read_run(run))[0]
    table = ranking_table(rank(comparison, Pairs(run)), CATALOG)
    (row,) = [row for row in table.grid if row[1].startswith(DINO.slug)]
    assert row[1] == f"{DINO.slug} (marked)"
    assert "3 of 10" in row
    notes = " ".join(table.footnotes)
    assert f"{MOSTLY_FILLED}: shown, but not counted in any verdict" in notes
    assert "filled with the band means of the model's pretraining corpus: B04" in notes


def test_marked_row_counts_in_no_ranking(run: Path):
    (field,) = fields(read_run(run), CATALOG)
    assert DINO.slug not in field.models
    assert {"mae_vits16", "galileo_nano"} == set(field.models)
    assert all(DINO.slug not in setting.by_model for setting in field.settings)


def test_records_of_two_versions_of_a_recipe_share_no_table(run: Path):
    for tap in GALILEO.taps:
        record, outcomes = make_record(GALILEO, "eurosat_sim", "linear", tap, "run")
        write_record(record, outcomes, run)
    found, problems = comparisons(read_run(run))[:2]
    assert sorted(sorted(subject.model for subject in one.subjects) for one in found) == [
        ["dino_vits16", "mae_vits16", "mae_vits16_random"], ["galileo_nano"],
    ]  # fmt: skip
    assert any("differ in recipe" in problem for problem in problems)
