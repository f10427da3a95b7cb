"""Expected ranges in whole sessions: set from one run, judged in the next, refused, resumed."""

import re
from dataclasses import replace

import pytest

from geofm_eval.catalog import load_catalog
from geofm_eval.expected import FOLDER, read_ranges, write_ranges
from geofm_eval.expected.ranges import Key, Ranges
from geofm_eval.measure import noise
from geofm_eval.measure.setting_ranges import expect
from geofm_eval.records import read_outcomes, read_records
from tests.small_suite import LAYERS, install

KNN = ("--tasks", "colours", "--adaptations", "knn")


@pytest.fixture(scope="module")
def ranged(tmp_path_factory):
    """The small suite with ranges that were set from its first run, of ``oak``, next to one that no case claims."""
    folder = tmp_path_factory.mktemp("ranged")
    suite = install(folder)
    first = suite.run("--models", "oak", *KNN, "--run", "first")
    assert first.status == 0, first.text
    assert "verdicts: 4 no_range" in first.text
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEOFM_CACHE", str(folder / "cache"))
        patch.setattr(noise, "PERTURBATIONS", noise.PERTURBATIONS[:2])
        expect([folder / "reports/runs/first"], load_catalog([folder / "small.toml"]), folder / FOLDER)
    ranges = read_ranges(folder / FOLDER / "colours.toml")
    assert len(ranges.ranges) == 2 * len(LAYERS)
    gone = Key("probe", "yew-knn-final", "1.0", "cpu", "float32")
    write_ranges(replace(ranges, ranges={**ranges.ranges, gone: next(iter(ranges.ranges.values()))}), path_of(suite))
    return suite


@pytest.fixture(scope="module")
def second(ranged):
    """A second run, with a model that has no range."""
    return ranged.run("--models", "oak,elm", *KNN, "--run", "second", "--require-all")


def path_of(suite):
    return suite.folder / FOLDER / "colours.toml"


def test_the_next_run_is_judged_and_a_missing_range_fails_where_all_is_required(ranged, second):
    assert second.status == 1, second.text
    assert "verdicts: 4 in_range, 4 no_range" in second.text
    assert "4 failed" in second.text
    assert re.search(r"--require-all: There is no range for probe\.elm-knn-final\.0\.1 \(cpu, float32\)", second.text)
    assert "unused ranges: colours: probe.yew-knn-final.1.0 (cpu, float32); remove them" in second.text
    record = ranged.records("second")["oak-colours-knn-final"]
    assert record["outcome"] == {"status": "passed", "verdict": "in_range", "reason": None}
    applied = record["expected_ranges"]["1.0"]
    assert applied["low"] <= record["scores"]["1.0"]["value"] <= applied["high"]
    assert (applied["rule"], applied["runs"]) == ("numeric", ["first"])
    assert ranged.records("second")["elm-colours-knn-final"]["outcome"]["verdict"] == "no_range"


def test_a_run_that_is_resumed_is_judged_again(ranged, second):
    """Its records passed; the range of one has moved away since, and that of another tap is for other weights."""
    before = {name: one for name, one in ranged.records("second").items() if name.startswith("oak")}
    original = read_ranges(path_of(ranged))
    moved = {}
    for key, found in original.ranges.items():
        if key.case == "oak-knn-final":
            found = replace(found, lo=found.lo + 0.2, hi=found.hi + 0.2, mean=found.mean + 0.2)
        if key.case == "oak-knn-embed":
            found = replace(found, basis=replace(found.basis, weights="e" * 64))
        moved[key] = found
    write_ranges(Ranges(original.task, moved), path_of(ranged))
    passes = ranged.items_passed()["oak"]
    try:
        again = ranged.run("--models", "oak", *KNN, "--run", "second", "--resume")
    finally:
        write_ranges(original, path_of(ranged))
    assert again.status == 1
    assert ranged.items_passed()["oak"] == passes, "nothing is measured again"
    assert "verdicts: 1 below, 2 in_range, 1 stale_range" in again.text
    assert "stale range: 1 x oak on colours: changed weights" in again.text
    assert "is below its expected range" in again.text
    after = {name: one for name, one in ranged.records("second").items() if name in before}
    assert after["oak-colours-knn-final"]["outcome"]["verdict"] == "below"
    assert after["oak-colours-knn-embed"]["outcome"]["status"] == "passed"
    assert after["oak-colours-knn-embed"]["outcome"]["verdict"] == "stale_range"
    assert after["oak-colours-knn-embed"]["expected_ranges"] == {}
    assert "weights changed" in after["oak-colours-knn-embed"]["outcome"]["reason"]
    assert after["oak-colours-knn-block00"] == before["oak-colours-knn-block00"]
    assert {name: one["content_key"] for name, one in after.items()} == {n: o["content_key"] for n, o in before.items()}
    folder = ranged.folder / "reports/runs/second"
    records, problems = read_records(folder)
    assert problems == []
    assert all(read_outcomes(folder, record) is not None for record in records), "per-item outcomes stay next to them"


def test_a_range_file_that_was_edited_wrongly_stops_the_session(ranged):
    path = path_of(ranged)
    text = path.read_text(encoding="utf-8")
    path.write_text(re.sub(r"lo = [\d.]+", "lo = 9.5", text, count=1), encoding="utf-8")
    try:
        done = ranged.run("--models", "oak", *KNN, "--run", "never")
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert re.search(r"colours\.toml: range 'probe\.oak-knn-.*lo = 9\.5.*expected lo <= mean <= hi", done.text)
    assert not (ranged.folder / "reports/runs/never").exists()
