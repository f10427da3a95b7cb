"""What the tests of verdicts in ``benchmarks/`` rest on: planted records, verdicts recomputed, the summary."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest

from fixtures.independent_verdicts import verdict_of
from fixtures.outcomes import FINDINGS
from fixtures.summary import write_summary
from geofm_eval.catalog import load_catalog
from geofm_eval.findings import FINDINGS as RULES
from geofm_eval.findings import decide_findings
from geofm_eval.results.run import read_run
from tests.planted.verdicts import PLANS, PLANTED, VERDICTS

CATALOG = load_catalog()


def findings_in(planted, folder):
    found = decide_findings(read_run(planted.plant(folder)), CATALOG)
    return [one for one in found if one.number == planted.number and one.title.startswith(planted.claim)]


def test_every_verdict_of_every_claim_is_planted():
    assert {(one.number, one.claim, one.verdict) for one in PLANTED} == {
        (*claim, verdict) for claim, verdict in itertools.product(PLANS, VERDICTS)
    }
    assert {number for number, _ in PLANS} == {1, 2, 3, 4, 5, 6}
    # Finding 5 has four rules that are planted at once.
    assert len(PLANS) + 3 == len(RULES)
    assert len({one.id for one in PLANTED}) == len(PLANTED)


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: planted.id)
def test_planted_records_lead_to_every_verdict(planted, tmp_path):
    found = findings_in(planted, tmp_path)
    assert found, f"no finding {planted.number} on {planted.claim}"
    for finding in found:
        assert finding.verdict == planted.verdict, f"{finding.title}: {finding.verdict}, planted {planted.verdict}"
        again = verdict_of(finding)
        assert again == finding.verdict, f"{finding.title}: {finding.verdict}, but its cells give {again}"


@pytest.mark.parametrize("number", [2, 3, 4, 5, 6])
def test_a_verdict_that_does_not_follow_from_its_cells_is_found_out(number, tmp_path):
    planted = next(one for one in PLANTED if one.number == number and one.verdict == "supported")
    for finding in findings_in(planted, tmp_path):
        assert verdict_of(finding) == "supported"
        turned = tuple(replace(cell, estimate=-20.0, p_above=1.0, p_below=0.001) for cell in finding.cells)
        assert verdict_of(replace(finding, cells=turned)) == "refuted"
        unsure = tuple(replace(cell, p_above=0.6, p_below=0.6) for cell in finding.cells)
        wide = {name: replace(mean, low=-30.0, high=30.0) for name, mean in finding.means.items()}
        assert verdict_of(replace(finding, cells=unsure, low=-30.0, high=30.0, means=wide)) == "undecided"
        # Most cells gain, but the mean may be nothing: no support.
        assert verdict_of(replace(finding, low=-30.0, means=wide)) == "undecided"
        assert verdict_of(replace(finding, effect=None)) == "not enough records"


def test_rankings_that_never_cross_are_not_supported(tmp_path):
    planted = next(one for one in PLANTED if one.id == "1-rankings-supported")
    (finding,) = findings_in(planted, tmp_path)
    assert verdict_of(finding) == "supported"
    ahead = tuple(replace(cell, estimate=9.0, low=8.0, high=10.0) for cell in finding.cells)
    assert verdict_of(replace(finding, cells=ahead)) == "refuted"
    unsure = tuple(replace(cell, estimate=0.0, low=-8.0, high=8.0) for cell in finding.cells)
    assert verdict_of(replace(finding, cells=unsure)) == "undecided"


def test_the_summary_tells_what_the_reference_says_once_and_by_name():
    reports = [
        pytest.TestReport("x", ("x", 1, "x"), {}, "passed", None, "call", user_properties=[(FINDINGS, "finding 2: so")])
    ] * 2
    lines = []
    write = lambda text, **_: lines.append(text)  # noqa: E731
    config = SimpleNamespace(get_verbosity=lambda: 0)
    reporter = SimpleNamespace(stats={"passed": reports}, section=write, line=write, config=config)
    suite = SimpleNamespace(run=SimpleNamespace(name="mine"), ranges={}, catalog=CATALOG)
    write_summary(reporter, suite, None, interrupted=False)
    assert lines[0] == "geofm_eval: run mine"
    assert lines[-2:] == ["findings on the committed reference (reports/reference), not on this run", "finding 2: so"]
    assert lines.count("finding 2: so") == 1
