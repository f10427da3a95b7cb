"""Comparison of two runs case by case and sample by sample: are new weights worse (``docs/gate.md``)."""

from geofm_eval.compare.cases import CaseChange, CaseVerdict
from geofm_eval.compare.comparison import FAIL_ON, FailOn, RunComparison, Unselected, compare
from geofm_eval.compare.drops import RawDrop
from geofm_eval.compare.families import TOGETHER, Role, Together, chance_of_false, expected_false
from geofm_eval.compare.feature_change import Moved
from geofm_eval.compare.matching import Matches, Refusal, match
from geofm_eval.compare.pooled import PooledVerdict
from geofm_eval.compare.verdicts import (
    Verdict,
    chance_of_finding,
    smallest_found,
    standard_error,
    verdict_on_difference,
)
from geofm_eval.results.locate import find_run

__all__ = [
    "FAIL_ON",
    "TOGETHER",
    "CaseChange",
    "CaseVerdict",
    "FailOn",
    "Matches",
    "Moved",
    "PooledVerdict",
    "RawDrop",
    "Refusal",
    "Role",
    "RunComparison",
    "Together",
    "Unselected",
    "Verdict",
    "chance_of_false",
    "chance_of_finding",
    "compare",
    "expected_false",
    "find_run",
    "match",
    "smallest_found",
    "standard_error",
    "verdict_on_difference",
]
