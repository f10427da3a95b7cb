"""The committed reference against the committed ranges: what this repository measured is what it expects."""

import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from geofm_eval.expected import FOLDER, CaseRangeVerdict, Ranges, judge, read_folder
from geofm_eval.expected.subject import has_scores
from geofm_eval.records import Record, read_record

ARCHIVE = Path("reports/reference/study.tar.xz")


@pytest.fixture(scope="module")
def judged(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, CaseRangeVerdict]:
    """Judgement of every case of the reference that has scores and a task with ranges, by id."""
    ranges = read_folder(repository / FOLDER, [path.stem for path in (repository / FOLDER).glob("*.toml")])
    named = {task: _of_other_runs(own) for task, own in ranges.items()}
    records = _records(repository / ARCHIVE, set(ranges), tmp_path_factory.mktemp("reference"))
    return {f"{one.case.kind} {one.case.id}": judge(one, named[one.case.task]) for one in records if has_scores(one)}


def _of_other_runs(ranges: Ranges) -> Ranges:
    """The same ranges, as if no run had set them: one that was set from the reference must hold it all the same."""
    nameless = {key: replace(one, origin=replace(one.origin, runs=())) for key, one in ranges.ranges.items()}
    return replace(ranges, ranges=nameless)


def _records(archive: Path, tasks: set[str], folder: Path) -> list[Record]:
    """Records of some tasks; outcomes, which are most of the archive, are passed over."""
    found = []
    with tarfile.open(archive, "r:xz") as tar:
        for member in tar:
            kind, _, name = member.name.rpartition("/")
            if kind in ("probe", "segment", "tune") and name.endswith(".json") and name.split("-")[1] in tasks:
                tar.extract(member, folder, filter="data")
                found.append(read_record(folder / member.name))
    return found


def test_the_committed_reference_is_inside_the_committed_ranges(judged: dict[str, CaseRangeVerdict]):
    outside = {name: found.reason for name, found in judged.items() if found.outside}
    assert outside == {}


def test_the_committed_ranges_are_for_what_the_reference_measured(judged: dict[str, CaseRangeVerdict]):
    stale = {name: found.reason for name, found in judged.items() if found.verdict == "stale_range"}
    assert stale == {}
    scores = [one for found in judged.values() for one in found.judged if one.verdict in ("in_range", "below", "above")]
    assert len(scores) > 1000
