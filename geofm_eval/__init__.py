"""How well geospatial foundation models transfer, at which depth, and whether new weights made anything worse.

The names below are loaded when they are first used: ``from geofm_eval import load_catalog`` loads no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

from geofm_eval.version import __version__

if TYPE_CHECKING:
    from geofm_eval.catalog import Case, load_catalog
    from geofm_eval.measure import measure_case
    from geofm_eval.measure.arrays import probe_arrays
    from geofm_eval.probes.saved import load_probe
    from geofm_eval.report.collation import collate
    from geofm_eval.results.run import read_run
    from geofm_eval.similarity import cka
    from geofm_eval.workspace import Settings, Workspace

_HOMES = {
    "Case": "geofm_eval.catalog",
    "Settings": "geofm_eval.workspace",
    "Workspace": "geofm_eval.workspace",
    "cka": "geofm_eval.similarity",
    "collate": "geofm_eval.report.collation",
    "load_catalog": "geofm_eval.catalog",
    "load_probe": "geofm_eval.probes.saved",
    "measure_case": "geofm_eval.measure",
    "probe_arrays": "geofm_eval.measure.arrays",
    "read_run": "geofm_eval.results.run",
}

__all__ = [
    "Case",
    "Settings",
    "Workspace",
    "__version__",
    "cka",
    "collate",
    "load_catalog",
    "load_probe",
    "measure_case",
    "probe_arrays",
    "read_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'geofm_eval' has no attribute '{name}'")
    value = globals()[name] = getattr(importlib.import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
