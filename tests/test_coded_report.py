"""A run with coded features has one table of what they cost, paired with the original."""

import csv
from dataclasses import replace

import pytest

from geofm_eval.catalog import Case, load_catalog
from geofm_eval.measure.case import Context, measurement_of
from geofm_eval.records import write_record
from geofm_eval.report.collation import collate
from geofm_eval.results.codings import coded_features
from geofm_eval.results.run import read_run
from geofm_eval.workspace import Settings, Workspace

CODINGS = ("int8", "bit", "pca", "first")
CATALOG = load_catalog()
FEW = CATALOG.task("eurosat_sim").model_copy(
    update={"sizes": (200, 100, 100), "label_fractions": (0.2, 1.0), "draws": 2}
)
"""Enough labels at every fraction for the 26 dimensions of band statistics; all samples take a minute."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """Band statistics on a small stand-in, with the original features and every coding."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(tmp_path_factory.mktemp("cache")))
        folder = tmp_path_factory.mktemp("runs") / "coded"
        context = Context(Workspace(replace(CATALOG, tasks={FEW.slug: FEW}), Settings()), run="coded")
        for adaptation in ("knn", *(f"knn_{coding}" for coding in CODINGS)):
            done = measurement_of(context, Case("probe", "band_stats", "eurosat_sim", adaptation, "final"))
            write_record(done.record, done.outcomes, folder)
        yield folder


def test_every_coding_is_paired_with_the_original(run):
    (found,) = coded_features(read_run(run))
    assert {row.coding for row in found.rows} == set(CODINGS)
    for row in found.rows:
        original = row.subject.taps["final"].scores[row.fraction].value
        coded = row.record.scores[row.fraction].value
        assert row.difference.value == pytest.approx(coded - original)
        assert row.difference.low is None or row.difference.low <= row.difference.value <= row.difference.high


def test_sizes_are_those_of_the_vectors(run):
    (found,) = coded_features(read_run(run))
    sizes = {row.coding: row.bytes for row in found.rows}
    assert sizes["int8"] == (104.0, 26.0)
    assert sizes["bit"] == (104.0, 3.25)
    for row in found.rows:
        if row.coding in ("pca", "first"):
            assert row.bytes[1] == 4 * row.dimensions
            assert set(row.curve) == {4, 8, 16, 26}


def test_table_curve_and_csv_are_written_and_nothing_is_ranked(run):
    made = collate(run)
    tables = run / "tables"
    assert (run / "figures/eurosat_sim-knn-codings.png").is_file()
    with (tables / "eurosat_sim-knn-codings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["coding"] for row in rows} == set(CODINGS)
    assert [ranking.comparison.slug for ranking in made.rankings] == ["eurosat_sim-knn"]
    assert "cost of smaller representations" in made.text
