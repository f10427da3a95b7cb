"""What a collation computes once, and what it leaves behind."""

import gc
from dataclasses import replace
from pathlib import Path

from geofm_eval.garbage import set_aside, uncollected
from geofm_eval.ranking import settings
from geofm_eval.results.comparison import comparisons
from geofm_eval.results.run import read_run
from tests.collating import small_run


def test_records_are_grouped_once_per_run(tmp_path: Path):
    run = read_run(small_run(tmp_path))
    assert comparisons(run) is comparisons(run)
    assert settings(run) is settings(run)
    assert run.of_evidence("simulated") is run
    assert run.of_evidence("published") is run.of_evidence("published")
    assert run.of_evidence("published").pairs is run.pairs


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
