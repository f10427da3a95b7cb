"""The rate of false alarms: ranges and outcomes never share a seed, and what is out is counted."""

import numpy as np
import pytest

from benchmarks.studies.trust.alarms import (
    OUTCOMES,
    report_reruns,
    report_resampled,
    resampled,
    seeded,
    set_ranges,
    with_seeds,
)
from geofm_eval.errors import DataError
from geofm_eval.expected.rules import FEWEST_SEEDS, SEEDS
from geofm_eval.records import Record, write_record
from tests.planted.ranges import failed, trained

SEED_COUNT = 28


def cases(shift: float = 0.0, spread: float = 0.004) -> list[Record]:
    """Six siblings; ``shift`` moves the seeds from the eighth on."""
    rng = np.random.default_rng(3)
    scores = 0.8 + rng.normal(0, spread, (6, SEED_COUNT))
    scores[:, FEWEST_SEEDS:] += shift
    return [trained(own, model=f"pocket_{number}") for number, own in enumerate(scores.tolist())]


def test_a_record_with_some_seeds_is_as_if_only_they_had_been_trained():
    record = cases()[0]
    part = with_seeds(record, [2, 5], "other")
    (score,), (whole,) = part.scores.values(), record.scores.values()
    assert score.per_draw == (whole.per_draw[2], whole.per_draw[5])
    assert score.value == pytest.approx(np.mean(score.per_draw))
    assert part.training is not None
    assert [one.seed for one in part.training.seeds] == [2, 5]
    assert part.run.name == "other"


def test_fresh_seeds_of_the_same_training_raise_few_alarms_and_those_of_another_many():
    fresh = list(range(FEWEST_SEEDS, SEED_COUNT))
    same, other = cases(), cases(shift=-0.05)
    quiet = resampled(same, set_ranges(same, range(FEWEST_SEEDS)), fresh, seed=0)
    loud = resampled(other, set_ranges(other, range(FEWEST_SEEDS)), fresh, seed=0)
    assert quiet.final <= 0.05 * OUTCOMES
    assert quiet.final <= quiet.first
    assert loud.final == OUTCOMES
    assert set(loud.cases) == {record.case.id for record in other}


def test_too_few_seeds_are_refused(tmp_path):
    few = with_seeds(cases()[0], range(SEEDS), "few")
    write_record(few, None, tmp_path / "few")
    with pytest.raises(DataError, match="no trained case has 28 seeds"):
        seeded([tmp_path / "few"])


def test_reports_read_runs(tmp_path):
    records = cases()
    for record in records:
        write_record(record, None, tmp_path / "seeds")
    text = "\n".join(report_resampled([tmp_path / "seeds"]))
    assert "6 trained cases, 28 seeds each; outcomes are drawn from 20 of them" in text
    assert "| seeds 0 to 7 | 200 |" in text
    below = failed(records[0], "below")
    write_record(below, None, tmp_path / "seeds")
    text = "\n".join(report_reruns([tmp_path / "seeds"]))
    assert f"| seeds | 6 | 1 | 0 | 5 | 0 | {below.case.id} |" in text
    assert text.endswith("1 of 1 runs raised an alarm")
