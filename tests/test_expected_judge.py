"""Verdicts on planted records: what is judged, and what is not."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.expected import judged
from geofm_eval.errors import ContractError
from geofm_eval.expected import Ranges, judge, rules
from geofm_eval.expected.files import range_path, read_ranges, write_ranges
from geofm_eval.expected.judging import rescaled
from geofm_eval.expected.ranges import ANY
from geofm_eval.expected.subject import basis_of, decisions_of, key_of, seeds_of
from geofm_eval.measure.case import Measurement
from geofm_eval.records import Inputs
from tests.planted.ranges import RANGE, of_run, on_cpu, probe, ranges_for, trained


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(0.6, "in_range"), (0.61, "in_range"), (0.62, "in_range"), (0.5999, "below"), (0.6201, "above")],
)
def test_a_score_lies_within_its_range_ends_included(value, verdict):
    record = probe(value)
    found = judge(record, ranges_for(record))
    assert found.verdict == verdict
    assert found.outside is (verdict != "in_range")
    (applied,) = found.ranges.values()
    assert (applied.low, applied.high, applied.rule, applied.why, applied.runs) == (
        0.6,
        0.62,
        "numeric",
        RANGE.origin.why,
        ("earlier",),
    )


def test_the_worst_label_fraction_decides():
    record = probe(0.61)
    scores = {
        key: record.scores["1.0"].model_copy(update={"value": value, "n_train": n})
        for key, value, n in (("0.1", 0.2, 100), ("1.0", 0.61, 1000))
    }
    record = record.model_copy(update={"scores": scores})
    full, tenth = ranges_for(record), ranges_for(record, "0.1")
    both = Ranges(full.task, {**full.ranges, **tenth.ranges})
    assert judge(record, full).verdict == "no_range"
    assert judge(record, both).verdict == "below"
    assert "at 10 % of the labels" in judge(record, both).reason
    assert "100 %" not in judge(record, both).reason
    assert set(judge(record, both).ranges) == {"0.1", "1.0"}


def test_no_file_and_no_entry_are_no_range():
    record = probe(0.61)
    assert judge(record, None).verdict == "no_range"
    assert "set one with geofm-eval expect RUN" in judge(record, Ranges("eurosat_sim", {})).reason


@pytest.mark.parametrize("update", [{"device": {"name": "cuda:1"}}, {"dtype": "bf16"}], ids=["device", "dtype"])
def test_a_range_is_for_one_device_kind_and_number_type(update):
    record = probe(0.61)
    elsewhere = record.model_copy(update={"provenance": record.provenance.model_copy(update=update)})
    found = judge(elsewhere, ranges_for(record))
    assert found.verdict == "no_range"
    assert "there is one for cpu with float32" in found.reason
    assert judge(elsewhere, ranges_for(elsewhere)).verdict == "in_range"


def test_a_run_is_never_judged_by_ranges_that_were_set_from_it():
    record = of_run(probe(0.2), "earlier")
    found = judge(record, ranges_for(record))
    assert found.verdict == "no_range"
    assert "was set from this run, 'earlier'" in found.reason


OTHER = "f" * 64
STALE = {
    "weights": ({"weights_sha256": OTHER}, "weights"),
    "items": ({"items_sha256": {"train": OTHER, "val": OTHER, "test": OTHER}}, "items"),
    "labels": ({"labels_sha256": {"test": OTHER}}, "labels"),
    "split": ({"split_definition": "custom"}, "split"),
    "protocol": ({"protocol": "shuffle_splits"}, "protocol"),
    "recipe": ({"recipe": {"slug": "probing", "fill": "band_mean", "pooling": "mean"}}, "recipe fill"),
    "pooling": ({"pooling": "cls"}, "pooling"),
}


@pytest.mark.parametrize(("update", "words"), STALE.values(), ids=STALE)
def test_a_range_of_something_else_is_stale_and_says_of_what(update, words):
    record = probe(0.1).model_copy(update={"evidence": "published"})
    found = judge(on_cpu(record, **update), ranges_for(record))
    assert (found.verdict, found.outside) == ("stale_range", False)
    assert found.judged[0].changed == words
    assert f"is stale: {words} changed since it was set." in found.reason
    assert found.ranges == {}


def test_simulated_labels_whose_last_digits_differ_are_judged_all_the_same():
    record = probe(0.1)
    assert record.evidence == "simulated"
    assert judge(on_cpu(record, labels_sha256={"test": OTHER}), ranges_for(record)).verdict == "below"
    measured_first = record.model_copy(update={"evidence": "published"})
    assert judge(record, ranges_for(measured_first)).verdict == "below", "ranges of older versions name the labels"


def test_another_task_version_metric_or_schedule_is_stale():
    record = probe(0.1)
    newer = record.model_copy(update={"case": record.case.model_copy(update={"task_version": 2})})
    assert judge(newer, ranges_for(record)).judged[0].changed == "task version"
    scored = record.scores["1.0"].model_copy(update={"metric": "iou"})
    other = record.model_copy(update={"scores": {"1.0": scored}})
    assert judge(other, ranges_for(record)).judged[0].changed == "metric"
    quick = trained([0.5, 0.6])
    longer = quick.training.model_copy(update={"recipe": {**quick.training.recipe, "epochs": 80}, "window": 128})
    changed = judge(quick.model_copy(update={"training": longer}), ranges_for(quick, "0.1")).judged[0].changed
    assert changed == "training recipe epochs, training window"


def published(record, fraction="1.0", **setting):
    own = basis_of(record, fraction)
    data = replace(own.data, items={}, labels={})
    basis = replace(own, weights=None, data=data, setting={"metric": "accuracy", **setting})
    key = replace(key_of(record, fraction), device=ANY, dtype=ANY)
    return Ranges(record.case.task, {key: replace(RANGE, rule="published", n=1, sd=None, basis=basis)})


def test_a_published_number_holds_on_any_device_and_for_its_protocol_alone():
    record = probe(0.5)
    assert judge(record, published(record)).verdict == "below"
    on_gpu = record.model_copy(
        update={"provenance": record.provenance.model_copy(update={"device": {"name": "cuda"}, "dtype": "bf16"})}
    )
    assert judge(on_gpu, published(record)).verdict == "below"
    other = judge(record, published(record, recipe={"slug": "pangaea"}))
    assert other.verdict == "no_range"
    assert "(recipe slug). It does not judge this score." in other.reason
    cut = on_cpu(record, split_definition="custom")
    assert judge(cut, published(record)).verdict == "no_range"


def test_a_published_number_of_another_protocol_is_told_and_judges_nothing():
    record = probe(0.9)
    ranges = published(record)
    (key, one), *_ = ranges.ranges.items()
    origin = replace(one.origin, why="table 5; docs/parity.md lists what differs")
    other = replace(one, rule="other_protocol", lo=0.25, mean=0.25, hi=0.25, origin=origin)
    found = judge(record, Ranges(record.case.task, {key: other}))
    assert (found.verdict, found.other_protocol, found.ranges) == ("no_range", True, {})
    assert found.reason.startswith("Other protocol: 0.25 was published for probe.")
    assert "(table 5; docs/parity.md lists what differs). It does not judge this score." in found.reason
    assert len(found.reason) <= 400
    assert judge(record, published(record, recipe={"slug": "pangaea"})).other_protocol
    assert not judge(record, ranges_for(record)).other_protocol
    suite = SimpleNamespace(ranges={record.case.task: Ranges(record.case.task, {key: other})})
    kept = judged(Measurement(record, None, 10), suite).record.outcome
    assert (kept.verdict, kept.reason) == ("no_range", found.reason), "the record says it"


def test_a_range_of_ones_own_comes_before_a_published_one():
    record = probe(0.61)
    both = Ranges(record.case.task, {**published(record, recipe={"slug": "x"}).ranges, **ranges_for(record).ranges})
    assert judge(record, both).verdict == "in_range"


def test_what_has_no_scores_has_no_verdict():
    record = probe(0.5)
    silent = record.model_copy(update={"scores": {}})
    found = judge(silent, ranges_for(record))
    assert (found.verdict, found.reason, found.ranges) == ("no_range", "", {})


SEEDS = {"rule": "seeds", "n": 10, "sd": 0.01, "spread": 0.04, "freedom": 30.0, "floor": 0.001}


def of_seeds(record):
    pooled = rules.Pooled(0.04, 30.0)
    lo, hi = rules.seed_range(0.6, "accuracy", 1000, pooled, 10, 0.001)
    return ranges_for(record, "0.1", lo=lo, hi=hi, mean=0.6, **SEEDS)


@pytest.mark.parametrize("seeds", [1, 3, 6, 12])
def test_trainings_are_judged_by_the_range_for_as_many_seeds(seeds):
    record = trained([0.6] * seeds)
    found = judge(record, of_seeds(record)).ranges["0.1"]
    expected = rules.seed_range(0.6, "accuracy", 1000, rules.Pooled(0.04, 30.0), 10, 0.001, seeds)
    assert (found.low, found.high, found.seeds) == (*expected, seeds)


def test_three_seeds_may_lie_where_six_may_not():
    few, many = trained([0.578] * 3), trained([0.578] * 6)
    assert judge(few, of_seeds(few)).verdict == "in_range"
    assert judge(many, of_seeds(many)).verdict == "below"
    assert "rule seeds: 10 seeds, for a mean over 6" in judge(many, of_seeds(many)).reason


def test_only_ranges_of_seeds_can_be_rescaled():
    with pytest.raises(ContractError, match="found a range of rule numeric, expected one with spread"):
        rescaled(RANGE, "accuracy", 100, 6)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_is_where_the_number_lies(value, one, other):
    low, high = sorted((one, other))
    record = probe(value)
    verdict = judge(record, ranges_for(record, lo=low, hi=high, mean=low)).verdict
    assert verdict == ("below" if value < low else "above" if value > high else "in_range")


def test_a_decision_is_an_item_or_a_token():
    record = probe(0.6)
    assert decisions_of(record, record.scores["1.0"]) == 400
    grid = {"token_gsd_m": 40.0, "context_m": 320.0}
    inputs = Inputs(**{**record.provenance.inputs.model_dump(), **grid})
    dense = on_cpu(record, inputs=inputs)
    assert decisions_of(dense, dense.scores["1.0"]) == 400 * 64
    tuned = trained([0.5, 0.6])
    assert decisions_of(tuned, tuned.scores["0.1"]) == 1000, "an item has one label, whatever its tokens"
    segment = tuned.model_copy(update={"case": tuned.case.model_copy(update={"kind": "segment"})})
    assert decisions_of(segment, segment.scores["0.1"]) == 1000 * 64


def test_seeds_keep_their_scores():
    assert seeds_of(trained([0.5, 0.6], first_seed=4)) == {"0.1": {4: 0.5, 5: 0.6}}
    assert seeds_of(probe(0.5)) == {}


def test_random_weights_are_known_by_their_seed_whatever_a_processor_draws(tmp_path):
    source = {"weights_source": "random:seed=3"}
    here, there = probe(0.61, **source), probe(0.61, **source, weights_sha256="d" * 64)
    other = probe(0.61, weights_source="random:seed=4")
    ranges = ranges_for(here)
    assert judge(there, ranges).verdict == "in_range"
    assert judge(other, ranges).verdict == "stale_range"
    assert "weights" in judge(other, ranges).reason
    path = range_path(tmp_path, ranges.task)
    write_ranges(ranges, path)
    assert 'random_seed3 = "random:seed=3"' in path.read_text()
    assert read_ranges(path) == ranges
