"""The fault campaign: every kind is reported or right, and its readers notice a silent change."""

import random
from pathlib import Path

import pytest

from benchmarks.studies.trust.faults.__main__ import NEVER, table
from benchmarks.studies.trust.faults.damage import damaged
from benchmarks.studies.trust.faults.kinds import KINDS, trial_of


@pytest.mark.parametrize("name", KINDS)
def test_damage_is_told_or_changes_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GEOFM_CACHE", str(tmp_path / "cache"))
    trial, rng = KINDS[name][0](tmp_path), random.Random(1)
    assert not {trial(rng) for _ in range(6)} & set(NEVER)


def test_a_full_campaign_makes_more_than_a_thousand_trials():
    assert sum(count for _, count in KINDS.values()) >= 1000


def test_damage_always_changes_the_bytes():
    rng = random.Random(0)
    assert all(damaged(b"a 12 b", rng) != b"a 12 b" for _ in range(200))


def test_a_file_is_put_right_after_every_trial_and_a_raw_error_is_no_message(tmp_path: Path):
    path = tmp_path / "x"
    path.write_bytes(b"12345")

    def look():
        raise KeyError

    assert trial_of(path, look)(random.Random(0)) == "traceback"
    assert path.read_bytes() == b"12345"


def test_the_table_has_a_row_per_kind_and_counts_what_never_may_be():
    lines = table({"records": {"reported": 9, "silently wrong": 1}})
    assert lines[0].startswith("| kind | trials | right | reported | lost | silently wrong |")
    assert lines[2] == "| records | 10 | 0 | 9 | 0 | 1 | 0 | 0 |"
