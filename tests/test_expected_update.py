"""From planted runs to ranges: what is taken, pooled, refused, called looser, and written."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geofm_eval.catalog import load_catalog
from geofm_eval.errors import DataError
from geofm_eval.expected import Key, Ranges, judge, read_ranges, rules, write_ranges
from geofm_eval.expected.admissible import Admitted, Choices
from geofm_eval.expected.claims import unclaimed
from geofm_eval.expected.subject import basis_of
from geofm_eval.expected.update import FIRST, Change, merged, propose, read_intact_records, take
from geofm_eval.measure import setting_ranges
from geofm_eval.measure.setting_ranges import expect
from geofm_eval.records import write_record
from tests.planted.ranges import MODEL, RANGE, failed, of_run, on_cpu, probe, ranges_for, trained
from tests.synthetic_run import make_record

CATALOG = load_catalog()
LOW = "AssertionError: accuracy 50.00 % is below its expected range [60.00, 62.00]"
FEATURES = {"train": "t" * 8, "test": "u" * 8}


DRAWS = (Choices((21,), 0.02), Choices((20, 22), 1e-5))


def solver(tie=0.0, noise=0.0004, draws=DRAWS):
    """Admissible penalties that score so much more than each record's, and two solves so far to either side of it."""

    def admitted(value):
        solves = {"no noise": value, "noise 1e-06, solve 0": value - noise, "noise 1e-06, solve 1": value + noise}
        return Admitted(value, value + tie, solves, draws)

    def solve(records):
        solve.calls.append([record.case.layer for record in records])
        return {
            record.case.task: {
                one.case.layer: {f: admitted(s.value) for f, s in one.scores.items()} for one in reversed(records)
            }
            for record in records
        }

    solve.calls = []
    return solve


def proposed(*records, old=None, why="", **planted):
    return propose(take([records]), solver(**planted), old or {}, why)


def only(proposal):
    (change,) = proposal.changes
    return change.new


def test_a_probe_has_what_its_admissible_penalties_score_and_a_decision_on_either_side():
    found = only(proposed(probe(0.6, feature_keys=FEATURES)))
    assert (found.rule, found.mean, found.n) == ("numeric", 0.6, 3)
    assert (found.lo, found.hi) == pytest.approx((0.6 - 1 / 400, 0.6 + 1 / 400))
    assert (found.choices, found.gap, found.sd) == ("21 20|22", 1e-5, None)
    tied = only(proposed(probe(0.6, feature_keys=FEATURES), tie=0.02))
    assert (tied.lo, tied.hi) == pytest.approx((0.6 - 1 / 400, 0.62 + 1 / 400))
    assert found.origin.runs == ("new",)
    assert found.origin.why == FIRST


def test_a_probe_without_penalties_has_no_choices():
    found = only(proposed(probe(0.6, feature_keys=FEATURES), draws=()))
    assert (found.choices, found.gap) == (None, None)


def test_a_range_that_does_not_hold_a_solve_with_noise_is_refused_by_name():
    """Noise may turn choices that are admissible, and one next to them: more means that the rule is not sound here."""
    proposal = proposed(probe(0.6, feature_keys=FEATURES), noise=0.004)
    assert proposal.changes == ()
    assert proposal.refused == {
        "probe.galileo_nano-linear-final.1.0 (cpu, float32) of eurosat_sim": "noise 1e-06, solve 0 scores 0.596, "
        "outside the range of admissible penalties, [0.5975, 0.6025]: run the case again on this machine, and report "
        "it if this persists"
    }


def test_the_old_range_of_a_refused_case_stays():
    record = probe(0.6, feature_keys=FEATURES)
    old = {"eurosat_sim": ranges_for(record)}
    assert merged(old, proposed(record, old=old, noise=0.004).changes) == {}


def test_a_score_that_nothing_here_gives_is_refused_by_the_name_of_its_run():
    """Two runs with the same features, and one of them was measured otherwise."""
    records = probe(0.6, "one", feature_keys=FEATURES), probe(0.7, "two", feature_keys=FEATURES)

    def solve(_):
        return {"eurosat_sim": {"final": {"1.0": Admitted(0.6, 0.6, {"no noise": 0.6}, DRAWS)}}}

    proposal = propose(take([records]), solve, {}, "")
    assert proposal.changes == ()
    assert "run 'two' scores 0.7, outside the range" in next(iter(proposal.refused.values()))


def test_all_taps_of_the_same_features_are_solved_once():
    solve = solver()
    taps = [probe(0.6, tap=tap, feature_keys=FEATURES) for tap in ("block00", "final")]
    again = [of_run(one, "second") for one in taps]
    proposal = propose(take([taps, again]), solve, {}, "")
    assert sorted(solve.calls[0]) == ["block00", "block00", "final", "final"]
    assert len(solve.calls) == 1
    assert len(proposal.changes) == 2
    assert {change.new.n for change in proposal.changes} == {3}, "the same solves, whatever runs share them"
    assert only(replace(proposal, changes=proposal.changes[:1])).origin.runs == ("new", "second")


def test_runs_that_differ_by_less_than_ties_are_both_inside():
    records = probe(0.6, "one", feature_keys=FEATURES), probe(0.61, "two", feature_keys=FEATURES)
    found = only(proposed(*records, tie=0.01))
    assert found.lo <= 0.6 - 1 / 400 < 0.61 + 1 / 400 <= found.hi
    assert found.mean == pytest.approx(0.605)


def family(*spreads, seeds=6):
    """Tuned models whose seeds scatter by so much."""
    rng = np.random.default_rng(0)
    return [
        trained((0.5 + spread * rng.standard_normal(seeds)).tolist(), model=f"m{number}")
        for number, spread in enumerate(spreads)
    ]


def test_trainings_pool_their_variance_over_siblings():
    records = family(0.01, 0.012, 0.009, 0.011)
    changes = proposed(*records).changes
    scaled = [[rules.to_scale(v, "accuracy", 1000) for v in r.scores["0.1"].per_draw] for r in records]
    siblings = [(float(np.var(one, ddof=1)), 5) for one in scaled]
    for change, record, (variance, freedom) in zip(changes, records, siblings, strict=True):
        pooled = rules.pooled(variance, freedom, siblings)
        found = change.new
        assert (found.spread, found.freedom) == pytest.approx((pooled.spread, pooled.freedom))
        mean = record.scores["0.1"].value
        expected = rules.seed_range(mean, "accuracy", 1000, pooled, 6, 0.001)
        assert (found.lo, found.hi) == pytest.approx(expected, abs=2e-7)
        assert (found.n, found.rule, found.floor) == (6, "seeds", 0.001)
    assert len({change.new.freedom for change in changes}) == 1


def test_runs_with_other_seeds_are_pooled_and_a_seed_counts_once():
    first = trained([0.5, 0.51, 0.52, 0.49, 0.5], "one")
    more = trained([0.52, 0.48, 0.5, 0.51, 0.5, 0.49], "two", first_seed=3)
    found = only(proposed(first, more))
    assert found.n == 9
    assert found.mean == pytest.approx(np.mean([0.5, 0.51, 0.52, 0.52, 0.48, 0.5, 0.51, 0.5, 0.49]))
    assert found.origin.runs == ("one", "two")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5], "one seed has no standard deviation"),
        ([0.5, 0.51, 0.52], "found 3 seeds and 2.0 pooled degrees of freedom"),
    ],
)
def test_too_few_seeds_are_refused_by_name(values, message):
    taken = proposed(trained(values))
    assert taken.changes == ()
    ((name, reason),) = taken.refused.items()
    assert name == "tune.pocket_mae-pooled_full_p010-final.0.1 (cpu, float32) of eurosat_sim"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(reason)


def test_three_seeds_are_enough_where_siblings_lend_theirs():
    proposal = proposed(*family(0.01, 0.01, 0.012, 0.011, seeds=3))
    assert len(proposal.changes) == 4
    assert proposal.refused == {}


def test_a_case_that_failed_is_left_out_by_name_and_one_outside_its_range_is_taken():
    broken, low = failed(probe(0.6, tap="block00"), "below"), failed(probe(0.5), "below", LOW)
    taken = take([[broken, low]])
    assert [key.case for _, key in taken.groups] == ["galileo_nano-linear-final"]
    assert taken.refused == {
        "probe galileo_nano-eurosat_sim-linear-block00 of run 'new'": "failed: AssertionError: it failed"
    }
    with pytest.raises(DataError, match=r"nothing to set ranges from: .*it failed"):
        take([[broken]])


def test_what_all_required_failed_for_want_of_a_range_is_taken():
    record = failed(probe(0.6), "stale_range", "AssertionError: --require-all: The range of x is stale")
    assert take([[record]]).refused == {}


def real(record):
    return record.model_copy(update={"evidence": "published"})


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ({"weights_sha256": "f" * 64}, "weights"),
        ({"labels_sha256": {"test": "f" * 64}}, "labels"),
        ({"recipe": {"slug": "x"}}, "recipe"),
    ],
)
def test_runs_that_measured_something_else_are_refused_by_name(update, words):
    with pytest.raises(DataError, match=rf"runs 'one' and 'two' have different {words}.*: set ranges from runs"):
        take([[real(probe(0.6, "one"))], [on_cpu(real(probe(0.6, "two")), **update)]])


def test_task_versions_do_not_mix():
    newer = probe(0.6, "two")
    newer = newer.model_copy(update={"case": newer.case.model_copy(update={"task_version": 2})})
    with pytest.raises(DataError, match="different task version"):
        take([[probe(0.6, "one")], [newer]])


def test_only_the_named_tasks_are_taken():
    record, _ = make_record(MODEL, "eurosat_rgb", "linear", "final")
    taken = take([[on_cpu(record), probe(0.6)]], tasks=["eurosat_rgb"])
    assert {task for task, _ in taken.groups} == {"eurosat_rgb"}


@pytest.mark.parametrize(
    ("ends", "looser"),
    [((0.6, 0.62), False), ((0.605, 0.615), False), ((0.59, 0.62), True), ((0.6, 0.63), True), ((0.61, 0.63), True)],
)
def test_looser_is_what_admits_what_was_not_admitted(ends, looser):
    new = replace(RANGE, lo=ends[0], hi=ends[1], mean=0.612)
    change = Change("t", Key("probe", "a-b-c", "1.0", "cpu", "float32"), RANGE, new)
    assert change.looser is looser
    assert replace(change, old=replace(RANGE, sd=0.001)).effect == pytest.approx(2.0)
    assert change.effect is None


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_looser_is_that_some_score_would_pass_now_and_not_before(ends):
    old, new = (replace(RANGE, lo=min(pair), hi=max(pair), mean=pair[0]) for pair in (ends[:2], ends[2:]))
    change = Change("t", Key("probe", "a-b-c", "1.0", "cpu", "float32"), old, new)
    scores = [*ends, *(sum(pair) / 2 for pair in itertools.combinations(ends, 2))]
    admitted = any(new.lo <= one <= new.hi and not old.lo <= one <= old.hi for one in scores)
    assert change.looser is admitted


def test_a_new_range_and_an_equal_one_are_no_looser():
    assert not Change("t", Key("probe", "a-b-c", "1.0", "cpu", "float32"), None, RANGE).looser
    other = replace(RANGE, origin=replace(RANGE.origin, runs=("later",)))
    same = Change("t", Key("probe", "a-b-c", "1.0", "cpu", "float32"), RANGE, other)
    assert (same.changed, same.looser) == (False, False)
    assert Change("t", same.key, replace(RANGE, sd=None), RANGE).effect is None


# -- the command


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setattr(setting_ranges, "_solver", lambda _: solver())


def written(folder, *records):
    for record in records:
        write_record(record.model_copy(update={"outcomes_sha256": None}), None, folder)
    return folder


def test_the_command_writes_new_ranges_and_keeps_those_of_other_cases(tmp_path, planted):
    old = ranges_for(probe(0.3, tap="block00"))
    write_ranges(old, tmp_path / "eurosat_sim.toml")
    run = written(tmp_path / "new", probe(0.6, feature_keys=FEATURES), probe(0.7, tap="block01", feature_keys=FEATURES))
    found = expect([run], CATALOG, tmp_path)
    assert found.written
    assert found.text.splitlines() == [
        "eurosat_sim: 2 new, rule numeric, half widths 0.25 to 0.25 %, median 0.25 %",
        f"2 of 2 ranges written to {tmp_path}",
    ]
    ranges = read_ranges(tmp_path / "eurosat_sim.toml")
    assert len(ranges.ranges) == 3
    assert old.ranges.items() <= ranges.ranges.items()
    assert judge(of_run(probe(0.601), "other"), ranges).verdict == "in_range"


def test_a_range_that_gets_looser_needs_a_reason(tmp_path, planted):
    first = written(tmp_path / "one", probe(0.6, "one", feature_keys=FEATURES))
    expect([first], CATALOG, tmp_path)
    before = (tmp_path / "eurosat_sim.toml").read_bytes()
    moved = written(tmp_path / "two", failed(probe(0.64, "two", feature_keys=FEATURES), "above", LOW))
    for why in ("", "  "):
        found = expect([moved], CATALOG, tmp_path, why=why)
        assert not found.written
        assert (tmp_path / "eurosat_sim.toml").read_bytes() == before
    assert found.text.splitlines() == [
        "eurosat_sim: probe.galileo_nano-linear-final.1.0 (cpu, float32) [59.75, 60.25] -> [63.75, 64.25], LOOSER",
        'nothing was written: 1 range would become looser; give a reason with --why "..."',
    ]
    accepted = expect([moved], CATALOG, tmp_path, why="the loader reads B8A now")
    assert accepted.written
    (kept,) = read_ranges(tmp_path / "eurosat_sim.toml").ranges.values()
    assert (kept.origin.why, kept.origin.runs) == ("the loader reads B8A now", ("two",))


def test_the_same_run_again_changes_nothing_and_keeps_the_origin(tmp_path, planted):
    expect([written(tmp_path / "one", probe(0.6, "one", feature_keys=FEATURES))], CATALOG, tmp_path)
    before = (tmp_path / "eurosat_sim.toml").read_bytes()
    found = expect([written(tmp_path / "two", probe(0.6, "two", feature_keys=FEATURES))], CATALOG, tmp_path)
    assert found.written
    assert found.text.splitlines() == ["eurosat_sim: 1 unchanged", f"0 of 1 range written to {tmp_path}"]
    assert (tmp_path / "eurosat_sim.toml").read_bytes() == before


def test_a_task_that_no_run_holds_is_named(tmp_path):
    run = written(tmp_path / "one", probe(0.6, "one", feature_keys=FEATURES))
    with pytest.raises(DataError, match=r"no case of eurosat_simm in these runs; choose among eurosat_sim$"):
        expect([run], CATALOG, tmp_path, tasks=["eurosat_simm"])


def test_what_is_left_out_and_what_nobody_claims_is_said(tmp_path, planted):
    gone = Key("probe", "gone-linear-final", "1.0", "cpu", "float32")
    write_ranges(Ranges("eurosat_sim", {gone: RANGE}), tmp_path / "eurosat_sim.toml")
    run = written(tmp_path / "one", probe(0.6, feature_keys=FEATURES), failed(probe(0.1, tap="embed"), "no_range"))
    text = expect([run], CATALOG, tmp_path).text
    assert "left out: probe galileo_nano-eurosat_sim-linear-embed of run 'new': failed: AssertionError" in text
    assert "unused range: eurosat_sim: probe.gone-linear-final.1.0 (cpu, float32)" in text


def test_a_run_that_cannot_be_read_whole_is_refused(tmp_path):
    run = written(tmp_path / "one", probe(0.6))
    (run / "probe" / "x.json").write_text('{"schema_version": 2, "ru')
    with pytest.raises(DataError, match=r"x\.json: not a readable record"):
        read_intact_records(run)
    with pytest.raises(DataError, match="no such run"):
        read_intact_records(tmp_path / "absent")


def test_of_many_damaged_records_one_is_named_and_the_others_are_counted(tmp_path):
    run = written(tmp_path / "one", probe(0.6))
    for number in range(40):
        (run / "probe" / f"x{number:02d}.json").write_text("{")
    with pytest.raises(DataError, match=r"x00\.json: .* \(and 39 more problems\); ranges need") as caught:
        read_intact_records(run)
    assert len(str(caught.value)) <= 400


CLAIMS = {
    "a probe": ("eurosat_sim", "probe", "pocket_mae-linear-block07", "0.01", True),
    "a class token": ("eurosat_sim", "probe", "pocket_mae-linear_cls-final", "1.0", True),
    "no class token": ("eurosat_sim", "probe", "band_stats-linear_cls-final", "1.0", False),
    "a vanished model": ("eurosat_sim", "probe", "pocket_gone-linear-block07", "1.0", False),
    "a block too many": ("eurosat_sim", "probe", "pocket_mae-linear-block12", "1.0", False),
    "a fraction too many": ("eurosat_sim", "probe", "pocket_mae-linear-final", "0.5", False),
    "no probe of numbers": ("eurosat_sim", "probe", "pocket_mae-ridge-final", "1.0", False),
    "a decoder": ("sen1floods11_sim", "segment", "pocket_mae-lightms_full_p010-multi", "0.1", True),
    "another fraction than the slug's": (
        "sen1floods11_sim",
        "segment",
        "pocket_mae-lightms_full_p010-multi",
        "1.0",
        False,
    ),
    "a tuning": ("eurosat_sim", "tune", "pocket_mae-pooled_full_p010-final", "0.1", True),
    "a decoder without pixels": ("eurosat_sim", "tune", "pocket_mae-lightms_full_p010-multi", "0.1", False),
    "a vanished task": ("gone_sim", "probe", "pocket_mae-linear-final", "1.0", False),
}


@pytest.mark.parametrize(("task", "kind", "case", "fraction", "claimed"), CLAIMS.values(), ids=CLAIMS)
def test_ranges_are_claimed_by_what_the_catalog_could_run(task, kind, case, fraction, claimed):
    key = Key(kind, case, fraction, "cpu", "float32")
    found = unclaimed([Ranges(task, {key: RANGE})], CATALOG)
    assert found == ([] if claimed else [f"{task}: {key.name}"])


def test_every_case_of_the_bench_suite_claims_its_range():
    from fixtures.suite import select_cases
    from tests.small_suite import OPTIONS

    cases = select_cases(replace(OPTIONS, suite="bench"), CATALOG)
    by_task = {}
    for case in (*cases["probe"], *cases["segment"]):
        fraction = {"p010": "0.1"}.get(case.adaptation.rsplit("_", 1)[-1], "1.0")
        key = Key(case.kind, f"{case.model}-{case.adaptation}-{case.layer}", fraction, "cpu", "float32")
        by_task.setdefault(case.task, {})[key] = RANGE
    assert unclaimed([Ranges(task, own) for task, own in by_task.items()], CATALOG) == []
    assert sum(map(len, by_task.values())) > 400


def test_nothing_of_a_basis_is_none_and_all_of_it_is_finite():
    basis = basis_of(trained([0.5, 0.6]), "0.1")
    assert basis.setting["training"]["recipe"]["slug"] == "quick_items"
    assert None not in basis.setting.values()
    assert all(math.isfinite(rate) for rate in basis.setting["training"]["rates"])
