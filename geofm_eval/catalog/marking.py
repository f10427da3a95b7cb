"""Markers of cases, by which pytest selects them and records describe them."""

from geofm_eval.catalog.cases import Case
from geofm_eval.catalog.dense import KIND as DENSE
from geofm_eval.catalog.load import Catalog
from geofm_eval.catalog.tuned import DRIFT, TUNE


def markers(case: Case, catalog: Catalog) -> tuple[str, ...]:
    """Names of a case's markers, such as ``sim`` or ``real``, ``closed`` or ``trained``; see pyproject.toml for all."""
    task, model = catalog.tasks[case.task], catalog.models[case.model]
    return (
        "sim" if task.simulated else "real",
        "trained" if case.kind in (DENSE, TUNE, DRIFT) else "closed",
        *(("dense",) if task.dense else ()),
        *(("control",) if model.is_control else ()),
        *(("unverified",) if model.provenance == "unverified" else ()),
    )
