"""A comparison as JSON: raw values in full precision, in the metric's own unit."""

import json
from typing import Any

from geofm_eval.compare import CaseVerdict, FailOn, RunComparison, TaskVerdict
from geofm_eval.compare.cases import Cell
from geofm_eval.compare.matching import CaseKey
from geofm_eval.report.choice import Difference

VERSION = 1
"""Raised whenever a field changes its meaning."""


def json_of(found: RunComparison, fail_on: FailOn = "regression") -> str:
    """All of a comparison; unknown values are null. Differences are new minus old, turned so that more is better."""
    failures = found.failures(fail_on)
    content = {
        "version": VERSION,
        "baseline": found.old.name,
        "run": found.new.name,
        "fail_on": fail_on,
        "holds": not failures,
        "failures": failures,
        "tasks": [_task(task) for task in found.tasks],
        "cases": [_case(case) for case in found.cases],
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
        "only_in_baseline": [_name(key) for key in found.matches.only_old],
        "only_in_run": [_name(key) for key in found.matches.only_new],
        "not_compared": found.matches.not_compared,
        "problems": found.problems,
    }
    return json.dumps(content, indent=1, allow_nan=False)


def _task(task: TaskVerdict) -> dict[str, Any]:
    return {
        "name": task.name,
        "task": task.task,
        "kind": task.kind,
        "metric": task.score.metric,
        "verdict": task.verdict,
        "identical": task.identical,
        **_difference(task.difference),
        "delta": task.delta,
        "p": task.p,
        "old": task.old,
        "new": task.new,
        "cases": len(task.cases),
        "pooled": len(task.pooled),
        "models": task.models,
        "smallest_found": task.smallest,
    }


def _case(case: CaseVerdict) -> dict[str, Any]:
    return {
        "case": _name(case.key),
        "metric": case.score.metric,
        "verdict": case.verdict,
        "identical": case.identical,
        "delta": case.delta,
        "why": case.why or None,
        "fractions": {cell.fraction: _cell(cell) for cell in case.cells},
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "old": cell.old,
        "new": cell.new,
        **_difference(cell.difference),
        "points": cell.points,
        "p": cell.p,
        "verdict": cell.verdict,
    }


def _difference(difference: Difference) -> dict[str, float | None]:
    return {"difference": difference.value, "low": difference.low, "high": difference.high}


def _name(key: CaseKey) -> str:
    kind, case_id = key
    return f"{kind}/{case_id}"
