"""Markers of cases, for selection by pytest and in records."""

from geofm_eval.catalog.cases import Case
from geofm_eval.catalog.dense import KIND as DENSE
from geofm_eval.catalog.load import Catalog
from geofm_eval.catalog.tuned import DRIFT, TUNE


def markers(case: Case, catalog: Catalog) -> tuple[str, ...]:
    """Return the names of a case's markers, for example ``sim`` and ``closed``; pyproject.toml lists all."""
    task, model = catalog.tasks[case.task], catalog.models[case.model]
    return (
        "sim" if task.simulated else "real",
        "trained" if case.kind in (DENSE, TUNE, DRIFT) else "closed",
        *(("dense",) if task.dense else ()),
        *(("control",) if model.is_control else ()),
        *(("unverified",) if model.provenance == "unverified" else ()),
    )
