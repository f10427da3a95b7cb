"""Two runs compared from their files: what is matched, what is refused by name, and what of it fails the gate."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.compare import chance_of_false, compare, expected_false, find_run
from geofm_eval.errors import DataError
from geofm_eval.records import (
    ExpectedRange,
    FirstAttempt,
    Outcome,
    RunManifest,
    append_skip,
    content_of,
    pack,
    read_record,
    record_path,
    write_manifest,
)
from geofm_eval.report.gate import lines_of
from geofm_eval.results.run import read_run
from geofm_eval.stats.p_values import p_value
from geofm_eval.store import write_json
from tests.planted.compare import easy, moved, probe, trained

RIGHT = easy()
WORSE = moved(RIGHT, 30, 10)
NEW = {"weights": "b" * 64}


@pytest.fixture
def old(tmp_path):
    return tmp_path / "runs" / "old"


@pytest.fixture
def new(tmp_path):
    return tmp_path / "runs" / "new"


def only_case(old, new):
    (case,) = compare(old, new).cases
    return case


def test_a_rerun_is_identical_and_counts_as_equivalent(old, new):
    few = RIGHT[:12]  # so few that items alike would leave a drop of 26 points possible
    for folder in (old, new):
        probe(folder, {"1.0": few})
    found = compare(old, new)
    assert (found.cases[0].identical, found.cases[0].verdict) == (True, "equivalent")
    assert (found.pooled[0].identical, found.pooled[0].verdict, found.pooled[0].p) == (True, "equivalent", None)
    assert not found.failures("undecided")


def test_equal_scores_of_other_items_are_not_identical(old, new):
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": moved(RIGHT, 20, 20)}, **NEW)
    case = only_case(old, new)
    assert case.full.difference.value == 0
    assert (case.identical, case.verdict) == (False, "undecided")


def test_rounding_is_equivalent(old, new):
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": moved(RIGHT, 2, 1)}, **NEW)
    found = compare(old, new)
    assert (found.cases[0].verdict, found.pooled[0].verdict) == ("equivalent", "equivalent")


def test_a_regression_at_few_labels_is_exploratory(old, new):
    draws = np.stack([easy(seed=seed) for seed in range(5)])
    after = np.stack([moved(row, 60, 10, seed) for seed, row in enumerate(draws)])
    probe(old, {"0.01": draws, "1.0": RIGHT})
    probe(new, {"0.01": after, "1.0": moved(RIGHT, 5, 5)}, **NEW)
    found = compare(old, new)
    (case,) = found.cases
    assert case.verdict == "equivalent"
    assert [(one.key, cell.fraction) for one, cell in found.exploratory] == [(case.key, "0.01")]
    assert not found.failures("undecided")


def test_other_taps_are_tested_apart_from_those_that_decide(old, new):
    for number in range(30):
        layer = f"block{number:02d}"
        probe(old, {"1.0": RIGHT}, layer, val=0.5 + number / 100)
        probe(new, {"1.0": moved(RIGHT, 23 if number else 28, 10, seed=number)}, layer, val=0.5, **NEW)
    found = compare(old, new)
    assert found.cases[1].full.difference.high < 0
    assert not found.exploratory, "of 29 exploratory taps one such difference is what chance brings"
    assert [case.new.case.layer for case in found.regressions] == ["block29"], "which the baseline named beforehand"
    assert found.pooled[0].verdict == "regression", "all of them together are no chance"


def test_a_wider_margin_of_the_catalog_is_taken(old, new):
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": WORSE}, **NEW)
    catalog = load_catalog()
    tasks = {**catalog.tasks, "eurosat_sim": catalog.task("eurosat_sim").model_copy(update={"delta": 0.05})}
    found = compare(old, new, replace(catalog, tasks=tasks))
    assert (found.cases[0].delta, found.cases[0].verdict) == (0.05, "equivalent")


OTHER = {
    "task_version": {"version": 2},
    "recipe": {"source": {"recipe": {"slug": "pangaea", "fill": "band_mean"}}},
    "items_sha256": {"source": {"items_sha256": {"test": "f" * 64}}},
    "labels_sha256": {"source": {"labels_sha256": {"test": "f" * 64}}},
    "split_definition": {"source": {"split_definition": "custom"}},
    "dtype": {"source": {"dtype": "bf16"}},
}


@pytest.mark.parametrize("name", OTHER)
def test_other_conditions_are_refused_by_name_and_the_rest_is_compared(old, new, name):
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": WORSE}, **NEW, **OTHER[name])
    with pytest.raises(DataError, match=rf"no comparable case: different conditions in 1 case, for example .*{name}"):
        compare(old, new)
    probe(old, {"1.0": RIGHT}, "block00")
    probe(new, {"1.0": WORSE}, "block00", **NEW)
    found = compare(old, new)
    (refusal,) = found.matches.refused
    assert refusal.case == ("probe", "m_one-eurosat_sim-linear-final")
    assert name in refusal.differing
    before, after = refusal.differing[name]
    assert before != after
    assert [case.new.case.layer for case in found.cases] == ["block00"]
    (reason,) = found.failures().values()
    assert reason == f"accuracy went from 0.8 to 0.78 without an interval: not comparable: {name} differ"
    probe(new, {"1.0": RIGHT}, **NEW, **OTHER[name])
    found = compare(old, new)
    assert not found.failures()
    assert found.failures("undecided") == {refusal.case[1]: f"not tested: not comparable: {name} differ"}


def test_other_draws_seeds_and_schedules_are_refused(old, new):
    counts = np.full((3, 20, 2, 2), 25)
    counts[..., 0, 0] += np.arange(20)
    probe(old, {"0.1": np.stack([RIGHT] * 5)})
    probe(new, {"0.1": np.stack([RIGHT] * 4)}, **NEW)
    trained(old, counts, layer="block00")
    trained(new, counts + 1, layer="block00", seeds=(4, 5, 6), **NEW)
    trained(old, counts, layer="block01")
    trained(new, counts + 1, layer="block01", recipe={"slug": "pangaea", "epochs": 80}, **NEW)
    trained(old, counts)
    trained(new, counts + 1, **NEW)
    found = compare(old, new)
    differing = {refusal.case[1].rpartition("-")[2]: list(refusal.differing) for refusal in found.matches.refused}
    assert differing == {"final": ["label fractions and draws"], "block00": ["seeds"], "block01": ["schedule"]}
    assert [case.new.case.layer for case in found.cases] == ["multi"]


def test_a_case_that_was_confirmed_with_further_seeds_is_compared(old, new):
    rng = np.random.default_rng(0)
    hits = rng.integers(60, 100, (6, 40))
    counts = np.stack([hits, 100 - hits, 100 - hits, hits], -1).reshape(6, 40, 2, 2)
    trained(old, counts[:3])
    trained(new, np.maximum(counts - [[10, -10], [-10, 10]], 0), seeds=range(6), **NEW)
    found = compare(old, new)
    assert found.cases[0].full.difference.value == pytest.approx(found.cases[0].full.new - found.cases[0].full.old)
    assert found.cases[0].verdict == "regression"


@pytest.mark.parametrize("status", ["error", "failed"])
def test_a_case_that_has_no_score_any_more_fails_the_gate(old, new, status):
    for folder in (old, new):
        probe(folder, {"1.0": RIGHT})
    probe(old, {"1.0": RIGHT}, "block00")
    record = read_record(record_path(old, "probe", "m_one-eurosat_sim-linear-block00"))
    outcome = Outcome(status=status, verdict="no_range", reason="ContractError: features are not finite")
    lost = record.model_copy(update={"outcome": outcome, "scores": {}, "outcomes_sha256": None})
    write_json(record_path(new, "probe", record.case.id), content_of(lost))
    failures = compare(old, new).failures()
    assert failures == {record.case.id: f"no longer has a score: {status}: ContractError: features are not finite"}


def test_what_one_run_alone_has_is_listed_and_what_it_did_not_get_to_is_said(old, new):
    for layer in ("final", "block00", "block01", "block02"):
        probe(old, {"1.0": RIGHT}, layer)
    for layer in ("final", "block03"):
        probe(new, {"1.0": RIGHT}, layer)
    cases = [f"m_one-eurosat_sim-linear-{layer}" for layer in ("final", "block01", "block02", "block03")]
    write_manifest(new, RunManifest(name="new", cases=tuple(f"test_probe[{case}]" for case in cases)))
    append_skip(new, "main", cases[1], "weights", "w.safetensors", "Train it.")
    found = compare(old, new)
    left_out = "m_one-eurosat_sim-linear-block00"
    assert found.matches.absent == (("probe", left_out),)
    assert found.matches.only_new == (("probe", cases[3]),)
    assert found.untested == {
        ("probe", cases[1]): "skipped, weights unavailable: w.safetensors",
        ("probe", cases[2]): "no record: the run stopped before it",
        ("probe", left_out): "absent from the new run, although it selected model and task",
    }
    assert not found.failures()
    assert set(found.failures("undecided")) == set(found.failures(require_all=True)) == {*cases[1:3], left_out}
    text = "\n".join(line.text for line in lines_of(found))
    assert all(case in text for case in (*cases[1:3], left_out))


def test_what_the_new_run_did_not_select_is_one_line_and_fails_only_where_everything_is_required(old, new):
    for model, task in (("m_one", "eurosat_sim"), ("pocket_mae", "eurosat_sim"), ("gone", "eurosat_sim"),
                        ("m_one", "eurosat")):  # fmt: skip
        for layer in ("block00", "final"):
            probe(old, {"1.0": RIGHT}, layer, model=model, task=task)
    for layer in ("block00", "final"):
        probe(new, {"1.0": RIGHT}, layer)
    found = compare(old, new)
    assert not found.untested
    assert not found.failures("undecided")
    assert set(found.failures(require_all=True)) == {"pocket_mae", "gone", "eurosat"}
    assert len(found.primary) == 1
    lines = [line.text for line in lines_of(found) if line.text.startswith("not compared")]
    assert lines == [
        "not compared: no longer in the catalog: gone (2 cases)",
        "not compared: not selected by the new run: pocket_mae (2 cases), eurosat (2 cases)",
    ]


def test_the_tap_that_decides_is_chosen_by_the_baseline_and_at_the_largest_label_fraction(old, new):
    for layer, before, after in (("block00", 0.6, 0.9), ("block01", 0.8, 0.1), ("final", 0.7, 0.7)):
        probe(old, {"0.1": RIGHT, "1.0": RIGHT}, layer, val=before)
        probe(new, {"0.1": WORSE, "1.0": moved(RIGHT, 2, 1)}, layer, val=after, **NEW)
    found = compare(old, new)
    assert [(case.new.case.layer, case.role) for case in found.primary] == [("block01", "chosen"), ("final", "final")]
    assert not found.regressions
    assert {(case.new.case.layer, cell.fraction) for case, cell in found.exploratory} == {
        (layer, "0.1") for layer in ("block00", "block01", "final")
    }


@pytest.mark.parametrize(
    ("taps", "roles"),
    [
        ({"block00": 0.6, "final": 0.7}, {"final": "chosen and final"}),
        ({"block00": None, "final": None}, {"final": "final"}),
        ({"block00": 0.6, "block01": 0.5}, {"block00": "chosen"}),
        ({"embed": None, "block00": None, "block01": None}, {"block01": "deepest"}),
    ],
)
def test_every_baseline_has_a_case_that_decides(old, new, taps, roles):
    for layer, val in taps.items():
        probe(old, {"1.0": RIGHT}, layer, val=val)
        probe(new, {"1.0": RIGHT}, layer, val=val)
    assert {case.new.case.layer: case.role for case in compare(old, new).primary} == roles


def test_primary_cases_are_adjusted_within_their_family_or_over_the_run(old, new):
    for adaptation in ("linear", "knn"):
        for layer, val, lost in (("block00", 0.9, 24), ("final", 0.8, 20)):
            how = {"val": val, "adaptation": adaptation}
            probe(old, {"1.0": RIGHT}, layer, **how)
            probe(new, {"1.0": moved(RIGHT, lost, 10)}, layer, **how, **NEW)
    alone, together = (compare(old, new, together=how) for how in ("family", "run"))
    raw = p_value(alone.primary[0].full.difference)
    assert alone.primary[0].full.p == pytest.approx(2 * raw)
    assert together.primary[0].full.p == pytest.approx(4 * raw)
    assert (alone.tested, len(alone.regressions), len(together.regressions)) == (2, 2, 0)
    assert together.primary[0].full.smallest > alone.primary[0].full.smallest
    assert (expected_false(2, "family"), expected_false(2, "run")) == pytest.approx((0.05, 0.025))
    assert chance_of_false(12, "family") == pytest.approx(0.26, abs=0.003)


def test_trained_cases_are_a_family_each(old, new):
    counts = np.full((3, 20, 2, 2), 25)
    counts[..., 0, 0] += np.arange(20)
    for layer in ("multi", "final"):
        trained(old, counts, layer=layer)
        trained(new, counts + 1, layer=layer, **NEW)
    found = compare(old, new)
    assert [case.role for case in found.primary] == ["trained", "trained"]
    assert [case.full.p for case in found.primary] == [p_value(case.full.difference) for case in found.primary]


@pytest.mark.parametrize(("seeds", "asked", "compared"), [(3, None, False), (3, 3, True), (2, 3, False)])
def test_fewer_seeds_than_the_baseline_was_asked_for_are_not_compared(old, new, seeds, asked, compared):
    """A baseline of six seeds: trained so, or three that were confirmed by three more."""
    counts = np.full((6, 20, 2, 2), 25)
    counts[..., 0, 0] += np.arange(20)
    expected = ExpectedRange(low=0.6, high=0.7, rule="seeds", why="drawn", mean=0.65, n=8, seeds=3)
    first = None if asked is None else FirstAttempt(verdict="below", value=0.5, seeds=asked, expected=expected)
    trained(old, counts, first_attempt=first)
    trained(new, counts[:seeds] + 1, **NEW)
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": RIGHT})
    found = compare(old, new)
    assert [list(one.differing) for one in found.matches.refused] == ([] if compared else [["seeds"]])
    assert len(found.cases) == 1 + compared


def test_a_case_without_outcomes_is_undecided_and_left_out_of_the_mean(old, new):
    probe(old, {"1.0": RIGHT}, outcomes=False)
    probe(new, {"1.0": WORSE}, **NEW)
    found = compare(old, new)
    (case,), (mean,) = found.cases, found.pooled
    assert case.full.difference.value == pytest.approx(-0.02)
    assert (case.full.difference.low, case.verdict, mean.verdict) == (None, "undecided", "undecided")
    assert case.why == "no per-sample outcomes in the baseline; run it again there"
    reason = f"accuracy went from 0.8 to 0.78 without an interval: {case.why}"
    assert found.failures() == {case.new.case.id: reason}, "a primary case that fell fails whoever lacks the outcomes"
    probe(old, {"1.0": RIGHT}, "block00")
    probe(new, {"1.0": WORSE}, "block00", **NEW)
    (mean,) = compare(old, new).pooled
    assert (mean.verdict, len(mean.pooled), mean.left_out) == ("regression", 1, 1)


@pytest.mark.parametrize("lacking", ["baseline", "new run"])
def test_an_exploratory_tap_that_fell_fails_unless_the_baseline_alone_lacks_its_outcomes(old, new, lacking):
    probe(old, {"1.0": RIGHT}, "block00", outcomes=lacking != "baseline")
    probe(new, {"1.0": WORSE}, "block00", outcomes=lacking != "new run", **NEW)
    probe(old, {"1.0": RIGHT})
    probe(new, {"1.0": moved(RIGHT, 2, 1)}, **NEW)
    found = compare(old, new)
    name = "m_one-eurosat_sim-linear-block00"
    assert list(found.failures()) == ([] if lacking == "baseline" else [name])
    assert list(found.failures("undecided")) == [name]


def test_damaged_outcomes_and_a_truncated_record_are_named_and_the_rest_is_compared(old, new):
    for layer in ("block00", "block01", "final"):
        probe(old, {"1.0": RIGHT}, layer)
        probe(new, {"1.0": WORSE}, layer, **NEW)
    path = record_path(new, "probe", "m_one-eurosat_sim-linear-block00")
    path.write_text(path.read_text()[:300])
    record_path(old, "probe", "m_one-eurosat_sim-linear-block01").with_suffix(".npz").write_bytes(b"PK")
    found = compare(old, new)
    assert {case.new.case.layer: case.verdict for case in found.cases} == {
        "block01": "undecided",
        "final": "regression",
    }
    assert [problem for problem in found.problems if "not a readable record" in problem]
    assert [problem for problem in found.problems if "outcomes are not readable" in problem]
    assert found.pooled[0].verdict == "regression"


@pytest.mark.parametrize("harm", ["truncated", "moved"])
def test_a_record_that_cannot_be_read_any_more_fails_the_gate_by_name(old, new, harm):
    for layer in ("block00", "final"):
        probe(old, {"1.0": RIGHT}, layer)
        probe(new, {"1.0": RIGHT}, layer, **NEW)
    path = record_path(new, "probe", "m_one-eurosat_sim-linear-block00")
    path.write_text(
        path.read_text()[:300] if harm == "truncated" else path.with_stem("m_one-eurosat_sim-linear-final").read_text()
    )
    found = compare(old, new)
    assert found.failures() == {path.stem: "no longer has a score: its record cannot be read; see the problems"}
    assert found.matches.absent == ()
    back = compare(new, old)
    reason = "its record in the baseline cannot be read; see the problems"
    assert (back.failures(), back.matches.only_new) == ({}, ())
    assert back.failures("undecided") == {path.stem: f"not tested: {reason}"}


def test_damaged_outcomes_of_a_case_that_nothing_changed_do_not_blind_its_task(old, new):
    for folder, right in ((old, RIGHT), (new, WORSE)):
        how = {} if folder == old else NEW
        probe(folder, {"1.0": RIGHT}, "block00", **how)
        probe(folder, {"1.0": right}, "final", **how)
    record_path(new, "probe", "m_one-eurosat_sim-linear-block00").with_suffix(".npz").write_bytes(b"PK")
    (mean,) = compare(old, new).pooled
    assert (mean.verdict, len(mean.pooled), mean.left_out) == ("regression", 1, 1)


def test_an_unknown_task_and_an_rmse_without_a_margin_are_not_judged(old, new):
    sums = np.abs(np.random.default_rng(0).normal(1, 0.1, (3, 20, 5)))
    for folder, factor in ((old, 1.0), (new, 1.2)):
        probe(folder, {"1.0": RIGHT}, task="nowhere")
        trained(folder, sums * [1, 1, factor, 1, 2], "rmse", task="biomassters_sim")
    found = compare(old, new)
    catalog = load_catalog()
    assert "task nowhere is not in the catalog" in found.unknown["probe", "m_one-nowhere-linear-final"]
    silent = catalog.task("biomassters_sim").model_copy(update={"delta": None})
    with pytest.raises(DataError, match="nothing can be compared"):
        compare(old, new, replace(catalog, tasks={"biomassters_sim": silent}))


def test_a_run_is_not_its_own_baseline(old):
    probe(old, {"1.0": RIGHT})
    with pytest.raises(DataError, match="cannot be its own baseline"):
        compare(old, old.parent / ".." / "runs" / "old")


def test_runs_without_a_common_case_say_what_to_run(old, new):
    probe(old, {"1.0": RIGHT}, model="m_one", task="eurosat_sim")
    probe(new, {"1.0": RIGHT}, model="m_one", task="eurosat")
    with pytest.raises(DataError, match="1 case only in the baseline and 1 only in the new run; run the same"):
        compare(old, new)


def test_runs_of_different_models_say_how_to_compare_models(old, new):
    probe(old, {"1.0": RIGHT}, model="m_one")
    probe(new, {"1.0": RIGHT}, model="m_two")
    with pytest.raises(DataError, match=r"of other models\. Measure another checkpoint of a model with --weights"):
        compare(old, new)


def test_a_run_is_found_by_folder_name_and_archive(old, tmp_path):
    probe(old, {"1.0": RIGHT})
    assert find_run(old) == old
    assert find_run(Path("old"), tmp_path / "runs") == old
    archive = tmp_path / "old.tar.xz"
    pack(old, archive, {"m_one-eurosat_sim-linear-final"})
    assert read_run(find_run(archive)).records == read_run(old).records


def test_what_is_no_run_is_refused(old, tmp_path):
    probe(old, {"1.0": RIGHT})
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("no run")
    (tmp_path / "broken.tar.xz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"no such run.*newest runs in .*: old$"):
        find_run(tmp_path / "absent", tmp_path / "runs")
    with pytest.raises(DataError, match=r"no such run; did you mean old\?"):
        find_run(tmp_path / "olld", tmp_path / "runs")
    with pytest.raises(DataError, match=r"holds no records of cases; use .*broken\.tar\.xz"):
        find_run(tmp_path)
    with pytest.raises(DataError, match="holds no records"):
        find_run(tmp_path / "empty")
    with pytest.raises(DataError, match="is a file"):
        find_run(tmp_path / "file.txt")
    with pytest.raises(DataError, match="not a complete archive"):
        find_run(tmp_path / "broken.tar.xz")


def test_a_baseline_of_an_older_schema_is_migrated(old, new, repository):
    name = "record_v1_probe"
    content = json.loads((repository / "tests" / "golden" / f"{name}.json").read_text())
    assert content["schema_version"] == 1
    path = record_path(old, "probe", content["case"]["id"])
    path.parent.mkdir(parents=True)
    shutil.copy(repository / "tests" / "golden" / f"{name}.json", path)
    write_json(record_path(new, "probe", content["case"]["id"]), content_of(read_record(path)))
    (case,) = compare(old, new).cases
    assert case.identical


def test_the_checkpoint_at_a_third_of_its_steps_is_a_regression_on_the_reference(tmp_path, unpacked_reference):
    run = unpacked_reference
    for model, folder in (("pocket_mae", tmp_path / "whole"), ("pocket_mae_third", tmp_path / "third")):
        for path in (run / "probe").glob(f"{model}-eurosat_sim-*.npz"):
            record = read_record(path.with_suffix(".json"))
            case = record.case.model_copy(
                update={"model": "pocket_mae", "id": record.case.id.replace(model, "pocket_mae")}
            )
            renamed = record_path(folder, "probe", case.id)
            write_json(renamed, content_of(record.model_copy(update={"case": case})))
            shutil.copy(path, renamed.with_suffix(".npz"))
    found = compare(tmp_path / "whole", tmp_path / "third")
    (mean,) = found.pooled
    assert mean.verdict == "regression"
    taps = {case.old.case.layer for case in mean.pooled}
    assert taps == {"block06", "block10", "block11", "final"}, "those with outcomes of both"
    assert len(mean.pooled) == 10, "of four kinds of probe"
    assert mean.difference.value == pytest.approx(-0.0405, abs=0.002)
    assert found.regressions, "and it is one at a tap that decides"


def test_label_fractions_may_be_in_any_order(old, new):
    probe(old, {"0.1": RIGHT, "1.0": RIGHT})
    probe(new, {"1.0": WORSE, "0.1": WORSE}, **NEW)
    (case,) = compare(old, new).cases
    assert [cell.fraction for cell in case.cells] == ["0.1", "1.0"]
    assert case.verdict == "regression"
