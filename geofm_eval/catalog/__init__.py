"""The catalog: models, tasks, recipes and cases. Loads without torch."""

from geofm_eval.catalog.base import Product
from geofm_eval.catalog.cases import MAX_CASES, SUITES, Case, compatible, missing_bands, probe_cases
from geofm_eval.catalog.dense import DenseAdaptation, dense_adaptation, dense_cases
from geofm_eval.catalog.load import Catalog, check_slugs, load_catalog
from geofm_eval.catalog.models import ModelSpec, Normalisation, WeightsSpec
from geofm_eval.catalog.recipes import Adaptation, Recipe, coding_of, is_neuco
from geofm_eval.catalog.similarity import similarity_cases, twin_of
from geofm_eval.catalog.tasks import Statistics, TaskSpec
from geofm_eval.catalog.tuned import drift_cases, trained_case, tune_cases

__all__ = [
    "MAX_CASES",
    "SUITES",
    "Adaptation",
    "Case",
    "Catalog",
    "DenseAdaptation",
    "ModelSpec",
    "Normalisation",
    "Product",
    "Recipe",
    "Statistics",
    "TaskSpec",
    "WeightsSpec",
    "check_slugs",
    "coding_of",
    "compatible",
    "dense_adaptation",
    "dense_cases",
    "drift_cases",
    "is_neuco",
    "load_catalog",
    "missing_bands",
    "probe_cases",
    "similarity_cases",
    "trained_case",
    "tune_cases",
    "twin_of",
]
