"""A comparison as JSON: raw values in full precision, in the metric's own unit."""

import json
from typing import Any

from geofm_eval.compare import (
    CaseChange,
    CaseVerdict,
    FailOn,
    PooledVerdict,
    RawDrop,
    RunComparison,
    chance_of_false,
    expected_false,
)
from geofm_eval.compare.matching import CaseKey
from geofm_eval.stats.difference import Difference

VERSION = 2
"""Raised whenever a field changes its meaning."""


def json_of(found: RunComparison, fail_on: FailOn = "regression", require_all: bool = False) -> str:
    """All of a comparison; unknown values are null. Differences are new minus old, turned so that more is better."""
    failures = found.failures(fail_on, require_all)
    content = {
        "version": VERSION,
        "baseline": found.old.name,
        "run": found.new.name,
        "fail_on": fail_on,
        "require_all": require_all,
        "family": found.together,
        "holds": not failures,
        "failures": failures,
        "false_regressions": {
            "families_tested": found.tested,
            "expected_at_most": expected_false(found.tested, found.together),
            "at_least_one_at_most": chance_of_false(found.tested, found.together),
        },
        "primary": {_name(key): role for key, role in found.roles.items()},
        "cases": [_case(case) for case in found.cases],
        "exploratory_regressions": [
            {"case": _name(case.key), "fraction": cell.fraction} for case, cell in found.exploratory
        ],
        "pooled": [_pooled(mean) for mean in found.pooled],
        "fell": [_drop(drop) for drop in found.fell],
        "moved": [
            {
                "model": one.model,
                "tasks": one.tasks,
                "n": one.n,
                "one_minus_cka": one.taps,
                "most": one.most,
                "absent": one.absent or None,
            }
            for one in found.moved
        ],
        "refused": [
            {
                "case": _name(one.case),
                "differing": {name: {"old": old, "new": new} for name, (old, new) in one.differing.items()},
            }
            for one in found.matches.refused
        ],
        "lost": {_name(key): reason for key, reason in found.matches.broken.items()},
        "not_tested": {_name(key): reason for key, reason in found.untested.items()},
        "not_selected": {one.name: {"cases": one.cases, "in_catalog": one.known} for one in found.unselected},
        "only_in_run": [_name(key) for key in found.matches.only_new],
        "not_compared": found.matches.not_compared,
        "no_checksum": {"baseline": found.old.unsealed, "run": found.new.unsealed},
        "problems": found.problems,
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _pooled(mean: PooledVerdict) -> dict[str, Any]:
    return {
        "name": mean.name,
        "model": mean.model,
        "task": mean.task,
        "kind": mean.kind,
        "metric": mean.score.metric,
        "verdict": mean.verdict,
        "identical": mean.identical,
        **_difference(mean.difference),
        "delta": mean.delta,
        "p": mean.p,
        "old": mean.old,
        "new": mean.new,
        "cases": len(mean.cases),
        "pooled": len(mean.pooled),
        "smallest_found": mean.smallest,
    }


def _drop(drop: RawDrop) -> dict[str, Any]:
    return {
        "case": _name(drop.key),
        "fraction": drop.fraction,
        "old": drop.old.scores[drop.fraction].value,
        "new": drop.new.scores[drop.fraction].value,
        "difference": drop.value,
        "delta": drop.delta,
        "why": drop.why,
    }


def _case(case: CaseVerdict) -> dict[str, Any]:
    return {
        "case": _name(case.key),
        "role": case.role,
        "metric": case.score.metric,
        "verdict": case.verdict,
        "identical": case.identical,
        "delta": case.delta,
        "why": case.why or None,
        "fractions": {cell.fraction: _cell(cell) for cell in case.cells},
    }


def _cell(cell: CaseChange) -> dict[str, Any]:
    return {
        "old": cell.old,
        "new": cell.new,
        **_difference(cell.difference),
        "points": cell.points,
        "p": cell.p,
        "verdict": cell.verdict,
        "smallest_found": cell.smallest,
    }


def _difference(difference: Difference) -> dict[str, float | None]:
    return {"difference": difference.value, "low": difference.low, "high": difference.high}


def _name(key: CaseKey) -> str:
    kind, case_id = key
    return f"{kind}/{case_id}"
