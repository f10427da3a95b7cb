"""Findings: verdicts on the claims of the reference study, for any set of records (``docs/findings.md``)."""

from collections.abc import Callable

from geofm_eval.catalog import Catalog
from geofm_eval.findings.adaptation import adaptation_matters
from geofm_eval.findings.drift import drift_rules
from geofm_eval.findings.finding import Finding, FindingCell, Verdict
from geofm_eval.findings.heads import heads_and_depth
from geofm_eval.findings.imagenet import imagenet_competes
from geofm_eval.findings.layers import layer_gain
from geofm_eval.findings.profiles import distinct_profiles
from geofm_eval.findings.rankings import rankings_change
from geofm_eval.results.run import Run

__all__ = ["EVIDENCE", "FINDINGS", "Finding", "FindingCell", "Rule", "Verdict", "decide_findings"]

Rule = Callable[[Run, Catalog], Finding | None]
"""From records of one evidence class to what they say about a claim; None where none of them is about it."""

FINDINGS: tuple[Rule, ...] = (
    rankings_change,
    layer_gain,
    distinct_profiles,
    adaptation_matters,
    heads_and_depth,
    *drift_rules(),
    imagenet_competes,
)
"""One function per claim, in the order of their numbers. A claim with several measures is several functions."""

EVIDENCE = ("published", "sample", "own", "simulated")
"""Evidence classes, the strongest first: verdicts never mix them."""


def decide_findings(run: Run, catalog: Catalog) -> tuple[Finding, ...]:
    """Every verdict that a run has records for, one per claim and evidence class."""
    found = []
    for evidence in EVIDENCE:
        own = run.of_evidence(evidence)
        found += [made for rule in FINDINGS if (made := rule(own, catalog)) is not None]
    return tuple(found)
