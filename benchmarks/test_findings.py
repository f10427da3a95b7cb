"""Verdicts on the claims of the study exist and follow from the numbers; which verdicts they are is not tested."""

import pytest

from fixtures.independent_verdicts import verdict_of

pytestmark = [pytest.mark.sim, pytest.mark.closed]


def test_the_reference_has_a_verdict_on_every_claim(printed_findings):
    assert {finding.number for finding in printed_findings} == {1, 2, 3, 4, 5, 6}
    for found in printed_findings:
        assert found.evidence == "simulated", f"{found.title}: evidence {found.evidence}; the reference is simulated"
        assert found.why, f"{found.title}: no reason given"
        assert (found.effect is None) == (found.verdict == "not enough records"), f"{found.title}: {found.effect}"


def test_an_effect_lies_in_its_interval_and_rests_on_cells(reference):
    for finding in (one for one in reference if one.effect is not None):
        low, high = finding.low, finding.high
        assert low <= finding.effect <= high, f"{finding.title}: {finding.effect} is not in {low}..{high}"
        assert any(cell.counts for cell in finding.cells), f"{finding.title}: no cell counts"


def test_verdicts_on_the_reference_follow_from_the_numbers(reference):
    for finding in reference:
        again = verdict_of(finding)
        assert finding.verdict == again, f"{finding.title}: {finding.verdict}, but its cells give {again}"
