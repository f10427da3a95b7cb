"""Trainings and their ranges: seeds that begin later, and one confirmation with fresh ones."""

from dataclasses import replace

import pytest

from fixtures import expected as gate
from fixtures.runs import RunFolder
from fixtures.session import context_of
from fixtures.suite import Suite
from geofm_eval.catalog import Case, load_catalog
from geofm_eval.dense.job_training import train_at
from geofm_eval.dense.recipes import RECIPES, TrainingRecipe
from geofm_eval.measure.case import Measurement
from geofm_eval.measure.training import measure_training
from geofm_eval.measure.training_setup import TrainingSetup
from geofm_eval.measure.trainings import CaseTrainings, search_seconds
from geofm_eval.records import read_record, write_record
from geofm_eval.workspace import Settings, Workspace
from tests.planted.ranges import ranges_for, trained
from tests.small_chips import chips
from tests.small_suite import OPTIONS

CATALOG = load_catalog()
TASK = CATALOG.task("sen1floods11_sim")
SLUG = "tokenlinear_frozen_p100"
SEEDS = {"rule": "seeds", "n": 10, "sd": 0.01, "spread": 0.05, "freedom": 30.0, "floor": 0.001}


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """Chips of 32 pixels that are easy, one epoch, and a cache for all tests: what one trained the next finds."""
    folder = tmp_path_factory.mktemp("trained")
    sizes = (("train", 40, 0), ("val", 4, 50), ("test", 5, 70))
    splits = {name: chips(TASK, name, count=count, first=first) for name, count, first in sizes}
    short = TrainingRecipe("quick", epochs=1, validate_every=1, batch=20, rate=1e-2, rates=(1e-3, 1e-2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(folder / "cache"))
        patch.setattr("geofm_eval.workspace.open_splits", lambda *_: splits)
        patch.setitem(RECIPES, "quick", short)
        yield folder


def trainings_of(adaptation=SLUG, model="pocket_mae", seeds=2, first_seed=0):
    case = Case("segment", model, TASK.slug, adaptation, "block11")
    return CaseTrainings(TrainingSetup(Workspace(CATALOG, Settings()), case), seeds, first_seed)


@pytest.mark.parametrize("adaptation", [SLUG, "tokenlinear_lnbias_p100", "tokenlinear_lnbias_p010"])
def test_later_seeds_are_the_trainings_that_a_longer_case_has(adaptation):
    long, late = trainings_of(adaptation, seeds=3), trainings_of(adaptation, first_seed=1)
    assert [one.path for one in late.run()] == [one.path for one in long.run()][1:]
    assert [job.seed for job in late.jobs] == [1, 2]
    assert late.searcher.seed == 0
    assert bool(late.setup.budget.folds) is adaptation.endswith("p010")
    assert late.identity != long.identity


def test_the_first_seed_is_named_where_it_says_something():
    assert "first_seed" not in trainings_of().identity
    assert trainings_of(first_seed=2).identity["first_seed"] == 2


def test_a_search_that_is_no_part_of_the_case_costs_all_its_trainings():
    early, late = (
        trainings_of("tokenlinear_lnbias_p100", seeds=1),
        trainings_of("tokenlinear_lnbias_p100", seeds=1, first_seed=1),
    )
    (first,), (second,) = early.run(), late.run()
    tried = {rate: train_at(early.jobs[0], rate).seconds["train"] for rate in early.setup.choice.rates}
    assert first.rate == second.rate
    assert search_seconds(early, first.rate) == pytest.approx(sum(tried.values()) - tried[first.rate])
    assert search_seconds(late, first.rate) == pytest.approx(sum(tried.values()))
    assert search_seconds(trainings_of(first_seed=1), 1e-2) == 0


def suite(folder, resume=False, ranges=None, first_seed=0, seeds=2):
    options = replace(OPTIONS, seeds=seeds, first_seed=first_seed)
    return Suite(options, CATALOG, {}, RunFolder("own", folder / "own", resume), "main", ranges or {})


def measured(session, model="pocket_mae", confirm=False, adaptation=SLUG):
    case = Case("segment", model, TASK.slug, adaptation, "block11")
    return measure_training(context_of(session, Workspace(CATALOG, Settings())), case, confirm)


def test_a_record_tells_its_seeds_and_weights_that_do_not_depend_on_them(folder):
    slug = "tokenlinear_lnbias_p100"
    early, late = (
        measured(suite(folder, first_seed=seed, seeds=1), "pocket_random", adaptation=slug).record for seed in (0, 1)
    )
    assert late.provenance.seeds["trainings"] == [1]
    assert [choice.draw for choice in late.selection.choices] == [1]
    assert [one.seed for one in late.training.seeds] == [1]
    assert late.provenance.weights_sha256 == early.provenance.weights_sha256
    assert late.training.backbone_sha256 == late.training.seeds[0].initial_sha256
    assert late.training.backbone_sha256 != early.training.backbone_sha256
    assert late.content_key != early.content_key


@pytest.fixture(scope="module")
def first(folder):
    """A measurement with two seeds, before it is judged."""
    return measured(suite(folder))


def around(found, shift=0.0, half=0.01):
    """A suite's ranges with one that lies so far above what was measured."""
    value = found.record.scores["1.0"].value + shift
    return {TASK.slug: ranges_for(found.record, lo=value - half, hi=value + half, mean=value, **SEEDS)}


def run_once(session, found=None):
    """What the fixture ``training`` does."""
    found = gate.judged(found or measured(session), session)
    return gate.confirmed(found, lambda: measured(session, confirm=True), session)


@pytest.fixture(scope="module")
def strict(folder, first):
    """A session whose range lies far above."""
    return suite(folder, ranges=around(first, shift=0.3))


@pytest.fixture(scope="module")
def twice(strict, first):
    """The same measurement there, after its confirmation."""
    return run_once(strict, first)


def test_a_case_within_its_range_is_trained_once(folder, first):
    wide = suite(folder, ranges=around(first))
    found = gate.confirmed(gate.judged(first, wide), lambda: pytest.fail("trained again"), wide)
    assert found.record.outcome.verdict == "in_range"
    assert found.record.first_attempt is None
    assert gate.range_verdict_of(found, wide).holds


def test_a_case_outside_is_trained_once_more_with_fresh_seeds_and_judged_on_all(first, twice, strict, tmp_path):
    record = twice.record
    assert (record.outcome.verdict, record.first_attempt.verdict) == ("below", "below")
    assert record.first_attempt.value == first.record.scores["1.0"].value
    assert (record.first_attempt.seeds, record.first_attempt.expected.seeds) == (2, 2)
    assert record.scores["1.0"].per_draw[:2] == first.record.scores["1.0"].per_draw
    assert [one.seed for one in record.training.seeds] == [0, 1, 2, 3]
    assert record.expected_ranges["1.0"].seeds == 4
    assert record.content_key == first.record.content_key
    verdict = gate.range_verdict_of(twice, strict)
    assert not verdict.holds
    assert verdict.sentence.startswith("below its range with 2 seeds, and again with as many fresh seeds: mIoU ")
    assert twice.outcomes["counts_1.0"].shape[0] == 4
    path = write_record(record, twice.outcomes, tmp_path)
    assert read_record(path).first_attempt == record.first_attempt


def test_a_case_that_the_fresh_seeds_clear_passes_and_tells_both_attempts(first, twice, strict):
    score = first.record.scores["1.0"].model_copy(update={"value": first.record.scores["1.0"].value + 0.3})
    lucky = twice.record.model_copy(update={"scores": {"1.0": score}, "first_attempt": None})
    found = gate.confirmed(gate.judged(first, strict), lambda: replace(twice, record=lucky), strict)
    assert found.record.outcome.verdict == "in_range"
    assert found.record.first_attempt.verdict == "below"
    assert gate.range_verdict_of(found, strict).holds


def test_nothing_is_confirmed_twice(twice, strict):
    assert gate.confirmed(twice, lambda: pytest.fail("trained a third time"), strict) is twice


def test_a_record_that_is_reused_keeps_its_first_attempt_and_is_judged_again(folder, twice, strict, monkeypatch):
    passed = twice.record.outcome.model_copy(update={"status": "passed", "verdict": "in_range", "reason": None})
    write_record(twice.record.model_copy(update={"outcome": passed}), twice.outcomes, folder / "own")
    monkeypatch.setattr(CaseTrainings, "run", lambda _: pytest.fail("trained again"))
    again = run_once(suite(folder, resume=True, ranges=strict.ranges))
    assert (again.reused, again.rewritten) == (True, True)
    assert again.record.outcome.verdict == "below"
    assert again.record.first_attempt == twice.record.first_attempt


def test_all_required_fails_what_has_no_valid_range(folder):
    record = trained([0.5, 0.6])
    found = gate.judged(Measurement(record, None, 1000), suite(folder))
    lenient, strict = suite(folder), suite(folder)
    strict = replace(strict, options=replace(strict.options, require_all=True))
    assert gate.range_verdict_of(found, lenient).holds
    verdict = gate.range_verdict_of(found, strict)
    assert not verdict.holds
    assert verdict.sentence.startswith(
        "--require-all: There is no range for tune.pocket_mae-pooled_full_p010-final.0.1"
    )
