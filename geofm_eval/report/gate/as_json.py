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
from geofm_eval.report.formats import Row, attributes
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
            {**attributes(one, "model tasks n", one_minus_cka="taps", most="most"), "absent": one.absent or None}
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
        **attributes(mean, "name model task kind"),
        "metric": mean.score.metric,
        **attributes(mean, "verdict identical"),
        **_difference(mean.difference),
        **attributes(mean, "delta p old new"),
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
        **attributes(case, "verdict identical delta"),
        "why": case.why or None,
        "fractions": {cell.fraction: _cell(cell) for cell in case.cells},
    }


def _cell(cell: CaseChange) -> dict[str, Any]:
    return {
        **attributes(cell, "old new"),
        **_difference(cell.difference),
        **attributes(cell, "points p verdict", smallest_found="smallest"),
    }


def _difference(difference: Difference) -> Row:
    return attributes(difference, difference="value", low="low", high="high")


def _name(key: CaseKey) -> str:
    kind, case_id = key
    return f"{kind}/{case_id}"
