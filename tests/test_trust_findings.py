"""Simulations of what findings decide: worlds without doubt lead to the verdicts that they must lead to."""

import numpy as np
import pytest

from benchmarks.studies.trust import findings
from benchmarks.studies.trust.findings import TABLES, around, error_of_mean, errors, shares, verdicts
from geofm_eval.findings.finding import AS_GOOD, GAIN


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "RUNS", 8)


@pytest.mark.parametrize(
    ("truth", "claim", "error", "said"),
    [
        (5.0, GAIN, 0.1, "100 / 0 / 0"),
        (0.0, GAIN, 0.1, "0 / 100 / 0"),
        (2.0, GAIN, 9.0, "0 / 0 / 100"),
        (0.0, AS_GOOD, 0.1, "100 / 0 / 0"),
        (-5.0, AS_GOOD, 0.1, "0 / 100 / 0"),
    ],
)
def test_what_is_beyond_doubt_is_decided(truth, claim, error, said):
    assert shares(verdicts([truth] * 9, [3, 3, 3], [error] * 3, claim)) == said


def test_errors_on_the_same_items_correlate_and_their_mean_knows_it():
    drawn = np.array([errors(np.random.default_rng(n), [4, 2], [1.0, 3.0]) for n in range(20_000)])
    correlation = np.corrcoef(drawn.T)
    assert correlation[0, 1] == pytest.approx(0.3, abs=0.03)
    assert correlation[0, 5] == pytest.approx(0.0, abs=0.03)
    assert drawn.mean(1).std() == pytest.approx(error_of_mean([4, 2], [1.0, 3.0]), rel=0.03)
    assert around(1.0, 2.0).high == pytest.approx(1 + 2 * 1.96, abs=0.01)


def test_a_drift_far_ahead_leads_and_one_far_behind_does_not():
    assert shares(findings._drifts(7, 90.0, 5, 3)) == "100 / 0 / 0"
    assert shares(findings._drifts(7, -90.0, 5, 3)) == "0 / 100 / 0"
    assert shares(findings._drifts(1, 90.0, 5, 3)) == "100 / 0 / 0"


def test_a_change_of_order_beyond_doubt_is_found_and_equals_have_none():
    assert shares(findings._orders(20.0, 3.0, 2, 1, 0.5)) == "100 / 0 / 0"
    assert shares(findings._orders(0.0, 0.0, 2, 1, 0.05)) == "0 / 100 / 0"


@pytest.mark.parametrize("name", ["gains", "drift", "orders"])
def test_tables_are_complete(name):
    head, rule, *rows = TABLES[name]()
    assert rows
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
