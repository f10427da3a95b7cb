"""Scores from an architecture that ranges were not set on: said and counted, failing under ``--require-all`` alone."""

from dataclasses import replace

import pytest

from geofm_eval.errors import DataError
from geofm_eval.expected import FOLDER, Ranges, judge, read_ranges, write_ranges
from geofm_eval.expected.files import as_text, range_path
from geofm_eval.expected.subject import architecture_of
from geofm_eval.expected.update import propose, take
from tests.planted.ranges import ORIGIN, on_cpu, probe, ranges_for, trained
from tests.small_suite import install
from tests.test_expected_judge import published

ARM = {"platform": "Linux aarch64"}


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        ("Linux x86_64", "x86_64"),
        ("Windows AMD64", "x86_64"),
        ("Linux aarch64", "aarch64"),
        ("Darwin arm64", "aarch64"),
        (None, None),
    ],
)
def test_an_architecture_has_one_name_whatever_the_system_calls_it(platform, name):
    assert architecture_of(on_cpu(probe(0.6), platform=platform)) == name


@pytest.mark.parametrize("record", [probe(0.5, **ARM), on_cpu(trained([0.5]), **ARM)], ids=["probe", "trained"])
def test_a_score_outside_on_another_architecture_does_not_fail_and_says_why(record):
    (fraction,) = record.scores
    found = judge(record, ranges_for(record, fraction))
    assert (found.verdict, found.outside) == ("unverified_range", False)
    assert found.judged[0].changed == "aarch64"
    assert set(found.ranges) == {fraction}, "the range that does not hold here is in the record all the same"
    assert found.reason.startswith(
        "Range not verified on this architecture: it was set on x86_64, and this is aarch64. "
    )
    assert "accuracy (%) is 50.00 at " in found.reason
    assert "outside [60.00, 62.00]" in found.reason
    assert len(found.reason) < 400


def test_a_score_inside_is_in_range_on_any_architecture():
    record = probe(0.61, **ARM)
    assert judge(record, ranges_for(record)).verdict == "in_range"


def test_a_range_judges_on_every_architecture_that_it_was_set_on():
    record = probe(0.5, **ARM)
    both = replace(ORIGIN, architectures=("aarch64", "x86_64"))
    assert judge(record, ranges_for(record, origin=both)).verdict == "below"
    home = probe(0.5)
    assert judge(home, ranges_for(home, origin=both)).verdict == "below"
    assert (
        judge(home, ranges_for(home, origin=replace(ORIGIN, architectures=("aarch64",)))).verdict == "unverified_range"
    )


def test_a_record_that_does_not_say_what_measured_it_is_judged():
    record = probe(0.5, platform=None)
    assert judge(record, ranges_for(record)).verdict == "below"


def test_a_published_number_judges_on_any_architecture():
    record = probe(0.5, **ARM)
    assert judge(record, published(record)).verdict == "below"


def test_a_fall_that_is_verified_hides_behind_none_that_is_not():
    """Two label fractions: one range of this architecture, one of another."""
    record = probe(0.5)
    scores = {"0.1": record.scores["1.0"], "1.0": record.scores["1.0"]}
    record = record.model_copy(update={"scores": scores})
    far = ranges_for(record, "0.1", origin=replace(ORIGIN, architectures=("aarch64",)))
    both = Ranges(record.case.task, {**far.ranges, **ranges_for(record).ranges})
    assert judge(record, both).verdict == "below"


def test_ranges_name_the_architectures_of_their_runs():
    def solve(group):
        return [{record.case.task: {record.case.id: {"1.0": 0.6}}} for record in group]

    records = [[trained([0.5 + k / 100 for k in range(8)], run="here")]]
    (change,) = propose(take(records), solve, {}, "").changes
    assert change.new.origin.architectures == ("x86_64",)
    (change,) = propose(take([[on_cpu(records[0][0], **ARM)]]), solve, {}, "").changes
    assert change.new.origin.architectures == ("aarch64",)


def test_the_usual_architecture_is_not_written_and_another_is(tmp_path):
    record = probe(0.5)
    assert "architectures" not in as_text(ranges_for(record))
    ranges = ranges_for(record, origin=replace(ORIGIN, architectures=("aarch64",)))
    path = range_path(tmp_path, ranges.task)
    write_ranges(ranges, path)
    assert read_ranges(path) == ranges
    path.write_text(path.read_text().replace('["aarch64"]', "[]"))
    with pytest.raises(DataError, match="architectures is"):
        read_ranges(path)


def test_a_session_elsewhere_passes_counts_the_scores_and_fails_where_all_is_required(tmp_path, monkeypatch):
    suite = install(tmp_path)
    which = ("--models", "oak", "--tasks", "colours", "--adaptations", "knn", "--layers", "final,embed")
    assert suite.run(*which, "--run", "first").status == 0
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    path = range_path(tmp_path / FOLDER, "colours")
    write_ranges(Ranges("colours", dict(_elsewhere(suite, tmp_path))), path)
    second = suite.run(*which, "--run", "second")
    assert second.status == 0, second.text
    assert "verdicts: 1 in_range, 1 unverified_range" in second.text
    assert "range not verified on this architecture: 1 x oak on colours (" in second.text
    outcome = suite.records("second")["oak-colours-knn-final"]["outcome"]
    assert (outcome["status"], outcome["verdict"]) == ("passed", "unverified_range")
    assert outcome["reason"].startswith("Range not verified on this architecture: it was set on vax")
    third = suite.run(*which, "--run", "second", "--resume", "--require-all")
    assert third.status == 1
    assert "1 failed" in third.text
    assert "--require-all: Range not verified on this architecture" in third.text


def _elsewhere(suite, folder):
    """Ranges of the first run as another architecture had set them, those of ``final`` moved away."""
    from geofm_eval.catalog import load_catalog
    from geofm_eval.measure.setting_ranges import expect

    expect([folder / "reports/runs/first"], load_catalog([folder / "small.toml"]), folder / FOLDER)
    for key, found in read_ranges(range_path(folder / FOLDER, "colours")).ranges.items():
        shift = 0.3 if key.case == "oak-knn-final" else 0.0
        moved = {name: getattr(found, name) + shift for name in ("lo", "hi", "mean")}
        yield key, replace(found, origin=replace(found.origin, architectures=("vax",)), **moved)
