"""The catalog: what models, tasks, recipes and cases exist. Loads without torch."""

from geofm_eval.catalog.cases import MAX_CASES, SUITES, Case, compatible, missing_bands, probe_cases
from geofm_eval.catalog.load import Catalog, check_slugs, load_catalog
from geofm_eval.catalog.specs import (
    Adaptation,
    ModelSpec,
    Normalisation,
    Product,
    Recipe,
    Statistics,
    TaskSpec,
    WeightsSpec,
)

__all__ = [
    "MAX_CASES",
    "SUITES",
    "Adaptation",
    "Case",
    "Catalog",
    "ModelSpec",
    "Normalisation",
    "Product",
    "Recipe",
    "Statistics",
    "TaskSpec",
    "WeightsSpec",
    "check_slugs",
    "compatible",
    "load_catalog",
    "missing_bands",
    "probe_cases",
]
