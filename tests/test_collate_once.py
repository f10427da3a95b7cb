"""What a collation computes once, and what it leaves behind."""

import gc
from dataclasses import replace
from pathlib import Path

import pytest

from geofm_eval.catalog import Catalog, load_catalog
from geofm_eval.findings.rankings import fields
from geofm_eval.garbage import set_aside, uncollected
from geofm_eval.memo import once
from geofm_eval.ranking import settings
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.neuco import neuco_comparisons
from geofm_eval.results.run import Run, read_run
from geofm_eval.results.scope import probed
from geofm_eval.results.similarity import similarity_tables
from geofm_eval.results.transfer import transfers
from tests.collating import small_run


def test_records_are_grouped_once_per_run(tmp_path: Path):
    run = read_run(small_run(tmp_path))
    for derived in (comparisons, settings, similarity_tables, neuco_comparisons):
        assert derived(run) is derived(run)
    assert run.of_evidence("simulated") is run
    assert run.of_evidence("published") is run.of_evidence("published")
    assert run.of_evidence("published").pairs is run.pairs


@pytest.mark.parametrize("derived", [transfers, fields, probed])
def test_what_follows_from_a_run_and_a_catalog_is_computed_once_for_both(tmp_path: Path, derived):
    run, catalog = read_run(small_run(tmp_path)), load_catalog()
    assert derived(run, catalog) is derived(run, catalog)


def test_another_catalog_gives_other_results(tmp_path: Path):
    @once
    def models(run: Run, catalog: Catalog) -> set[str]:
        return {record.case.model for record in run.records} & set(catalog.models)

    run, catalog = read_run(small_run(tmp_path)), load_catalog()
    assert models(run, catalog)
    assert not models(run, replace(catalog, models={}))


def test_another_selection_of_records_is_grouped_again(tmp_path: Path):
    run = read_run(small_run(tmp_path))
    found, _ = comparisons(run)
    fewer = replace(run, records=run.records[:1])
    assert len(comparisons(fewer)[0][0].subjects) < len(found[0].subjects)
    assert not run.of_evidence("published").records


def test_item_ids_are_held_once(tmp_path: Path):
    run = read_run(small_run(tmp_path))
    assert len({id(outcomes.ids) for one in run.records if (outcomes := run.pairs.outcomes(one)) is not None}) == 1


def test_garbage_collection_is_as_before():
    before = gc.isenabled(), gc.get_freeze_count()
    with uncollected(), set_aside():
        during = gc.isenabled(), gc.get_freeze_count() > 0
    assert during == (False, True)
    assert (gc.isenabled(), gc.get_freeze_count()) == before
